"""A handler's own line at an informer: what it is told, in which order, and what becomes of its failures.

What it promises:
- The handler is called with one `Delta` at a time, in the order of the line, and delays no other handler.
- `synced` is over when all that was there at the start has been delivered once.
- A handler that raises is reported with the key, and gets that object's change again, with back-off: by itself,
  or as soon as something newer happens to the object, as one change with that. A deletion is never left out.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

import structlog

from disvc.runtime.backoff import Backoff
from disvc.runtime.delta import Delta

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from random import Random

    from disvc.runtime.cache import Cache
    from disvc.runtime.objects import Key

T = TypeVar("T")

_LINE_STRIDE = 200
"""After so many deltas a handler's line lets others run."""

_log = structlog.get_logger("disvc.informer")


class _Failed(NamedTuple, Generic[T]):
    """What a handler has failed to take in of one object: changes that it is to get again, in their order."""

    deltas: list[Delta[T]]
    backoff: Backoff
    timer: asyncio.TimerHandle


class Subscription(Generic[T]):
    """A handler's place at an informer; without a handler it only keeps the informer running.

    Made by `Informer.subscribe`. `leave` ends it there, `count_error` counts what the handler raises.
    """

    def __init__(
        self,
        handler: Callable[[Delta[T]], Any] | None,
        name: str,
        *,
        cache: Cache[T],
        leave: Callable[[Subscription[T]], Awaitable[None]],
        count_error: Callable[[], None],
        random: Random,
    ) -> None:
        self.handler = handler
        self.name = name
        self.cache = cache
        """The informer's cache; it is kept up to date while this subscription lasts."""
        self._leave = leave
        self._count_error = count_error
        self._random = random
        # A key: what failed of this object is to be tried again. None: the initial state ends here.
        self._line: deque[Delta[T] | Key | None] = deque()
        self._wake = asyncio.Event()
        self._synced = asyncio.Event()
        self._failed: dict[Key, _Failed[T]] = {}

    @property
    def has_synced(self) -> bool:
        """Whether the handler has seen all that was there at the start."""
        return self._synced.is_set()

    async def synced(self) -> None:
        """Wait until the handler has seen all that was there at the start."""
        await self._synced.wait()

    async def remove(self) -> None:
        """End the subscription; the informer stops with its last one. The handler is not called any more.

        Raises `RuntimeFailure` where the handler goes on though it was cancelled.
        """
        await self._leave(self)

    def put(self, deltas: Iterable[Delta[T] | Key | None]) -> None:
        """Add to the handler's line."""
        if self.handler is not None:
            self._line.extend(deltas)
            self._wake.set()

    def end_of_initial(self) -> None:
        """Mark the place in the line where the initial state ends."""
        if self.handler is None:
            self._synced.set()
        self.put([None])

    async def deliver(self) -> None:
        """Call the handler with what is in its line, until cancelled."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                done = 0
                while self._line:
                    item = self._line.popleft()
                    if item is None:
                        self._synced.set()
                    elif isinstance(item, Delta):
                        await self._call(item)
                    elif item in self._failed:
                        await self._call_again(item, self._failed[item].deltas)
                    done += 1
                    if done % _LINE_STRIDE == 0:
                        await asyncio.sleep(0)
        finally:
            for failed in self._failed.values():
                failed.timer.cancel()

    async def _call(self, delta: Delta[T]) -> None:
        if self._failed:
            failed = self._failed.get(delta.object.key)
            if failed is not None:
                await self._call_again(delta.object.key, _joined(failed.deltas, delta))
                return
        if not await self._succeeds(delta):
            self._try_again(delta.object.key, [delta])

    async def _call_again(self, key: Key, deltas: list[Delta[T]]) -> None:
        for position, delta in enumerate(deltas):
            if not await self._succeeds(delta):
                self._try_again(key, deltas[position:])
                return
        self._failed.pop(key).timer.cancel()

    async def _succeeds(self, delta: Delta[T]) -> bool:
        assert self.handler is not None
        try:
            result = self.handler(delta)
            if inspect.isawaitable(result):
                await result
                if _is_being_cancelled():  # the handler has ended its own subscription
                    raise asyncio.CancelledError
        except (Exception, asyncio.CancelledError) as error:
            if isinstance(error, asyncio.CancelledError) and _is_being_cancelled():
                raise
            self._count_error()
            if _is_being_cancelled():
                _log.exception("event handler failed while it was cancelled", handler=self.name)
                raise asyncio.CancelledError from error
            _log.exception("event handler failed; it gets this again", handler=self.name, object=repr(delta.object))
            return False
        return True

    def _try_again(self, key: Key, deltas: list[Delta[T]]) -> None:
        failed = self._failed.get(key)
        if failed is None:
            backoff = Backoff(self._random, base=0.2, cap=30.0)
        else:
            failed.timer.cancel()
            backoff = failed.backoff
        timer = asyncio.get_running_loop().call_later(backoff.next(), self.put, (key,))
        self._failed[key] = _Failed(deltas, backoff, timer)


def _joined(failed: list[Delta[T]], newer: Delta[T]) -> list[Delta[T]]:
    """Return what a handler is to get that has failed and for which there is something newer about the object.

    Two changes of one life of the object become one; a deletion stands for itself, as does what follows on it.
    """
    last = failed[-1]
    if last.new is None or newer.old is None:
        return [*failed, newer]
    old = newer.old if newer.new is None else last.old
    return [*failed[:-1], Delta(old, newer.new, last.initial and not newer.is_news)]


def _is_being_cancelled() -> bool:
    """Whether a `CancelledError` is meant for the running task, and not for something that it waits for."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0
