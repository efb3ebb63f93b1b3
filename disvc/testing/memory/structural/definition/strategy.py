"""The strategy of the kind CustomResourceDefinition itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from disvc.testing.memory.builtin.strategy import BuiltinStrategy
from disvc.testing.memory.structural.definition.validation import validate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from disvc.testing.memory.errors import Cause

    Value = dict[str, Any]

__all__ = ["DefinitionStrategy"]


class DefinitionStrategy(BuiltinStrategy):
    """A definition is validated, and remembers which of its versions were ever stored."""

    def default(self, obj: Value) -> None:
        """Fill in the names that can be told from others, and how versions are converted."""
        spec = obj["spec"]
        names = spec["names"]
        names["singular"] = names.get("singular") or names["kind"].lower()
        if not names.get("listKind") and names["kind"]:
            names["listKind"] = f"{names['kind']}List"
        if spec.get("conversion") is None:
            spec["conversion"] = {"strategy": "None"}

    def prepare_for_create(self, obj: Value) -> None:
        """Empty the status, but for the version that is stored."""
        super().prepare_for_create(obj)
        _remember_stored_version(obj)

    def prepare_for_update(self, obj: Value, old: Value) -> None:
        """Keep the status, and remember the version that is stored now."""
        super().prepare_for_update(obj, old)
        _remember_stored_version(obj)

    def validate(self, obj: Value, old: Value | None, subresource: str) -> Sequence[Cause]:
        """Return what is wrong with a definition."""
        return () if subresource else validate(obj, old)


def _remember_stored_version(obj: Value) -> None:
    stored = obj["status"].get("storedVersions") or []
    current = next((version["name"] for version in obj["spec"]["versions"] or () if version["storage"]), None)
    if current is not None and current not in stored:
        obj["status"] = {**obj["status"], "storedVersions": [*stored, current]}
