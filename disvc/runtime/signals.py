"""SIGTERM and SIGINT: the first one stops every manager of the process, the second one kills the process.

A signal is sent to the process and not to one of its managers, so all that handle signals are stopped by it: one that
went on would be killed by the kubelet after the grace, with its lease held and its work cut off. That is more than
controller-runtime offers, whose `SetupSignalHandler` panics at its second call: its users hand one context to all
managers, as ours can hand one `stop` to them.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import structlog

if TYPE_CHECKING:
    from collections.abc import Iterator

_BOTH: Final = (signal.SIGTERM, signal.SIGINT)

_log = structlog.get_logger("disvc.manager")


class _Signals:
    """The signals of one event loop, that of the main thread, and whom they stop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._stops: list[asyncio.Event] = []
        self._came = False

    def add(self, stop: asyncio.Event) -> None:
        self._stops.append(stop)
        if self._came:
            stop.set()
        elif len(self._stops) == 1:
            for number in _BOTH:
                self._loop.add_signal_handler(number, self._first, number)

    def remove(self, stop: asyncio.Event) -> None:
        self._stops.remove(stop)
        if not self._stops:
            self._give_back()
            del _of_loop[self._loop]

    def _first(self, number: signal.Signals) -> None:
        self._give_back()  # before anybody can read that this process is stopping, and send a second one
        if number == signal.SIGINT:
            signal.signal(number, signal.SIG_DFL)  # and not the interpreter's, which is a traceback
        self._came = True
        for stop in self._stops:
            stop.set()
        _log.info("stopping", signal=number.name)

    def _give_back(self) -> None:
        for number in _BOTH:
            self._loop.remove_signal_handler(number)


_of_loop: dict[asyncio.AbstractEventLoop, _Signals] = {}


@contextmanager
def stopped_by_signals(stop: asyncio.Event) -> Iterator[None]:
    """Set `stop` on the first SIGTERM or SIGINT, and give these signals their usual meaning back.

    A block that begins while others are still stopping for a signal is stopped, too. The handlers are there until
    the last block has ended. Raises `RuntimeError` in a thread that gets no signals.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError(
            "signals reach the main thread only: run the manager there, or with handle_signals=False and a `stop`"
        )
    loop = asyncio.get_running_loop()
    signals = _of_loop.setdefault(loop, _Signals(loop))
    signals.add(stop)
    try:
        yield
    finally:
        signals.remove(stop)
