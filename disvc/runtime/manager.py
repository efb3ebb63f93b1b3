"""The manager: everything that a process of controllers needs, started and stopped in the right order.

    start   endpoints → caches → leader election → controllers
    stop    controllers (drained within the grace) → events → lease released → caches → endpoints

What it promises:
- SIGTERM and SIGINT end it cleanly: `run()` returns, and the process exits with 0. A second signal kills it.
  Of several managers in one process each is ended by the one signal, see `signals`.
- No task outlives `run()`, and none dies unnoticed: a task that fails ends the process with its error, and so
  does one that goes on for `CANCEL_SECONDS` after it was cancelled; only that one is left behind. A note at the
  error names the task. What other tasks raise while they are stopped is logged.
- A lost lease ends the process (`LeadershipLost`), at once and without a grace, and until it has ended
  the client refuses to write.
- Events that were recorded before the end are sent, within `FLUSH_SECONDS`, before the lease is given back.
- It is ready when its caches are synchronised, and as long as no watch has been silent for too long.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext, suppress
from contextvars import ContextVar, copy_context
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

import structlog

from disvc.runtime.arguments import check_listed, check_seconds
from disvc.runtime.cancellation import cancel, goes_on
from disvc.runtime.client import Client
from disvc.runtime.controller import Controller
from disvc.runtime.endpoints import listening, metrics_application, probes_application
from disvc.runtime.environment import Environment
from disvc.runtime.errors import LeadershipLost, RuntimeFailure
from disvc.runtime.events import EventRecorder
from disvc.runtime.informers import Informers
from disvc.runtime.leader_election import LeaderElection, LeaderElector
from disvc.runtime.metrics import Metrics
from disvc.runtime.reflector import IDLE_SECONDS
from disvc.runtime.selection import Selection
from disvc.runtime.server_warnings import ServerWarnings
from disvc.runtime.signals import stopped_by_signals

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Sequence

    from prometheus_client import CollectorRegistry

    from disvc.runtime.cache import Cache
    from disvc.runtime.objects import Resource
    from disvc.runtime.transport import Transport

T = TypeVar("T")

FLUSH_SECONDS: Final = 5.0
"""For how long the last Events may hold the end up."""

_needs_lease: ContextVar[bool] = ContextVar("needs_lease", default=True)
"""Whether the code that runs now may write only while the process holds the lease."""

_log = structlog.get_logger("disvc.manager")


class Runnable(Protocol):
    """A background task of a program's own, run beside the controllers."""

    needs_leader_election: bool

    async def run(self) -> None:
        """Work until cancelled, or until there is nothing more to do."""
        ...


class Manager:
    """Runs controllers against one API server; see the module's text.

    `namespaces` and `label_selector` limit every resource that is given without a `Selection` of its own: this is
    how work is shared between managers, each with a lease of its own. `metrics_bind_address` and
    `health_probe_bind_address` are `HOST:PORT` or `:PORT`, "" for none. `grace_seconds` is how
    long stopping may take after SIGTERM, and should not be more than the pod's `terminationGracePeriodSeconds`:
    running reconciles may go on for two thirds of it, then they are cancelled, and the rest is for that, the last
    Events and the lease. `name` is what the server's logs, managedFields and Events show.

    Raises `ValueError`, `TypeError` for what cannot work.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        name: str = "disvc",
        namespaces: Sequence[str] = (),
        label_selector: str = "",
        leader_election: LeaderElection | None = None,
        metrics_bind_address: str = "",
        health_probe_bind_address: str = "",
        grace_seconds: float = 30.0,
        resync_seconds: float = 36_000.0,
        idle_seconds: float = IDLE_SECONDS,
        environment: Environment | None = None,
        registry: CollectorRegistry | None = None,
    ) -> None:
        check_listed("manager: namespaces", namespaces, (str,))
        check_seconds("manager: grace_seconds", grace_seconds, or_zero=True)
        check_seconds("manager: resync_seconds", resync_seconds, or_zero=True)
        check_seconds("manager: idle_seconds", idle_seconds)
        self.environment = environment or Environment()
        self.metrics = Metrics(registry)
        self.addresses: dict[str, str] = {}
        """Where `metrics` and `probes` are served, once they are."""
        self._transport = transport
        self._warnings = ServerWarnings()
        self._name = name
        self._namespaces = tuple(namespaces)
        self._label_selector = label_selector
        self._election = leader_election
        self._elector: LeaderElector | None = None
        if leader_election is not None:
            self.metrics.leader.labels(leader_election.name)  # at 0 from the start
        self._metrics_bind_address = metrics_bind_address
        self._health_probe_bind_address = health_probe_bind_address
        self._grace_seconds = grace_seconds
        self.informers = Informers(
            self._new_client(transport),
            self.metrics,
            resync_seconds=resync_seconds,
            idle_seconds=idle_seconds,
        )
        self.client = self._new_client(transport, fence=self._may_write, observer=self.informers)
        """For reconcilers: fenced by the lease, and known to the caches."""
        self.events = EventRecorder(
            self._new_client(transport, fence=self._may_write), self.metrics, reporting_controller=name
        )
        self._controllers: list[Controller] = []
        self._runnables: list[Runnable] = []
        self._caches: dict[Selection[Any], Cache[Any]] = {}
        self._health: dict[str, Callable[[], Any]] = {"ping": lambda: None}
        self._readiness: dict[str, Callable[[], Any]] = {"informers": self._informers_problem}
        self._started = False
        self._led = False

    @property
    def namespaces(self) -> tuple[str, ...]:
        """The namespaces that it is limited to; empty for all.

        For `Selection`s of an embedded set of controllers: its children have labels of their own, so that the manager's
        `label_selector` would leave them out, but they must not be looked for in namespaces of other managers.
        """
        return self._namespaces

    def _new_client(self, transport: Transport, **options: Any) -> Client:
        return Client(
            transport,
            environment=self.environment,
            metrics=self.metrics.client,
            field_manager=self._name,
            user_agent=self._name,
            warnings=self._warnings,
            **options,
        )

    def _may_write(self) -> float | None:
        if self._election is None or not (self._led or _needs_lease.get()):
            return None
        if self._elector is None:
            raise LeadershipLost("this process does not hold the lease yet")
        return self._elector.check()

    def _select(self, source: Resource[T] | Selection[T]) -> Selection[T]:
        if isinstance(source, Selection):
            return source
        return Selection(source, self._namespaces, self._label_selector)

    def add(self, item: Controller | Runnable) -> None:
        """Add a controller or a background task; before `run()`.

        Raises `ValueError` for a controller's name used twice, `TypeError` for what is neither of the two.
        """
        if self._started:
            raise RuntimeError("the manager runs already; add controllers before run()")
        if isinstance(item, Controller):
            if any(controller.name == item.name for controller in self._controllers):
                raise ValueError(f"there is a controller named {item.name!r} already; names tell metrics apart")
            self._controllers.append(item)
            item.prepare(self.informers, self.metrics, self.environment, self._select)
        elif callable(getattr(item, "run", None)) and hasattr(item, "needs_leader_election"):
            self._runnables.append(item)
        else:
            raise TypeError(f"{item!r} is no Controller, and no Runnable: that has run() and needs_leader_election")

    def cache(self, source: Resource[T] | Selection[T]) -> Cache[T]:
        """Return a cache for reading: the same one at each call, shared with the controllers.

        It holds the server's whole state before the first reconcile. Raises `RuntimeError` where it could not: when a
        selection that nobody has asked for yet is asked for after `run()` began. A new cache is empty for a while, and
        a reconciler would take what is not known yet for gone. controller-runtime's reads wait at such a moment; these
        cannot. What is known only later has `informers.subscribe(selection)`, whose `synced()` can be awaited.
        """
        selection = self._select(source)
        if selection not in self._caches:
            if self._started and not self.informers.has_synced(selection):
                raise RuntimeError(
                    f"cache of {selection}: it would be empty at first, as the manager runs already; ask for it before "
                    "run(), say in the reconciler's __init__, or await informers.subscribe(selection).synced()"
                )
            self._caches[selection] = self.informers.subscribe(selection).cache
        return self._caches[selection]

    def add_health_check(self, name: str, check: Callable[[], Any]) -> None:
        """Add a check to `/healthz`: it raises or returns what is wrong, so that the process is restarted."""
        self._health[name] = check

    def add_readiness_check(self, name: str, check: Callable[[], Any]) -> None:
        """Add a check to `/readyz`: it raises or returns what is wrong."""
        self._readiness[name] = check

    def _informers_problem(self) -> str:
        if not self._started:
            return "not started"
        if unsynced := self.informers.unsynced:
            return f"not synchronised yet: {', '.join(unsynced)}"
        if silent := self.informers.too_silent:
            return f"the server has not been heard for too long: {', '.join(silent)}"
        return ""

    async def run(self, *, stop: asyncio.Event | None = None, handle_signals: bool = True) -> None:
        """Run until SIGTERM, SIGINT or `stop`, then stop cleanly. Once in a manager's life.

        Raises `LeadershipLost`; `ConfigurationError` where a port is in use; `RuntimeError` where it is to handle
        signals outside the main thread; or what a background task raised.
        """
        if self._started:
            raise RuntimeError("a manager runs once; make another one")
        self._started = True
        stop = stop or asyncio.Event()
        applications = {}
        if self._metrics_bind_address:
            applications["metrics"] = (metrics_application(self.metrics.registry), self._metrics_bind_address)
        if self._health_probe_bind_address:
            probes = probes_application(self._health, self._readiness)
            applications["probes"] = (probes, self._health_probe_bind_address)
        failures: list[BaseException] = []
        try:
            with stopped_by_signals(stop) if handle_signals else nullcontext():
                _log.info("manager starting", server=self._transport.host)
                async with listening(applications) as self.addresses, _beside(self.informers.run(), "informers"):
                    if await _unless(stop, self._synced(), "synchronising the caches"):
                        await self._work(stop)
        except BaseExceptionGroup as group:
            failures = _leaves(group)
        if not failures:
            _log.info("manager stopped")
            return
        for other in failures[1:]:
            notes = getattr(other, "__notes__", None)
            _log.error(
                "another task failed, too", error=str(other) or type(other).__name__, notes=notes, exc_info=other
            )
        raise failures[0]  # here, where it gets no traceback of groups beside its own

    async def _synced(self) -> None:
        await self.informers.synced()
        _log.info("caches synchronised")

    async def _work(self, stop: asyncio.Event) -> None:
        """Run what needs no lease, get the lease, run the rest; when stopped, drain and give the lease back."""
        async with AsyncExitStack() as stack:
            if self._election is not None:
                own_transport = await self._transport.fork()
                stack.push_async_callback(own_transport.close)
                self._elector = LeaderElector(self._election, self._new_client(own_transport), self.metrics)
                stack.push_async_callback(self._elector.release)
            async with asyncio.TaskGroup() as group, _beside(self.events.run(), "events", needs_lease=False):
                working = self._start(group, stop, needs_lease=False)
                if self._elector is not None and await _unless(stop, self._elector.acquire(), "acquiring the lease"):
                    self._led = True
                    await stack.enter_async_context(_beside(self._elector.hold(), "leader election"))
                if self._elector is None or self._led:
                    working += self._start(group, stop, needs_lease=True)
                await stop.wait()
                if working:
                    await asyncio.wait(working)
                with suppress(TimeoutError):
                    async with asyncio.timeout(FLUSH_SECONDS):
                        await self.events.flush()

    def _start(self, group: asyncio.TaskGroup, stop: asyncio.Event, *, needs_lease: bool) -> list[asyncio.Task[None]]:
        """Start what needs the lease, or what does not; the tasks end by themselves after `stop`."""
        context = copy_context()
        context.run(_needs_lease.set, needs_lease)
        work: list[tuple[str, Coroutine[Any, Any, Any]]] = [
            *(
                (f"controller {controller.name}", controller.run(stop, self._grace_seconds * 2 / 3))
                for controller in self._controllers
                if controller.needs_leader_election == needs_lease
            ),
            *(
                (_name(runnable), _unless(stop, runnable.run(), _name(runnable)))
                for runnable in self._runnables
                if runnable.needs_leader_election == needs_lease
            ),
        ]
        return [group.create_task(_noted(name, coro), name=name, context=context) for name, coro in work]


def _name(runnable: Runnable) -> str:
    cls = type(runnable)
    return f"runnable {cls.__qualname__ if cls.__repr__ is object.__repr__ else repr(runnable)}"


async def _noted(name: str, work: Coroutine[Any, Any, T]) -> T:
    """Do a task's work, and note at its errors whose they are: its name is gone when the process ends with them."""
    try:
        return await work
    except Exception as error:
        for leaf in _leaves(error):
            leaf.add_note(f"raised by {name}")
        raise


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, Any], name: str) -> bool:
    """Do some work, but cancel it when `stop` comes first. Return whether it was done before that."""
    stopping = asyncio.create_task(stop.wait())
    task = asyncio.create_task(work, name=name)
    try:
        await asyncio.wait((stopping, task), return_when=asyncio.FIRST_COMPLETED)
        if task.cancelled():
            raise RuntimeFailure(f"{name} ended in a cancellation of its own making; it has not done its work")
    finally:
        if await cancel((stopping, task)):
            raise RuntimeFailure(goes_on(name))
        if not task.cancelled():
            task.result()  # here, as its error must not get lost where the waiting was cancelled, too
    return not stop.is_set()


@asynccontextmanager
async def _beside(work: Coroutine[Any, Any, None], name: str, *, needs_lease: bool = True) -> AsyncIterator[None]:
    """Run a task beside the block, and cancel it after it. Its failure ends the block."""
    context = copy_context()
    context.run(_needs_lease.set, needs_lease)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(_noted(name, work), name=name, context=context)
        yield
        task.cancel()


def _leaves(error: BaseException) -> list[BaseException]:
    """Return the errors that a group, of groups maybe, consists of, the first one first."""
    if not isinstance(error, BaseExceptionGroup):
        return [error]
    return [leaf for inner in error.exceptions for leaf in _leaves(inner)]
