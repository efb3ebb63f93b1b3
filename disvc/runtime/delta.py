"""What a handler is told: one change of one object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from disvc.runtime.objects import Object

T = TypeVar("T")


class Delta(NamedTuple, Generic[T]):
    """What happened to one object: `old` is None where it is new, `new` is None where it is gone.

    `old` of a deletion is the last state that is known. `initial`: it was there before the handler was.
    """

    old: Object[T] | None
    new: Object[T] | None
    initial: bool = False

    @property
    def object(self) -> Object[T]:
        """Return the newest state that is known."""
        latest = self.new or self.old
        assert latest is not None
        return latest

    @property
    def is_news(self) -> bool:
        """Whether something happened just now: not for the initial state, nor for a resync."""
        return not self.initial and self.old is not self.new
