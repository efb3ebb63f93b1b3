"""What is wrong with how a schema says that lists and maps are merged: `x-kubernetes-list-type` and its like.

The rules and their words are those of k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from disvc.testing.memory import causes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from disvc.testing.memory.errors import Cause
    from disvc.testing.memory.schema import Schema

__all__ = ["list_problems"]

_LIST_TYPE: Final = "x-kubernetes-list-type"
_MAP_TYPE: Final = "x-kubernetes-map-type"
_KEYS: Final = "x-kubernetes-list-map-keys"


def list_problems(schema: Schema, path: str) -> Iterator[Cause]:
    """Yield what is wrong with the list type or the map type of a schema that stands at `path`."""
    raw = schema.raw
    map_type, list_type = raw.get(_MAP_TYPE), raw.get(_LIST_TYPE)
    if map_type is not None:
        yield from _wrong_type(raw, "object", _MAP_TYPE, path)
        if map_type not in {"atomic", "granular"}:
            yield causes.not_supported(f"{path}.{_MAP_TYPE}", map_type, ("atomic", "granular"))
    if list_type is not None:
        yield from _wrong_type(raw, "array", _LIST_TYPE, path)
        if list_type not in {"atomic", "set", "map"}:
            yield causes.not_supported(f"{path}.{_LIST_TYPE}", list_type, ("atomic", "set", "map"))
    if list_type == "set" and schema.type == "array" and schema.items is not None:
        yield from _set_problems(schema.items.raw, f"{path}.items")
    if raw.get(_KEYS) and list_type != "map":
        text = "must be map if x-kubernetes-list-map-keys is non-empty"
        at = f"{path}.{_LIST_TYPE}"
        yield causes.required(at, text) if list_type is None else causes.invalid(at, list_type, text)
    if list_type == "map":
        yield from _map_problems(schema, path)
    if list_type in {"set", "map"} and schema.items is not None and schema.items.is_nullable:
        text = f"cannot be nullable when x-kubernetes-list-type is {list_type}"
        yield causes.forbidden(f"{path}.items.nullable", text)
    if list_type == "map" and schema.items is not None:
        yield from _key_problems(schema, schema.items, path)


def _wrong_type(raw: Mapping[str, Any], expected: str, keyword: str, path: str) -> Iterator[Cause]:
    type_ = raw.get("type", "")
    text = f"must be {expected} if {keyword} is specified"
    if not type_:
        yield causes.required(f"{path}.type", text)
    elif type_ != expected:
        yield causes.invalid(f"{path}.type", type_, text)


def _set_problems(items: Mapping[str, Any], path: str) -> Iterator[Cause]:
    text = "must be atomic as item of a list with x-kubernetes-list-type=set"
    list_type = items.get(_LIST_TYPE)
    if items.get("type") == "array" and list_type not in {None, "atomic"}:
        yield causes.invalid(f"{path}.{_LIST_TYPE}", list_type, text)
    if items.get("type") == "object" and items.get(_MAP_TYPE) != "atomic":
        yield causes.invalid(f"{path}.{_MAP_TYPE}", list_type, text)


def _map_problems(schema: Schema, path: str) -> Iterator[Cause]:
    keys = list(schema.list_map_keys)
    if not keys:
        yield causes.required(f"{path}.{_KEYS}", "must not be empty if x-kubernetes-list-type is map")
    if schema.items is None:
        yield causes.required(f"{path}.items", "must have a schema if x-kubernetes-list-type is map")
        return
    if schema.items.type != "object":
        text = "must be object if parent array's x-kubernetes-list-type is map"
        yield causes.invalid(f"{path}.items.type", schema.items.type, text)
        return
    for position, key in enumerate(keys):
        field = schema.items.properties.get(key)
        if field is None:
            yield causes.invalid(f"{path}.{_KEYS}", keys, "entries must all be names of item properties")
        elif field.type in {"array", "object"}:
            text = "must be a scalar type if parent array's x-kubernetes-list-type is map"
            yield causes.invalid(f"{path}.items.properties[{key}].type", schema.items.type, text)
        if key in keys[:position]:
            yield causes.invalid(f"{path}.{_KEYS}", keys, "must not contain duplicate entries")


def _key_problems(schema: Schema, items: Schema, path: str) -> Iterator[Cause]:
    required = items.raw.get("required") or ()
    for key in schema.list_map_keys:
        field = items.properties.get(key)
        if field is None:
            continue
        at = f"{path}.items.properties[{key}]"
        listed = "this property is in x-kubernetes-list-map-keys"
        if key not in required and field.raw.get("default") is None:
            yield causes.required(f"{at}.default", f"{listed}, so it must have a default or be a required property")
        if field.is_nullable:
            yield causes.forbidden(f"{at}.nullable", f"{listed}, so it cannot be nullable")
