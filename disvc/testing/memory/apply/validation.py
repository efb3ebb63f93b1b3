"""Whether an object fits its type, as far as server-side apply needs it: structured-merge-diff, typed/validate.go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from disvc.testing.memory.apply import elements
from disvc.testing.memory.apply.values import InvalidItemError, element_of
from disvc.testing.memory.go_text import plain, syntax, type_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from disvc.testing.memory.apply.elements import Element, Path
    from disvc.testing.memory.apply.types import List, Map, Scalar, Type

__all__ = ["validate"]


def validate(type_: Type, value: object, *, allow_duplicates: bool = False) -> str:
    """Return what is wrong with a value, in the server's words; "" if nothing is.

    Args:
        type_: of the value.
        value: any decoded JSON.
        allow_duplicates: whether items of a set or of a list of type map may be there more than once.

    """
    found = list(_Walk(allow_duplicates).errors(type_, (), value))
    return "\n  ".join(["errors:", *found]) if len(found) > 1 else "".join(found)


class _Walk:
    def __init__(self, allow_duplicates: bool) -> None:
        self._allow_duplicates = allow_duplicates

    def errors(self, type_: Type, path: Path, value: object) -> Iterator[str]:
        """Yield what is wrong with the value at a path."""
        if value is None:
            return
        shape = type_.shape(value)
        if shape == "map" and isinstance(value, dict) and type_.map:
            yield from self._map(type_.map, path, value)
        elif shape == "list" and isinstance(value, list) and type_.list:
            yield from self._list(type_.list, path, value)
        elif shape != "scalar":
            yield _at(path, f"expected {shape}, got &{{{plain(value)}}}")
        elif type_.scalar and (error := _misfit(type_.scalar, value)):
            yield _at(path, error)

    def _map(self, map_: Map, path: Path, value: dict[str, Any]) -> Iterator[str]:
        for name, below in value.items():
            here = (*path, elements.field(name))
            if (type_ := map_.type_of(name)) is None:
                yield _at(here, "field not declared in schema")
                return
            yield from self.errors(type_, here, below)

    def _list(self, list_: List, path: Path, items: list[Any]) -> Iterator[str]:
        seen: set[Element] = set()
        for place, item in enumerate(items):
            try:
                element = elements.index(place) if list_.is_atomic else element_of(list_, item)
            except InvalidItemError as error:
                yield _at(path, f"element {place}: {error}")
                return
            if element in seen and not self._allow_duplicates:
                yield _at(path, f"duplicate entries for key {elements.text([element])}")
            seen.add(element)
            yield from self.errors(list_.item, (*path, element), item)


def _at(path: Path, error: str) -> str:
    return f"{elements.text(path)}: {error}" if path else error


def _misfit(kind: Scalar, value: object) -> str:
    """Return how a value is not of this kind of scalar, "" if it is."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    match kind:
        case "numeric" if not is_number:
            return f"expected numeric (int or float), got {type_name(value)}"
        case "string" if not isinstance(value, str):
            return f"expected string, got &value.valueUnstructured{{Value:{syntax(value)}}}"
        case "boolean" if not isinstance(value, bool):
            return f"expected boolean, got &{{{plain(value)}}}"
        case "untyped" if isinstance(value, dict | list):
            return f"expected any scalar, got &{{{plain(value)}}}"
    return ""
