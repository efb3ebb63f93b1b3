"""Defects that were found in review, one test each, named by what happened."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import asynccontextmanager, suppress
from random import Random
from typing import TYPE_CHECKING, Any, cast

import pytest
from kubernetes_asyncio.client import Configuration
from structlog.testing import capture_logs

from disvc.runtime.client import Client
from disvc.runtime.configuration import ConfigurationSource
from disvc.runtime.connection import Connection
from disvc.runtime.controller import Controller, Result, Watch
from disvc.runtime.environment import Environment
from disvc.runtime.errors import AnswerLost, ConfigurationError, LeadershipLost
from disvc.runtime.leader_election import LEASES, LeaderElection
from disvc.runtime.manager import Manager
from disvc.runtime.objects import Key, Resource
from disvc.runtime.selection import Selection
from disvc.runtime.transport import Stream
from disvc.runtime.workqueue import LOW_PRIORITY, Workqueue
from disvc.testing.clock import VirtualClock, in_virtual_time
from disvc.testing.stub import Call, StubServer, json_answer, refusal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, MutableMapping
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from disvc.runtime.delta import Delta
    from disvc.runtime.transport import Answer

    Log = list[MutableMapping[str, Any]]

SITES: Resource[dict[str, Any]] = Resource("example.com/v1", "Site", "sites")
PAGES: Resource[dict[str, Any]] = Resource("example.com/v1", "Page", "pages")
DEPLOYMENTS: Resource[dict[str, Any]] = Resource("apps/v1", "Deployment", "deployments")
A = Key("default", "a")
LEASE = LeaderElection(name="operator", namespace="prod", identity="me")
LONG = 10_000.0
"""Seconds of virtual time: longer than anything here waits for."""


@pytest.fixture(autouse=True)
def log() -> Iterator[Log]:
    with capture_logs() as lines:
        yield lines


class Reconciler:
    """Reconciles with a function."""

    def __init__(self, function: Callable[[Key], Awaitable[Result | None]]) -> None:
        self._function = function

    async def reconcile(self, request: Key) -> None:
        await self._function(request)


class World:
    """A server and a manager of it."""

    def __init__(self, leader_election: LeaderElection | None = None) -> None:
        self.server = StubServer()
        self.transport = self.server.transport()
        ids = itertools.count()
        self.manager = Manager(
            self.transport,
            leader_election=leader_election,
            resync_seconds=0,
            environment=Environment(VirtualClock(), Random(0), lambda: f"id-{next(ids)}"),
        )
        self.stop = asyncio.Event()

    def add(self, function: Callable[[Key], Awaitable[Result | None]], **options: Any) -> Controller:
        """Reconcile SITES with a function."""
        controller = Controller("sites", for_=SITES, reconciler=Reconciler(function), **options)
        self.manager.add(controller)
        return controller

    def start(self) -> asyncio.Task[None]:
        return asyncio.create_task(self.manager.run(stop=self.stop, handle_signals=False))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.Task[None]]:
        task = self.start()
        try:
            yield task
        finally:
            self.stop.set()
            await task


@in_virtual_time
async def test_the_answer_of_a_scale_subresource_is_not_put_into_the_cache() -> None:
    world = World()
    world.server.put(DEPLOYMENTS, "a", "default", spec={"replicas": 1, "template": {"x": "y"}})
    cache = world.manager.cache(DEPLOYMENTS)

    async def scale(call: Call) -> Answer | None:
        if not call.path.endswith("/scale"):
            return None
        # As a kube-apiserver: the Deployment changes, and the answer is a Scale of its version.
        now = world.server.put(DEPLOYMENTS, "a", "default", spec={"replicas": 5, "template": {"x": "y"}})
        metadata = {name: now["metadata"][name] for name in ("name", "namespace", "uid", "resourceVersion")}
        kind = {"kind": "Scale", "apiVersion": "autoscaling/v1"}
        return json_answer(200, {**kind, "metadata": metadata, "spec": {"replicas": 5}})

    world.server.hook = scale
    async with world.running():
        await world.manager.informers.synced()
        await world.manager.client.patch(DEPLOYMENTS, "a", {"spec": {"replicas": 5}}, "default", subresource="scale")
        await world.manager.informers.settled()
        await asyncio.sleep(100)
        held = cache.get(A)
        assert held is not None
        assert held.decode()["kind"] == "Deployment"
        assert held.decode()["spec"] == {"replicas": 5, "template": {"x": "y"}}


@in_virtual_time
async def test_a_watch_whose_keys_are_no_keys_does_not_silence_these_keys() -> None:
    world = World()
    seen: list[Key] = []

    async def reconcile(request: Key) -> None:
        seen.append(request)

    def no_keys(_: object) -> Any:
        return [("default", "a")]

    world.add(reconcile, watches=[Watch(PAGES, no_keys)])
    async with world.running():
        await asyncio.sleep(1)
        world.server.put(PAGES, "p", "default")  # its keys are no `Key`: that is reported
        await asyncio.sleep(1)
        world.server.put(SITES, "a", "default")  # and this has nothing to do with it
        await asyncio.sleep(100)
        assert A in seen


@in_virtual_time
async def test_credentials_that_cannot_be_read_for_a_moment_do_not_end_the_election() -> None:
    world = World(LEASE)
    world.add(lambda _: asyncio.sleep(0))

    async def fail(call: Call) -> Answer | None:
        if "leases" in call.path:  # what `Connection` raises on a 401 while the token file is empty
            raise ConfigurationError("the pod's service account cannot be used: Token file exists but empty.")
        return None

    async with world.running() as task:
        await asyncio.sleep(10)
        world.server.hook = fail
        await asyncio.sleep(4)
        world.server.hook = None
        await asyncio.sleep(100)
        assert not task.done(), task


@in_virtual_time
async def test_credentials_that_cannot_be_read_for_a_moment_do_not_end_the_look_up() -> None:
    world = World()
    cache = world.manager.cache(SITES)
    failures = {"POST": AnswerLost("lost"), "GET": ConfigurationError("Token file exists but empty.")}

    async def fail_once(call: Call) -> Answer | None:
        if call.method not in failures:
            return None
        if call.method == "POST":
            world.server.put(SITES, "a", "default")
        raise failures.pop(call.method)

    async with world.running():
        await asyncio.sleep(1)
        world.server.hook = fail_once
        world.server.silent = True  # the watch lags
        with suppress(AnswerLost):
            await world.manager.client.create(SITES, {"metadata": {"name": "a", "namespace": "default"}})
        await world.manager.informers.settled()
        assert cache.get(A) is not None


class StuckStream(Stream):
    """An error's answer that begins and does not end."""

    status = 503
    headers: Mapping[str, str] = {}

    async def chunks(self) -> AsyncIterator[bytes]:
        yield b"upstream"
        await asyncio.Event().wait()


@in_virtual_time
async def test_an_error_answer_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    world.server.put(SITES, "a", "default")
    cache = world.manager.cache(SITES)
    stream = world.transport.stream

    @asynccontextmanager
    async def stuck() -> AsyncIterator[Stream]:
        yield StuckStream()

    first = [stuck()]

    def stuck_once(path: str, **options: Any) -> AbstractAsyncContextManager[Stream]:
        return first.pop() if first else stream(path, **options)

    monkeypatch.setattr(world.transport, "stream", stuck_once)
    async with world.running():
        await asyncio.sleep(600)
        assert cache.get(A) is not None


@in_virtual_time
async def test_a_worker_takes_no_more_keys_after_it_was_cancelled(log: Log) -> None:
    world = World(LEASE)
    seen: list[str] = []
    over = False

    async def reconcile(request: Key) -> None:
        seen.append(request.name)
        try:
            await asyncio.sleep(0 if over else LONG)
        finally:  # notes what was done: the fence refuses
            await world.manager.client.patch(SITES, request.name, {"status": {}}, "default")

    for number in range(50):
        world.server.put(SITES, f"s{number}", "default")
    controller = world.add(reconcile)
    task = world.start()
    await asyncio.sleep(5)
    world.server.put(LEASES, "operator", "prod", spec={"holderIdentity": "other", "leaseDurationSeconds": 15})
    await asyncio.wait([task], timeout=60)
    over = True
    controller.queue.shut_down()  # else a worker that goes on would not let the test end
    assert task.done()
    assert len(seen) == 1
    assert isinstance(task.exception(), LeadershipLost)
    assert not [line for line in log if line["event"].startswith("reconciles go on")]


async def fails_when_cancelled(_: Delta[Any]) -> None:
    try:
        await asyncio.sleep(LONG)
    except asyncio.CancelledError:
        raise RuntimeError("my connection broke") from None


@in_virtual_time
async def test_a_handler_that_answers_a_cancellation_with_another_error_ends() -> None:
    world = World()
    world.server.put(SITES, "a", "default")
    subscription = world.manager.informers.subscribe(Selection(SITES), fails_when_cancelled, "mine")
    async with world.running():
        await asyncio.sleep(1)
        async with asyncio.timeout(100):
            await subscription.remove()


@in_virtual_time
async def test_a_handler_that_answers_a_cancellation_with_another_error_ends_at_stop() -> None:
    world = World()
    world.server.put(SITES, "a", "default")
    world.manager.informers.subscribe(Selection(SITES), fails_when_cancelled, "mine")
    async with asyncio.timeout(100), world.running():
        await asyncio.sleep(1)


@in_virtual_time
async def test_a_write_that_fails_while_an_informer_stops_fails_with_its_own_error() -> None:
    world = World()
    world.server.put(SITES, "a", "default")

    async def handler(_: Delta[Any]) -> None:
        try:
            await asyncio.sleep(LONG)
        finally:
            await asyncio.sleep(3)  # closes a connection of its own

    async def lose_answer(call: Call) -> Answer | None:
        if call.method == "POST":
            raise AnswerLost("lost")
        return None

    subscription = world.manager.informers.subscribe(Selection(SITES), handler, "mine")
    world.manager.informers.subscribe(Selection(PAGES))
    async with world.running():
        await asyncio.sleep(1)
        informer = next(iter(world.manager.informers._informers.values()))
        last = informer.subscribe(None, "keeps")
        leaving = asyncio.create_task(subscription.remove())
        await asyncio.sleep(0)
        await last.remove()
        world.server.hook = lose_answer
        with pytest.raises(AnswerLost):
            await world.manager.client.create(SITES, {"metadata": {"name": "b", "namespace": "default"}})
        await leaving


@in_virtual_time
async def test_low_priority_keys_are_not_starved_by_constant_changes() -> None:
    queue: Workqueue[Key] = Workqueue("q", clock=VirtualClock())
    initial = Key("n", "initial")
    queue.add(initial, LOW_PRIORITY)
    taken: list[Key] = []
    for number in range(10_000):
        queue.add(Key("n", f"live-{number % 7}"))
        queue.add(Key("n", f"live-{(number + 1) % 7}"))
        key, _ = await queue.get()
        queue.done(key)
        taken.append(key)
    assert initial in taken


@in_virtual_time
async def test_an_object_that_cannot_be_looked_up_does_not_hold_up_all_others_for_ever() -> None:
    world = World()
    seen: list[str] = []

    async def reconcile(request: Key) -> None:
        seen.append(request.name)
        if request.name == "a":
            await world.manager.client.patch(PAGES, "bad", {"data": {}}, "default")

    async def refuse(call: Call) -> Answer | None:
        if call.path.endswith("/pages/bad"):
            return refusal(500, "InternalError", "conversion webhook for example.com/v1, Kind=Page failed")
        return None

    world.add(reconcile)
    world.manager.cache(PAGES)
    world.server.put(PAGES, "bad", "default")
    world.server.hook = refuse
    world.server.put(SITES, "a", "default")
    async with world.running():
        await asyncio.sleep(10)
        world.server.put(SITES, "b", "default")
        await asyncio.sleep(3600)
        assert "b" in seen


@in_virtual_time
async def test_two_informers_of_one_name_keep_their_metrics_apart() -> None:
    world = World()
    one = world.manager.informers.subscribe(Selection(SITES))
    two = world.manager.informers.subscribe(Selection(SITES, transform=lambda raw: raw))
    labels = {"resource": "sites.example.com", "namespace": ""}
    async with world.running():
        await asyncio.sleep(1)
        await one.remove()
        registry = world.manager.metrics.registry
        assert registry.get_sample_value("disvc_reflector_last_event_age_seconds", labels) is not None
        await two.remove()


class RotatedSource(ConfigurationSource):
    """A kubeconfig whose client certificate, once rotated, is gone after kubernetes_asyncio looked for it."""

    def __init__(self, certificate: Path) -> None:
        super().__init__("k", None)
        self.rotated = False
        self._certificate = certificate

    async def read(self, *, anew: bool) -> Configuration:
        configuration = Configuration()
        configuration.host = "http://127.0.0.1:1"
        if self.rotated:
            configuration.cert_file = str(self._certificate)
        return configuration


async def test_a_certificate_that_cannot_be_read_at_a_renewal_is_a_configuration_error(tmp_path: Path) -> None:
    source = RotatedSource(tmp_path / "client.crt")
    connection = await Connection.open(source, Environment())
    source.rotated = True
    try:
        with pytest.raises(ConfigurationError):
            await connection._renewed(connection._credentials)
    finally:
        await connection.close()


@pytest.mark.parametrize("name", ["", None])
@in_virtual_time
async def test_a_delete_without_a_name_deletes_nothing_where_it_once_emptied_the_namespace(name: Any) -> None:
    server = StubServer()
    client = Client(server.transport())
    with pytest.raises((ValueError, TypeError), match="delete sites"):
        await client.delete(SITES, name, "default")
    with pytest.raises((ValueError, TypeError), match="get sites"):
        await client.get(SITES, name, "default")
    assert server.calls == []


@in_virtual_time
async def test_a_reconcile_that_asks_for_itself_at_once_and_waits_for_nothing_does_not_hold_up_the_stop() -> None:
    world = World()
    world.server.put(SITES, "a", "default")

    async def reconcile(_: Key) -> Result:
        return Result(requeue_after=0)

    world.add(reconcile)
    async with world.running():
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_later(0, world.stop.set)


def test_a_single_namespace_given_as_a_text_is_refused_where_it_once_was_read_letter_by_letter() -> None:
    with pytest.raises(TypeError, match=r"\['default'\]"):
        Manager(StubServer().transport(), namespaces="default")
    with pytest.raises(TypeError, match=r"\['default'\]"):
        Selection(SITES, namespaces=cast("tuple[str, ...]", "default"))
