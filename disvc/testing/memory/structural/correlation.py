"""Old and new values of an update side by side: which old value belongs to which new one, and whether they are equal.

As k8s.io/apiserver/pkg/cel/common's CorrelatedObject: fields are correlated by name, items of a list by its map keys,
and items of other lists not at all. What is unchanged is excused (CRDValidationRatcheting), and transition rules find
`oldSelf` in the same way.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Hashable

    from disvc.testing.memory.schema import Schema

__all__ = ["Correlation", "MapList", "is_same"]


class MapList:
    """The items of a list of type map, found by their keys; empty for lists of other types."""

    def __init__(self, schema: Schema, items: Any) -> None:
        self._keys = schema.list_map_keys if schema.type == "array" and schema.list_type == "map" else ()
        self._items: dict[Hashable, Any] = {}
        for item in reversed(items if isinstance(items, list) else []):
            if (key := self._key(item)) is not None:
                self._items[key] = item

    def get(self, item: Any) -> Any:
        """Return the item of this list that has the keys of `item`; None without one."""
        key = self._key(item)
        return None if key is None else self._items.get(key)

    def _key(self, item: Any) -> Hashable | None:
        if not self._keys or not isinstance(item, dict):
            return None
        values = [item.get(key) for key in self._keys]
        if any(value is None or isinstance(value, (dict, list)) for value in values):
            return None
        # 1, 1.0 and true are one and the same to Python, and not to Go.
        return tuple((type(value), value) for value in values)


class Correlation:
    """A value of the new object with the value of the old one that it replaces."""

    def __init__(self, new: Any, old: Any, schema: Schema) -> None:
        self.new = new
        self.old = old
        self._schema = schema
        self._children: dict[str | int, Correlation | None] = {}

    def field(self, name: str) -> Correlation | None:
        """Return the pair of a field's values; None where one of them is missing, or the field is not declared."""
        if name not in self._children:
            self._children[name] = self._make_field(name)
        return self._children[name]

    def item(self, index: int) -> Correlation | None:
        """Return the pair of an item of the new list; None where no old item has the same keys."""
        if index not in self._children:
            self._children[index] = self._make_item(index)
        return self._children[index]

    @cached_property
    def is_unchanged(self) -> bool:
        """Return whether new and old are equal; the order of a list of type map does not count."""
        match self.new, self.old:
            case dict() as new, dict() as old:
                if len(new) != len(old):
                    return False
                pairs = [self.field(name) for name in new]
                return all(pair is not None and pair.is_unchanged for pair in pairs)
            case list() as new, list() as old:
                return len(new) == len(old) and self._has_same_items(new, old)
            case new_scalar, old_scalar:
                return is_same(new_scalar, old_scalar)

    def _has_same_items(self, new: list[Any], old: list[Any]) -> bool:
        if self._schema.list_type != "map" or self._schema.items is None:
            return is_same(new, old)
        pairs = [self.item(index) for index in range(len(new))]
        return all(pair is not None and pair.is_unchanged for pair in pairs)

    def _make_field(self, name: str) -> Correlation | None:
        field = self._schema.field(name)
        if not isinstance(self.new, dict) or not isinstance(self.old, dict) or field is None:
            return None
        if name not in self.new or name not in self.old:
            return None
        return Correlation(self.new[name], self.old[name], field)

    def _make_item(self, index: int) -> Correlation | None:
        if not isinstance(self.new, list) or self._schema.items is None:
            return None
        old = self._old_items.get(self.new[index])
        return None if old is None else Correlation(self.new[index], old, self._schema.items)

    @cached_property
    def _old_items(self) -> MapList:
        return MapList(self._schema, self.old)


def is_same(new: Any, old: Any) -> bool:
    """Return whether values are equal and of one type: reflect.DeepEqual."""
    match new, old:
        case dict(), dict():
            return new.keys() == old.keys() and all(is_same(new[key], old[key]) for key in new)
        case list(), list():
            return len(new) == len(old) and all(map(is_same, new, old))
        case _:
            return type(new) is type(old) and bool(new == old)
