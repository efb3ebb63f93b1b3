"""Exponential back-off with full jitter: how long to wait before the next attempt."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random


class Backoff:
    """Delays that double from `base` to `cap` seconds, each drawn evenly from 0 to that bound.

    Full jitter spreads the clients of a server that comes back better than any other kind:
    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """

    def __init__(self, random: random.Random, *, base: float, cap: float) -> None:
        self._random = random
        self._base = base
        self._cap = cap
        self.failures = 0

    def next(self) -> float:
        """Return the seconds to wait now, and count one failure more."""
        bound = min(self._cap, self._base * 2.0 ** min(self.failures, 64))
        self.failures += 1
        return self._random.uniform(0, bound)

    def reset(self) -> None:
        """Start over: all is well again."""
        self.failures = 0
