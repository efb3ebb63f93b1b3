"""The controller: what its docstrings promise, and what the peer's controller has stumbled over (docs/parity.md)."""

from __future__ import annotations

import asyncio
import functools
import gc
import itertools
import math
from collections import deque
from contextlib import asynccontextmanager, suppress
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from structlog.contextvars import get_contextvars, merge_contextvars
from structlog.testing import capture_logs

from disvc.runtime.cancellation import CANCEL_SECONDS
from disvc.runtime.controller import Controller, Result, Watch
from disvc.runtime.environment import Environment
from disvc.runtime.errors import AnswerLost, LeadershipLost, RuntimeFailure, TerminalError
from disvc.runtime.manager import Manager
from disvc.runtime.objects import Key, Resource
from disvc.runtime.predicates import generation_changed
from disvc.runtime.selection import Selection
from disvc.runtime.workqueue import LOW_PRIORITY
from disvc.testing.clock import VirtualClock, in_virtual_time
from disvc.testing.stub import Call, StubServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator

    from disvc.runtime.delta import Delta
    from disvc.runtime.objects import Object
    from disvc.runtime.transport import Answer

SITES: Resource[dict[str, Any]] = Resource("example.com/v1", "Site", "sites")
PAGES: Resource[dict[str, Any]] = Resource("example.com/v1", "Page", "pages")
REALMS: Resource[dict[str, Any]] = Resource("example.com/v1", "Realm", "realms", namespaced=False)

A, B, C = (Key("default", name) for name in "abc")
LONG = 1000.0
"""Seconds of virtual time: by then, whatever is going to happen has happened."""


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with capture_logs():
        yield


def now() -> float:
    return asyncio.get_running_loop().time()


class Reconciler:
    """Does for each call the next of its outcomes, and then always the last: returns, raises or calls it."""

    def __init__(self, *outcomes: Any) -> None:
        self.outcomes = deque(outcomes or (None,))
        self.calls: list[Key] = []
        self.times: list[float] = []
        self._called = asyncio.Condition()

    async def reconcile(self, request: Key) -> Any:
        self.calls.append(request)
        self.times.append(now())
        async with self._called:
            self._called.notify_all()
        outcome = self.outcomes.popleft() if len(self.outcomes) > 1 else self.outcomes[0]
        if callable(outcome):
            outcome = await outcome(request)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    async def called(self, times: int) -> None:
        async with self._called:
            await self._called.wait_for(lambda: len(self.calls) >= times)


class World:
    """A server and a manager with one controller of SITES, unless the test adds others."""

    def __init__(self, **manager_options: Any) -> None:
        self.server = StubServer()
        ids = itertools.count()
        environment = Environment(VirtualClock(), Random(0), lambda: f"id-{next(ids)}")
        self.manager = Manager(
            self.server.transport(), environment=environment, **{"resync_seconds": 0, **manager_options}
        )
        self.stop = asyncio.Event()

    def add(self, reconciler: Any, name: str = "sites", for_: Any = SITES, **options: Any) -> Controller:
        controller = Controller(name, for_=for_, reconciler=reconciler, **options)
        self.manager.add(controller)
        return controller

    def metric(self, name: str, /, **labels: str) -> float | None:
        return self.manager.metrics.registry.get_sample_value(name, {"controller": "sites", **labels})

    def results(self) -> dict[str, float | None]:
        names = ("success", "error", "requeue", "requeue_after")
        return {name: self.metric("controller_runtime_reconcile_total", result=name) for name in names}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with asyncio.timeout(100 * LONG):
            task = asyncio.create_task(self.manager.run(stop=self.stop, handle_signals=False))
            try:
                yield
            finally:
                self.stop.set()
                await task


def owner(name: str, api_version: str = "example.com/v1", kind: str = "Site", **more: Any) -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": kind, "name": name, "uid": name, "controller": True, **more}


def logged(lines: Iterable[Any], event: str) -> list[dict[str, Any]]:
    return [line for line in lines if line["event"].startswith(event)]


# Before the first reconcile.


@in_virtual_time
async def test_no_reconcile_before_the_handlers_of_all_sources_have_seen_the_initial_state() -> None:
    world = World()
    world.server.put(SITES, "a", "default")
    for n in range(10_000):  # so many that their handler has to let others run
        world.server.put(PAGES, f"p{n}", "default", labels={"sites": "b"})
    seen: list[str] = []
    seen_at_start: list[int] = []

    async def note(request: Key) -> None:
        seen_at_start.append(len(seen))

    def keys(page: Object[Any]) -> list[Key]:
        seen.append(page.key.name)
        return site_of(page)

    async def pages_come_late(call: Call) -> Answer | None:
        if "pages" in call.path:
            await asyncio.sleep(50)
        return None

    world.server.hook = pages_come_late
    reconciler = Reconciler(note)
    world.add(reconciler, watches=[Watch(PAGES, keys)])
    async with world.running():
        await reconciler.called(2)
    assert reconciler.times[0] >= 50
    assert seen_at_start[0] == 10_000
    assert sorted(reconciler.calls) == [A, B]


@in_virtual_time
async def test_a_stop_during_synchronisation_ends_the_run_without_a_reconcile() -> None:
    world = World()
    world.server.put(SITES, "a", "default")

    async def never(call: Call) -> Answer | None:
        await asyncio.sleep(math.inf)
        return None

    world.server.hook = never
    reconciler = Reconciler()
    world.add(reconciler)
    async with world.running():
        await asyncio.sleep(20)
    assert now() == 20
    assert reconciler.calls == []


# One key at a time.


@in_virtual_time
async def test_a_key_is_never_reconciled_twice_at_a_time_and_a_change_meanwhile_leads_to_another_reconcile() -> None:
    world = World()
    world.server.put(SITES, "a", "default")
    running = most = 0

    async def slow(request: Key) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(10)
        running -= 1

    reconciler = Reconciler(slow)
    world.add(reconciler, max_concurrent=4)
    async with world.running():
        await reconciler.called(1)
        for n in range(5):  # while it runs
            world.server.put(SITES, "a", "default", spec={"n": n})
            await asyncio.sleep(1)
        await asyncio.sleep(LONG)
    assert most == 1
    assert reconciler.calls == [A, A]


@in_virtual_time
async def test_as_many_keys_at_a_time_as_max_concurrent_and_no_more() -> None:
    world = World()
    for n in range(9):
        world.server.put(SITES, f"s{n}", "default")
    running: set[Key] = set()
    seen: list[int] = []

    async def slow(request: Key) -> None:
        running.add(request)
        seen.append(len(running))
        assert world.metric("controller_runtime_active_workers") == len(running)
        await asyncio.sleep(10)
        running.remove(request)

    reconciler = Reconciler(slow)
    world.add(reconciler, max_concurrent=3)
    async with world.running():
        await reconciler.called(9)
        await asyncio.sleep(LONG)
        assert world.metric("controller_runtime_active_workers") == 0
    assert max(seen) == 3
    assert len(reconciler.calls) == 9
    assert world.metric("controller_runtime_max_concurrent_reconciles") == 3


# How a reconcile ends.


@in_virtual_time
async def test_an_error_is_tried_again_with_back_off_which_a_success_ends() -> None:
    world = World()
    world.server.put(SITES, "a", "default")
    error = RuntimeError("no")
    reconciler = Reconciler(error, error, error, error, None, error, None)
    world.add(reconciler)
    async with world.running():
        await reconciler.called(5)
        await asyncio.sleep(LONG)
        world.server.put(SITES, "a", "default", spec={"n": 1})
        await reconciler.called(7)
        await asyncio.sleep(LONG)
    pauses = [later - earlier for earlier, later in itertools.pairwise(reconciler.times)]
    assert pauses[:4] == pytest.approx([0.005, 0.01, 0.02, 0.04])
    assert pauses[5] == pytest.approx(0.005)
    assert world.results() == {"success": 2, "error": 5, "requeue": 0, "requeue_after": 0}
    assert world.metric("controller_runtime_reconcile_errors_total") == 5
    assert world.metric("controller_runtime_reconcile_panics_total") == 0
    assert world.metric("workqueue_retries_total", name="sites") == 5
    assert world.metric("controller_runtime_reconcile_time_seconds_count") == 7


@in_virtual_time
async def test_each_key_has_a_back_off_of_its_own_and_one_that_fails_does_not_hold_up_the_others() -> None:
    world = World()
    for name in "abc":
        world.server.put(SITES, name, "default")

    async def only_a_fails(request: Key) -> None:
        if request == A:
            raise RuntimeError("no")

    reconciler = Reconciler(only_a_fails)
    controller = world.add(reconciler)
    async with world.running():
        await reconciler.called(10)
        assert controller.queue.failures(A) == 8
        assert controller.queue.failures(B) == 0
    assert reconciler.calls.count(B) == reconciler.calls.count(C) == 1


@in_virtual_time
async def test_requeue_after_comes_when_it_said_and_forgets_the_back_off() -> None:
    world = World()
    world.server.put(SITES, "a", "default")
    reconciler = Reconciler(RuntimeError("no"), RuntimeError("no"), Result(requeue_after=90), None)
    controller = world.add(reconciler)
    async with world.running():
        await reconciler.called(3)
        await asyncio.sleep(1)
        assert controller.queue.failures(A) == 0
        await reconciler.called(4)
    assert reconciler.times[3] - reconciler.times[2] == pytest.approx(90)
    assert world.results() == {"success": 1, "error": 2, "requeue": 0, "requeue_after": 1}


@in_virtual_time
async def test_an_error_counts_and_not_the_requeue_after_of_an_earlier_reconcile() -> None:
    world = World()
    world.server.put(SITES, "a", "default")
    reconciler = Reconciler(Result(requeue_after=500), RuntimeError("no"), None)
    world.add(reconciler)
    async with world.running():
        await reconciler.called(1)
        world.server.put(SITES, "a", "default", spec={"n": 1})
        await reconciler.called(3)
        await asyncio.sleep(LONG)
    assert reconciler.times[2] < 1
    assert len(reconciler.calls) == 3  # the change ended the wait of 500 s


@in_virtual_time
async def test_a_terminal_error_is_not_tried_again_until_something_changes() -> None:
    world = World()
    world.server.put(SITES, "a", "default")
    reconciler = Reconciler(RuntimeError("no"), TerminalError("spec.size: never"), None)
    controller = world.add(reconciler)
    with capture_logs([merge_contextvars]) as lines:
        async with world.running():
            await reconciler.called(2)
            await asyncio.sleep(LONG)
            assert len(reconciler.calls) == 2
            assert controller.queue.failures(A) == 0
            world.server.put(SITES, "a", "default", spec={"size": 1})
            await reconciler.called(3)
    assert world.metric("controller_runtime_terminal_reconcile_errors_total") == 1
    assert world.metric("controller_runtime_reconcile_errors_total") == 2
    assert world.results() == {"success": 1, "error": 2, "requeue": 0, "requeue_after": 0}
    (line,) = logged(lines, "reconcile failed for good")
    assert (line["error"], line["namespace"], line["name"]) == ("spec.size: never", "default", "a")


@in_virtual_time
async def test_an_object_that_does_not_decode_is_not_tried_again_until_it_changes() -> None:
    world = World()
    typed: Resource[list[int]] = Resource("example.com/v1", "Site", "sites", model=list)
    world.server.put(SITES, "a", "default")

    async def decode(request: Key) -> None:
        found = world.manager.cache(typed).get(request)
        assert found is not None
        found.decode()

    reconciler = Reconciler(decode)
    world.add(reconciler, for_=typed)
    with capture_logs() as lines:
        async with world.running():
            await reconciler.called(1)
            await asyncio.sleep(LONG)
            assert len(reconciler.calls) == 1
            world.server.put(SITES, "a", "default", spec={"size": 1})
            await reconciler.called(2)
    assert "sites.example.com default/a does not decode as list" in logged(lines, "reconcile failed")[0]["error"]


@in_virtual_time
async def test_a_reconcile_that_takes_too_long_is_cancelled_counted_and_tried_again() -> None:
    world = World()
    world.server.put(SITES, "a", "default")
    cancelled = []

    async def hang(request: Key) -> None:
        try:
            await asyncio.sleep(math.inf)
        except asyncio.CancelledError:
            cancelled.append(now())
            raise

    reconciler = Reconciler(hang, hang, None)
    world.add(reconciler, timeout=30)
    with capture_logs([merge_contextvars]) as lines:
        async with world.running():
            await reconciler.called(3)
            await asyncio.sleep(LONG)
    assert len(cancelled) == 2
    assert cancelled[0] == pytest.approx(30, abs=0.1)
    assert world.metric("controller_runtime_reconcile_timeouts_total") == 2
    assert world.metric("controller_runtime_reconcile_panics_total") == 0
    assert world.results() == {"success": 1, "error": 2, "requeue": 0, "requeue_after": 0}
    line = logged(lines, "reconcile failed")[0]
    assert line["error"] == "the reconcile took longer than 30 s"
    assert line["name"] == "a"
    assert line["exc_info"].__cause__ is not None  # where it hung


@pytest.mark.parametrize("result", [None, Result(), ValueError("while cleaning up")])
def test_a_reconcile_that_ends_otherwise_after_its_timeout_has_failed_as_well(result: Any) -> None:
    @in_virtual_time
    async def scenario() -> None:
        world = World()
        world.server.put(SITES, "a", "default")

        async def go_on(request: Key) -> Any:
            try:
                await asyncio.sleep(math.inf)
            except asyncio.CancelledError:
                return result

        reconciler = Reconciler(go_on, None)
        world.add(reconciler, timeout=30)
        with capture_logs() as lines:
            async with world.running():
                await reconciler.called(2)
                await asyncio.sleep(1)
        assert world.metric("controller_runtime_reconcile_timeouts_total") == 1
        assert world.results() == {"success": 1, "error": 1, "requeue": 0, "requeue_after": 0}
        (line,) = logged(lines, "reconcile failed")
        assert line["error"] == "the reconcile took longer than 30 s"

    scenario()


@in_virtual_time
async def test_a_time_out_of_the_reconcilers_own_is_an_error_and_no_time_out_of_the_reconcile() -> None:
    world = World()
    world.server.put(SITES, "a", "default")

    async def own(request: Key) -> None:
        async with asyncio.timeout(1):
            await asyncio.sleep(math.inf)

    reconciler = Reconciler(own, None)
    world.add(reconciler, timeout=30)
    async with world.running():
        await reconciler.called(2)
    assert world.metric("controller_runtime_reconcile_timeouts_total") == 0
    assert world.metric("controller_runtime_reconcile_errors_total") == 1


@in_virtual_time
async def test_without_a_timeout_a_reconcile_may_take_as_long_as_it_likes() -> None:
    world = World()
    world.server.put(SITES, "a", "default")
    done = asyncio.Event()

    async def long(request: Key) -> None:
        await asyncio.sleep(10 * LONG)
        done.set()

    world.add(Reconciler(long), timeout=None)
    async with world.running():
        await done.wait()
    assert world.metric("controller_runtime_reconcile_timeouts_total") == 0


NONSENSE = [
    (True, "reconcile() returned True; return a Result or None"),
    (5, "reconcile() returned 5; return a Result or None"),
    ({"requeue_after": 5}, "reconcile() returned {'requeue_after': 5}; return a Result or None"),
    (Result(requeue_after="x"), "requeue_after='x'; give seconds as a number"),  # type: ignore[arg-type]
    (Result(requeue_after=True), "requeue_after=True; give seconds as a number"),
    (Result(requeue_after=-1), "requeue_after=-1; give seconds, 0 or more"),
    (Result(requeue_after=math.nan), "requeue_after=nan; give seconds, 0 or more"),
    (Result(requeue_after=math.inf), "requeue_after=inf; give seconds, 0 or more"),
]


@pytest.mark.parametrize(("nonsense", "message"), NONSENSE)
def test_a_reconciler_that_returns_nonsense_has_failed_and_the_log_says_what_it_returned(
    nonsense: Any, message: str
) -> None:
    @in_virtual_time
    async def scenario() -> None:
        world = World()
        world.server.put(SITES, "a", "default")
        reconciler = Reconciler(nonsense, None)
        world.add(reconciler)
        with capture_logs() as lines:
            async with world.running():
                await reconciler.called(2)
                await asyncio.sleep(LONG)
        assert len(reconciler.calls) == 2
        assert world.results() == {"success": 1, "error": 1, "requeue": 0, "requeue_after": 0}
        (line,) = logged(lines, "reconcile failed")
        assert message in line["error"]

    scenario()


@in_virtual_time
async def test_a_requeue_after_of_nothing_is_at_once() -> None:
    world = World()
    world.server.put(SITES, "a", "default")
    reconciler = Reconciler(Result(requeue_after=0), Result(requeue_after=None))
    world.add(reconciler)
    async with world.running():
        await reconciler.called(2)
        await asyncio.sleep(LONG)
    assert reconciler.times == [reconciler.times[0]] * 2
    assert world.results() == {"success": 1, "error": 0, "requeue": 0, "requeue_after": 1}


BUGS = [AssertionError(), AttributeError("x"), KeyError("x"), IndexError(), NameError("x"), TypeError("x")]


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: type(bug).__name__)
def test_an_exception_that_shows_a_bug_counts_as_a_panic_and_kills_no_worker(bug: Exception) -> None:
    @in_virtual_time
    async def scenario() -> None:
        world = World()
        world.server.put(SITES, "a", "default")
        reconciler = Reconciler(bug, None)
        world.add(reconciler)
        with capture_logs([merge_contextvars]) as lines:
            async with world.running():
                await reconciler.called(2)
                await asyncio.sleep(1)
        assert world.metric("controller_runtime_reconcile_panics_total") == 1
        (line,) = logged(lines, "reconcile failed")
        assert (line["controller"], line["namespace"], line["name"]) == ("sites", "default", "a")
        assert line["exc_info"] is bug

    scenario()


async def raise_cancelled_error(request: Key) -> None:
    raise asyncio.CancelledError


async def cancel_the_own_task(request: Key) -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    task.cancel()
    await asyncio.sleep(1)


async def await_a_cancelled_task(request: Key) -> None:
    task = asyncio.create_task(asyncio.sleep(1))
    task.cancel()
    await task


@pytest.mark.parametrize("cancel", [raise_cancelled_error, cancel_the_own_task, await_a_cancelled_task])
def test_a_reconciler_that_cancels_itself_has_failed_and_kills_no_worker(cancel: Any) -> None:
    @in_virtual_time
    async def scenario() -> None:
        world = World()
        world.server.put(SITES, "a", "default")

        async def ordinary(request: Key) -> None:
            task = asyncio.current_task()
            assert task is not None
            assert task.cancelling() == 0  # else a TaskGroup or a timeout in here would go wrong
            await asyncio.sleep(1)

        reconciler = Reconciler(cancel, cancel, ordinary)
        world.add(reconciler)
        async with world.running():
            await reconciler.called(3)
            await asyncio.sleep(LONG)
        assert len(reconciler.calls) == 3
        assert world.results() == {"success": 1, "error": 2, "requeue": 0, "requeue_after": 0}

    scenario()


class Fatal(BaseException):
    pass


@pytest.mark.parametrize("fatal", [Fatal, SystemExit, KeyboardInterrupt])
def test_what_is_no_exception_ends_the_process_and_is_told_once(
    fatal: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    @in_virtual_time
    async def scenario() -> None:
        world = World()
        world.server.put(SITES, "a", "default")
        world.add(Reconciler(fatal("enough")), max_concurrent=2)
        async with asyncio.timeout(LONG):
            await world.manager.run(handle_signals=False)

    with pytest.raises(fatal) as raised:
        scenario()
    assert raised.type is fatal
    assert str(raised.value) == "enough"
    del raised  # which holds the tasks
    gc.collect()
    assert not [record for record in caplog.records if record.name == "asyncio"]


@in_virtual_time
async def test_a_reconcile_refused_for_want_of_the_lease_is_told_without_a_traceback() -> None:
    world = World()
    world.server.put(SITES, "a", "default")
    reconciler = Reconciler(LeadershipLost("not ours"), None)
    world.add(reconciler)
    with capture_logs() as lines:
        async with world.running():
            await reconciler.called(2)
    assert logged(lines, "reconcile failed") == []
    assert logged(lines, "reconcile ended")[0]["error"] == "not ours"


# Priorities.


@in_virtual_time
async def test_the_initial_list_waits_behind_live_changes() -> None:
    world = World()
    for n in range(20):
        world.server.put(SITES, f"old-{n:02}", "default")

    async def slow(request: Key) -> None:
        await asyncio.sleep(1)

    reconciler = Reconciler(slow)
    controller = world.add(reconciler)
    async with world.running():
        await reconciler.called(1)
        world.server.put(SITES, "new", "default")
        world.server.put(SITES, "old-19", "default", spec={"n": 1})
        await asyncio.sleep(0.5)
        assert controller.queue.depths() == {0: 2, LOW_PRIORITY: 18}
        assert world.metric("workqueue_depth", name="sites", priority="0") == 2
        assert world.metric("workqueue_depth", name="sites", priority="-100") == 18
        await reconciler.called(20)
    assert {key.name for key in reconciler.calls[1:3]} == {"new", "old-19"}


@in_virtual_time
async def test_a_resync_waits_behind_live_changes() -> None:
    world = World(resync_seconds=100)
    world.server.put(SITES, "a", "default")
    priorities: list[dict[int, int]] = []
    controller: Controller

    async def hold_a(request: Key) -> None:
        if request == A:
            await asyncio.sleep(200)
            priorities.append(controller.queue.depths())

    reconciler = Reconciler(None, hold_a)
    world.server.put(SITES, "b", "default")
    controller = world.add(reconciler)
    async with world.running():
        await reconciler.called(2)
        world.server.put(SITES, "a", "default", spec={"n": 1})
        await asyncio.sleep(201)  # a resync has come meanwhile
    assert priorities == [{LOW_PRIORITY: 2}]


@pytest.mark.parametrize("outcome", [RuntimeError("no"), Result(requeue_after=0.1)], ids=["error", "requeue_after"])
def test_a_retry_keeps_its_priority(outcome: Any) -> None:
    @in_virtual_time
    async def scenario() -> None:
        world = World()
        world.server.put(SITES, "a", "default")
        world.server.put(SITES, "b", "default")
        depths: list[dict[int, int]] = []
        controller: Controller

        async def look(request: Key) -> None:
            await asyncio.sleep(1)
            depths.append(dict(controller.queue.depths()))

        reconciler = Reconciler(outcome, look, None)
        controller = world.add(reconciler)
        async with world.running():
            await reconciler.called(3)
        assert depths == [{LOW_PRIORITY: 1}]  # the retry of the first waits while the second is in work

    scenario()


# From events to keys.


@in_virtual_time
async def test_creation_change_and_deletion_of_an_object_are_its_own_key() -> None:
    world = World()
    reconciler = Reconciler()
    world.add(reconciler)
    async with world.running():
        await asyncio.sleep(1)
        world.server.put(SITES, "a", "default")
        await reconciler.called(1)
        world.server.put(SITES, "a", "default", spec={"n": 1})
        await reconciler.called(2)
        world.server.remove(SITES, "a", "default")
        await reconciler.called(3)
        await asyncio.sleep(LONG)
    assert reconciler.calls == [A, A, A]


@in_virtual_time
async def test_an_object_of_a_cluster_scoped_resource_has_a_key_without_a_namespace() -> None:
    world = World(namespaces=["default"])
    reconciler = Reconciler()
    world.add(reconciler, for_=REALMS)
    world.server.put(REALMS, "r")
    async with world.running():
        await reconciler.called(1)
    assert reconciler.calls == [Key("", "r")]


@in_virtual_time
async def test_an_owned_object_means_the_owner_that_controls_it() -> None:
    world = World()
    reconciler = Reconciler()
    world.add(reconciler, owns=[PAGES])
    async with world.running():
        await asyncio.sleep(1)
        world.server.put(PAGES, "p", "default", owners=[owner("a")])
        await reconciler.called(1)
        world.server.put(PAGES, "p", "default", owners=[owner("a")], spec={"n": 1})
        await reconciler.called(2)
        world.server.remove(PAGES, "p", "default")
        await reconciler.called(3)
        await asyncio.sleep(1)
    assert reconciler.calls == [A, A, A]


@in_virtual_time
async def test_an_owned_object_that_changes_hands_means_the_old_owner_and_the_new_one() -> None:
    world = World()
    reconciler = Reconciler()
    world.add(reconciler, owns=[PAGES])
    async with world.running():
        await asyncio.sleep(1)
        world.server.put(PAGES, "p", "default", owners=[owner("a")])
        await reconciler.called(1)
        world.server.put(PAGES, "p", "default", owners=[owner("b")])
        await reconciler.called(3)
        world.server.put(PAGES, "p", "default")
        await reconciler.called(4)
        await asyncio.sleep(1)
    assert reconciler.calls[0] == A
    assert sorted(reconciler.calls[1:3]) == [A, B]
    assert reconciler.calls[3:] == [B]


@in_virtual_time
async def test_of_several_owners_only_the_one_that_controls_the_object_counts() -> None:
    world = World()
    reconciler = Reconciler()
    world.add(reconciler, owns=[PAGES])
    async with world.running():
        await asyncio.sleep(1)
        owners = [owner("c", controller=False), owner("a"), owner("b", controller=False)]
        world.server.put(PAGES, "p", "default", owners=owners)
        world.server.put(PAGES, "q", "default", owners=[owner("b", controller=False)])
        world.server.put(PAGES, "r", "default")
        await asyncio.sleep(LONG)
    assert reconciler.calls == [A]


OWNERS = [
    (owner("a"), True),
    (owner("a", api_version="example.com/v1beta1"), True),
    (owner("a", api_version="example.org/v1"), False),
    (owner("a", api_version="v1"), False),
    (owner("a", kind="Realm"), False),
    (owner("a", api_version="a/b/c"), False),
]


@pytest.mark.parametrize(("reference", "is_ours"), OWNERS)
def test_an_owner_is_told_by_kind_and_group_whatever_its_version(reference: dict[str, Any], is_ours: bool) -> None:
    @in_virtual_time
    async def scenario() -> None:
        world = World()
        reconciler = Reconciler()
        world.add(reconciler, owns=[PAGES])
        world.server.put(PAGES, "p", "default", owners=[reference])
        async with world.running():
            await asyncio.sleep(LONG)
        assert reconciler.calls == ([A] if is_ours else [])

    scenario()


@in_virtual_time
async def test_a_cluster_scoped_owner_has_a_key_without_a_namespace() -> None:
    world = World()
    reconciler = Reconciler()
    world.add(reconciler, for_=REALMS, owns=[PAGES])
    world.server.put(PAGES, "p", "default", owners=[owner("r", kind="Realm")])
    async with world.running():
        await reconciler.called(1)
    assert reconciler.calls == [Key("", "r")]


def site_of(page: Object[Any]) -> list[Key]:
    return [Key(page.metadata.namespace, name) for name in page.metadata.labels.get("sites", "").split("-") if name]


@in_virtual_time
async def test_a_watch_maps_the_old_state_and_the_new_one_to_keys_which_count_once_each() -> None:
    world = World()
    reconciler = Reconciler()
    world.add(reconciler, watches=[Watch(PAGES, site_of)])
    async with world.running():
        await asyncio.sleep(1)
        world.server.put(PAGES, "p", "default", labels={"sites": "a-b"})
        await reconciler.called(2)
        world.server.put(PAGES, "p", "default", labels={"sites": "b-c"})
        await reconciler.called(5)
        world.server.remove(PAGES, "p", "default")
        await reconciler.called(7)
        await asyncio.sleep(LONG)
    assert sorted(reconciler.calls[:2]) == [A, B]
    assert sorted(reconciler.calls[2:5]) == [A, B, C]
    assert sorted(reconciler.calls[5:]) == [B, C]


@in_virtual_time
async def test_the_same_source_twice_is_one_watch_with_both_mappings() -> None:
    world = World()
    reconciler = Reconciler()
    world.add(reconciler, owns=[PAGES], watches=[Watch(PAGES, site_of), Watch(PAGES, lambda page: (C,))])
    async with world.running():
        await asyncio.sleep(1)
        world.server.put(PAGES, "p", "default", owners=[owner("a")], labels={"sites": "b"})
        await reconciler.called(3)
        await asyncio.sleep(1)
    assert sorted(reconciler.calls) == [A, B, C]
    watches = [call for call in world.server.calls if call.method == "WATCH" and "pages" in call.path]
    assert len(watches) == 1


@in_virtual_time
async def test_two_controllers_of_one_resource_share_the_watch_and_have_a_queue_each() -> None:
    world = World()
    first, second = Reconciler(RuntimeError("no"), None), Reconciler()
    world.add(first, "first")
    world.add(second, "second")
    world.server.put(SITES, "a", "default")
    async with world.running():
        await first.called(2)
        await asyncio.sleep(1)
    assert (first.calls, second.calls) == ([A, A], [A])
    assert len(world.server.calls) == 1


@in_virtual_time
async def test_predicates_of_a_source_filter_that_source_only_and_all_must_pass() -> None:
    world = World()
    reconciler = Reconciler()

    def no_b(delta: Delta[Any]) -> bool:
        return delta.object.key.name != "b"

    world.add(
        reconciler,
        predicates=[generation_changed, no_b],
        watches=[Watch(PAGES, lambda page: (page.key,), [lambda delta: delta.new is None])],
    )
    async with world.running():
        await asyncio.sleep(1)
        world.server.put(SITES, "a", "default")
        world.server.put(SITES, "b", "default")
        await reconciler.called(1)
        world.server.put(SITES, "a", "default", status={"ready": True})
        world.server.put(PAGES, "b", "default")
        await asyncio.sleep(LONG)
        assert reconciler.calls == [A]
        world.server.remove(PAGES, "b", "default")
        await reconciler.called(2)
        world.server.put(SITES, "a", "default", spec={"n": 1})
        await reconciler.called(3)
        await asyncio.sleep(LONG)
    assert reconciler.calls == [A, B, A]


@in_virtual_time
async def test_a_controllers_predicates_do_not_filter_what_its_objects_own() -> None:
    world = World()
    reconciler = Reconciler()
    world.add(reconciler, predicates=[lambda delta: False], owns=[PAGES])
    world.server.put(SITES, "b", "default")
    world.server.put(PAGES, "p", "default", owners=[owner("a")])
    async with world.running():
        await asyncio.sleep(LONG)
    assert reconciler.calls == [A]


@pytest.mark.parametrize("where", ["predicate", "keys"])
def test_an_event_whose_handling_raised_is_told_with_its_key_and_delivered_again(where: str) -> None:
    @in_virtual_time
    async def scenario() -> None:
        world = World()
        trouble = deque([RuntimeError("first"), RuntimeError("second")])
        reconciler = Reconciler()

        def fail_twice(found: Any, answer: Any) -> Any:
            if trouble:
                raise trouble.popleft()
            return answer

        if where == "predicate":
            watch = Watch(PAGES, lambda page: (page.key,), [lambda delta: fail_twice(delta, True)])
        else:
            watch = Watch(PAGES, lambda page: fail_twice(page, (page.key,)))
        world.add(reconciler, watches=[watch])
        with capture_logs() as lines:
            async with world.running():
                await asyncio.sleep(1)
                world.server.put(PAGES, "a", "default")
                await reconciler.called(1)
                world.server.put(SITES, "b", "default")
                await reconciler.called(2)
        assert reconciler.calls == [A, B]
        failures = logged(lines, "event handler failed")
        assert len(failures) == 2
        assert "default/a" in failures[0]["object"]
        assert failures[0]["handler"] == "controller sites"
        assert (
            world.manager.metrics.registry.get_sample_value(
                "disvc_handler_errors_total", {"handler": "controller sites"}
            )
            == 2
        )

    scenario()


@in_virtual_time
async def test_a_mapping_that_raises_for_the_new_state_does_not_lose_the_old_one() -> None:
    world = World()
    reconciler = Reconciler()

    trouble = deque([RuntimeError("b is trouble")])

    def keys(page: Object[Any]) -> list[Key]:
        if page.metadata.labels["sites"] == "b" and trouble:
            raise trouble.popleft()
        return site_of(page)

    world.add(reconciler, watches=[Watch(PAGES, keys)])
    world.server.put(PAGES, "p", "default", labels={"sites": "a"})
    async with world.running():
        await reconciler.called(1)
        world.server.put(PAGES, "p", "default", labels={"sites": "b"})
        await asyncio.sleep(0)
        world.server.put(PAGES, "p", "default", labels={"sites": "c"})
        await asyncio.sleep(LONG)
    assert not trouble
    assert reconciler.calls.count(A) == 2
    assert C in reconciler.calls


@in_virtual_time
async def test_a_key_that_the_program_itself_puts_into_the_queue_is_reconciled_also_one_from_before_the_run() -> None:
    world = World()
    reconciler = Reconciler()
    controller = world.add(reconciler)
    controller.queue.add(A)
    async with world.running():
        await reconciler.called(1)
        controller.queue.add(B)
        controller.queue.add_after(C, 60)
        await reconciler.called(3)
    assert reconciler.calls == [A, B, C]
    assert reconciler.times[2] == pytest.approx(60, abs=1)


@in_virtual_time
async def test_keys_of_all_owners_are_a_mapping_of_the_programs_own() -> None:
    world = World()
    reconciler = Reconciler()

    def every_owner(page: Object[Any]) -> list[Key]:
        return [Key(page.metadata.namespace, reference.name) for reference in page.metadata.owner_references]

    world.add(reconciler, watches=[Watch(PAGES, every_owner)])
    world.server.put(PAGES, "p", "default", owners=[owner("a"), owner("b", controller=False)])
    async with world.running():
        await reconciler.called(2)
    assert sorted(reconciler.calls) == [A, B]


# Which objects.


@in_virtual_time
async def test_a_managers_namespaces_and_labels_limit_its_sources_but_not_a_selection() -> None:
    world = World(namespaces=["default", "prod"], label_selector="team=x")
    reconciler = Reconciler()
    selection = Selection(PAGES, ("elsewhere",))
    world.add(reconciler, watches=[Watch(selection, lambda page: (page.key,))])
    world.add(Reconciler(), "realms", for_=REALMS)
    for namespace in ("default", "prod", "other"):
        world.server.put(SITES, "ours", namespace, labels={"team": "x"})
        world.server.put(SITES, "theirs", namespace, labels={"team": "y"})
    world.server.put(PAGES, "p", "elsewhere")
    async with world.running():
        await reconciler.called(3)
        await asyncio.sleep(1)
    assert sorted(reconciler.calls) == [Key("default", "ours"), Key("elsewhere", "p"), Key("prod", "ours")]
    assert sorted((call.path, call.query.get("labelSelector", "")) for call in world.server.calls) == [
        (SITES.path("default"), "team=x"),
        (PAGES.path("elsewhere"), ""),
        (SITES.path("prod"), "team=x"),
        (REALMS.path(), "team=x"),
    ]


# Own writes.


@in_virtual_time
async def test_a_reconcile_waits_until_it_is_known_what_became_of_a_write_whose_answer_was_lost() -> None:
    world = World()
    world.server.put(SITES, "a", "default")
    seen: list[bool] = []
    found_at: list[float] = []

    async def lose_the_answer(call: Call) -> Answer | None:
        if call.method == "POST":
            world.server.answer(call)
            raise AnswerLost("the line broke")
        if call.method == "GET" and call.path.endswith("/pages/p"):
            await asyncio.sleep(20)
            found_at.append(now())
        return None

    world.server.hook = lose_the_answer
    world.server.silent = True  # nothing comes by the watch
    pages = world.manager.cache(PAGES)

    async def create_what_is_missing(request: Key) -> None:
        found = Key("default", "p") in pages
        seen.append(found)
        if not found:
            await world.manager.client.create(PAGES, {"metadata": {"name": "p", "namespace": "default"}})

    reconciler = Reconciler(create_what_is_missing)
    world.add(reconciler)
    async with world.running():
        await reconciler.called(2)
        await asyncio.sleep(1)
    assert seen == [False, True]
    assert reconciler.times[1] >= found_at[0]


# Logs.


@in_virtual_time
async def test_a_line_logged_by_a_reconciler_carries_controller_namespace_name_and_reconcile_id() -> None:
    world = World()
    bound: list[dict[str, Any]] = []

    async def look(request: Key) -> None:
        bound.append(get_contextvars())
        await asyncio.create_task(note())

    async def note() -> None:
        bound.append(get_contextvars())

    reconciler = Reconciler(look)
    world.add(reconciler)
    world.server.put(SITES, "a", "default")
    async with world.running():
        await reconciler.called(1)
        await asyncio.sleep(1)
        world.server.put(SITES, "b", "prod")
        await reconciler.called(2)
        await asyncio.sleep(1)
    assert bound[0] == bound[1]  # a task that a reconciler starts has them, too
    assert bound[0] | {"reconcile_id": ""} == {
        "controller": "sites",
        "namespace": "default",
        "name": "a",
        "reconcile_id": "",
    }
    assert (bound[2]["namespace"], bound[2]["name"]) == ("prod", "b")
    assert bound[0]["reconcile_id"] != bound[2]["reconcile_id"]
    assert get_contextvars() == {}


# The end.


@in_virtual_time
async def test_at_the_end_a_running_reconcile_finishes_and_what_waits_is_not_begun() -> None:
    world = World(grace_seconds=45)
    world.server.put(SITES, "a", "default")
    world.server.put(SITES, "b", "default")
    finished = []

    async def slow(request: Key) -> Result:
        await asyncio.sleep(20)
        finished.append(request)
        return Result(requeue_after=1)

    reconciler = Reconciler(slow)
    world.add(reconciler)
    async with world.running():
        await reconciler.called(1)
    assert finished == reconciler.calls == [A]
    assert now() == pytest.approx(20, abs=0.1)


@in_virtual_time
async def test_what_does_not_finish_within_the_grace_is_cancelled_and_told() -> None:
    world = World(grace_seconds=45)
    for name in "abc":
        world.server.put(SITES, name, "default")
    cleaned_up = []

    async def hang(request: Key) -> None:
        try:
            await asyncio.sleep(math.inf)
        finally:
            await asyncio.sleep(CANCEL_SECONDS / 2)
            cleaned_up.append(request)

    reconciler = Reconciler(hang)
    world.add(reconciler, max_concurrent=2)
    with capture_logs([merge_contextvars]) as lines:
        async with world.running():
            await reconciler.called(2)
    assert sorted(cleaned_up) == [A, B]
    assert now() == pytest.approx(30 + CANCEL_SECONDS / 2, abs=0.1)
    assert sorted(line["name"] for line in logged(lines, "reconcile cancelled")) == ["a", "b"]
    (line,) = logged(lines, "reconciles cancelled")
    assert (line["reconciles"], line["grace_seconds"]) == (2, 30)


@in_virtual_time
async def test_a_reconcile_that_swallows_its_cancellation_is_given_up_and_named() -> None:
    world = World(grace_seconds=45)
    for name in "abc":
        world.server.put(SITES, name, "default")
    free = asyncio.Event()

    async def deaf(request: Key) -> None:
        while request != B and not free.is_set():
            with suppress(asyncio.CancelledError):
                await free.wait()
        if request == B:
            await asyncio.sleep(math.inf)

    reconciler = Reconciler(deaf)
    world.add(reconciler, max_concurrent=3, timeout=None)
    with capture_logs() as lines, pytest.raises(RuntimeFailure, match="of default/a, default/c; a reconciler must"):
        async with world.running():
            await reconciler.called(3)
    assert now() == pytest.approx(30 + CANCEL_SECONDS, abs=0.1)
    assert logged(lines, "reconciles go on")[0]["keys"] == "default/a, default/c"
    free.set()
    await asyncio.sleep(1)


@in_virtual_time
async def test_a_delayed_retry_does_not_hold_up_the_end() -> None:
    world = World(grace_seconds=45)
    world.server.put(SITES, "a", "default")
    reconciler = Reconciler(Result(requeue_after=3600))
    world.add(reconciler)
    async with world.running():
        await reconciler.called(1)
        await asyncio.sleep(1)
        stopped_at = now()
    assert now() == pytest.approx(stopped_at)
    await asyncio.sleep(2 * 3600)
    assert len(reconciler.calls) == 1


@in_virtual_time
async def test_a_controller_that_never_runs_has_no_task() -> None:
    World().add(Reconciler(), max_concurrent=5, owns=[PAGES])
    assert asyncio.all_tasks() == {asyncio.current_task()}


# What cannot work is refused at once.


def test_what_cannot_work_is_refused_when_a_controller_is_made() -> None:
    make = functools.partial(Controller, for_=SITES)
    with pytest.raises(ValueError, match="a controller needs a name"):
        make("", reconciler=Reconciler())
    with pytest.raises(TypeError, match=r"controller sites: .*object.* has no method reconcile"):
        make("sites", reconciler=object())  # type: ignore[arg-type]


def plain(argument: Any) -> Any:
    return argument


async def later(argument: Any) -> Any:
    return argument


class Later:
    async def __call__(self, argument: Any) -> Any:
        return argument


@pytest.mark.parametrize(
    ("error", "complaint", "arguments"),
    [
        (TypeError, r"for_ is 'sites'; give a Resource or Selection", {"for_": "sites"}),
        (TypeError, r"owns is Resource\(.*; give a sequence, .*: \[Resource\(", {"owns": PAGES}),
        (TypeError, r"owns is Selection\(.*; give a sequence, ", {"owns": Selection(PAGES)}),
        (TypeError, r"owns is 'pages'; give a sequence", {"owns": "pages"}),
        (
            TypeError,
            r"owns is <generator .*; give a sequence of Resource or Selection",
            {"owns": (page for page in [PAGES])},
        ),
        (TypeError, r"owns is 'pages'; give a Resource or Selection", {"owns": ["pages"]}),
        (TypeError, r"watches is Watch\(.*; give a sequence, ", {"watches": Watch(PAGES, plain)}),
        (TypeError, r"watches is Resource\(.*; give a Watch", {"watches": [PAGES]}),
        (TypeError, r"predicates is <function plain.*; give a sequence of functions", {"predicates": plain}),
        (TypeError, r"predicates is <function later.*which is async; give a plain", {"predicates": [later]}),
        (TypeError, r"predicates is .*which is async", {"predicates": [functools.partial(later)]}),
        (TypeError, r"predicates is .*which is async", {"predicates": [Later()]}),
        (TypeError, r"predicates is True; give a function", {"predicates": [True]}),
        (TypeError, r"max_concurrent is 1.5; give a whole number", {"max_concurrent": 1.5}),
        (TypeError, r"max_concurrent is True; give a whole number", {"max_concurrent": True}),
        (ValueError, r"max_concurrent must be at least 1, not 0", {"max_concurrent": 0}),
        (TypeError, r"timeout, which is None for no limit, is '5'; give seconds as a number", {"timeout": "5"}),
        (ValueError, r"timeout, which is None for no limit, must be more than 0 s, not 0", {"timeout": 0}),
        (ValueError, r"timeout, .* must be more than 0 s, not -1.5", {"timeout": -1.5}),
        (ValueError, r"timeout, .* must be more than 0 s, not nan", {"timeout": math.nan}),
        (ValueError, r"timeout, .* must be more than 0 s, not inf", {"timeout": math.inf}),
    ],
)
def test_an_argument_that_makes_no_sense_is_refused_by_name(
    error: type[Exception], complaint: str, arguments: dict[str, Any]
) -> None:
    with pytest.raises(error, match=f"controller sites: {complaint}"):
        Controller("sites", **{"for_": SITES, "reconciler": Reconciler(), **arguments})


@pytest.mark.parametrize(
    ("complaint", "arguments"),
    [
        (r"source of a Watch is 'pages'; give a Resource or Selection", ("pages", plain)),
        (r"Watch of pages.example.com: keys is .*which is async", (PAGES, later)),
        (r"Watch of pages.example.com: keys is \[\]; give a function", (PAGES, [])),
        (r"Watch of pages.example.com: predicates is .*; give a sequence", (PAGES, plain, plain)),
        (r"one of Watch of pages.example.com: predicates is .*which is async", (PAGES, plain, [later])),
    ],
)
def test_a_watch_that_makes_no_sense_is_refused(complaint: str, arguments: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError, match=complaint):
        Watch(*arguments)


@in_virtual_time
async def test_a_controller_belongs_to_one_manager() -> None:
    controller = World().add(Reconciler())
    with pytest.raises(RuntimeError, match="controller sites belongs to a manager already"):
        World().manager.add(controller)
