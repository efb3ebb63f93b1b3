"""The manager: order of start and stop, leadership, failures of what it runs, and what it serves."""

from __future__ import annotations

import asyncio
import itertools
import math
import traceback
from contextlib import asynccontextmanager, nullcontext, suppress
from random import Random
from typing import TYPE_CHECKING, Any

import aiohttp
import msgspec
import pytest
from prometheus_client import CollectorRegistry, Counter
from structlog.testing import capture_logs

from disvc.runtime.cancellation import CANCEL_SECONDS
from disvc.runtime.controller import Controller
from disvc.runtime.environment import Environment
from disvc.runtime.errors import ConfigurationError, LeadershipLost, RuntimeFailure, Unreachable
from disvc.runtime.leader_election import LEASES, LeaderElection
from disvc.runtime.manager import FLUSH_SECONDS, Manager
from disvc.runtime.objects import Key, Resource
from disvc.runtime.selection import Selection
from disvc.testing.clock import VirtualClock, in_virtual_time
from disvc.testing.stub import Call, StubServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from disvc.runtime.delta import Delta
    from disvc.runtime.transport import Answer

SITES: Resource[dict[str, Any]] = Resource("example.com/v1", "Site", "sites")
PAGES: Resource[dict[str, Any]] = Resource("example.com/v1", "Page", "pages")

A, B = Key("default", "a"), Key("default", "b")
LEASE = LeaderElection(name="operator", namespace="prod", identity="me")
LONG = 1000.0
"""Seconds of virtual time: by then, whatever is going to happen has happened."""


@pytest.fixture(autouse=True)
def log() -> Iterator[list[Any]]:
    with capture_logs() as lines:
        yield lines


def now() -> float:
    return asyncio.get_running_loop().time()


class World:
    """A server and one manager, in virtual time unless it is told otherwise."""

    def __init__(self, *, server: StubServer | None = None, virtual: bool = True, **options: Any) -> None:
        self.server = server or StubServer()
        self.transport = self.server.transport()
        ids = itertools.count()
        environment = Environment(VirtualClock(), Random(0), lambda: f"id-{next(ids)}") if virtual else None
        self.manager = Manager(self.transport, environment=environment, **options)
        self.stop = asyncio.Event()

    def add(self, reconcile: Any, name: str = "sites", **options: Any) -> None:
        self.manager.add(Controller(name, for_=SITES, reconciler=Reconciler(reconcile), **options))

    async def run(self) -> None:
        async with asyncio.timeout(100 * LONG):
            await self.manager.run(stop=self.stop, handle_signals=False)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.run())
        try:
            yield
        finally:
            self.stop.set()
            await task

    def not_ready(self) -> str:
        return str(self.manager._readiness["informers"]())

    def holder(self) -> str | None:
        lease = self.server.get(LEASES, "operator", "prod")
        return None if lease is None else lease["spec"]["holderIdentity"]

    def lease_is_held_by(self, identity: str) -> None:
        self.server.put(LEASES, "operator", "prod", spec={"holderIdentity": identity, "leaseDurationSeconds": 15})


class Reconciler:
    def __init__(self, function: Callable[[Key], Any]) -> None:
        self._function = function

    async def reconcile(self, request: Key) -> Any:
        return await self._function(request)


class Task:
    """A runnable."""

    def __init__(self, work: Callable[[], Any], *, needs_leader_election: bool = True) -> None:
        self._work = work
        self.needs_leader_election = needs_leader_election

    async def run(self) -> None:
        await self._work()


class Named(Task):
    """One that says what it is."""

    def __init__(self, name: str, work: Callable[[], Any]) -> None:
        super().__init__(work)
        self._name = name

    def __repr__(self) -> str:
        return self._name


async def nothing(request: Key) -> None:
    pass


async def for_ever() -> None:
    await asyncio.sleep(math.inf)


# Order.


async def test_it_starts_in_one_order_and_stops_in_the_reverse_one(log: list[Any]) -> None:
    world = World(
        virtual=False,
        leader_election=LEASE,
        metrics_bind_address="127.0.0.1:0",
        health_probe_bind_address="127.0.0.1:0",
    )
    site = world.server.put(SITES, "a", "default")
    started = asyncio.Event()
    finish = asyncio.Event()
    ready: list[int] = []

    async def note_readiness(call: Call) -> Answer | None:
        if call.method == "PUT" and b'"holderIdentity":""' in (call.body or b""):  # the lease is given back
            async with aiohttp.request("GET", f"http://{world.manager.addresses['probes']}/readyz") as answer:
                ready.append(answer.status)
        return None

    async def write_at_the_end(request: Key) -> None:
        started.set()
        await finish.wait()
        await world.manager.client.create(PAGES, {"metadata": {"name": "p", "namespace": "default"}})
        world.manager.events.event(SITES.read(msgspec.json.encode(site)), "Normal", "Done", "Finishing", "All done.")

    world.server.hook = note_readiness
    world.add(write_at_the_end)
    async with asyncio.timeout(30), world.running():
        await started.wait()
        world.stop.set()
        finish.set()
    assert [(line["event"], line.get("what")) for line in log if line["log_level"] == "info"] == [
        ("manager starting", None),
        ("serving", "metrics"),
        ("serving", "probes"),
        ("caches synchronised", None),
        ("waiting for the lease", None),
        ("acquired the lease", None),
        ("controller started", None),
        ("controller stopped", None),
        ("the lease is free", None),
        ("released the lease", None),
        ("manager stopped", None),
    ]
    writes = [(call.method, call.path.split("/")[-2 if call.method == "PUT" else -1]) for call in world.server.writes()]
    assert writes == [("POST", "leases"), ("POST", "pages"), ("POST", "events"), ("PUT", "leases")]
    assert world.holder() == ""
    assert ready == [200]  # caches and endpoints outlive the lease
    with pytest.raises(aiohttp.ClientConnectionError):
        async with aiohttp.request("GET", f"http://{world.manager.addresses['probes']}/readyz"):
            pass


@in_virtual_time
async def test_no_task_outlives_the_run() -> None:
    world = World(leader_election=LEASE)
    world.server.put(SITES, "a", "default")
    world.add(nothing, max_concurrent=3)
    world.manager.cache(PAGES)
    world.manager.add(Task(for_ever))
    world.manager.add(Task(for_ever, needs_leader_election=False))
    async with world.running():
        await asyncio.sleep(LONG)
        assert len(asyncio.all_tasks()) > 10
    assert asyncio.all_tasks() == {asyncio.current_task()}


@in_virtual_time
async def test_a_manager_of_nothing_runs_until_it_is_stopped() -> None:
    world = World()
    async with world.running():
        await asyncio.sleep(LONG)
        assert world.not_ready() == ""
    assert now() == LONG


@in_virtual_time
async def test_a_run_that_is_cancelled_ends_without_a_grace_and_gives_the_lease_back() -> None:
    world = World(leader_election=LEASE, grace_seconds=500)
    world.server.put(SITES, "a", "default")
    cancelled = asyncio.Event()

    async def hang(request: Key) -> None:
        try:
            await for_ever()
        finally:
            cancelled.set()

    world.add(hang)
    task = asyncio.create_task(world.run())
    await asyncio.sleep(10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cancelled.is_set()
    assert now() == 10
    assert world.holder() == ""
    assert asyncio.all_tasks() == {asyncio.current_task()}


# Once, and before it runs.


@in_virtual_time
async def test_it_runs_once() -> None:
    world = World()
    async with world.running():
        await asyncio.sleep(1)
        with pytest.raises(RuntimeError, match="a manager runs once"):
            await world.manager.run()
    with pytest.raises(RuntimeError, match="a manager runs once"):
        await world.manager.run()


@in_virtual_time
async def test_what_cannot_be_added_is_refused() -> None:
    world = World()
    world.add(nothing)
    with pytest.raises(ValueError, match="there is a controller named 'sites' already"):
        world.add(nothing)
    world.add(nothing, "other")
    with pytest.raises(TypeError, match="is no Controller, and no Runnable"):
        world.manager.add(nothing)  # type: ignore[arg-type]
    async with world.running():
        await asyncio.sleep(1)
        with pytest.raises(RuntimeError, match=r"add controllers before run\(\)"):
            world.add(nothing, "late")


@pytest.mark.parametrize(
    ("error", "complaint", "arguments"),
    [
        (ValueError, "idle_seconds must be more than 0 s, not 0", {"idle_seconds": 0}),
        (ValueError, "idle_seconds must be more than 0 s, not nan", {"idle_seconds": math.nan}),
        (TypeError, "idle_seconds is '60'; give seconds as a number", {"idle_seconds": "60"}),
        (ValueError, "grace_seconds must be 0 s or more, not -1", {"grace_seconds": -1}),
        (ValueError, "grace_seconds must be 0 s or more, not inf", {"grace_seconds": math.inf}),
        (ValueError, "resync_seconds must be 0 s or more, not -1", {"resync_seconds": -1}),
        (TypeError, r"namespaces is 'prod'; give a sequence, also of a single one: \['prod'\]", {"namespaces": "prod"}),
        (TypeError, "namespaces is None; give a str", {"namespaces": [None]}),
        (TypeError, "namespaces is None; give a sequence of str", {"namespaces": None}),
    ],
)
def test_an_argument_that_makes_no_sense_is_refused_by_name(
    error: type[Exception], complaint: str, arguments: dict[str, Any]
) -> None:
    with pytest.raises(error, match=f"manager: {complaint}"):
        Manager(StubServer().transport(), **arguments)


@in_virtual_time
async def test_a_text_is_no_resource() -> None:
    with pytest.raises(TypeError, match="resource of a Selection is 'pages'; give a Resource"):
        World().manager.cache("pages")  # type: ignore[arg-type]


@in_virtual_time
async def test_a_cache_that_would_be_empty_as_it_is_asked_for_too_late_is_refused() -> None:
    world = World()
    world.server.put(PAGES, "a", "default")
    async with world.running():
        await asyncio.sleep(1)
        for _ in range(2):
            with pytest.raises(RuntimeError, match=r"cache of pages\.example\.com: it would be empty at first"):
                world.manager.cache(PAGES)
        subscription = world.manager.informers.subscribe(Selection(PAGES))
        await subscription.synced()
        assert A in subscription.cache
        assert world.manager.cache(PAGES) is subscription.cache


@in_virtual_time
async def test_a_cache_asked_for_in_a_reconcile_for_the_first_time_is_full_if_a_controller_has_it() -> None:
    world = World()
    world.server.put(SITES, "a", "default")
    world.server.put(SITES, "b", "default")
    found: list[bool] = []

    async def look(request: Key) -> None:
        cache = world.manager.cache(SITES)
        found.append(A in cache and B in cache)

    world.add(look)
    async with world.running():
        await asyncio.sleep(1)
    assert found == [True, True]


@in_virtual_time
async def test_a_cache_asked_for_at_each_reconcile_is_the_same_one_and_costs_nothing_more() -> None:
    world = World()
    world.add(nothing)
    async with world.running():
        await asyncio.sleep(1)
        caches = [world.manager.cache(SITES) for _ in range(100)]
        assert all(cache is caches[0] for cache in caches)
        (informer,) = world.manager.informers._informers.values()
        assert len(informer._subscriptions) == 2  # the controller's and that of all these


@in_virtual_time
async def test_what_the_server_warns_of_is_logged_once_for_all_that_a_manager_asks(log: list[Any]) -> None:
    world = World(leader_election=LEASE)
    site = world.server.put(SITES, "a", "default")

    async def warn(call: Call) -> Answer | None:
        if call.method == "WATCH":
            return None
        return world.server.answer(call)._replace(headers={"warning": '299 - "it is old"'})

    async def write(request: Key) -> None:
        await world.manager.client.create(PAGES, {"metadata": {"name": "p", "namespace": "default"}})
        world.manager.events.event(SITES.read(msgspec.json.encode(site)), "Normal", "Done", "Finishing", "All done.")

    world.server.hook = warn
    world.add(write)
    async with world.running():
        await asyncio.sleep(LONG)
    assert {call.path.split("/")[-1] for call in world.server.calls} >= {"leases", "pages", "events"}
    assert [line["warning"] for line in log if line["event"] == "the API server warns"] == ["it is old"]


@in_virtual_time
async def test_children_are_selected_in_the_managers_namespaces_and_not_by_its_labels() -> None:
    world = World(namespaces=["default"], label_selector="team=x")
    world.server.put(PAGES, "a", "default")
    world.server.put(PAGES, "a", "other")
    children = world.manager.cache(Selection(PAGES, world.manager.namespaces))
    async with world.running():
        await asyncio.sleep(1)
        assert [child.key for child in children] == [A]
    with pytest.raises(AttributeError, match="no setter"):
        world.manager.namespaces = ("other",)  # type: ignore[misc]


# What fails.


@in_virtual_time
async def test_a_task_that_fails_ends_the_run_with_its_error_and_not_with_a_group() -> None:
    world = World(leader_election=LEASE)
    world.add(nothing)

    async def fail() -> None:
        await asyncio.sleep(5)
        raise ValueError("the disk is full")

    world.manager.add(Task(fail))
    world.manager.add(Task(for_ever, needs_leader_election=False))
    with pytest.raises(ValueError, match="the disk is full"):
        await world.run()
    assert now() == 5
    assert world.holder() == ""
    assert asyncio.all_tasks() == {asyncio.current_task()}


@in_virtual_time
async def test_of_a_tasks_own_group_of_errors_the_first_one_ends_the_run() -> None:
    world = World()

    async def fail() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(for_ever())
            raise KeyError("inner")

    world.manager.add(Task(fail))
    with pytest.raises(KeyError, match="inner"):
        await world.run()


@in_virtual_time
async def test_a_task_that_has_done_its_work_ends_nothing() -> None:
    world = World()

    async def short() -> None:
        await asyncio.sleep(5)

    world.manager.add(Task(short))
    async with world.running():
        await asyncio.sleep(LONG)
    assert now() == LONG


@in_virtual_time
async def test_a_task_that_ends_in_a_cancellation_of_its_own_does_not_die_unnoticed() -> None:
    world = World()

    async def stray() -> None:
        inner = asyncio.create_task(for_ever())
        await asyncio.sleep(5)
        inner.cancel()
        await inner

    world.manager.add(Task(stray))
    with pytest.raises(RuntimeFailure, match=r"runnable Task ended in a cancellation of its own making"):
        await world.run()


@in_virtual_time
async def test_a_task_that_fails_while_it_is_being_stopped_is_reported() -> None:
    world = World()

    async def fail_late() -> None:
        try:
            await for_ever()
        finally:
            raise OSError("cannot save")

    world.manager.add(Task(fail_late))
    with pytest.raises(OSError, match="cannot save"):
        async with world.running():
            await asyncio.sleep(5)


@in_virtual_time
async def test_a_task_that_swallows_its_cancellation_is_named_and_left_behind() -> None:
    world = World(leader_election=LEASE)
    free = asyncio.Event()

    async def deaf() -> None:
        while not free.is_set():
            with suppress(asyncio.CancelledError):
                await free.wait()

    world.manager.add(Task(deaf))
    with pytest.raises(RuntimeFailure, match=r"runnable Task goes on 5 s after it was cancelled"):
        async with world.running():
            await asyncio.sleep(10)
    assert now() == pytest.approx(10 + CANCEL_SECONDS, abs=0.1)
    assert world.holder() == ""
    with pytest.raises(LeadershipLost):  # should it go on for ever, it cannot write
        await world.manager.client.create(PAGES, {"metadata": {"name": "p", "namespace": "default"}})
    free.set()
    await asyncio.sleep(1)


@pytest.mark.parametrize("swallow", ["once", "for ever"])
@in_virtual_time
async def test_an_event_handler_that_swallows_its_cancellation_does_not_hang_the_stop(swallow: str) -> None:
    world = World(leader_election=LEASE)
    world.server.put(SITES, "a", "default")
    free = asyncio.Event()

    async def handle(delta: Delta[Any]) -> None:
        while not free.is_set():
            with suppress(asyncio.CancelledError):
                await free.wait()
            if swallow == "once":
                return

    world.manager.informers.subscribe(Selection(SITES), handle, "deaf")
    expected = f"handler deaf goes on {CANCEL_SECONDS:g} s after it was cancelled"
    with nullcontext() if swallow == "once" else pytest.raises(RuntimeFailure, match=expected):
        async with world.running():
            await asyncio.sleep(10)
    assert now() == pytest.approx(10 + (0 if swallow == "once" else CANCEL_SECONDS), abs=0.1)
    assert world.holder() == ""
    free.set()
    await asyncio.sleep(1)
    assert asyncio.all_tasks() == {asyncio.current_task()}


@in_virtual_time
async def test_of_several_errors_the_first_is_raised_and_the_others_are_logged(log: list[Any]) -> None:
    world = World()

    async def fail() -> None:
        await asyncio.sleep(5)
        raise ValueError("first")

    async def fail_when_stopped() -> None:
        try:
            await for_ever()
        finally:
            raise OSError("second")

    world.manager.add(Named("tidy", fail_when_stopped))
    world.manager.add(Named("work", fail))
    with pytest.raises(ValueError, match="first"):
        await world.run()
    (line,) = [line for line in log if line["event"] == "another task failed, too"]
    assert (line["error"], line["notes"], repr(line["exc_info"])) == (
        "second",
        ["raised by runnable tidy"],
        "OSError('second')",
    )


@pytest.mark.parametrize("name", ["", "sweeper"])
@in_virtual_time
async def test_an_error_that_ends_the_run_has_one_traceback_and_the_name_of_its_task(name: str) -> None:
    world = World(leader_election=LEASE)

    async def fail() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(for_ever())
            try:
                raise KeyError("no disk")
            except KeyError as error:
                raise OSError("cannot save") from error

    world.manager.add(Named(name, fail) if name else Task(fail))
    with pytest.raises(OSError, match="cannot save") as raised:
        await world.run()
    told = "".join(traceback.format_exception(raised.value))
    assert told.count("Traceback") == 2  # the error's and its cause's own
    assert "ExceptionGroup" not in told
    assert told.endswith(f"OSError: cannot save\nraised by runnable {name or 'Task'}\n")


@in_virtual_time
async def test_without_a_grace_reconciles_are_cancelled_at_once() -> None:
    world = World(grace_seconds=0)
    world.server.put(SITES, "a", "default")
    cancelled: list[float] = []

    async def hang(request: Key) -> None:
        try:
            await for_ever()
        finally:
            cancelled.append(now())

    world.add(hang)
    async with world.running():
        await asyncio.sleep(10)
    assert cancelled == [10]


@in_virtual_time
async def test_tasks_are_stopped_while_reconciles_have_their_grace() -> None:
    world = World(grace_seconds=30)
    world.server.put(SITES, "a", "default")
    ends: dict[str, float] = {}

    async def slow(request: Key) -> None:
        await asyncio.sleep(20)
        ends["reconcile"] = now()

    async def task() -> None:
        try:
            await for_ever()
        finally:
            ends["task"] = now()

    world.add(slow)
    world.manager.add(Task(task))
    async with world.running():
        await asyncio.sleep(10)
    assert ends == {"task": pytest.approx(10), "reconcile": pytest.approx(20)}


# Leadership.


@in_virtual_time
async def test_what_needs_no_lease_runs_before_it_is_held_and_may_write_and_the_rest_waits() -> None:
    world = World(leader_election=LEASE)
    world.lease_is_held_by("other")
    world.server.put(SITES, "a", "default")
    started: dict[str, float] = {}

    def note(name: str) -> Callable[..., Any]:
        async def work(*_: Any) -> None:
            started.setdefault(name, now())
            await world.manager.client.create(PAGES, {"metadata": {"name": name, "namespace": "default"}})

        return work

    world.add(note("controller"), "leading")
    world.add(note("free-controller"), "free", needs_leader_election=False)
    world.manager.add(Task(note("task")))
    world.manager.add(Task(note("free-task"), needs_leader_election=False))
    async with world.running():
        await asyncio.sleep(1)
        assert set(started) == {"free-controller", "free-task"}
        with pytest.raises(LeadershipLost, match="does not hold the lease"):
            await world.manager.client.create(PAGES, {"metadata": {"name": "outside", "namespace": "default"}})
        await asyncio.sleep(LONG)
    assert set(started) == {"controller", "free-controller", "task", "free-task"}
    assert min(started["controller"], started["task"]) >= 15
    pages = {call.path for call in world.server.writes() if "pages" in call.path}
    assert pages == {PAGES.path("default")}
    assert all(world.server.get(PAGES, name, "default") for name in started)


@in_virtual_time
async def test_a_controller_that_waits_for_the_lease_has_its_caches_and_its_queue_filled_already() -> None:
    world = World(leader_election=LEASE)
    world.lease_is_held_by("other")
    world.server.put(SITES, "a", "default")
    reconciled = asyncio.Event()

    async def note(request: Key) -> None:
        reconciled.set()

    controller = Controller("sites", for_=SITES, reconciler=Reconciler(note))
    world.manager.add(controller)
    async with world.running():
        await asyncio.sleep(1)
        assert len(controller.queue) == 1
        assert A in world.manager.cache(SITES)
        assert world.not_ready() == ""
        assert not reconciled.is_set()
        await reconciled.wait()


@in_virtual_time
async def test_a_stop_while_waiting_for_the_lease_ends_the_run_and_leaves_the_lease_alone() -> None:
    world = World(leader_election=LEASE)
    world.lease_is_held_by("other")
    world.add(nothing)
    async with world.running():
        await asyncio.sleep(5)
    assert now() == 5
    assert world.server.writes() == []


@in_virtual_time
async def test_a_process_that_gets_the_lease_at_the_moment_when_it_is_stopped_begins_nothing() -> None:
    world = World(leader_election=LEASE)
    started: list[str] = []

    async def note(*_: Any) -> None:
        started.append("reconcile")

    async def stop_on_the_way(call: Call) -> Answer | None:
        if call.method == "POST":
            world.stop.set()
        return None

    world.server.hook = stop_on_the_way
    world.server.put(SITES, "a", "default")
    world.add(note)
    world.manager.add(Task(note))
    await world.run()
    assert started == []
    assert world.holder() in (None, "")


@in_virtual_time
async def test_a_stop_before_the_run_starts_nothing() -> None:
    world = World()
    started: list[str] = []

    async def note(*_: Any) -> None:
        started.append("reconcile")

    world.server.put(SITES, "a", "default")
    world.add(note, "one")
    world.manager.add(Task(note))
    world.stop.set()
    await world.run()
    only_a_task = World()
    only_a_task.manager.add(Task(note))
    only_a_task.stop.set()
    await only_a_task.run()
    assert started == []


@in_virtual_time
async def test_a_lost_lease_ends_the_run_at_once_and_nothing_is_written_any_more() -> None:
    world = World(leader_election=LEASE, grace_seconds=500)
    world.server.put(SITES, "a", "default")
    written: list[float] = []
    refused: list[float] = []
    cancelled: list[float] = []

    async def write(name: str) -> None:
        try:
            await world.manager.client.create(PAGES, {"metadata": {"name": name, "namespace": "default"}})
        except LeadershipLost:
            refused.append(now())
        else:
            written.append(now())

    async def write_and_write(request: Key) -> None:
        try:
            for n in itertools.count():
                await write(f"p{n}")
                await asyncio.sleep(0.1)
        except asyncio.CancelledError:
            cancelled.append(now())
            await write("last-words")
            raise

    async def lease_is_out_of_reach(call: Call) -> Answer | None:
        if "leases" in call.path and now() > 100:
            raise Unreachable("no route to host")
        return None

    world.server.hook = lease_is_out_of_reach
    world.add(write_and_write, timeout=None)
    with pytest.raises(LeadershipLost, match="no route to host"):
        await world.run()
    assert 108 <= now() <= 115  # ten seconds after the last renewal, and not the grace
    assert max(written) <= min(refused) <= 110
    assert cancelled == [pytest.approx(now(), abs=6)]
    await write("after")
    assert refused[-1] == now()
    assert world.server.get(PAGES, "last-words", "default") is None
    assert asyncio.all_tasks() == {asyncio.current_task()}


@in_virtual_time
async def test_a_lease_that_another_process_took_ends_the_run() -> None:
    world = World(leader_election=LEASE)
    world.add(nothing)
    task = asyncio.create_task(world.run())
    await asyncio.sleep(100)
    world.lease_is_held_by("other")
    with pytest.raises(LeadershipLost, match="other"):
        await task
    assert now() < 105
    assert world.holder() == "other"


@in_virtual_time
async def test_what_needs_no_lease_may_not_write_either_once_the_lease_was_held_and_lost() -> None:
    world = World(leader_election=LEASE)
    outcomes: list[type[BaseException]] = []

    async def write_when_stopped() -> None:
        try:
            await for_ever()
        finally:
            try:
                await world.manager.client.create(PAGES, {"metadata": {"name": "p", "namespace": "default"}})
            except LeadershipLost as error:
                outcomes.append(type(error))

    world.manager.add(Task(write_when_stopped, needs_leader_election=False))
    task = asyncio.create_task(world.run())
    await asyncio.sleep(100)
    world.lease_is_held_by("other")
    with pytest.raises(LeadershipLost):
        await task
    assert outcomes == [LeadershipLost]


@in_virtual_time
async def test_the_lease_is_held_while_reconciles_have_their_grace() -> None:
    world = World(leader_election=LEASE, grace_seconds=90)
    world.server.put(SITES, "a", "default")

    async def slow(request: Key) -> None:
        await asyncio.sleep(50)
        await world.manager.client.create(PAGES, {"metadata": {"name": "p", "namespace": "default"}})

    world.add(slow)
    async with world.running():
        await asyncio.sleep(10)
    assert now() == pytest.approx(50, abs=1)
    *writes, last = world.server.writes()
    assert PAGES.path("default") in [call.path for call in writes]
    assert [b'"holderIdentity":""' in (call.body or b"") for call in (*writes, last)] == [
        *(False for _ in writes),
        True,
    ]


@in_virtual_time
async def test_another_manager_takes_over_at_once_when_one_is_stopped() -> None:
    first = World(leader_election=LEASE)
    second = World(server=first.server, leader_election=LeaderElection(name="operator", namespace="prod", identity="2"))
    led_at: list[float] = []

    async def note() -> None:
        led_at.append(now())

    second.manager.add(Task(note))
    async with first.running():
        await asyncio.sleep(1)
        task = asyncio.create_task(second.run())
        await asyncio.sleep(100)
        assert led_at == []
    await asyncio.sleep(1)
    assert led_at == [pytest.approx(now(), abs=1)]
    second.stop.set()
    await task


@in_virtual_time
async def test_leader_election_has_a_transport_of_its_own_which_is_closed() -> None:
    world = World(leader_election=LEASE)
    forks = []
    original = world.transport.fork

    async def note() -> Any:
        forks.append(await original())
        return forks[-1]

    world.transport.fork = note  # type: ignore[method-assign]
    async with world.running():
        await asyncio.sleep(1)
        assert [fork.closed for fork in forks] == [False]
    assert [fork.closed for fork in forks] == [True]
    assert not world.transport.closed  # that is its owner's


# Events at the end.


@in_virtual_time
async def test_events_that_cannot_be_sent_hold_the_end_up_only_for_a_while() -> None:
    world = World(leader_election=LEASE)
    site = SITES.read(msgspec.json.encode(world.server.put(SITES, "a", "default")))

    async def no_answer(call: Call) -> Answer | None:
        if "events" in call.path:
            await for_ever()
        return None

    world.server.hook = no_answer
    async with world.running():
        await asyncio.sleep(10)
        world.manager.events.event(site, "Normal", "Done", "Finishing", "All done.")
    assert now() == pytest.approx(10 + FLUSH_SECONDS, abs=0.1)
    assert world.holder() == ""
    dropped = world.manager.metrics.registry.get_sample_value("disvc_events_dropped_total", {"reason": "shutdown"})
    assert dropped == 1


# Readiness and health.


@in_virtual_time
async def test_it_is_not_ready_before_its_caches_are_synchronised_and_says_which() -> None:
    world = World()
    world.add(nothing)
    world.manager.cache(PAGES)

    async def pages_come_late(call: Call) -> Answer | None:
        if "pages" in call.path:
            await asyncio.sleep(50)
        return None

    world.server.hook = pages_come_late
    assert world.not_ready() == "not started"
    async with world.running():
        await asyncio.sleep(1)
        assert world.not_ready() == "not synchronised yet: pages.example.com"
        await asyncio.sleep(50)
        assert world.not_ready() == ""


@in_virtual_time
async def test_it_is_not_ready_while_a_watch_has_been_silent_for_too_long() -> None:
    world = World(idle_seconds=120)
    world.add(nothing)
    unreachable = False

    async def partition(call: Call) -> Answer | None:
        if unreachable:
            raise Unreachable("no route to host")
        return None

    world.server.hook = partition
    async with world.running():
        await asyncio.sleep(10 * LONG)
        assert world.not_ready() == ""
        unreachable = world.server.silent = True
        await asyncio.sleep(85)
        assert world.not_ready() == ""
        await asyncio.sleep(70)
        assert world.not_ready() == "the server has not been heard for too long: sites.example.com"
        unreachable = world.server.silent = False
        await asyncio.sleep(60)
        assert world.not_ready() == ""


async def test_probes_and_metrics_are_served_and_checks_of_the_programs_own_count() -> None:
    registry_of_its_own = CollectorRegistry()
    world = World(
        virtual=False,
        metrics_bind_address="127.0.0.1:0",
        health_probe_bind_address="127.0.0.1:0",
        registry=registry_of_its_own,
    )
    Counter("my_own", "One of the program's.", registry=world.manager.metrics.registry).inc()
    world.add(nothing)
    problems = {"disk": "", "model": ""}
    world.manager.add_health_check("disk", lambda: problems["disk"])
    synced = asyncio.Event()
    go_on = asyncio.Event()

    async def wait(call: Call) -> Answer | None:
        synced.set()
        await go_on.wait()
        return None

    world.server.hook = wait
    async with asyncio.timeout(30), world.running(), aiohttp.ClientSession() as session:

        async def get(what: str, path: str) -> tuple[int, str]:
            async with session.get(f"http://{world.manager.addresses[what]}{path}") as answer:
                return answer.status, await answer.text()

        await synced.wait()
        assert await get("probes", "/readyz") == (
            500,
            "[-]informers failed: not synchronised yet: sites.example.com\nreadyz check failed\n",
        )
        assert await get("probes", "/healthz") == (200, "ok")
        go_on.set()
        await world.manager.informers.synced()
        assert await get("probes", "/readyz") == (200, "ok")
        world.manager.add_readiness_check("model", lambda: problems["model"])
        problems.update(disk="full", model="not loaded")
        assert await get("probes", "/healthz/disk") == (500, "full\n")
        assert (await get("probes", "/healthz"))[0] == 500
        assert (await get("probes", "/readyz"))[0] == 500
        status, text = await get("metrics", "/metrics")
        assert status == 200
        assert "my_own_total 1.0" in text
        assert 'controller_runtime_reconcile_total{controller="sites",result="success"} 0.0' in text


@pytest.mark.parametrize(
    ("what", "option"), [("metrics", "metrics_bind_address"), ("probes", "health_probe_bind_address")]
)
async def test_a_port_in_use_ends_the_run_with_a_message_that_names_the_address(what: str, option: str) -> None:
    taken = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    async with taken:
        address = f"127.0.0.1:{taken.sockets[0].getsockname()[1]}"
        options: dict[str, Any] = {option: address}
        world = World(virtual=False, **options)
        with pytest.raises(ConfigurationError, match=f"cannot serve {what} at {address}: .*in use") as raised:
            await world.run()
    assert "give" in str(raised.value)
    assert world.server.calls == []


# Metrics.


FROM_THE_START = {
    ("controller_runtime_reconcile_total", "controller", "result=success"): 0,
    ("controller_runtime_reconcile_total", "controller", "result=error"): 0,
    ("controller_runtime_reconcile_total", "controller", "result=requeue"): 0,
    ("controller_runtime_reconcile_total", "controller", "result=requeue_after"): 0,
    ("controller_runtime_reconcile_errors_total", "controller"): 0,
    ("controller_runtime_terminal_reconcile_errors_total", "controller"): 0,
    ("controller_runtime_reconcile_panics_total", "controller"): 0,
    ("controller_runtime_reconcile_timeouts_total", "controller"): 0,
    ("controller_runtime_reconcile_time_seconds_count", "controller"): 0,
    ("controller_runtime_max_concurrent_reconciles", "controller"): 3,
    ("controller_runtime_active_workers", "controller"): 0,
    ("workqueue_depth", "name", "controller", "priority=0"): 0,
    ("workqueue_adds_total", "name", "controller"): 0,
    ("workqueue_retries_total", "name", "controller"): 0,
    ("workqueue_queue_duration_seconds_count", "name", "controller"): 0,
    ("workqueue_work_duration_seconds_count", "name", "controller"): 0,
    ("workqueue_unfinished_work_seconds", "name", "controller"): 0,
    ("workqueue_longest_running_processor_seconds", "name", "controller"): 0,
    ("disvc_handler_errors_total", "handler=controller sites"): 0,
}


@pytest.mark.parametrize(("series", "value"), FROM_THE_START.items(), ids=str)
def test_a_controllers_series_are_there_from_the_start(series: tuple[str, ...], value: int) -> None:
    @in_virtual_time
    async def scenario() -> None:
        world = World()
        world.add(nothing, max_concurrent=3)
        name, *labels = series
        expected = dict(label.split("=") if "=" in label else [label, "sites"] for label in labels)
        samples = [s for family in world.manager.metrics.registry.collect() for s in family.samples if s.name == name]
        assert [sample.value for sample in samples if sample.labels == expected] == [value]

    scenario()


@in_virtual_time
async def test_the_other_series_and_families_are_there_from_the_start() -> None:
    world = World(leader_election=LEASE)
    registry = world.manager.metrics.registry
    assert registry.get_sample_value("leader_election_master_status", {"name": "operator"}) == 0
    families = {family.name: family.type for family in registry.collect()}
    assert families["rest_client_requests"] == "counter"
    assert families["rest_client_request_duration_seconds"] == "histogram"
    assert families["process_cpu_seconds"] == "counter"


@in_virtual_time
async def test_requests_are_counted_with_the_labels_that_dashboards_know() -> None:
    world = World(leader_election=LEASE)
    world.add(nothing)
    async with world.running():
        await asyncio.sleep(1)
        value = world.manager.metrics.registry.get_sample_value
        assert value("leader_election_master_status", {"name": "operator"}) == 1
        assert value("rest_client_requests_total", {"code": "200", "method": "GET", "host": "stub"}) == 1
        assert value("rest_client_requests_total", {"code": "201", "method": "POST", "host": "stub"}) == 1
        assert value("rest_client_requests_total", {"code": "404", "method": "GET", "host": "stub"}) == 1
        assert value("rest_client_request_duration_seconds_count", {"verb": "WATCH", "host": "stub"}) == 1
    assert value("leader_election_master_status", {"name": "operator"}) == 0


@in_virtual_time
async def test_two_managers_in_one_process_do_not_mix_their_metrics() -> None:
    first, second = World(), World()
    for world in (first, second):
        world.add(nothing)
        world.server.put(SITES, "a", "default")
    async with first.running():
        await asyncio.sleep(1)

    def reconciles(world: World) -> float | None:
        return world.manager.metrics.registry.get_sample_value(
            "controller_runtime_reconcile_total", {"controller": "sites", "result": "success"}
        )

    assert (reconciles(first), reconciles(second)) == (1, 0)
