"""What the server knows of the shape of objects: a node of a structural schema, of a CRD or of a built-in kind.

One representation for all who walk a schema beside a value: defaulting, pruning, validation, strategic merge,
server-side apply. It wraps the OpenAPI dictionary as it is written in a CRD, or in the definitions of the built-in
kinds, where `$ref` refers to other definitions and may refer back; a child is made when it is first asked for.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Value = dict[str, Any]

__all__ = ["Schema"]

_REF = "$ref"


class Schema:
    """A schema node; two are the same only when they are the same object.

    Args:
        raw: the OpenAPI schema: `type`, `properties`, `items`, `x-kubernetes-…` and so on.
        definitions: what a `$ref` ending in `/NAME` refers to, by NAME.

    """

    def __init__(self, raw: Mapping[str, Any], definitions: Mapping[str, Any] | None = None) -> None:
        self._definitions = definitions or {}
        merged = dict(raw)
        while (ref := merged.pop(_REF, None)) is not None:
            # What stands beside a reference (a description, a default) belongs to the field and wins.
            merged = {**self._definitions[ref.rpartition("/")[2]], **merged}
        self.raw: Mapping[str, Any] = merged

    @cached_property
    def type(self) -> str:
        """Return `object`, `array`, `string`, `integer`, `number`, `boolean`, or "" where anything may stand."""
        named = self.raw.get("type", "")
        if isinstance(named, list):  # ["string", "null"]
            return next((name for name in named if name != "null"), "")
        return str(named)

    @cached_property
    def properties(self) -> Mapping[str, Schema]:
        """Return the declared fields of an object."""
        return {name: self._child(raw) for name, raw in (self.raw.get("properties") or {}).items()}

    @cached_property
    def additional(self) -> Schema | None:
        """Return the schema of a map's values; None where there are no `additionalProperties`, or just `true`."""
        raw = self.raw.get("additionalProperties")
        return self._child(raw) if isinstance(raw, dict) else None

    @cached_property
    def items(self) -> Schema | None:
        """Return the schema of a list's items."""
        raw = self.raw.get("items")
        return self._child(raw) if isinstance(raw, dict) else None

    @cached_property
    def all_of(self) -> Sequence[Schema]:
        """Return the schemas that a value must satisfy besides."""
        return [self._child(raw) for raw in self.raw.get("allOf") or ()]

    @cached_property
    def any_of(self) -> Sequence[Schema]:
        """Return the schemas of which a value must satisfy at least one, if there are any."""
        return [self._child(raw) for raw in self.raw.get("anyOf") or ()]

    @cached_property
    def one_of(self) -> Sequence[Schema]:
        """Return the schemas of which a value must satisfy just one, if there are any."""
        return [self._child(raw) for raw in self.raw.get("oneOf") or ()]

    @cached_property
    def not_(self) -> Schema | None:
        """Return the schema that a value must not satisfy."""
        raw = self.raw.get("not")
        return self._child(raw) if isinstance(raw, dict) else None

    def field(self, name: str) -> Schema | None:
        """Return the schema of a field of an object or of a value of a map, None where none is declared."""
        return self.properties.get(name) or self.additional

    @cached_property
    def list_type(self) -> Literal["atomic", "set", "map"]:
        """Return how server-side apply merges a list; the default is atomic."""
        kind: Literal["atomic", "set", "map"] = self.raw.get("x-kubernetes-list-type", "atomic")
        return kind

    @cached_property
    def list_map_keys(self) -> tuple[str, ...]:
        """Return the fields that tell the items of a list of type map apart."""
        return tuple(self.raw.get("x-kubernetes-list-map-keys") or ())

    @cached_property
    def is_atomic_map(self) -> bool:
        """Return whether server-side apply replaces an object or a map as a whole."""
        return bool(self.raw.get("x-kubernetes-map-type") == "atomic")

    @cached_property
    def preserves_unknown_fields(self) -> bool:
        """Return whether fields that are not declared are kept."""
        return bool(self.raw.get("x-kubernetes-preserve-unknown-fields"))

    @cached_property
    def is_embedded_resource(self) -> bool:
        """Return whether a whole object with apiVersion, kind and metadata stands here."""
        return bool(self.raw.get("x-kubernetes-embedded-resource"))

    @cached_property
    def is_nullable(self) -> bool:
        """Return whether null may stand here."""
        return bool(self.raw.get("nullable"))

    @cached_property
    def patch_strategies(self) -> frozenset[str]:
        """Return what strategic merge does with a list or an object: of `merge`, `replace`, `retainKeys`."""
        return frozenset(filter(None, self.raw.get("x-kubernetes-patch-strategy", "").split(",")))

    @cached_property
    def patch_merge_key(self) -> str:
        """Return the field by which strategic merge finds a list's items, "" where items are scalars."""
        return str(self.raw.get("x-kubernetes-patch-merge-key", ""))

    def _child(self, raw: Mapping[str, Any]) -> Schema:
        return Schema(raw, self._definitions)
