"""The resources that a CustomResourceDefinition makes: one `ResourceType` for each version that is served or stored."""

from __future__ import annotations

import copy
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from disvc.testing.memory.builtin.decoding import Unreadable
from disvc.testing.memory.errors import Refused
from disvc.testing.memory.go_text import plain
from disvc.testing.memory.resource import Conversion, ResourceType, Scale
from disvc.testing.memory.schema import Schema
from disvc.testing.memory.structural.columns import columns
from disvc.testing.memory.structural.defaulting import default, drop_nulls
from disvc.testing.memory.structural.embedded import coerce, coerce_metadata
from disvc.testing.memory.structural.json_paths import compile_path
from disvc.testing.memory.structural.pruning import prune
from disvc.testing.memory.structural.strategy import CustomStrategy
from disvc.testing.memory.version_order import preference

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Value = dict[str, Any]

__all__ = ["resource_types"]


def resource_types(crd: Value) -> list[ResourceType]:
    """Return what a CustomResourceDefinition serves: a valid one, with its defaults filled in."""
    spec = crd["spec"]
    stored = next(version for version in spec["versions"] if version["storage"])
    return [_resource_type(crd, version, stored) for version in spec["versions"] if version["served"]]


def _resource_type(crd: Value, version: Value, stored: Value) -> ResourceType:
    spec, names = crd["spec"], crd["spec"]["names"]
    schema = _schema_of(version)
    subresources = version.get("subresources") or {}
    has_status = subresources.get("status") is not None
    scale = _scale(subresources.get("scale"))
    unversioned = frozenset({"metadata", "status"} if has_status else {"metadata"})
    # What was stored under another version, or under an earlier schema, is brought into shape when it is read.
    is_stored_so = version is stored and crd["metadata"].get("generation", 1) == 1
    return ResourceType(
        spec["group"],
        version["name"],
        names["kind"],
        names["plural"],
        _strategy(schema, has_status, scale),
        namespaced=spec["scope"] == "Namespaced",
        singular=names["singular"],
        list_kind=names["listKind"],
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        schema=schema,
        has_status=has_status,
        scale=scale,
        generation_follows=lambda obj: {name: part for name, part in obj.items() if name not in unversioned},
        columns=tuple(columns(version.get("additionalPrinterColumns") or ())),
        selectable_fields=dict(_selectable(each["jsonPath"]) for each in version.get("selectableFields") or ()),
        is_custom=True,
        stored_as=None if is_stored_so else _conversion(spec["group"], version["name"], schema, stored),
        deprecation=_deprecation(spec, version),
        decode=_decoder(schema, names["kind"], version["name"]),
        allows_unconditional_update=False,
    )


def _deprecation(spec: Value, version: Value) -> str:
    """Return the warning of a version that is deprecated, "" for another; it names the best that is not."""
    if not version.get("deprecated"):
        return ""
    if (declared := version.get("deprecationWarning")) is not None:
        return str(declared)
    kind, rank = spec["names"]["kind"], preference(version["name"])
    better = [each["name"] for each in spec["versions"] if each["served"] and not each.get("deprecated")]
    better = [name for name in better if preference(name) < rank]
    use = f"; use {spec['group']}/{min(better, key=preference)} {kind}" if better else ""
    return f"{spec['group']}/{version['name']} {kind} is deprecated{use}"


def _schema_of(version: Value) -> Schema:
    return _schema(msgspec.json.encode(version["schema"]["openAPIV3Schema"]))


# Most servers of a process are given the same definitions, and what is known of a schema is worth keeping.
@lru_cache(maxsize=64)
def _schema(raw: bytes) -> Schema:
    return Schema(msgspec.json.decode(raw))


@lru_cache(maxsize=64)
def _strategy(schema: Schema, has_status: bool, scale: Scale | None) -> CustomStrategy:
    return CustomStrategy(schema, has_status=has_status, scale=scale)


def _scale(declared: Value | None) -> Scale | None:
    if declared is None:
        return None
    return Scale(
        declared["specReplicasPath"].removeprefix("."),
        declared["statusReplicasPath"].removeprefix("."),
        (declared.get("labelSelectorPath") or "").removeprefix("."),
    )


def _selectable(path: str) -> tuple[str, Callable[[Value], str]]:
    find = compile_path(path)

    def value(obj: Value) -> str:
        found = find(obj)
        return plain(found[0]) if found and found[0] is not None else ""

    return path.removeprefix("."), value


def _decoder(schema: Schema, kind: str, version: str) -> Callable[[Value], tuple[Value, Sequence[str]]]:
    def decode(value: Value) -> tuple[Value, Sequence[str]]:
        obj: Value = _as_go_reads(value)
        try:
            return obj, _shape(obj, schema)
        except Unreadable as error:
            message = f'{kind} in version "{version}" cannot be handled as a {kind}: {error}'
            raise Refused(400, "BadRequest", message) from error

    return decode


def _as_go_reads(value: Any) -> Any:
    """Return a copy of decoded JSON in which integers that are no int64 are floats."""
    match value:
        case dict():
            return {name: _as_go_reads(part) for name, part in value.items()}
        case list():
            return [_as_go_reads(part) for part in value]
        case int() if not -(2**63) <= value < 2**63:
            return float(value)
        case _:
            return value


def _shape(obj: Value, schema: Schema) -> list[str]:
    """Bring an object into the shape of a schema, in place, and return the paths of what was dropped."""
    unknown = coerce_metadata(obj)
    unknown += prune(obj, schema)
    drop_nulls(obj, schema)
    return unknown + sorted(coerce(obj, schema))


def _conversion(group: str, name: str, schema: Schema, stored: Value) -> Conversion:
    """Return how objects of a version are kept as those of the one that is stored: only apiVersion tells them apart."""
    stored_schema = _schema_of(stored)

    def convert(obj: Value, version: str, shape: Schema) -> Value:
        converted = copy.deepcopy(obj) | {"apiVersion": f"{group}/{version}"}
        _shape(converted, shape)
        return converted

    def from_stored(obj: Value) -> Value:
        converted = convert(obj, name, schema)
        default(converted, schema)
        return converted

    return Conversion(group, stored["name"], lambda obj: convert(obj, stored["name"], stored_schema), from_stored)
