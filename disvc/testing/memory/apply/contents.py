"""What of an object is which field: the set of all its fields, and the object without some of them.

Rules: structured-merge-diff, typed/tofieldset.go and typed/remove.go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from disvc.testing.memory.apply import elements
from disvc.testing.memory.apply.fieldset import FieldSet
from disvc.testing.memory.apply.values import as_list, as_map, element_of

if TYPE_CHECKING:
    from disvc.testing.memory.apply.types import List, Map, Type

__all__ = ["fields_of", "remove"]


def fields_of(type_: Type, value: object) -> FieldSet:
    """Return the set of all leaves and items of a valid value."""
    found = _fields(type_, value)
    return FieldSet() if found is None else found


def _fields(type_: Type, value: object) -> FieldSet | None:
    """Return the set of what is below a value, None where the value is a leaf."""
    shape = type_.shape(value)
    if shape == "map" and (map_ := type_.map) and not map_.is_atomic:
        return _fields_of_map(map_, as_map(value))
    if shape == "list" and (list_ := type_.list) and not list_.is_atomic:
        return _fields_of_list(list_, as_list(value))
    return None


def _fields_of_map(map_: Map, value: dict[str, Any]) -> FieldSet:
    found = FieldSet()
    for name, inner in value.items():
        type_ = map_.type_of(name)
        assert type_ is not None, f"{name} was found undeclared by validation"
        element = elements.field(name)
        below = _fields(type_, inner)
        if below is None or inner is None or inner == {} or name not in map_.fields:
            found.members.add(element)
        if below is not None:
            found.put(element, below)
    return found


def _fields_of_list(list_: List, items: list[Any]) -> FieldSet:
    found = FieldSet()
    of = [element_of(list_, item) for item in items]
    found.members.update(of)
    for element, item in zip(of, items, strict=True):
        if of.count(element) == 1 and (below := _fields(list_.item, item)) is not None:  # duplicates are one field
            found.put(element, below)
    return found


def remove(type_: Type, value: Any, fields: FieldSet) -> Any:
    """Return a valid value without these items, values of maps and fields; what has lost all that it had is null."""
    shape = type_.shape(value)
    if shape == "map":
        return _remove_from_map(type_.map, as_map(value), fields)
    if shape == "list":
        return _remove_from_list(type_.list, as_list(value), fields)
    return value


def _remove_from_map(map_: Map | None, value: dict[str, Any], fields: FieldSet) -> dict[str, Any] | None:
    if map_ is None or map_.is_atomic:
        return None
    kept: dict[str, Any] = {}
    for name, below in value.items():
        element = elements.field(name)
        if element in fields.members:
            continue
        inner, type_ = fields.below(element), map_.type_of(name)
        kept[name] = remove(type_, below, inner) if inner and type_ else below
    return kept or None


def _remove_from_list(list_: List | None, items: list[Any], fields: FieldSet) -> list[Any] | None:
    if list_ is None or list_.is_atomic:
        return None
    kept = []
    for item in items:
        element = element_of(list_, item)
        if element not in fields.members:
            inner = fields.below(element)
            kept.append(remove(list_.item, item, inner) if inner else item)
    return kept or None
