"""When a container that has ended is started again, by a kubelet's rule. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class CrashLoop:
    """At once the first time, then after `first_seconds`, doubled each time up to `most_seconds`.

    A container that ran for twice as long as the longest delay starts over.
    """

    first_seconds: float = 10.0
    most_seconds: float = 300.0
    _next_seconds: float = 0.0

    def delay(self, ran_seconds: float) -> float:
        """Return the seconds to wait before a container is started again that ran so long."""
        if ran_seconds > 2 * self.most_seconds:
            self._next_seconds = 0.0
        delay = self._next_seconds
        self._next_seconds = min(self.most_seconds, max(self.first_seconds, 2 * delay))
        return delay
