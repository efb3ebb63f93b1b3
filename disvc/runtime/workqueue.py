"""A queue of keys that need work: the same key never waits twice and is never worked on twice at a time.

What is to be done for a key stands in at most one place, waiting or delayed; beside that it may be in work:

    waiting ──get──► processing ──done──► (gone, or waiting again if it was added meanwhile)
       ▲                                    ▲
       └── delayed (add_after, earliest wins; a plain add ends the delay)

Which key is next: the highest priority first, but a priority that was passed over 15 times has the next turn, as
constant changes would starve it; within one priority the namespaces take turns, so a namespace with 5,000 waiting
keys delays a key of another one by a single turn; within one namespace the order of arrival. A key that waits
already is never lowered in priority, and a higher one moves it up.

Counters are plain numbers that the metrics read when they are scraped (`metrics.QueueCollector`): observing a
Prometheus histogram costs more than all the rest of the queue.

The contract is that of client-go's and controller-runtime's queues, but for the turns, which neither has.
"""

from __future__ import annotations

import asyncio
import heapq
from bisect import bisect_left
from collections import Counter, OrderedDict, deque
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from disvc.runtime.environment import Clock

LOW_PRIORITY: Final = -100
"""For what is not news: the initial list and resyncs. The number is controller-runtime's."""

BASE_DELAY_SECONDS: Final = 0.005
MAX_DELAY_SECONDS: Final = 1000.0

LOW_TURN: Final = 16
"""Of so many keys one is of a lower priority, where one waits: live changes must not starve it."""

_VOID_ALARMS: Final = 64
"""How many void alarms may stand in the heap, beside one for each delayed key, before they are cleared away."""


class _Namespaced(Protocol):
    @property
    def namespace(self) -> str: ...

    def __hash__(self) -> int: ...


K = TypeVar("K", bound=_Namespaced)


class ShutDown(Exception):
    """The queue is shut down, and there is nothing more to get."""


class Durations:
    """A histogram of seconds that costs a bisection to observe. Buckets as controller-runtime's: 10 ns to 1000 s."""

    bounds: Final = tuple(1e-8 * 10.0**n for n in range(12))

    def __init__(self) -> None:
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        """Count one duration."""
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.total += seconds


_Alarm: TypeAlias = tuple[float, int, K]
"""When it rings (the loop's time), a number that keeps those of one moment in order, and the key."""


class _Band(Generic[K]):
    """The waiting keys of one priority: a line for each namespace, in the order of their turns."""

    __slots__ = ("lines", "passed_over", "priority")

    def __init__(self, priority: int) -> None:
        self.priority = priority
        self.passed_over = 0  # how many keys of a higher priority were taken since one of this was
        self.lines: OrderedDict[str, OrderedDict[K, None]] = OrderedDict()  # none of them is empty


class Workqueue(Generic[K]):
    """Keys that need work; see the module's text for what is promised. It belongs to one event loop."""

    def __init__(self, name: str, *, clock: Clock) -> None:
        self.name = name
        self.adds = 0
        self.retried = 0
        self.queue_durations = Durations()
        self.work_durations = Durations()
        self._now = clock.monotonic
        self._waiting: dict[K, tuple[int, float]] = {}  # → priority, since when
        self._bands: list[_Band[K]] = []  # highest priority first; none of them is empty
        self._processing: dict[K, float] = {}  # → since when
        self._again: dict[K, tuple[int, float]] = {}  # added while processing → priority, since when
        self._delayed: dict[K, tuple[_Alarm[K], int]] = {}  # → its alarm, priority
        self._alarms: list[_Alarm[K]] = []  # a heap; those not in `_delayed` any more are void
        self._alarm_number = 0
        self._timer: asyncio.TimerHandle | None = None
        self._failures: dict[K, int] = {}
        self._getters: deque[asyncio.Future[None]] = deque()
        self._closed = False
        self._idle = asyncio.Event()

    def __len__(self) -> int:
        """Return how many keys wait, for a worker or for their own work to end; the delayed ones do not count."""
        return len(self._waiting) + len(self._again)

    def add(self, key: K, priority: int = 0) -> None:
        """Make a key wait. Does nothing when it waits already, or the queue is shut down."""
        if self._closed:
            return
        if self._delayed:
            delayed = self._delayed.pop(key, None)
            if delayed is not None and delayed[1] > priority:
                priority = delayed[1]
        if key in self._processing:
            again = self._again.get(key)
            if again is None:
                self.adds += 1
                self._again[key] = (priority, self._now())
            elif again[0] < priority:
                self._again[key] = (priority, again[1])
            return
        waiting = self._waiting.get(key)
        if waiting is None:
            self.adds += 1
            self._enqueue(key, priority, self._now())
        elif waiting[0] < priority:
            self._leave_line(key, waiting[0])
            self._waiting[key] = (priority, waiting[1])
            self._join_line(key, priority)

    def _enqueue(self, key: K, priority: int, since: float) -> None:
        self._join_line(key, priority)  # first, as it raises for what is no key
        self._waiting[key] = (priority, since)
        if self._getters:
            self._wake_getter()

    def _join_line(self, key: K, priority: int) -> None:
        namespace = key.namespace
        for band in self._bands:
            if band.priority == priority:
                break
        else:
            band = _Band(priority)
            self._bands.append(band)
            self._bands.sort(key=lambda b: -b.priority)
        line = band.lines.get(namespace)
        if line is None:
            line = band.lines[namespace] = OrderedDict()
        line[key] = None

    def _leave_line(self, key: K, priority: int) -> None:
        band = next(band for band in self._bands if band.priority == priority)
        line = band.lines[key.namespace]
        del line[key]
        if not line:
            del band.lines[key.namespace]
            if not band.lines:
                self._bands.remove(band)

    def _take(self) -> tuple[K, int]:
        band = self._bands[0] if len(self._bands) == 1 else self._band_whose_turn_it_is()
        band.passed_over = 0
        lines = band.lines
        namespace = next(iter(lines))
        line = lines[namespace]
        key, _ = line.popitem(last=False)
        if line:
            lines.move_to_end(namespace)
        else:
            del lines[namespace]
            if not lines:
                self._bands.remove(band)
        priority, since = self._waiting.pop(key)
        now = self._now()
        self._processing[key] = now
        self.queue_durations.observe(now - since)
        return key, priority

    def _band_whose_turn_it_is(self) -> _Band[K]:
        turn = self._bands[0]
        for lower in self._bands[1:]:
            lower.passed_over += 1
            if lower.passed_over >= LOW_TURN and turn is self._bands[0]:
                turn = lower
        return turn

    async def get(self) -> tuple[K, int]:
        """Return the next key and its priority, waiting for one; call `done` with it afterwards.

        Raises `ShutDown`.
        """
        while not self._bands:
            if self._closed:
                raise ShutDown
            getter = asyncio.get_running_loop().create_future()
            self._getters.append(getter)
            try:
                await getter
            except asyncio.CancelledError:
                if getter in self._getters:
                    self._getters.remove(getter)
                elif self._bands:  # it was woken for a key that another getter must now take
                    self._wake_getter()
                raise
        return self._take()

    def _wake_getter(self) -> None:
        while self._getters:
            getter = self._getters.popleft()
            if not getter.done():
                getter.set_result(None)
                return

    def done(self, key: K) -> None:
        """Say that the work on a key has ended: it waits again if it was added meanwhile."""
        self.work_durations.observe(self._now() - self._processing.pop(key))
        if self._again:
            again = self._again.pop(key, None)
            if again is not None:
                self._enqueue(key, *again)
        if self._closed and not self._processing and not self._waiting:
            self._idle.set()

    def add_after(self, key: K, seconds: float, priority: int = 0) -> None:
        """Make a key wait after a delay. Of several delays of a key the earliest counts."""
        if self._closed:
            return
        if seconds <= 0:
            self.add(key, priority)
            return
        self.retried += 1
        if key in self._waiting or key in self._again:
            self.add(key, priority)  # it will be worked on sooner than that; only the priority may rise
            return
        loop = asyncio.get_running_loop()
        ready_at = loop.time() + seconds
        known = self._delayed.get(key)
        if known is not None:
            priority = max(priority, known[1])
            if known[0][0] <= ready_at:
                self._delayed[key] = (known[0], priority)
                return
        self._alarm_number += 1
        alarm = (ready_at, self._alarm_number, key)
        self._delayed[key] = (alarm, priority)
        heapq.heappush(self._alarms, alarm)
        if len(self._alarms) > 2 * len(self._delayed) + _VOID_ALARMS:
            # A key that is requeued for tomorrow and changes each second would leave 86,400 of them.
            self._alarms = [alarm for alarm, _ in self._delayed.values()]
            heapq.heapify(self._alarms)
        if self._alarms[0] is alarm:
            self._set_timer(loop)

    def _set_timer(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._alarms:
            self._timer = loop.call_at(self._alarms[0][0], self._ring)

    def _ring(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        while self._alarms and self._alarms[0][0] <= now:
            alarm = heapq.heappop(self._alarms)
            key = alarm[2]
            delayed = self._delayed.get(key)
            if delayed is not None and delayed[0] is alarm:
                self.add(key, delayed[1])
        self._timer = None
        self._set_timer(loop)

    def add_rate_limited(self, key: K, priority: int = 0) -> float:
        """Make a key wait after its back-off, 5 ms × 2ⁿ up to 1000 s, and return those seconds.

        n is how often that was asked for since `forget`.
        """
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        delay = min(BASE_DELAY_SECONDS * 2.0 ** min(failures, 64), MAX_DELAY_SECONDS)
        self.add_after(key, delay, priority)
        return delay

    def forget(self, key: K) -> None:
        """Start a key's back-off over: its work succeeded, or is given up."""
        if self._failures:
            self._failures.pop(key, None)

    def failures(self, key: K) -> int:
        """Return how often a key was added rate-limited since `forget`."""
        return self._failures.get(key, 0)

    def shut_down(self, *, drain: bool = False) -> None:
        """Take no more keys. Those that wait are dropped, or with `drain` still handed out.

        `wait_idle` tells when the ones in work are done.
        """
        self._closed = True
        self._delayed.clear()
        self._alarms.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not drain:
            self._waiting.clear()
            self._bands.clear()
            self._again.clear()
        if not self._processing and not self._waiting:
            self._idle.set()
        while self._getters:
            self._wake_getter()

    async def wait_idle(self) -> None:
        """Wait until the queue is shut down, nothing is in work, and nothing waits."""
        await self._idle.wait()

    def depths(self) -> dict[int, int]:
        """Return how many keys wait (as `len` counts them), by priority."""
        depths = Counter({band.priority: sum(map(len, band.lines.values())) for band in self._bands})
        depths.update(priority for priority, _ in self._again.values())
        return depths

    def running_seconds(self) -> Iterator[float]:
        """Yield for each key in work how long that has been going on."""
        now = self._now()
        return (now - since for since in self._processing.values())
