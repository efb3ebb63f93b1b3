"""A controller: events of the objects it watches become keys in a queue, and workers reconcile the keys.

    Delta ──predicates──► map to keys ──► Workqueue ──► worker ──► Reconciler.reconcile(request)
                                             ▲                          │
                                             └── back-off, requeue_after┘

What it promises:
- No reconcile before the handlers of all sources have seen the initial state.
- A key is never reconciled twice at a time; a change during its reconcile leads to another one.
- Before a reconcile, the outcome of every own write whose answer was lost is known to the caches.
- An exception is logged with the key, counted, and leads to back-off; a `TerminalError` is not tried again
  until something changes. No exception kills a worker.
- A reconcile that takes longer than `timeout` is cancelled and counts as failed.
- At the end, running reconciles may finish within the grace; then they are cancelled. One that goes on in spite
  of that is given up after `CANCEL_SECONDS`: `run` raises an error that names its key.
"""

from __future__ import annotations

import asyncio
import inspect
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import structlog
from structlog.contextvars import bound_contextvars

from disvc.runtime.arguments import (
    check_count,
    check_function,
    check_functions,
    check_instance,
    check_listed,
    check_seconds,
)
from disvc.runtime.cancellation import CANCEL_SECONDS, cancel
from disvc.runtime.errors import LeadershipLost, RuntimeFailure, TerminalError
from disvc.runtime.objects import Key, Object, Request, Resource
from disvc.runtime.selection import Selection
from disvc.runtime.workqueue import LOW_PRIORITY, ShutDown, Workqueue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from disvc.runtime.delta import Delta
    from disvc.runtime.environment import Environment
    from disvc.runtime.informers import Informers
    from disvc.runtime.metrics import ControllerMetrics, Metrics
    from disvc.runtime.predicates import Predicate
    from disvc.runtime.subscription import Subscription

T = TypeVar("T")

_BUGS = (AssertionError, AttributeError, LookupError, NameError, TypeError)
"""The exceptions that controller-runtime's users would call panics: the code is wrong, not the world."""

_log = structlog.get_logger("disvc.controller")


@dataclass(frozen=True, slots=True)
class Result:
    """What a reconcile ended in: all is as it should be, look again in `requeue_after` seconds (None: no need)."""

    requeue_after: float | None = None


class Reconciler(Protocol):
    """Brings the world in line with one object."""

    async def reconcile(self, request: Request) -> Result | None:
        """Bring the world in line with the object that `request` names, which may be gone.

        None means `Result()`. Any exception means: again later, with back-off.
        """
        ...


@dataclass(frozen=True)
class Watch(Generic[T]):
    """A source besides the controller's own objects: what to watch, and which keys its events mean.

    `keys` is a pure function from an object to the keys to reconcile: it is asked for the old and the new state.
    """

    source: Resource[T] | Selection[T]
    keys: Callable[[Object[T]], Iterable[Key]]
    predicates: Sequence[Predicate] = ()

    def __post_init__(self) -> None:
        check_instance("source of a Watch", self.source, (Resource, Selection))
        check_function(f"Watch of {self.source}: keys", self.keys)
        check_functions(f"Watch of {self.source}: predicates", self.predicates)


class Controller:
    """Reconciles the objects of one resource.

    `for_` is that resource. Events of `owns` mean the owner that controls the object, those of `watches`
    what each `Watch` says. `predicates` filter the events of `for_`. `max_concurrent` is how many keys are
    reconciled at a time, `timeout` the seconds that one may take (None: any). A controller belongs to one manager.

    Raises `ValueError`, `TypeError` for what cannot work.
    """

    def __init__(
        self,
        name: str,
        *,
        for_: Resource[Any] | Selection[Any],
        reconciler: Reconciler,
        owns: Sequence[Resource[Any] | Selection[Any]] = (),
        watches: Sequence[Watch[Any]] = (),
        predicates: Sequence[Predicate] = (),
        max_concurrent: int = 1,
        timeout: float | None = 600.0,
        needs_leader_election: bool = True,
    ) -> None:
        if not name:
            raise ValueError("a controller needs a name: its metrics and log lines are told apart by it")
        what = f"controller {name}:"
        check_instance(f"{what} for_", for_, (Resource, Selection))
        check_listed(f"{what} owns", owns, (Resource, Selection))
        check_listed(f"{what} watches", watches, (Watch,))
        check_functions(f"{what} predicates", predicates)
        check_count(f"{what} max_concurrent", max_concurrent)
        if timeout is not None:
            check_seconds(f"{what} timeout, which is None for no limit,", timeout)
        if not callable(getattr(reconciler, "reconcile", None)):
            raise TypeError(f"controller {name}: {reconciler!r} has no method reconcile(request)")
        self.name = name
        self.reconciler = reconciler
        self.needs_leader_election = needs_leader_election
        self._max_concurrent = max_concurrent
        self._timeout = timeout
        main = for_.resource if isinstance(for_, Selection) else for_
        by_owner = _owner_keys(main)
        self._sources = [
            Watch(for_, lambda obj: (obj.key,), predicates),
            *(Watch(owned, by_owner) for owned in owns),
            *watches,
        ]
        self._subscriptions: list[Subscription[Any]] = []
        self._running: set[Key] = set()
        self._ending = False  # True: a cancellation of a worker is ours, and not the reconciler's own doing

    def prepare(
        self,
        informers: Informers,
        metrics: Metrics,
        environment: Environment,
        select: Callable[[Resource[Any] | Selection[Any]], Selection[Any]],
    ) -> None:
        """Begin to fill the queue. Called once by the manager, before its caches start.

        `select` makes of a resource the selection that the manager is limited to.
        """
        if self._subscriptions:
            raise RuntimeError(f"controller {self.name} belongs to a manager already; make another one")
        self.queue: Workqueue[Key] = Workqueue(self.name, clock=environment.clock)
        self._informers = informers
        self._environment = environment
        self._metrics: ControllerMetrics = metrics.controller(self.name, self._max_concurrent, self.queue)
        handler = f"controller {self.name}"
        metrics.handler_errors.labels(handler)  # at 0 from the start
        for source in self._sources:
            self._subscriptions.append(informers.subscribe(select(source.source), self._handler(source), handler))

    def _handler(self, source: Watch[Any]) -> Callable[[Delta[Any]], None]:
        queue, predicates, keys_of = self.queue, tuple(source.predicates), source.keys

        def handle(delta: Delta[Any]) -> None:
            for predicate in predicates:
                if not predicate(delta):
                    return
            states = (delta.new,) if delta.old is delta.new else (delta.new, delta.old)
            # All of them before the first is added: where `keys` raises, the whole delta comes again.
            keys = [key for state in states if state is not None for key in keys_of(state)]
            for key in keys:
                if not isinstance(key, Key):  # a plain tuple is equal to one, and would take its place in the queue
                    raise TypeError(
                        f"controller {self.name}: the keys of {delta.object!r} hold {key!r}; "
                        "make it a Key(namespace, name)"
                    )
            for key in keys:
                queue.add(key, 0 if delta.is_news else LOW_PRIORITY)

        return handle

    async def run(self, stop: asyncio.Event, grace_seconds: float) -> None:
        """Reconcile until `stop`, then let running reconciles finish within the grace, and cancel the rest.

        Raises `RuntimeFailure` where a reconcile goes on though it was cancelled.
        """
        for subscription in self._subscriptions:
            await subscription.synced()
        _log.info("controller started", controller=self.name, workers=self._max_concurrent)
        stopped = asyncio.create_task(stop.wait())
        workers = [
            asyncio.create_task(self._work(), name=f"controller {self.name} worker {n}")
            for n in range(self._max_concurrent)
        ]
        try:
            await asyncio.wait([stopped, *workers], return_when=asyncio.FIRST_COMPLETED)
            if stop.is_set():
                self.queue.shut_down()
                _, late = await asyncio.wait(workers, timeout=grace_seconds)
                if late:
                    _log.warning(
                        "reconciles cancelled: they did not finish within the grace",
                        controller=self.name,
                        reconciles=len(late),
                        grace_seconds=grace_seconds,
                    )
        finally:
            for worker in workers:
                if worker.done() and not worker.cancelled():
                    worker.exception()  # SystemExit has left by the event loop already; asyncio need not tell it again
            await self._cancel([task for task in (stopped, *workers) if not task.done()])
        for worker in workers:
            if not worker.cancelled():
                worker.result()  # raises what is no `Exception`, which nobody here may handle
        _log.info("controller stopped", controller=self.name)

    async def _cancel(self, tasks: Sequence[asyncio.Task[Any]]) -> None:
        if not tasks:
            return
        self._ending = True
        self.queue.shut_down()  # a reconcile may end in another error than its cancellation; no other must follow
        stuck = await cancel(tasks)
        if stuck:
            keys = ", ".join(sorted(map(str, self._running)))
            _log.error("reconciles go on though they were cancelled", controller=self.name, keys=keys)
            raise RuntimeFailure(
                f"controller {self.name}: {len(stuck)} reconciles go on {CANCEL_SECONDS:g} s after they were "
                f"cancelled, of {keys}; a reconciler must let asyncio.CancelledError pass"
            )

    async def _work(self) -> None:
        queue, active = self.queue, self._metrics.active_workers
        while True:
            try:
                key, priority = await queue.get()
            except ShutDown:
                return
            active.inc()
            self._running.add(key)
            try:
                await self._informers.settled()
                with bound_contextvars(
                    controller=self.name,
                    namespace=key.namespace,
                    name=key.name,
                    reconcile_id=self._environment.new_uid(),
                ):
                    await self._reconcile(key, priority)
            finally:
                self._running.discard(key)
                active.dec()
                queue.done(key)
            # A reconcile that waits for nothing must not keep signals, watches and the lease waiting.
            await asyncio.sleep(0)

    async def _reconcile(self, key: Key, priority: int) -> None:
        metrics, queue, clock = self._metrics, self.queue, self._environment.clock
        started = clock.monotonic()
        try:
            wait = await self._within_timeout(key)
        except asyncio.CancelledError as error:
            if self._ending:
                _log.warning("reconcile cancelled: the controller is stopping")
                raise
            task = asyncio.current_task()
            while task is not None and task.uncancel():
                pass
            self._failed(key, priority, error)
        except TerminalError as error:
            queue.forget(key)
            metrics.results["error"].inc()
            metrics.errors.inc()
            metrics.terminal_errors.inc()
            _log.error("reconcile failed for good", error=str(error), exc_info=error)
        except Exception as error:
            self._failed(key, priority, error)
        else:
            queue.forget(key)
            if wait is None:
                metrics.results["success"].inc()
            else:
                metrics.results["requeue_after"].inc()
                queue.add_after(key, wait, priority)
        finally:
            metrics.seconds.observe(clock.monotonic() - started)

    async def _within_timeout(self, key: Key) -> float | None:
        """Call the reconciler. Return after how many seconds to call it again, if at all."""
        limit = asyncio.timeout(self._timeout)
        cause = None
        try:
            async with limit:
                reconcile: Any = self.reconciler.reconcile(key)
                if not inspect.isawaitable(reconcile):
                    raise TypeError("reconcile() returned what cannot be awaited; define it with `async def`")
                result = await reconcile
            if not limit.expired():
                return _seconds(result)
        except Exception as error:
            if not limit.expired():
                raise
            cause = error  # its traceback shows what the reconcile was waiting for
        self._metrics.timeouts.inc()
        raise TimeoutError(f"the reconcile took longer than {self._timeout:g} s") from cause

    def _failed(self, key: Key, priority: int, error: BaseException) -> None:
        self._metrics.results["error"].inc()
        self._metrics.errors.inc()
        if isinstance(error, _BUGS):
            self._metrics.panics.inc()
        delay = self.queue.add_rate_limited(key, priority)
        if isinstance(error, LeadershipLost):
            _log.info("reconcile ended: this process does not hold the lease", error=str(error))
            return
        expected = isinstance(error, RuntimeFailure)  # its message says everything; a traceback would not help
        _log.error(
            "reconcile failed",
            error=str(error) or type(error).__name__,
            retry_in=round(delay, 3),
            exc_info=None if expected else error,
        )


def _seconds(result: Result | None) -> float | None:
    """Return after how many seconds to reconcile again. Raises `TypeError`, `ValueError` for nonsense."""
    if result is None:
        return None
    if not isinstance(result, Result):
        raise TypeError(f"reconcile() returned {result!r}; return a Result or None")
    wait = result.requeue_after
    if wait is None:
        return None
    if isinstance(wait, bool) or not isinstance(wait, int | float):
        raise TypeError(f"reconcile() returned requeue_after={wait!r}; give seconds as a number")
    if not 0 <= wait < math.inf:
        raise ValueError(f"reconcile() returned requeue_after={wait!r}; give seconds, 0 or more")
    return float(wait)


def _owner_keys(owner: Resource[Any]) -> Callable[[Object[Any]], Iterable[Key]]:
    """Return a function from an object to the key of the `owner` that controls it, if one does."""

    def keys(obj: Object[Any]) -> Iterable[Key]:
        controller = obj.metadata.controller
        if controller is None or controller.kind != owner.kind or controller.group != owner.group:
            return ()
        return (Key(obj.metadata.namespace if owner.namespaced else "", controller.name),)

    return keys
