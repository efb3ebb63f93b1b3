"""What a program takes from its surroundings: the time, chance, and new identities.

Every class of `disvc.runtime` that needs one of them gets an `Environment`, and nothing here reads a
global clock or a global random generator. A simulation passes its own and replays a history from a seed.

Timers are not here: sleeping and timing out belong to the event loop (`asyncio.sleep`, `asyncio.timeout`),
so virtual time is a matter of the loop. A `Clock` only says what time it is.
"""

from __future__ import annotations

import random
import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable


class Clock(Protocol):
    """Says what time it is."""

    def now(self) -> datetime:
        """Return the wall clock's time, aware, in UTC: for what other machines will read."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back: for measuring what happens in this process."""
        ...


class SystemClock:
    """The machine's clock.

    `monotonic` counts the time that the machine was suspended, too, where the system can tell
    (CLOCK_BOOTTIME on Linux): a leader on a virtual machine that was paused must not believe that no time
    has passed.
    """

    def now(self) -> datetime:
        """Return the wall clock's time, aware, in UTC."""
        return datetime.now(UTC)

    if hasattr(time, "CLOCK_BOOTTIME"):

        def monotonic(self) -> float:
            """Return seconds since boot, suspension included."""
            return time.clock_gettime(time.CLOCK_BOOTTIME)

    else:  # pragma: no cover

        def monotonic(self) -> float:
            """Return seconds since an arbitrary start."""
            return time.monotonic()


def _uuid4() -> str:
    return str(uuid.uuid4())


@dataclass(frozen=True, slots=True)
class Environment:
    """The surroundings of one process: a clock, a random generator and a source of unique identities."""

    clock: Clock = field(default_factory=SystemClock)
    random: random.Random = field(default_factory=random.Random)
    new_uid: Callable[[], str] = _uuid4
