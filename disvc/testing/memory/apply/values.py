"""Values of two objects side by side: what is absent, what equals what, which element an item of a list is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from disvc.testing.memory.apply import elements

if TYPE_CHECKING:
    from disvc.testing.memory.apply.elements import Element
    from disvc.testing.memory.apply.types import List

__all__ = ["ABSENT", "InvalidItemError", "as_list", "as_map", "element_of", "equal"]

ABSENT: Final[Any] = type("Absent", (), {"__repr__": lambda _: "ABSENT"})()
"""Stands where there is nothing, as null is something."""


class InvalidItemError(Exception):
    """An item of a set or of a list of type map has no element."""


def equal(one: object, other: object) -> bool:
    """Tell whether two JSON values are the same; true is not 1, and 1 is 1.0."""
    return one == other and _same_types(one, other)


def _same_types(one: object, other: object) -> bool:
    """Tell whether of two values that Python takes for the same none has a boolean where the other has a number."""
    if isinstance(one, dict) and isinstance(other, dict):
        return all(_same_types(value, other[name]) for name, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return all(map(_same_types, one, other))
    return isinstance(one, bool) == isinstance(other, bool)


def as_map(value: object) -> dict[str, Any]:
    """Return a map as it is, and anything else as an empty one."""
    return value if isinstance(value, dict) else {}


def as_list(value: object) -> list[Any]:
    """Return a list as it is, and anything else as an empty one."""
    return value if isinstance(value, list) else []


def element_of(list_: List, item: object) -> Element:
    """Return the element that an item of a set or of a list of type map is.

    Raises:
        InvalidItemError: it is none; the message is structured-merge-diff's.

    """
    if list_.keys:
        return _by_keys(list_, item)
    match item:
        case None:
            raise InvalidItemError("associative list without keys has an element that's an explicit null")
        case dict():
            raise InvalidItemError("associative list without keys has an element that's a map type")
        case list():
            raise InvalidItemError("not supported: associative list with lists as elements")
    return elements.value(item)


def _by_keys(list_: List, item: object) -> Element:
    if item is None:
        raise InvalidItemError("associative list with keys may not have a null element")
    if not isinstance(item, dict):
        raise InvalidItemError("associative list with keys may not have non-map elements")
    declared = list_.item.map
    if declared is None:
        raise InvalidItemError("associative list may not have non-map types")
    pairs = []
    for name in list_.keys:
        if name in item:
            pairs.append((name, item[name]))
        elif name in declared.fields and (default := declared.fields[name].default) is not None:
            pairs.append((name, default))
    if not pairs:
        named = " ".join(f'"{name}"' for name in list_.keys)
        raise InvalidItemError(
            f"associative list with keys has an element that omits all key fields [{named}] "
            "(and doesn't have default values for any key fields)"
        )
    return elements.keys(pairs)
