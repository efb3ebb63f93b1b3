"""What one run has learned about the two servers: which revision, UID, address or name of one is which of the other."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from differential.revisions import Revisions

if TYPE_CHECKING:
    from differential.step import Step

__all__ = ["Learned", "Twins"]

_TOKEN: Final = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"  # UIDs
    r"|\bgen-\d+-[a-z0-9]{5}\b"  # names that the server completed
)
_ALLOCATED: Final = re.compile(r"\b10\.96\.\d+\.\d+\b|(?<=:)3[0-2]\d{3}(?=/)|(?<=,)3[0-2]\d{3}(?=/)")  # IPs, ports
_SLACK: Final = timedelta(seconds=3)


class Twins:
    """A one-to-one relation between the values of two servers."""

    def __init__(self) -> None:
        self._left: dict[object, object] = {}
        self._right: dict[object, object] = {}

    def pair(self, left: object, right: object) -> bool:
        """Take note that two values mean the same; return False where one of them means another already."""
        return self._left.setdefault(left, right) == right and self._right.setdefault(right, left) == left

    def right_of(self, left: object) -> object:
        """Return what a value of the left server is on the right, or the value itself where that is not known."""
        return self._left.get(left, left)


class Learned:
    """What a run has learned so far."""

    def __init__(self) -> None:
        self._revisions = Revisions()
        self._kind = ""
        self._is_newest = False
        self._is_next_page = False
        self._tokens = Twins()
        self._start = datetime.now(UTC)

    def at(self, step: Step, *, is_next_page: bool = False) -> None:
        """Say which step is being compared, and whether it goes on with a list."""
        self._kind = step.plural
        self._is_next_page = is_next_page
        self._is_newest = step.method == "GET" and not {"resourceVersion", "continue"} & step.query.keys()

    def changes_agree(self, left: int, right: int) -> bool:
        """Return whether two revisions of objects may be those of one change."""
        return self._revisions.is_change(self._kind, left, right)

    def points_agree(self, left: int, right: int) -> bool:
        """Return whether two revisions of lists may be one point in time."""
        if self._is_next_page and not self._revisions.is_next_page(self._kind, left, right):
            return False
        return self._revisions.is_point(self._kind, left, right, is_newest=self._is_newest)

    def texts_agree(self, left: str, right: str) -> bool:
        """Return whether two texts are the same but for what a server makes up: UIDs, addresses, names."""
        left, right = (_ALLOCATED.sub("", text) for text in (left, right))
        if left == right:
            return True
        if _TOKEN.sub("\0", left) != _TOKEN.sub("\0", right):
            return False
        pairs = zip(_TOKEN.findall(left), _TOKEN.findall(right), strict=True)
        return all(self._tokens.pair(one, other) for one, other in pairs)

    def translated(self, left: str) -> str:
        """Return a text of the left server with what the right one made up, as far as that is known."""
        return _TOKEN.sub(lambda match: str(self._tokens.right_of(match[0])), left)

    def is_recent(self, text: str) -> bool:
        """Return whether a text is a time between the start of the run and now."""
        try:
            time = datetime.fromisoformat(text)
        except ValueError:
            return False
        return time.tzinfo is not None and self._start - _SLACK <= time <= datetime.now(UTC) + _SLACK
