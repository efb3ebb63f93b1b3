"""Virtual time: an event loop that jumps to its next timer instead of waiting for it.

A test of hours of leases, back-offs and expiries runs in milliseconds, and always the same way. For code that
does its I/O in this process, without sockets, threads or child processes: these need real time to answer.

    @in_virtual_time
    async def test_a_day_passes() -> None:
        clock = VirtualClock()
        await asyncio.sleep(86_400)
        assert clock.monotonic() == 86_400
"""

from __future__ import annotations

import asyncio
import functools
import selectors
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

P = ParamSpec("P")
T = TypeVar("T")


class DeadlockError(RuntimeError):
    """Every task waits, and there is no timer that could wake one of them."""


class _Selector(selectors.SelectSelector):
    """Lets the time pass that the loop would have waited."""

    def __init__(self) -> None:
        super().__init__()
        self.time = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready:
            return ready
        if timeout is None:
            raise DeadlockError("all tasks wait for something that no task and no timer of this loop will bring about")
        self.time += timeout
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose time starts at 0 and passes only while every task waits for a timer.

    Raises `DeadlockError` out of `run_until_complete` where that would be for ever.
    """

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self._virtual.time


class VirtualClock:
    """The `Clock` of a process that lives in the running loop's time.

    `rate` is how fast it goes (1.01: it gains a second in a hundred), `start` is what its wall clock shows at
    the loop's time 0: the machines of a cluster agree on neither.
    """

    def __init__(self, *, rate: float = 1.0, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._loop = asyncio.get_running_loop()
        self._rate = rate
        self._start = start

    def now(self) -> datetime:
        """Return the wall clock's time, aware, in UTC."""
        return self._start + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        """Return the seconds since the loop's time 0 as this clock counts them."""
        return self._loop.time() * self._rate


def in_virtual_time(function: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """Make a coroutine function a plain one that runs to its end in a `VirtualTimeLoop` of its own."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
            return runner.run(function(*args, **kwargs))

    return run
