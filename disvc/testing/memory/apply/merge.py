"""An object with a partial one applied onto it: structured-merge-diff, typed/merge.go.

Nothing is removed; where both give a leaf, the applied one counts. What is returned shares parts with both, and
neither is changed.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from disvc.testing.memory.apply.values import ABSENT, as_list, as_map, element_of

if TYPE_CHECKING:
    from disvc.testing.memory.apply.elements import Element
    from disvc.testing.memory.apply.types import List, Map, Type

__all__ = ["merge"]


def merge(type_: Type, live: Any, applied: Any) -> Any:
    """Return `live` with `applied` onto it; either may be ABSENT, and both are valid."""
    if live is ABSENT or applied is ABSENT:
        return live if applied is ABSENT else applied
    shape = type_.shape(applied)
    if shape == "map" and (map_ := type_.map) and not map_.is_atomic and (as_map(live) or as_map(applied)):
        return _maps(map_, as_map(live), as_map(applied))
    if shape == "list" and (list_ := type_.list) and not list_.is_atomic and (as_list(live) or as_list(applied)):
        return _Lists(list_, as_list(live), as_list(applied)).merged()
    return applied


def _maps(map_: Map, live: dict[str, Any], applied: dict[str, Any]) -> dict[str, Any]:
    merged = dict(live)
    for name, value in applied.items():
        type_ = map_.type_of(name)
        assert type_ is not None, f"{name} was found undeclared by validation"
        merged[name] = merge(type_, live.get(name, ABSENT), value)
    return merged


class _Lists:
    """Merges two lists of items with elements.

    The order is that of the applied list for what is in it; an item that is only in the live list stays behind the
    one that it follows there, as far as both orders allow.
    """

    def __init__(self, list_: List, live: list[Any], applied: list[Any]) -> None:
        self._list = list_
        self._live_items, self._applied_items = live, applied
        self._live = [element_of(list_, item) for item in live]
        self._applied = [element_of(list_, item) for item in applied]
        self._by_element: dict[Element, Any] = {}
        for element, item in zip(self._live, live, strict=True):
            # A duplicate is not merged with what is applied: that takes its place.
            self._by_element[element] = None if element in self._by_element else item

    def merged(self) -> list[Any]:
        """Return the items of both lists, in order."""
        applied_elements = set(self._applied)
        shared = deque(element for element in self._applied if element in self._by_element)
        done: set[Element] = set()
        out: list[Any] = []
        live, applied = 0, 0
        while live < len(self._live) or applied < len(self._applied):
            upcoming = self._applied[applied] if applied < len(self._applied) else None
            if live < len(self._live):
                element = self._live[live]
                if element not in applied_elements:
                    out.append(self._live_items[live])
                    live += 1
                    continue
                if upcoming is not None and element != upcoming and shared and shared[0] != element:
                    live += 1  # it comes later, where the applied list has it
                    continue
                live += element == upcoming or element in done
            if upcoming is not None:
                out.append(merge(self._list.item, self._by_element.get(upcoming, ABSENT), self._applied_items[applied]))
                done.add(upcoming)
                applied += 1
                if shared and shared[0] == upcoming:
                    shared.popleft()
        return out
