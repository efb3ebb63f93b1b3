"""What has changed between two objects of one type: structured-merge-diff, typed/compare.go."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from disvc.testing.memory.apply import elements
from disvc.testing.memory.apply.fieldset import FieldSet
from disvc.testing.memory.apply.values import ABSENT, as_list, as_map, element_of, equal

if TYPE_CHECKING:
    from disvc.testing.memory.apply.elements import Element, Path
    from disvc.testing.memory.apply.types import List, Map, Type

__all__ = ["Comparison", "compare"]


@dataclass
class Comparison:
    """The paths that are only in the old object, only in the new one, or in both with another value."""

    removed: FieldSet = field(default_factory=FieldSet)
    modified: FieldSet = field(default_factory=FieldSet)
    added: FieldSet = field(default_factory=FieldSet)

    def without(self, ignored: FieldSet) -> Comparison:
        """Return it without these paths and all below them."""
        parts = (self.removed, self.modified, self.added)
        return Comparison(*(part.without(ignored) for part in parts)) if ignored else self

    @property
    def set(self) -> FieldSet:
        """Return the paths that the new object sets: the added and the modified ones."""
        return self.modified | self.added


def compare(type_: Type, old: object, new: object) -> Comparison:
    """Return what has changed from `old` to `new`, which are valid."""
    comparison = Comparison()
    _Walk(comparison).node(type_, (), old, new)
    return comparison


class _Walk:
    def __init__(self, comparison: Comparison) -> None:
        self._found = comparison

    def node(self, type_: Type, path: Path, old: Any, new: Any) -> None:
        """Compare what stands at a path in both objects, ABSENT where nothing does."""
        if old is new:
            return
        shape = type_.shape(old if new is ABSENT else new)
        if old is not ABSENT and new is not ABSENT and type_.is_open and (before := type_.shape(old)) != shape:
            self._as(before, type_, path, old, new)
        is_leaf = self._as(shape, type_, path, old, new)
        if not is_leaf and old is ABSENT:
            self._found.added.insert(path)
        elif not is_leaf and new is ABSENT:
            self._found.removed.insert(path)

    def _as(self, shape: str, type_: Type, path: Path, old: Any, new: Any) -> bool:
        """Compare as a map, a list or a scalar; tell whether it was taken as a whole."""
        if shape == "map" and (map_ := type_.map) and not map_.is_atomic and (as_map(old) or as_map(new)):
            self._maps(map_, path, as_map(old), as_map(new))
            return False
        if shape == "list" and (list_ := type_.list) and not list_.is_atomic and (as_list(old) or as_list(new)):
            self._lists(list_, path, as_list(old), as_list(new))
            return False
        if old is ABSENT:
            self._found.added.insert(path)
        elif new is ABSENT:
            self._found.removed.insert(path)
        elif not equal(old, new):
            self._found.modified.insert(path)
        return True

    def _maps(self, map_: Map, path: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
        for name in old.keys() | new.keys():
            type_ = map_.type_of(name)
            assert type_ is not None, f"{name} was found undeclared by validation"
            self.node(type_, (*path, elements.field(name)), old.get(name, ABSENT), new.get(name, ABSENT))

    def _lists(self, list_: List, path: Path, old: list[Any], new: list[Any]) -> None:
        before, after = _by_element(list_, old), _by_element(list_, new)
        for element in before.keys() | after.keys():
            self._items(list_, (*path, element), before.get(element, []), after.get(element, []))

    def _items(self, list_: List, path: Path, old: list[Any], new: list[Any]) -> None:
        """Compare the items that are one element; duplicates are taken as a whole."""
        if len(old) > 1 and len(new) > 1:
            if not equal(old, new):
                self._found.modified.insert(path)
        elif len(old) > 1:
            if new:
                self.node(list_.item, path, ABSENT, new[0])
            self._found.removed.insert(path)
        elif len(new) > 1:
            if old:
                self.node(list_.item, path, old[0], ABSENT)
            self._found.added.insert(path)
        else:
            self.node(list_.item, path, old[0] if old else ABSENT, new[0] if new else ABSENT)


def _by_element(list_: List, items: list[Any]) -> dict[Element, list[Any]]:
    found: dict[Element, list[Any]] = {}
    for item in items:
        found.setdefault(element_of(list_, item), []).append(item)
    return found
