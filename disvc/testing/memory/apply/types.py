"""What server-side apply makes of a schema: for each node, whether it is a scalar, a list or a map, and how it merges.

A node may be all three, where the schema gives no type; the value at hand then decides. Rules:
k8s.io/kube-openapi/pkg/schemaconv (openapi.go) and structured-merge-diff, schema/elements.go; the metadata of an
object is that of every kind, whatever a CRD says of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Literal

from disvc.testing.memory.schema import Schema

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["List", "Map", "Shape", "Type", "type_of"]

Scalar = Literal["numeric", "string", "boolean", "untyped"]
Shape = Literal["map", "scalar", "list"]
_SHAPES: Final[Mapping[type, Shape]] = {
    str: "scalar",
    bool: "scalar",
    int: "scalar",
    float: "scalar",
    list: "list",
    dict: "map",
}


@dataclass(frozen=True, eq=False)
class Map:
    """An object with declared fields, a map, or both.

    `other` is the type of what is not declared, None where nothing else may stand.
    """

    fields: Mapping[str, Type]
    other: Type | None
    is_atomic: bool

    def type_of(self, name: str) -> Type | None:
        """Return the type of a field or of a map's value, None where it may not stand."""
        return self.fields.get(name, self.other)


@dataclass(frozen=True, eq=False)
class List:
    """A list: atomic, a set where there are no keys, or else a map by `keys`."""

    item: Type
    keys: tuple[str, ...]
    is_atomic: bool


class Type:
    """The type of a node; made from a schema as far as it is asked for, as schemas may be recursive."""

    def __init__(self, schema: Schema, *, preserves: bool = False) -> None:
        """Type a schema node.

        Args:
            schema: the node.
            preserves: whether a node above keeps unknown fields, as nodes below it then do so too.

        """
        self._schema = schema
        self._preserves = preserves or schema.preserves_unknown_fields

    @cached_property
    def default(self) -> Any:
        """Return what the schema says stands where nothing is given, None if it does not say."""
        return self._schema.raw.get("default")

    @cached_property
    def scalar(self) -> Scalar | None:
        """Return the kind of scalar that may stand here."""
        match self._schema.type:
            case "object" | "array":
                return None
            case "integer" | "number":
                return "numeric"
            case "boolean":
                return "boolean"
            case "string" if self._schema.raw.get("format", "") in ("", "byte"):
                return "string"
        return "untyped"

    @cached_property
    def list(self) -> List | None:
        """Return how a list here merges, None if none may stand here."""
        schema = self._schema
        if schema.type not in ("", "array"):
            return None
        item = ATOMIC if schema.items is None else Type(schema.items, preserves=self._preserves)
        if "x-kubernetes-list-type" in schema.raw:
            return List(item, schema.list_map_keys, is_atomic=schema.list_type == "atomic")
        merge_key = schema.patch_merge_key
        return List(item, (merge_key,) if merge_key else (), is_atomic="merge" not in schema.patch_strategies)

    @cached_property
    def map(self) -> Map | None:
        """Return how a map here merges, None if none may stand here."""
        schema = self._schema
        if schema.type not in ("", "object"):
            return None
        fields = {name: Type(child, preserves=self._preserves) for name, child in schema.properties.items()}
        if schema.is_embedded_resource:
            fields |= _OBJECT_FIELDS
        return Map(fields, self._other(), schema.is_atomic_map)

    def _other(self) -> Type | None:
        schema = self._schema
        if schema.additional is not None:
            return Type(schema.additional, preserves=self._preserves)
        match schema.raw.get("additionalProperties"):
            case True:
                return DEDUCED
            case None if self._preserves or not schema.properties:
                return DEDUCED
        return None

    def shape(self, value: object) -> Shape:
        """Return what a value is here; where it says nothing itself (null) or does not fit, what comes first."""
        shape = _SHAPES.get(type(value))
        if shape is not None and getattr(self, shape) is not None:
            return shape
        return "map" if self.map else "scalar" if self.scalar else "list"

    @cached_property
    def is_atomic(self) -> bool:
        """Tell whether it is taken as a whole, of all shapes that may stand here the first."""
        if self.map:
            return self.map.is_atomic
        return self.scalar is None and self.list is not None and self.list.is_atomic

    @cached_property
    def is_untyped(self) -> bool:
        """Tell whether it is a map of whose values nothing is said."""
        if self.map is None or self.map.fields or self.map.other in (None, ATOMIC):
            return False
        return self.map.other.scalar == "untyped"

    @cached_property
    def is_open(self) -> bool:
        """Tell whether more than one shape may stand here."""
        return (self.scalar, self.list, self.map).count(None) < len(("list", "map"))


class _Anything(Type):
    """A type for what has no schema: scalars, atomic lists, and maps that are atomic or made of the same."""

    def __init__(self, *, atomic_maps: bool) -> None:
        super().__init__(Schema({}))
        self._atomic_maps = atomic_maps

    @cached_property
    def list(self) -> List:
        return List(ATOMIC, (), is_atomic=True)

    @cached_property
    def map(self) -> Map:
        return Map({}, self, self._atomic_maps)


ATOMIC: Final = _Anything(atomic_maps=True)
DEDUCED: Final = _Anything(atomic_maps=False)

_STRING: Final[Mapping[str, Any]] = {"type": "string"}
_STRINGS: Final[Mapping[str, Any]] = {"type": "object", "additionalProperties": _STRING}
_INTEGER: Final[Mapping[str, Any]] = {"type": "integer"}
_BOOLEAN: Final[Mapping[str, Any]] = {"type": "boolean"}
_TIME: Final[Mapping[str, Any]] = {"type": "string", "format": "date-time"}
_METADATA: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {
        **dict.fromkeys(("name", "generateName", "namespace", "selfLink", "uid", "resourceVersion"), _STRING),
        **dict.fromkeys(("creationTimestamp", "deletionTimestamp"), _TIME),
        **dict.fromkeys(("labels", "annotations"), _STRINGS),
        **dict.fromkeys(("generation", "deletionGracePeriodSeconds"), _INTEGER),
        "finalizers": {"type": "array", "x-kubernetes-list-type": "set", "items": _STRING},
        "managedFields": {"type": "array", "items": {"type": "object"}},
        "ownerReferences": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["uid"],
            "items": {
                "type": "object",
                "x-kubernetes-map-type": "atomic",
                "properties": {
                    **dict.fromkeys(("apiVersion", "kind", "name"), _STRING),
                    "uid": {**_STRING, "default": ""},
                    **dict.fromkeys(("controller", "blockOwnerDeletion"), _BOOLEAN),
                },
            },
        },
    },
}
_OBJECT: Final[Mapping[str, Any]] = {"apiVersion": _STRING, "kind": _STRING, "metadata": _METADATA}
_OBJECT_FIELDS: Final = {name: Type(Schema(raw)) for name, raw in _OBJECT.items()}


def type_of(schema: Schema | None) -> Type:
    """Return the type of an object with apiVersion, kind and metadata; without a schema, all else is untyped."""
    root = Type(schema or Schema({"type": "object", "x-kubernetes-preserve-unknown-fields": True}))
    assert root.map is not None, "an object's schema has the type object"
    declared = {**root.map.fields, **_OBJECT_FIELDS}
    root.map = Map(declared, root.map.other, root.map.is_atomic)
    return root
