"""Whether an object fits its type, as far as server-side apply needs it: structured-merge-diff, typed/validate.go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from disvc.testing.memory.apply import elements
from disvc.testing.memory.apply.values import InvalidItemError, element_of
from disvc.testing.memory.go_text import plain, syntax, type_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from disvc.testing.memory.apply.elements import Element, Path
    from disvc.testing.memory.apply.types import List, Map, Scalar, Type

    Misfit = tuple[Path, str]

__all__ = ["validate"]


def validate(type_: Type, value: object, *, allow_duplicates: bool = False) -> str:
    """Return what is wrong with a value, in the server's words; "" if nothing is.

    Args:
        type_: of the value.
        value: any decoded JSON.
        allow_duplicates: whether items of a set or of a list of type map may be there more than once.

    """
    found = [_told(path, error) for path, error in _Walk(allow_duplicates).errors(type_, value)]
    return "\n  ".join(["errors:", *found]) if len(found) > 1 else "".join(found)


def _told(path: Path, error: str) -> str:
    return f"{elements.text(path)}: {error}" if path else error


class _Walk:
    def __init__(self, allow_duplicates: bool) -> None:
        self._allow_duplicates = allow_duplicates

    def errors(self, type_: Type, value: object) -> Sequence[Misfit]:
        """Return what is wrong with a value, by paths from there."""
        if value is None:
            return ()
        shape = type_.shape(value)
        if shape == "map" and isinstance(value, dict) and type_.map:
            return self._map(type_.map, value)
        if shape == "list" and isinstance(value, list) and type_.list:
            return self._list(type_.list, value)
        error = _misfit(type_.scalar, value) if type_.scalar else f"expected {shape}, got &{{{plain(value)}}}"
        return [((), error)] if error else ()

    def _map(self, map_: Map, value: dict[str, Any]) -> list[Misfit]:
        found: list[Misfit] = []
        for name, below in value.items():
            if (type_ := map_.type_of(name)) is None:
                return [*found, ((elements.field(name),), "field not declared in schema")]
            if errors := self.errors(type_, below):
                found += (((elements.field(name), *path), error) for path, error in errors)
        return found

    def _list(self, list_: List, items: list[Any]) -> list[Misfit]:
        found: list[Misfit] = []
        seen: set[Element] = set()
        for place, item in enumerate(items):
            try:
                element = elements.index(place) if list_.is_atomic else element_of(list_, item)
            except InvalidItemError as error:
                return [*found, ((), f"element {place}: {error}")]
            if element in seen and not self._allow_duplicates:
                found.append(((), f"duplicate entries for key {elements.text([element])}"))
            seen.add(element)
            found += (((element, *path), error) for path, error in self.errors(list_.item, item))
        return found


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
