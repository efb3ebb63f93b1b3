"""What the built-in kinds have in common, and how one is declared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from disvc.testing.memory.builtin import defaults, gotypes
from disvc.testing.memory.builtin.decoding import decoder, zero
from disvc.testing.memory.builtin.definitions import definition_name, schema
from disvc.testing.memory.resource import ResourceType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from disvc.testing.memory.errors import Cause

    Value = dict[str, Any]

__all__ = ["BuiltinStrategy", "kind", "spec"]


class BuiltinStrategy:
    """The strategy of a kind of which nothing is particular: a status is written through its subresource only.

    Objects are in the form in which Go writes them (see `decoding`), and each method leaves them so.
    """

    def __init__(self, definition: str) -> None:
        self._definition = definition
        status = (gotypes.struct_fields(definition) or {}).get("status")
        self._status = None if status is None else status.type

    def default(self, obj: Value) -> None:
        """Fill in what Kubernetes defaults by type, see `defaults`."""
        defaults.apply(self._definition, obj)

    def prepare_for_create(self, obj: Value) -> None:
        """Empty the status."""
        if self._status is not None:
            obj["status"] = zero(self._status)

    def prepare_for_update(self, obj: Value, old: Value) -> None:
        """Keep the status."""
        if self._status is not None:
            obj["status"] = old["status"]

    def validate(self, obj: Value, old: Value | None, subresource: str) -> Sequence[Cause]:
        """Return what is wrong; nothing can be."""
        return ()


def kind(
    group: str,
    version: str,
    kind: str,
    plural: str,
    strategy: type[BuiltinStrategy] = BuiltinStrategy,
    **particular: Any,
) -> ResourceType:
    """Declare a built-in kind; `particular` are the fields of `ResourceType` that are not as for most."""
    definition = definition_name(group, version, kind)
    has_status = "status" in (gotypes.struct_fields(definition) or {})
    return ResourceType(
        group,
        version,
        kind,
        plural,
        strategy(definition),
        singular=kind.lower(),
        list_kind=f"{kind}List",
        schema=schema(group, version, kind),
        has_status=has_status,
        decode=decoder(definition, version),
        **particular,
    )


def spec(obj: Value) -> object:
    """Return what metadata.generation follows in most kinds."""
    return obj.get("spec")
