"""Which revision of one server is which of the other's: a one-to-one relation that keeps the order.

Both servers number their changes, but not alike: a kube-apiserver also counts what it writes for itself. Revisions of
objects must map one to one. Those of lists name a point in time: the same changes must lie before it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from operator import itemgetter

__all__ = ["Revisions"]

Pair = tuple[int, int]


class Revisions:
    """What was learned in one run."""

    def __init__(self) -> None:
        self._all = _Order()
        self._of_kind: defaultdict[str, _Order] = defaultdict(_Order)

    def is_change(self, kind: str, left: int, right: int) -> bool:
        """Take note that two objects have these revisions; return False where that contradicts what is known."""
        return self._all.note_change((left, right)) and self._of_kind[kind].note_change((left, right))

    def is_point(self, kind: str, left: int, right: int, *, is_newest: bool) -> bool:
        """Take note that two lists have these revisions; return False where that contradicts what is known.

        With `is_newest` the point must lie after all that has happened, else only after all that has happened to the
        kind, as a cache may not know yet what has happened to others.
        """
        if is_newest and not self._all.note_point((left, right)):
            return False
        return self._of_kind[kind].note_point((left, right))

    def is_next_page(self, kind: str, left: int, right: int) -> bool:
        """Return whether two lists may go on where others ended: all pages of a list have one revision."""
        known = self._of_kind[kind].rights_of(left)
        return not known or right in known


class _Order:
    """Changes, and points in time between them."""

    def __init__(self) -> None:
        self._changes: list[Pair] = []
        self._points: set[Pair] = set()

    def rights_of(self, left: int) -> set[int]:
        """Return what a point on the left was on the right."""
        return {right for one, right in self._points if one == left}

    def note_change(self, pair: Pair) -> bool:
        place = bisect_left(self._changes, pair)
        if self._changes[place : place + 1] == [pair]:
            return True
        if place and not _less(self._changes[place - 1], pair):
            return False
        if place < len(self._changes) and not _less(pair, self._changes[place]):
            return False
        if any((pair[0] <= left) != (pair[1] <= right) for left, right in self._points):
            return False
        self._changes.insert(place, pair)
        return True

    def note_point(self, pair: Pair) -> bool:
        before_left = bisect_right(self._changes, pair[0], key=itemgetter(0))
        if before_left != bisect_right(self._changes, pair[1], key=itemgetter(1)):
            return False
        if any((pair[0] - left) * (pair[1] - right) < 0 for left, right in self._points):
            return False
        self._points.add(pair)
        return True


def _less(one: Pair, other: Pair) -> bool:
    return one[0] < other[0] and one[1] < other[1]
