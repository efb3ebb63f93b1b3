"""What has changed between two objects of one type: structured-merge-diff, typed/compare.go."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from disvc.testing.memory.apply import elements
from disvc.testing.memory.apply.fieldset import FieldSet
from disvc.testing.memory.apply.values import ABSENT, as_list, as_map, element_of, equal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from disvc.testing.memory.apply.elements import Element
    from disvc.testing.memory.apply.types import List, Map, Shape, Type

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

    def note(self, element: Element, old: object, new: object) -> None:
        """Add a value that is taken as a whole, if it is not the same."""
        if old is ABSENT:
            self.added.members.add(element)
        elif new is ABSENT:
            self.removed.members.add(element)
        elif not equal(old, new):
            self.modified.members.add(element)

    def put(self, element: Element, below: Comparison) -> None:
        """Add what has changed below an element."""
        self.removed.put(element, below.removed)
        self.modified.put(element, below.modified)
        self.added.put(element, below.added)

    @property
    def set(self) -> FieldSet:
        """Return the paths that the new object sets: the added and the modified ones."""
        return self.modified | self.added


def compare(type_: Type, old: object, new: object) -> Comparison:
    """Return what has changed from `old` to `new`, which are valid."""
    found = Comparison()
    for shape in _shapes(type_, old, new):
        _compare_as(shape, found, type_, old, new)
    return found


def _shapes(type_: Type, old: Any, new: Any) -> Iterable[Shape]:
    """Return as what two values are to be compared; the last one says whether they are a leaf."""
    if new is ABSENT:
        return (type_.shape(old),)
    shape = type_.shape(new)
    if old is ABSENT or not type_.is_open or (before := type_.shape(old)) == shape:
        return (shape,)
    return (before, shape)


def _compare_node(found: Comparison, element: Element, type_: Type, old: Any, new: Any) -> None:
    """Compare what two objects have at an element, ABSENT where one has nothing."""
    if old is new:
        return
    is_leaf = False
    for shape in _shapes(type_, old, new):
        below = Comparison()
        is_leaf = not _compare_as(shape, below, type_, old, new)
        if is_leaf:
            found.note(element, old, new)
        else:
            found.put(element, below)
    if not is_leaf and (old is ABSENT or new is ABSENT):
        found.note(element, old, new)


def _compare_as(shape: Shape, found: Comparison, type_: Type, old: Any, new: Any) -> bool:
    """Compare the contents of two maps or lists; return False if they are taken as a whole."""
    if shape == "map" and (map_ := type_.map) and not map_.is_atomic:
        before, after = as_map(old), as_map(new)
        if before or after:
            _compare_maps(found, map_, before, after)
            return True
    elif shape == "list" and (list_ := type_.list) and not list_.is_atomic:
        first, second = as_list(old), as_list(new)
        if first or second:
            _compare_lists(found, list_, first, second)
            return True
    return False


def _compare_maps(found: Comparison, map_: Map, old: dict[str, Any], new: dict[str, Any]) -> None:
    for name in old.keys() | new.keys():
        type_ = map_.type_of(name)
        assert type_ is not None, f"{name} was found undeclared by validation"
        _compare_node(found, elements.field(name), type_, old.get(name, ABSENT), new.get(name, ABSENT))


def _compare_lists(found: Comparison, list_: List, old: list[Any], new: list[Any]) -> None:
    before, after = _by_element(list_, old), _by_element(list_, new)
    for element in before.keys() | after.keys():
        _compare_items(found, element, list_.item, before.get(element, []), after.get(element, []))


def _compare_items(found: Comparison, element: Element, type_: Type, old: list[Any], new: list[Any]) -> None:
    """Compare the items that are one element; duplicates are taken as a whole."""
    if len(old) > 1 and len(new) > 1:
        found.note(element, old, new)
    elif len(old) > 1:
        if new:
            _compare_node(found, element, type_, ABSENT, new[0])
        found.removed.members.add(element)
    elif len(new) > 1:
        if old:
            _compare_node(found, element, type_, old[0], ABSENT)
        found.added.members.add(element)
    else:
        _compare_node(found, element, type_, old[0] if old else ABSENT, new[0] if new else ABSENT)


def _by_element(list_: List, items: list[Any]) -> dict[Element, list[Any]]:
    found: dict[Element, list[Any]] = {}
    for item in items:
        found.setdefault(element_of(list_, item), []).append(item)
    return found
