"""The shared informer on a model of an API server, in virtual time. docs/parity.md tells what the peers pin down."""

from __future__ import annotations

import asyncio
import copy
import json
import random
from collections import Counter
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import structlog

from disvc.runtime.client import Client
from disvc.runtime.environment import Environment
from disvc.runtime.errors import AnswerLost, ApiError, RuntimeFailure, Unreachable
from disvc.runtime.informer import Informer
from disvc.runtime.informers import Informers
from disvc.runtime.metrics import Metrics
from disvc.runtime.objects import Key, Object, Resource
from disvc.runtime.selection import Selection
from disvc.runtime.transport import Answer, Transport
from disvc.testing.clock import VirtualClock, in_virtual_time

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from disvc.runtime.delta import Delta
    from disvc.runtime.subscription import Subscription

CONFIG_MAPS: Resource[Any] = Resource("v1", "ConfigMap", "configmaps")
ALL: Selection[Any] = Selection(CONFIG_MAPS)
A, B = Key("ns", "a"), Key("ns", "b")

Value = dict[str, Any]


class Write(NamedTuple):
    """One write in the history of a server."""

    version: int
    old: Value | None
    new: Value | None


class Interest(NamedTuple):
    """What a request selects."""

    namespace: str
    label: str  # `name=value` or ""

    def holds(self, value: Value | None) -> bool:
        if value is None:
            return False
        metadata = value["metadata"]
        name, _, wanted = self.label.partition("=")
        return self.namespace in ("", metadata["namespace"]) and (
            not name or metadata.get("labels", {}).get(name) == wanted
        )


class ModelServer:
    """The whole history of one resource, with a watch cache that may lag behind, and compaction."""

    def __init__(self) -> None:
        self.version = 10
        self.objects: dict[Key, Value] = {}
        self.history: list[Write] = []
        self.compacted = 0
        self.shown: int | None = None
        """Up to which version watches and lists at "0" show the history; None: all of it."""
        self.generation = 0  # of streams: those of an earlier one end
        self.polite = True
        self.streams_lists = True
        self.repeats: Callable[[], int] = lambda: 0  # which of a stream's last events comes again
        self._moved = asyncio.Event()
        self._uids = 0

    @property
    def visible(self) -> int:
        return self.version if self.shown is None else min(self.shown, self.version)

    # What other clients do.

    def put(self, name: str, namespace: str = "ns", *, text: str = "", **metadata: Any) -> Value:
        """Create or update."""
        known = self.objects.get(Key(namespace, name))
        if known is None:
            self._uids += 1
            known = {"metadata": {"name": name, "namespace": namespace, "uid": f"uid-{self._uids}"}}
        return self.write({"metadata": {**known["metadata"], **metadata}, "data": {"text": text}})

    def write(self, value: Value) -> Value:
        metadata = value["metadata"]
        key = Key(metadata["namespace"], metadata["name"])
        if metadata.get("deletionTimestamp") and not metadata.get("finalizers"):
            self._remove(key)
            return value
        self.version += 1
        value = copy.deepcopy(value)
        value["metadata"]["resourceVersion"] = str(self.version)
        self.history.append(Write(self.version, self.objects.get(key), value))
        self.objects[key] = value
        self.moved()
        return value

    def delete(self, name: str, namespace: str = "ns") -> Value | None:
        """Delete. Return the object where finalizers keep it."""
        key = Key(namespace, name)
        metadata = self.objects[key]["metadata"]
        if metadata.get("finalizers"):
            return self.write(
                {**self.objects[key], "metadata": {**metadata, "deletionTimestamp": "2026-01-01T00:00:00Z"}}
            )
        self._remove(key)
        return None

    def _remove(self, key: Key) -> None:
        self.version += 1
        self.history.append(Write(self.version, self.objects.pop(key), None))
        self.moved()

    # What happens to the server.

    def show(self, version: int | None = None) -> None:
        """Let watches see the history up to a version (None: all of it)."""
        self.shown = version
        self.moved()

    def hold(self) -> None:
        """Show watches nothing new."""
        self.shown = self.visible

    def cut(self, *, politely: bool = True) -> None:
        """End all streams, as a server does or as a network does."""
        self.polite = politely
        self.generation += 1
        self.moved()

    def compact(self) -> None:
        """Forget how it came to what is visible now."""
        self.compacted = self.visible

    def moved(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()

    # What requests see.

    def state(self, version: int, interest: Interest) -> list[Value]:
        found: dict[Key, Value] = {}
        for write in self.history:
            if write.version > version:
                break
            value = write.new or write.old
            assert value is not None
            key = Key(value["metadata"]["namespace"], value["metadata"]["name"])
            found.pop(key, None)
            if interest.holds(write.new):
                assert write.new is not None
                found[key] = write.new
        return list(found.values())

    async def watch(self, query: Mapping[str, str], interest: Interest) -> AsyncIterator[bytes]:
        generation = self.generation
        version = int(query.get("resourceVersion") or 0)
        if query.get("sendInitialEvents"):
            wanted = version or self.version
            while self.visible < wanted and self.generation == generation:
                await self._moved.wait()
            if self.visible >= wanted:
                version = self.visible
                yield self._initial_events(version, interest)
        sent: list[bytes] = []
        while self.generation == generation:
            if version < self.compacted:
                yield _event("ERROR", {"code": 410, "reason": "Expired"})
                return
            seen = (_as_seen(write, interest) for write in self.history if version < write.version <= self.visible)
            sent += (events := [event for event in seen if event])
            if sent and (back := self.repeats()):
                events.append(sent[-min(back, len(sent))])
            if self.visible > version:
                version = self.visible
                events.append(_event("BOOKMARK", {"metadata": {"resourceVersion": str(version)}}))
            for event in events or [_event("BOOKMARK", {"metadata": {"resourceVersion": str(version)}})]:
                yield event
            await self._moved_or_a_minute_over()
        if not self.polite:
            yield b'{"type":"MODIFIED","obj'
            raise AnswerLost("reset")

    def _initial_events(self, version: int, interest: Interest) -> bytes:
        added = [_event("ADDED", value) for value in self.state(version, interest)]
        metadata = {"resourceVersion": str(version), "annotations": {"k8s.io/initial-events-end": "true"}}
        return b"".join([*added, _event("BOOKMARK", {"metadata": metadata})])

    async def _moved_or_a_minute_over(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(60.0):
                await self._moved.wait()


def _event(kind: str, value: Value) -> bytes:
    return json.dumps({"type": kind, "object": value}).encode() + b"\n"


def _as_seen(write: Write, interest: Interest) -> bytes | None:
    """Return the event that a watch shows of a write: what leaves its selector is deleted, as it sees it."""
    before, after = interest.holds(write.old), interest.holds(write.new)
    if after:
        assert write.new is not None
        return _event("MODIFIED" if before else "ADDED", write.new)
    if not before:
        return None
    last = copy.deepcopy(write.new or write.old)
    assert last is not None
    last["metadata"]["resourceVersion"] = str(write.version)
    return _event("DELETED", last)


def _good(value: Value, code: int = 200) -> Answer:
    return Answer(code, {}, json.dumps(value).encode())


def _refused(code: int, reason: str = "", message: str = "") -> Answer:
    return Answer(code, {}, json.dumps({"kind": "Status", "code": code, "reason": reason, "message": message}).encode())


class ModelTransport(Transport):
    """The way to a `ModelServer`; a test lays hands on it `before` and `after` the server's part.

    Both are called with the method and the object's key. `before` may return the answer instead of the server.
    """

    host = "model"

    def __init__(self, server: ModelServer) -> None:
        self.server = server
        self.before: Callable[[str, Key], Awaitable[Answer | None]] | None = None
        self.after: Callable[[str, Key], Awaitable[None]] | None = None
        self.calls: list[str] = []
        self.removed: set[str] = set()
        """UIDs of what was deleted this way, and had no finalizers."""

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        body: bytes | None,
        timeout: float,
        fence: Callable[[], float | None] | None,
    ) -> Answer:
        namespace, name = _parse(path)
        value = json.loads(body) if body else {}
        key = Key(namespace, name or value.get("metadata", {}).get("name", ""))
        method = "LIST" if method == "GET" and not name else method
        self.calls.append(method)
        answer = await self.before(method, key) if self.before else None
        if answer is None:
            answer = getattr(self, f"_{method.lower()}")(key, value, query)
        if self.after:
            await self.after(method, key)
        return answer

    def _list(self, key: Key, value: Value, query: Mapping[str, str]) -> Answer:
        server = self.server
        interest = Interest(key.namespace, query.get("labelSelector", ""))
        token = query.get("continue")
        if token:
            version, start = (int(part) for part in token.split(":"))
            if version < server.compacted:
                return _refused(410, "Expired")
        else:
            asked = int(query.get("resourceVersion") or -1)
            if asked > server.visible:
                return _refused(504, "Timeout", "Too large resource version")
            version, start = (server.version if asked < 0 else server.visible), 0
        items = server.state(version, interest)
        limit = int(query.get("limit", 0)) and 3  # pages of three, so that there are several
        metadata = {"resourceVersion": str(version)}
        if limit and len(items) > start + limit:
            metadata["continue"] = f"{version}:{start + limit}"
            items = items[: start + limit]
        return _good({"metadata": metadata, "items": items[start:]})

    def _get(self, key: Key, value: Value, query: Mapping[str, str]) -> Answer:
        known = self.server.objects.get(key)
        return _good(known) if known else _refused(404, "NotFound")

    def _post(self, key: Key, value: Value, query: Mapping[str, str]) -> Answer:
        if key in self.server.objects:
            return _refused(409, "AlreadyExists")
        metadata = {k: v for k, v in value["metadata"].items() if k in ("labels", "finalizers")}
        text = value.get("data", {}).get("text", "")
        return _good(self.server.put(key.name, key.namespace, text=text, **metadata), 201)

    def _put(self, key: Key, value: Value, query: Mapping[str, str]) -> Answer:
        known = self.server.objects.get(key)
        if known is None:
            return _refused(404, "NotFound")
        if value["metadata"].get("resourceVersion") not in (None, known["metadata"]["resourceVersion"]):
            return _refused(409, "Conflict")
        return _good(self.server.write({**value, "metadata": {**known["metadata"], **value["metadata"]}}))

    def _delete(self, key: Key, value: Value, query: Mapping[str, str]) -> Answer:
        known = self.server.objects.get(key)
        if known is None:
            return _refused(404, "NotFound")
        uid = known["metadata"]["uid"]
        if value.get("preconditions", {}).get("uid") not in (None, uid):
            return _refused(409, "Conflict")
        kept = self.server.delete(key.name, key.namespace)
        if kept is None:
            self.removed.add(uid)
        return _good(kept or {"kind": "Status", "details": {"uid": uid}})

    @asynccontextmanager
    async def stream(
        self, path: str, *, query: Mapping[str, str], headers: Mapping[str, str], timeout: float
    ) -> AsyncIterator[ModelStream]:
        self.calls.append("WATCH")
        answer = await self.before("WATCH", Key("", "")) if self.before else None
        asked = int(query.get("resourceVersion") or 0)
        if answer is None and query.get("sendInitialEvents") and not self.server.streams_lists:
            answer = _refused(422, "Invalid")
        if answer is None and asked > self.server.visible:
            answer = _refused(504, "Timeout", "Too large resource version")
        if answer is None and not query.get("sendInitialEvents") and asked < self.server.compacted:
            answer = _refused(410, "Expired")
        if answer is None:
            interest = Interest(_parse(path)[0], query.get("labelSelector", ""))
            yield ModelStream(200, self.server.watch(query, interest))
        else:
            yield ModelStream(answer.status, _once(answer.body))

    async def fork(self) -> ModelTransport:
        return self

    async def close(self) -> None:
        pass


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body


def _parse(path: str) -> tuple[str, str]:
    """Return the namespace and the name in a path."""
    parts = path.removeprefix("/api/v1/").split("/")
    namespace = parts[1] if parts[0] == "namespaces" else ""
    at = parts.index("configmaps")
    return namespace, "/".join(parts[at + 1 :])


class ModelStream:
    headers: Mapping[str, str] = {}

    def __init__(self, code: int, pieces: AsyncIterator[bytes]) -> None:
        self.status = code
        self._pieces = pieces

    def chunks(self) -> AsyncIterator[bytes]:
        return self._pieces


class View:
    """A handler that folds what it gets into a state of its own, and does not believe everything."""

    def __init__(self) -> None:
        self.deltas: list[Delta[Any]] = []
        self.state: dict[Key, Object[Any]] = {}
        self.failed = False
        """Whether it has raised something: then it may be told that what it never took in is gone."""
        self.wrong: list[str] = []
        """An exception would only be taken for a failure of the handler."""

    def __call__(self, delta: Delta[Any]) -> None:
        self.deltas.append(delta)
        key = delta.object.key
        known = self.state.get(key)
        uid = None if known is None else known.metadata.uid
        if delta.new is None:
            if uid != delta.object.metadata.uid and not (self.failed and known is None):
                self.wrong.append(f"{key} is deleted but was never added")
            self.state.pop(key, None)
            return
        if delta.old is None and uid is not None:
            self.wrong.append(f"{key} is added twice")
        if delta.old is not None and (known is None or uid != delta.new.metadata.uid):
            self.wrong.append(f"{key} is changed but was never added")
        if known is not None and known.version > delta.new.version:
            self.wrong.append(f"{key} went back in time")
        self.state[key] = delta.new

    @property
    def told(self) -> list[str]:
        """What happened, in short: `+a` came, `~a` changed, `=a` is the same still, `-a` went."""
        assert self.wrong == []
        words = []
        for delta in self.deltas:
            sign = "+" if delta.old is None else "-" if delta.new is None else "=" if delta.old is delta.new else "~"
            words.append(sign + delta.object.metadata.name)
        return words


class Running:
    """Informers that run on a model server, and a client whose writes they observe."""

    def __init__(self, server: ModelServer, seed: int = 1, **options: float) -> None:
        self.server = server
        self.transport = ModelTransport(server)
        environment = Environment(VirtualClock(), random.Random(seed))
        self.metrics = Metrics()
        self.informers = Informers(Client(self.transport, environment=environment), self.metrics, **options)
        self.own = ModelTransport(server)
        self.client = Client(self.own, environment=environment, observer=self.informers)
        self._main = asyncio.create_task(self.informers.run())

    async def stop(self) -> None:
        if self._main.done():
            await self._main  # raises what it died of
        self._main.cancel()
        await asyncio.wait([self._main])

    def create(self, name: str, text: str = "", **metadata: Any) -> Awaitable[Object[Any]]:
        value = {"metadata": {"name": name, "namespace": "ns", **metadata}, "data": {"text": text}}
        return self.client.create(CONFIG_MAPS, value)

    def update(self, obj: Object[Any], text: str = "", **metadata: Any) -> Awaitable[Object[Any]]:
        value = obj.decode()
        value["metadata"].update(metadata)
        return self.client.update(CONFIG_MAPS, {**value, "data": {"text": text}})

    def series(self) -> set[str]:
        """Return the namespaces and resources of which there are reflector metrics."""
        return {
            sample.labels["resource"]
            for family in self.metrics.registry.collect()
            for sample in family.samples
            if sample.name.startswith("disvc_reflector_")
        }


@asynccontextmanager
async def running(server: ModelServer, **options: Any) -> AsyncIterator[Running]:
    run = Running(server, **options)
    try:
        yield run
        await settle()
    finally:
        await run.stop()


async def settle() -> None:
    """Let everything happen that happens without waiting."""
    await asyncio.sleep(0.001)


def shown(subscription: Subscription[Any]) -> dict[str, int]:
    """Return the cache's content: names and versions."""
    return {obj.metadata.name: obj.version for obj in subscription.cache}


def text(obj: Object[Any] | None) -> str | None:
    return None if obj is None else obj.decode()["data"]["text"]


# Handlers.


@in_virtual_time
async def test_a_handler_gets_what_is_there_then_has_synced_and_then_gets_each_change() -> None:
    server = ModelServer()
    server.put("a")
    server.put("b")
    view = View()
    async with running(server) as run:
        subscription = run.informers.subscribe(ALL, view, "view")
        assert not subscription.has_synced
        await subscription.synced()
        assert [(word, delta.initial, delta.is_news) for word, delta in zip(view.told, view.deltas, strict=True)] == [
            ("+a", True, False),
            ("+b", True, False),
        ]
        server.put("a")
        server.delete("b")
        server.put("b")
        await settle()
        assert view.told[2:] == ["~a", "-b", "+b"]
        assert all(delta.is_news for delta in view.deltas[2:])
        assert view.state == {obj.key: obj for obj in subscription.cache}


@in_virtual_time
async def test_a_handler_has_synced_only_when_the_initial_state_has_reached_it() -> None:
    server = ModelServer()
    for name in "abc":
        server.put(name)
    seen: list[str] = []

    async def slow(delta: Delta[Any]) -> None:
        await asyncio.sleep(10.0)
        seen.append(delta.object.metadata.name)

    async with running(server) as run:
        subscription = run.informers.subscribe(ALL, slow)
        await run.informers.synced()
        assert len(subscription.cache) == 3
        await asyncio.sleep(25.0)
        assert (seen, subscription.has_synced) == (["a", "b"], False)
        await subscription.synced()
        assert seen == ["a", "b", "c"]


@in_virtual_time
async def test_a_handler_has_synced_on_an_empty_state_too() -> None:
    async with running(ModelServer()) as run:
        await run.informers.subscribe(ALL, View()).synced()


@in_virtual_time
async def test_a_subscription_without_a_handler_has_synced_with_the_cache() -> None:
    server = ModelServer()
    server.put("a")
    async with running(server) as run:
        subscription = run.informers.subscribe(ALL)
        assert not subscription.has_synced
        await subscription.synced()
        assert len(subscription.cache) == 1


@in_virtual_time
async def test_a_handler_that_is_added_later_begins_with_what_is_there() -> None:
    server = ModelServer()
    server.put("a")
    early, late = View(), View()
    async with running(server) as run:
        await run.informers.subscribe(ALL, early).synced()
        server.put("b")
        await settle()
        subscription = run.informers.subscribe(ALL, late)
        server.put("a")
        await subscription.synced()
        await settle()
        assert early.told == ["+a", "+b", "~a"]
        assert late.told == ["+a", "+b", "~a"]
        assert [delta.initial for delta in late.deltas] == [True, True, False]
    assert run.transport.calls == ["WATCH"]  # there is one reflector for both


@in_virtual_time
async def test_handlers_may_be_added_at_any_moment_and_none_misses_anything() -> None:
    server = ModelServer()
    views = [View() for _ in range(50)]
    async with running(server) as run:
        for number, view in enumerate(views):
            run.informers.subscribe(ALL, view)
            server.put(f"x{number}")
            await asyncio.sleep(0)
        await settle()
        for view in views:
            assert len(view.state) == 50


@in_virtual_time
async def test_a_handler_that_was_removed_gets_nothing_more_and_the_others_go_on() -> None:
    server = ModelServer()
    gone, staying = View(), View()
    async with running(server) as run:
        first = run.informers.subscribe(ALL, gone)
        run.informers.subscribe(ALL, staying)
        server.put("a")
        await settle()
        await first.remove()
        await first.remove()  # once is enough, twice does no harm
        server.put("b")
        await settle()
        assert gone.told == ["+a"]
        assert staying.told == ["+a", "+b"]


@in_virtual_time
async def test_a_handler_that_is_added_twice_gets_everything_twice_until_one_of_the_two_leaves() -> None:
    server = ModelServer()
    seen: list[str] = []

    def handler(delta: Delta[Any]) -> None:
        seen.append(delta.object.metadata.name)

    async with running(server) as run:
        first = run.informers.subscribe(ALL, handler)
        run.informers.subscribe(ALL, handler)
        server.put("a")
        await settle()
        await first.remove()
        server.put("b")
        await settle()
        assert seen == ["a", "a", "b"]


@in_virtual_time
async def test_a_handler_that_is_removed_in_the_middle_of_its_work_is_cancelled() -> None:
    server = ModelServer()
    ends: list[str] = []

    async def handler(_: Delta[Any]) -> None:
        try:
            await asyncio.sleep(1000.0)
        finally:
            ends.append("ended")

    async with running(server) as run:
        subscription = run.informers.subscribe(ALL, handler)
        run.informers.subscribe(ALL)
        server.put("a")
        server.put("b")
        await settle()
        await subscription.remove()
        assert ends == ["ended"]
        await settle()
        assert ends == ["ended"]


@in_virtual_time
async def test_a_handler_that_goes_on_though_it_was_removed_is_named_and_holds_nothing_up() -> None:
    server = ModelServer()
    free = asyncio.Event()

    async def deaf(_: Delta[Any]) -> None:
        while not free.is_set():
            with suppress(asyncio.CancelledError):
                await free.wait()

    async with running(server) as run:
        subscription = run.informers.subscribe(ALL, deaf, "deaf")
        staying = View()
        run.informers.subscribe(ALL, staying)
        server.put("a")
        await settle()
        with pytest.raises(RuntimeFailure, match=r"handler deaf goes on 5 s after it was cancelled"):
            await subscription.remove()
        server.put("b")
        await settle()
        assert staying.told == ["+a", "+b"]
        free.set()


@in_virtual_time
async def test_a_handler_may_remove_itself() -> None:
    server = ModelServer()
    seen: list[str] = []

    async with running(server) as run:

        async def handler(delta: Delta[Any]) -> None:
            seen.append(delta.object.metadata.name)
            await subscription.remove()

        subscription = run.informers.subscribe(ALL, handler)
        other = run.informers.subscribe(ALL)
        server.put("a")
        server.put("b")
        await settle()
        assert seen == ["a"]
        assert len(other.cache) == 2


@in_virtual_time
async def test_a_slow_handler_delays_nobody_else_and_misses_nothing() -> None:
    server = ModelServer()
    quick, slow_view = View(), View()

    async def slow(delta: Delta[Any]) -> None:
        await asyncio.sleep(60.0)
        slow_view(delta)

    async with running(server) as run:
        subscription = run.informers.subscribe(ALL, slow)
        run.informers.subscribe(ALL, quick)
        await run.informers.synced()
        for name in "abcd":
            server.put(name)
        server.delete("a")
        await settle()
        assert len(quick.told) == 5
        assert slow_view.told == []
        await asyncio.sleep(301.0)
        assert slow_view.told == quick.told
        assert slow_view.state == {obj.key: obj for obj in subscription.cache}


@in_virtual_time
async def test_a_handler_with_much_to_do_lets_others_run() -> None:
    server = ModelServer()
    for number in range(2_000):
        server.put(f"x{number}")
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async with running(server) as run:
        keep = run.informers.subscribe(ALL)
        await keep.synced()
        watching = asyncio.create_task(other())
        before = turns
        await run.informers.subscribe(ALL, View()).synced()
        assert turns - before >= 10
        watching.cancel()


class Stubborn(View):
    """A view that raises on what `fails` says, before it takes note of it."""

    def __init__(self, fails: Callable[[Delta[Any]], bool]) -> None:
        super().__init__()
        self.fails = fails
        self.attempts: list[tuple[float, str]] = []

    def __call__(self, delta: Delta[Any]) -> None:
        self.attempts.append((asyncio.get_running_loop().time(), text(delta.new) or "gone"))
        if self.fails(delta):
            raise ValueError("no")
        super().__call__(delta)


@in_virtual_time
async def test_a_handler_that_raises_is_reported_with_the_key_and_gets_the_change_again_ever_later() -> None:
    server = ModelServer()
    broken = True
    view = Stubborn(lambda delta: broken and delta.object.key == A)
    with structlog.testing.capture_logs() as logs:
        async with running(server) as run:
            run.informers.subscribe(ALL, view, "mine")
            server.put("a")
            server.put("b")
            await asyncio.sleep(300.0)
            assert view.told == ["+b"]
            failures = len(view.attempts) - 1
            assert 10 < failures < 60
            assert (
                max(later[0] - sooner[0] for sooner, later in zip(view.attempts, view.attempts[1:], strict=False)) > 5
            )
            counted = run.metrics.registry.get_sample_value("disvc_handler_errors_total", {"handler": "mine"})
            assert counted == failures
            broken = False
            await asyncio.sleep(31.0)
            assert view.told == ["+b", "+a"]
            attempts = len(view.attempts)
            await asyncio.sleep(100.0)
            assert len(view.attempts) == attempts
    assert (logs[0]["handler"], logs[0]["object"]) == ("mine", "<configmaps ns/a 11>")


@in_virtual_time
async def test_something_newer_is_tried_at_once_and_takes_the_place_of_what_failed() -> None:
    """`old` is what the handler knows, or it would not learn whom the object belonged to before."""
    server = ModelServer()
    server.put("a", text="0")
    view = Stubborn(lambda delta: text(delta.new) == "1")
    async with running(server) as run:
        run.informers.subscribe(ALL, view)
        await settle()
        server.put("a", text="1")
        await settle()
        server.put("a", text="2")
        await asyncio.sleep(100.0)
        assert [text_ for _, text_ in view.attempts] == ["0", "1", "2"]
        last = view.deltas[-1]
        assert (text(last.old), text(last.new), last.is_news) == ("0", "2", True)


@in_virtual_time
async def test_a_failed_change_never_comes_after_a_newer_one() -> None:
    """The time of a failed change had come while the newer one waited behind a slow one."""
    server = ModelServer()
    view = View()
    failed = False

    async def handler(delta: Delta[Any]) -> None:
        nonlocal failed
        if delta.object.key == B:
            await asyncio.sleep(10.0)
        elif text(delta.new) == "1" and not failed:
            failed = True
            raise ValueError
        view(delta)

    async with running(server) as run:
        run.informers.subscribe(ALL, handler)
        server.put("a", text="1")
        server.put("b")
        await settle()
        server.put("a", text="2")
        await asyncio.sleep(30.0)
        assert view.told == ["+b", "+a"]
        assert text(view.state[A]) == "2"


@in_virtual_time
async def test_a_deletion_that_a_handler_failed_at_comes_before_the_object_is_made_again() -> None:
    server = ModelServer()
    broken = True
    view = Stubborn(lambda delta: broken and delta.new is None)
    async with running(server) as run:
        run.informers.subscribe(ALL, view)
        server.put("a", text="1")
        await settle()
        server.delete("a")
        server.put("a", text="2")
        server.put("a", text="3")
        await asyncio.sleep(5.0)
        assert view.told == ["+a"]
        broken = False
        await asyncio.sleep(31.0)
        assert view.told == ["+a", "-a", "+a"]
        assert text(view.state[A]) == "3"


@in_virtual_time
async def test_a_deletion_takes_the_place_of_a_change_that_failed() -> None:
    server = ModelServer()
    view = Stubborn(lambda delta: text(delta.new) == "bad")
    async with running(server) as run:
        run.informers.subscribe(ALL, view)
        server.put("a", text="good")
        await settle()
        server.put("a", text="bad")
        await settle()
        server.delete("a")
        await asyncio.sleep(100.0)
        assert view.told == ["+a", "-a"]
        assert text(view.deltas[-1].old) == "bad"


@in_virtual_time
async def test_a_handler_that_gives_up_waiting_for_something_cancelled_lives_on() -> None:
    """A CancelledError that is not meant for the handler's own task would end it without a word."""
    server = ModelServer()
    view = View()
    first = True

    async def handler(delta: Delta[Any]) -> None:
        nonlocal first
        if first:
            first = False
            other = asyncio.get_running_loop().create_future()
            other.cancel()
            await other
        view(delta)

    async with running(server) as run:
        run.informers.subscribe(ALL, handler)
        server.put("a")
        server.put("b")
        await asyncio.sleep(10.0)
        assert sorted(view.told) == ["+a", "+b"]


@in_virtual_time
async def test_a_resync_gives_each_handler_every_object_again_and_it_is_no_news() -> None:
    server = ModelServer()
    server.put("a")
    server.put("b")
    view = View()
    async with running(server, resync_seconds=100.0) as run:
        await run.informers.subscribe(ALL, view).synced()
        await asyncio.sleep(89.9)
        assert len(view.deltas) == 2
        await asyncio.sleep(20.2)
        assert view.told == ["+a", "+b", "=a", "=b"]
        assert not any(delta.is_news for delta in view.deltas)


@in_virtual_time
async def test_without_resyncs_nothing_comes_twice() -> None:
    server = ModelServer()
    server.put("a")
    view = View()
    async with running(server, resync_seconds=0.0) as run:
        run.informers.subscribe(ALL, view)
        await asyncio.sleep(500_000.0)
        assert view.told == ["+a"]


# Sharing, and ending.


@in_virtual_time
async def test_equal_selections_share_an_informer_and_others_do_not() -> None:
    server = ModelServer()
    server.put("a", labels={"app": "x"})
    server.put("b")
    async with running(server) as run:
        subscriptions = [
            run.informers.subscribe(selection)
            for selection in (
                Selection(CONFIG_MAPS, ("ns", "other")),
                Selection(CONFIG_MAPS, ("other", "ns", "ns")),
                Selection(CONFIG_MAPS, label_selector="app=x"),
            )
        ]
        await run.informers.synced()
        one, same, other = (subscription.cache for subscription in subscriptions)
        assert one is same
        assert (len(one), len(other)) == (2, 1)
        assert run.transport.calls == ["WATCH"] * 3  # two namespaces, and all of them by a label


@in_virtual_time
async def test_the_last_one_leaving_stops_the_reflector_and_its_series_go() -> None:
    server = ModelServer()
    async with running(server) as run:
        first, second = run.informers.subscribe(ALL, View()), run.informers.subscribe(ALL)
        await settle()
        await first.remove()
        await settle()
        assert run.series() == {"configmaps"}
        await second.remove()
        assert run.series() == set()
        await settle()
        server.put("a")
        await asyncio.sleep(1000.0)
        assert run.transport.calls == ["WATCH"]
        assert run.informers.unsynced == []
        assert run.informers.too_silent == []


@in_virtual_time
async def test_who_subscribes_right_after_the_last_one_left_gets_a_new_informer() -> None:
    server = ModelServer()
    server.put("a")
    async with running(server) as run:
        await run.informers.subscribe(ALL).synced()
        for _ in range(5):
            view = View()
            subscription = run.informers.subscribe(ALL, view)
            await subscription.remove()
        view = View()
        subscription = run.informers.subscribe(ALL, view)
        await subscription.synced()
        server.put("b")
        await settle()
        assert view.told == ["+a", "+b"]
        assert run.series() == {"configmaps"}
        await run.create("c")
        assert sorted(shown(subscription)) == ["a", "b", "c"]


@in_virtual_time
async def test_an_informer_that_everybody_left_can_be_had_again_at_once() -> None:
    server = ModelServer()
    server.put("a")
    async with running(server) as run:
        view = View()
        old = run.informers.subscribe(ALL)
        await old.synced()
        await old.remove()
        subscription = run.informers.subscribe(ALL, view)
        await subscription.synced()
        server.put("b")
        await settle()
        assert view.told == ["+a", "+b"]
        assert run.transport.calls == ["WATCH", "WATCH"]


@in_virtual_time
async def test_who_leaves_before_the_start_leaves_nothing_running() -> None:
    server = ModelServer()
    transport = ModelTransport(server)
    environment = Environment(VirtualClock(), random.Random(1))
    informers = Informers(Client(transport, environment=environment), Metrics())
    await informers.subscribe(ALL, View()).remove()
    main = asyncio.create_task(informers.run())
    await asyncio.sleep(1.0)
    main.cancel()
    assert transport.calls == []


@in_virtual_time
async def test_waiting_for_all_caches_does_not_wait_for_one_that_nobody_wants_any_more() -> None:
    server = ModelServer()

    async def refuse(method: str, key: Key) -> Answer:
        return _refused(403, "Forbidden")

    async with running(server) as run:
        run.transport.before = refuse
        subscription = run.informers.subscribe(ALL)
        waiting = asyncio.create_task(run.informers.synced())
        await asyncio.sleep(1.0)
        assert not waiting.done()
        await subscription.remove()
        await asyncio.wait_for(waiting, 1.0)


@in_virtual_time
async def test_a_cancelled_informer_takes_its_handlers_and_series_with_it() -> None:
    server = ModelServer()
    ends: list[str] = []

    async def handler(_: Delta[Any]) -> None:
        try:
            await asyncio.sleep(1000.0)
        finally:
            ends.append("ended")

    server.put("a")
    run = Running(server)
    run.informers.subscribe(ALL, handler)
    await settle()
    await run.stop()
    assert ends == ["ended"]
    assert run.series() == set()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    with pytest.raises(RuntimeError, match="configmaps: the informers have ended"):
        run.informers.subscribe(ALL, handler)


@in_virtual_time
async def test_informers_tell_who_is_not_synchronised_and_who_is_silent() -> None:
    async def hang(method: str, key: Key) -> Answer | None:
        await asyncio.sleep(10_000.0)
        return None

    async with running(ModelServer()) as run:
        run.transport.before = hang
        run.informers.subscribe(Selection(CONFIG_MAPS, ("ns",), label_selector="a=b"))
        await asyncio.sleep(149.0)
        assert run.informers.unsynced == ["configmaps in ns a=b"]
        assert run.informers.too_silent == []
        await asyncio.sleep(2.0)
        assert run.informers.too_silent == ["configmaps in ns a=b"]


# What happened while nobody looked.


@in_virtual_time
async def test_an_object_that_was_made_again_while_nobody_looked_is_a_deletion_and_an_addition() -> None:
    server = ModelServer()
    server.put("a", text="1")
    view = View()
    async with running(server) as run:
        await run.informers.subscribe(ALL, view).synced()
        server.hold()
        server.delete("a")
        server.put("a", text="2")
        server.show()
        server.compact()
        server.cut()
        await asyncio.sleep(60.0)
        assert view.told == ["+a", "-a", "+a"]
        assert text(view.deltas[1].old) == "1"
        assert view.deltas[2].is_news


@pytest.mark.parametrize("streams", [True, False])
@in_virtual_time
async def test_what_went_while_nobody_looked_is_told_with_its_last_known_state(streams: bool) -> None:
    server = ModelServer()
    server.streams_lists = streams
    for name in "abcdefgh":
        server.put(name, text=f"last of {name}")
    view = View()
    async with running(server) as run:
        subscription = run.informers.subscribe(ALL, view)
        await subscription.synced()
        server.hold()
        for name in "abcdeg":
            server.delete(name)
        server.put("f")
        server.show()
        server.compact()
        server.cut()
        await asyncio.sleep(60.0)
        assert sorted(view.told[8:]) == ["-a", "-b", "-c", "-d", "-e", "-g", "~f"]
        assert text(next(delta.old for delta in view.deltas if delta.new is None)) == "last of a"
        assert shown(subscription) == {"f": 25, "h": 18}


@in_virtual_time
async def test_what_changed_while_nobody_looked_is_told_and_what_did_not_is_not() -> None:
    server = ModelServer()
    server.put("a", text="1")
    server.put("b")
    view = View()
    async with running(server) as run:
        await run.informers.subscribe(ALL, view).synced()
        server.hold()
        server.put("a", text="2")
        server.put("a", text="3")
        server.show()
        server.compact()
        server.cut()
        await asyncio.sleep(60.0)
        assert view.told == ["+a", "+b", "~a"]
        assert (text(view.deltas[2].old), text(view.deltas[2].new)) == ("1", "3")


def _of(value: Value) -> Object[Any]:
    return CONFIG_MAPS.read(json.dumps(value).encode())


def _obj(version: int, uid: str = "u") -> Object[Any]:
    return _of({"metadata": {"name": "a", "namespace": "ns", "uid": uid, "resourceVersion": str(version)}})


@in_virtual_time
async def test_events_that_come_again_or_late_change_nothing() -> None:
    client = Client(ModelTransport(ModelServer()), environment=Environment(VirtualClock(), random.Random(1)))
    informer: Informer[Any] = Informer(client, ALL, Metrics(), idle_seconds=120.0, resync_seconds=0.0)
    informer.changed(_obj(20))
    informer.changed(_obj(20))
    informer.changed(_obj(19))
    informer.deleted(_obj(18))
    informer.changed(_obj(17, uid="earlier"))
    assert [obj.version for obj in informer.cache] == [20]
    informer.deleted(_obj(21))
    informer.deleted(_obj(21))
    assert len(informer.cache) == 0


@in_virtual_time
async def test_versions_that_are_no_numbers_are_taken_as_they_come() -> None:
    client = Client(ModelTransport(ModelServer()), environment=Environment(VirtualClock(), random.Random(1)))
    informer: Informer[Any] = Informer(client, ALL, Metrics(), idle_seconds=120.0, resync_seconds=0.0)
    for version in ("x9", "x10"):
        metadata = {"name": "a", "namespace": "ns", "uid": "u", "resourceVersion": version}
        informer.changed(_of({"metadata": metadata}))
    assert [obj.metadata.resource_version for obj in informer.cache] == ["x10"]
    informer.replace("", [], "x11")
    assert len(informer.cache) == 0


# Own writes.


@in_virtual_time
async def test_an_own_creation_is_in_the_cache_before_the_writer_gets_the_answer_and_is_told_once() -> None:
    server = ModelServer()
    view = View()
    async with running(server) as run:
        subscription = run.informers.subscribe(ALL, view)
        await subscription.synced()
        server.hold()
        created = await run.create("a", "1")
        assert subscription.cache.get(A) is created
        updated = await run.update(created, "2")
        assert text(subscription.cache.get(A)) == "2"
        server.show()
        await settle()
        assert view.told == ["+a", "~a"]
        assert subscription.cache.get(A) is updated


@in_virtual_time
async def test_an_own_creation_that_somebody_deletes_before_the_watch_shows_it_goes() -> None:
    server = ModelServer()
    view = View()
    async with running(server) as run:
        subscription = run.informers.subscribe(ALL, view)
        await subscription.synced()
        server.hold()
        await run.create("a")
        server.delete("a")
        assert A in subscription.cache
        server.show()
        await settle()
        assert A not in subscription.cache
        assert view.told == ["+a", "-a"]


@in_virtual_time
async def test_an_own_creation_that_is_deleted_while_the_watch_is_down_goes_with_the_next_list() -> None:
    server = ModelServer()
    view = View()
    async with running(server) as run:
        subscription = run.informers.subscribe(ALL, view)
        await subscription.synced()
        server.hold()
        await run.create("a")
        server.delete("a")
        server.show()
        server.compact()
        server.cut()
        await asyncio.sleep(60.0)
        assert A not in subscription.cache
        assert view.told == ["+a", "-a"]


@in_virtual_time
async def test_an_own_write_that_is_answered_when_the_watch_is_past_it_does_not_bring_back_what_is_gone() -> None:
    server = ModelServer()
    view = View()
    async with running(server) as run:
        subscription = run.informers.subscribe(ALL, view)
        await subscription.synced()

        async def late(method: str, key: Key) -> None:
            server.delete("a")
            await asyncio.sleep(1.0)

        run.own.after = late
        await run.create("a")
        assert A not in subscription.cache
        await settle()
        assert view.told == ["+a", "-a"]


@in_virtual_time
async def test_what_is_newer_than_an_own_write_stays_when_that_is_answered_late() -> None:
    server = ModelServer()
    async with running(server) as run:
        subscription = run.informers.subscribe(ALL)
        await subscription.synced()

        async def late(method: str, key: Key) -> None:
            server.put("a", text="theirs")
            await asyncio.sleep(1.0)

        run.own.after = late
        await run.create("a", "ours")
        assert text(subscription.cache.get(A)) == "theirs"


@in_virtual_time
async def test_an_own_deletion_is_seen_at_once_and_old_events_do_not_bring_the_object_back() -> None:
    server = ModelServer()
    server.put("a")
    view = View()
    async with running(server) as run:
        subscription = run.informers.subscribe(ALL, view)
        await subscription.synced()
        server.hold()
        server.put("a", text="an event that the watch has yet to show")
        await run.client.delete(CONFIG_MAPS, "a", "ns")
        assert A not in subscription.cache
        server.show()
        await settle()
        assert A not in subscription.cache
        assert view.told == ["+a", "-a"]
        server.put("a")  # another one of that name
        await settle()
        assert view.told == ["+a", "-a", "+a"]


@in_virtual_time
async def test_an_own_deletion_is_not_undone_by_a_list_that_does_not_know_of_it() -> None:
    server = ModelServer()
    server.streams_lists = False
    server.put("a")
    async with running(server) as run:
        server.hold()
        obj = await run.client.get(CONFIG_MAPS, "a", "ns")
        subscription = run.informers.subscribe(ALL)
        await run.client.delete(CONFIG_MAPS, "a", "ns", uid=obj.metadata.uid)
        await subscription.synced()
        assert A not in subscription.cache
        server.show()
        await settle()
        assert A not in subscription.cache


@in_virtual_time
async def test_an_own_creation_is_not_undone_by_a_list_that_does_not_know_of_it() -> None:
    server = ModelServer()
    server.streams_lists = False
    view = View()
    async with running(server) as run:
        server.hold()
        subscription = run.informers.subscribe(ALL, view)
        created = await run.create("a")
        await subscription.synced()
        assert subscription.cache.get(A) is created
        server.show()
        await settle()
        assert view.told == ["+a"]


@in_virtual_time
async def test_deleted_and_made_again_by_oneself_the_old_events_change_nothing() -> None:
    server = ModelServer()
    server.put("a", text="old")
    view = View()
    async with running(server) as run:
        subscription = run.informers.subscribe(ALL, view)
        await subscription.synced()
        server.hold()
        server.put("a", text="older")
        await run.client.delete(CONFIG_MAPS, "a", "ns")
        created = await run.create("a", "new")
        server.show()
        await settle()
        assert subscription.cache.get(A) is created
        assert view.told == ["+a", "-a", "+a"]


@in_virtual_time
async def test_a_write_to_what_somebody_else_made_again_shows_the_new_object() -> None:
    server = ModelServer()
    server.put("a", text="old")
    view = View()
    async with running(server) as run:
        subscription = run.informers.subscribe(ALL, view)
        await subscription.synced()
        server.hold()
        server.delete("a")
        other = server.put("a", text="new")
        await run.update(_of(other), "ours")
        assert text(subscription.cache.get(A)) == "ours"
        server.show()
        await settle()
        assert text(subscription.cache.get(A)) == "ours"
        assert view.told == ["+a", "-a", "+a"]


@in_virtual_time
async def test_an_own_deletion_makes_old_news_of_the_predecessors_too() -> None:
    server = ModelServer()
    server.put("a", text="first")
    view = View()
    async with running(server) as run:
        subscription = run.informers.subscribe(ALL, view)
        await subscription.synced()
        server.hold()
        server.put("a", text="first, changed")
        between = server.version
        server.delete("a")
        await run.update(_of(server.put("a", text="second")), "ours")
        await run.client.delete(CONFIG_MAPS, "a", "ns")
        server.show(between)
        await settle()
        assert A not in subscription.cache
        server.show()
        await settle()
        assert A not in subscription.cache
        assert view.told == ["+a", "-a", "+a", "-a"]


@in_virtual_time
async def test_an_own_deletion_of_what_the_cache_does_not_know_yet_takes_its_predecessor_out() -> None:
    server = ModelServer()
    server.put("a", text="first")
    async with running(server) as run:
        subscription = run.informers.subscribe(ALL)
        await subscription.synced()
        server.hold()
        server.delete("a")
        server.put("a", text="second")
        await run.client.delete(CONFIG_MAPS, "a", "ns")
        await run.informers.settled()
        assert A not in subscription.cache


@in_virtual_time
async def test_an_own_update_that_leaves_the_selector_takes_out_what_was_there_before_under_that_name() -> None:
    server = ModelServer()
    server.put("a", labels={"app": "x"})
    view = View()
    async with running(server) as run:
        subscription = run.informers.subscribe(SELECTED, view)
        await subscription.synced()
        server.hold()
        server.put("a", text="an event that the watch has yet to show")
        server.delete("a")
        other = server.put("a", labels={"app": "x"})
        await run.update(_of(other), labels={"app": "y"})
        assert A not in subscription.cache
        server.show()
        await settle()
        assert A not in subscription.cache
        assert view.told == ["+a", "-a"]


SELECTED: Selection[Any] = Selection(CONFIG_MAPS, label_selector="app=x")


@in_virtual_time
async def test_an_own_update_that_leaves_the_selector_takes_the_object_out_until_it_comes_back() -> None:
    server = ModelServer()
    server.put("a", labels={"app": "x"})
    view = View()
    async with running(server) as run:
        subscription = run.informers.subscribe(SELECTED, view)
        await subscription.synced()
        server.hold()
        server.put("a", text="an event that the watch has yet to show")
        current = await run.client.get(CONFIG_MAPS, "a", "ns")
        await run.update(current, labels={"app": "y"})
        assert A not in subscription.cache
        server.show()
        await settle()
        assert A not in subscription.cache
        assert view.told == ["+a", "-a"]
        server.put("a", labels={"app": "x"})
        await settle()
        assert view.told == ["+a", "-a", "+a"]


@in_virtual_time
async def test_an_own_write_outside_of_a_selection_does_not_enter_its_cache() -> None:
    server = ModelServer()
    async with running(server) as run:
        selected = run.informers.subscribe(SELECTED)
        elsewhere = run.informers.subscribe(Selection(CONFIG_MAPS, ("other",)))
        await run.informers.synced()
        server.hold()
        await run.create("a")
        assert len(selected.cache) == len(elsewhere.cache) == 0


@in_virtual_time
async def test_a_late_answer_of_an_update_that_left_the_selector_does_not_weaken_a_deletion() -> None:
    """Old events of what is deleted stay old news, whatever is answered after the deletion."""
    client = Client(ModelTransport(ModelServer()), environment=Environment(VirtualClock(), random.Random(1)))
    informer: Informer[Any] = Informer(client, SELECTED, Metrics(), idle_seconds=120.0, resync_seconds=0.0)
    metadata = {"name": "a", "namespace": "ns", "uid": "u"}
    informer.changed(_of({"metadata": {**metadata, "labels": {"app": "x"}, "resourceVersion": "40"}}))
    informer.wrote_delete(A, "u")
    informer.wrote(_of({"metadata": {**metadata, "labels": {"app": "y"}, "resourceVersion": "44"}}))
    informer.changed(_of({"metadata": {**metadata, "labels": {"app": "x"}, "resourceVersion": "46"}}))
    assert len(informer.cache) == 0


@in_virtual_time
async def test_of_two_updates_that_left_the_selector_the_newer_one_counts_whichever_is_answered_last() -> None:
    client = Client(ModelTransport(ModelServer()), environment=Environment(VirtualClock(), random.Random(1)))
    informer: Informer[Any] = Informer(client, SELECTED, Metrics(), idle_seconds=120.0, resync_seconds=0.0)
    metadata = {"name": "a", "namespace": "ns", "uid": "u"}
    for version in ("52", "44"):
        informer.wrote(_of({"metadata": {**metadata, "labels": {"app": "y"}, "resourceVersion": version}}))
    informer.changed(_of({"metadata": {**metadata, "labels": {"app": "x"}, "resourceVersion": "46"}}))
    assert len(informer.cache) == 0
    informer.changed(_of({"metadata": {**metadata, "labels": {"app": "x"}, "resourceVersion": "53"}}))
    assert len(informer.cache) == 1


@in_virtual_time
async def test_what_is_known_of_own_deletions_is_forgotten_when_no_watch_can_be_so_late() -> None:
    client = Client(ModelTransport(ModelServer()), environment=Environment(VirtualClock(), random.Random(1)))
    informer: Informer[Any] = Informer(client, ALL, Metrics(), idle_seconds=120.0, resync_seconds=0.0)
    for number in range(100):
        informer.wrote_delete(Key("ns", str(number)), f"uid-{number}")
        await asyncio.sleep(10.0)
    assert 55 <= len(informer._old_news) <= 65


@in_virtual_time
async def test_an_own_deletion_that_a_finalizer_holds_up_shows_the_object_as_it_is_going() -> None:
    server = ModelServer()
    server.put("a", finalizers=["example.com/wait"])
    view = View()
    async with running(server) as run:
        subscription = run.informers.subscribe(ALL, view)
        await subscription.synced()
        server.hold()
        await run.client.delete(CONFIG_MAPS, "a", "ns")
        going = subscription.cache.get(A)
        assert going is not None
        assert going.metadata.deletion_timestamp
        assert view.told == ["+a"]
        await run.update(going, finalizers=[])
        assert A not in subscription.cache  # taking the last finalizer away is what deletes it
        server.show()
        await settle()
        assert A not in subscription.cache
        assert view.told == ["+a", "~a", "-a"]


@in_virtual_time
async def test_a_transform_is_applied_to_own_writes() -> None:
    selection = Selection(CONFIG_MAPS, transform=lambda raw: raw.replace(b"secret", b"***"))
    async with running(ModelServer()) as run:
        subscription = run.informers.subscribe(selection)
        await subscription.synced()
        await run.create("a", "secret")
        assert text(subscription.cache.get(A)) == "***"


@in_virtual_time
async def test_a_transform_that_raises_does_not_fail_an_own_write() -> None:
    def transform(raw: bytes) -> bytes:
        raise ValueError

    async with running(ModelServer()) as run:
        subscription = run.informers.subscribe(Selection(CONFIG_MAPS, transform=transform))
        await subscription.synced()
        await run.create("a", "1")
        assert text(subscription.cache.get(A)) == "1"


# Answers that were lost.


def losing(*, effect: bool) -> Callable[[str, Key], Awaitable[Any]]:
    async def lose(method: str, key: Key) -> None:
        if method != "GET":
            raise AnswerLost("reset" if effect else "reset before")

    return lose


@in_virtual_time
async def test_a_creation_whose_answer_was_lost_is_looked_up_before_settled_returns() -> None:
    server = ModelServer()
    async with running(server) as run:
        subscription = run.informers.subscribe(ALL)
        await subscription.synced()
        server.hold()
        run.own.after = losing(effect=True)
        with pytest.raises(AnswerLost):
            await run.create("a")
        assert A not in subscription.cache
        await run.informers.settled()
        assert A in subscription.cache
        assert run.transport.calls == ["WATCH", "GET"]


@in_virtual_time
async def test_a_creation_that_did_not_take_effect_leaves_nothing() -> None:
    server = ModelServer()
    async with running(server) as run:
        subscription = run.informers.subscribe(ALL)
        await subscription.synced()
        run.own.before = losing(effect=False)
        with pytest.raises(AnswerLost):
            await run.create("a")
        await run.informers.settled()
        assert A not in subscription.cache


@in_virtual_time
async def test_a_deletion_whose_answer_was_lost_is_looked_up() -> None:
    server = ModelServer()
    server.put("a")
    async with running(server) as run:
        subscription = run.informers.subscribe(ALL)
        await subscription.synced()
        server.hold()
        server.put("a", text="an event that the watch has yet to show")
        run.own.after = losing(effect=True)
        with pytest.raises(AnswerLost):
            await run.client.delete(CONFIG_MAPS, "a", "ns")
        assert A in subscription.cache
        await run.informers.settled()
        assert A not in subscription.cache
        server.show()
        await settle()
        assert A not in subscription.cache


@in_virtual_time
async def test_a_cancelled_write_is_looked_up() -> None:
    server = ModelServer()
    async with running(server) as run:
        subscription = run.informers.subscribe(ALL)
        await subscription.synced()
        server.hold()

        async def slow(method: str, key: Key) -> None:
            await asyncio.sleep(20.0)

        run.own.after = slow
        writing = asyncio.ensure_future(run.create("a"))
        await asyncio.sleep(1.0)
        writing.cancel()
        await asyncio.wait([writing])
        await run.informers.settled()
        assert A in subscription.cache


@in_virtual_time
async def test_a_look_up_is_tried_again_while_the_server_is_away_and_settled_waits() -> None:
    server = ModelServer()
    async with running(server) as run:
        subscription = run.informers.subscribe(ALL)
        await subscription.synced()
        server.hold()
        away = True

        async def unreachable(method: str, key: Key) -> None:
            if away:
                raise Unreachable("connection refused")

        run.transport.before = unreachable
        run.own.after = losing(effect=True)
        with pytest.raises(AnswerLost):
            await run.create("a")
        waiting = asyncio.create_task(run.informers.settled())
        await asyncio.sleep(100.0)
        assert not waiting.done()
        away = False
        await asyncio.wait_for(waiting, 10.0)
        assert A in subscription.cache


@pytest.mark.parametrize("code", [400, 403, 405])
@in_virtual_time
async def test_a_look_up_that_is_refused_is_reported_and_does_not_hold_up_for_ever(code: int) -> None:
    server = ModelServer()
    async with running(server) as run:
        subscription = run.informers.subscribe(ALL)
        await subscription.synced()

        async def refuse(method: str, key: Key) -> Answer | None:
            return _refused(code) if method == "GET" else None

        run.transport.before = refuse
        run.own.after = losing(effect=True)
        with structlog.testing.capture_logs() as logs:
            with pytest.raises(AnswerLost):
                await run.create("a")
            await asyncio.wait_for(run.informers.settled(), 60.0)
        (entry,) = [entry for entry in logs if entry["log_level"] == "error"]
        assert entry["key"] == "ns/a"
        assert (entry["hint"] == "grant get on configmaps to this user") == (code == 403)


@in_virtual_time
async def test_a_look_up_that_does_not_decode_is_reported_and_does_not_hold_up_for_ever() -> None:
    async with running(ModelServer()) as run:
        subscription = run.informers.subscribe(ALL)
        await subscription.synced()

        async def rubbish(method: str, key: Key) -> Answer | None:
            return Answer(200, {}, b"<html>") if method == "GET" else None

        run.transport.before = rubbish
        run.own.after = losing(effect=True)
        with structlog.testing.capture_logs() as logs:
            with pytest.raises(AnswerLost):
                await run.create("a")
            await asyncio.wait_for(run.informers.settled(), 60.0)
        assert [entry["key"] for entry in logs if entry["log_level"] == "error"] == ["ns/a"]


@in_virtual_time
async def test_a_second_lost_answer_is_looked_up_anew() -> None:
    server = ModelServer()
    async with running(server) as run:
        subscription = run.informers.subscribe(ALL)
        await subscription.synced()
        server.hold()

        async def slow(method: str, key: Key) -> None:
            await asyncio.sleep(10.0)

        run.transport.after = slow  # what the first look-up answers is old by then
        run.own.after = losing(effect=True)
        with pytest.raises(AnswerLost):
            await run.create("a", "1")
        await asyncio.sleep(1.0)
        with pytest.raises(AnswerLost):
            await run.update(_of(server.objects[A]), "2")
        await run.informers.settled()
        assert text(subscription.cache.get(A)) == "2"


@in_virtual_time
async def test_a_look_up_whose_answer_is_late_does_not_bring_back_what_is_gone() -> None:
    server = ModelServer()
    async with running(server) as run:
        subscription = run.informers.subscribe(ALL)
        await subscription.synced()

        async def slow(method: str, key: Key) -> None:
            await asyncio.sleep(10.0)

        run.transport.after = slow
        run.own.after = losing(effect=True)
        with pytest.raises(AnswerLost):
            await run.create("a")
        await asyncio.sleep(1.0)
        server.delete("a")
        await run.informers.settled()
        assert A not in subscription.cache


@in_virtual_time
async def test_a_look_up_that_found_nothing_is_repeated_if_something_came_in_meanwhile() -> None:
    server = ModelServer()
    async with running(server) as run:
        subscription = run.informers.subscribe(ALL)
        await subscription.synced()
        server.hold()

        async def slow(method: str, key: Key) -> None:
            await asyncio.sleep(5.0)

        run.own.after = slow
        writing = asyncio.ensure_future(run.create("a"))  # it takes effect now, and is answered after 5 s
        await settle()
        server.delete("a")
        await asyncio.sleep(1.0)
        run.transport.after = slow
        run.informers.uncertain(CONFIG_MAPS, A)  # looked up now, and answered after that
        await writing
        await run.informers.settled()
        assert A not in subscription.cache


# Several namespaces.


@in_virtual_time
async def test_an_informer_of_several_namespaces_has_synced_with_the_last_of_them() -> None:
    server = ModelServer()
    for namespace in ("one", "two", "three"):
        server.put("a", namespace)
    two_may_answer = asyncio.Event()
    view = View()

    class Slow(ModelTransport):
        @asynccontextmanager
        async def stream(
            self, path: str, *, query: Mapping[str, str], headers: Mapping[str, str], timeout: float
        ) -> AsyncIterator[ModelStream]:
            if "/two/" in path:
                await two_may_answer.wait()
            async with super().stream(path, query=query, headers=headers, timeout=timeout) as opened:
                yield opened

    client = Client(Slow(server), environment=Environment(VirtualClock(), random.Random(1)))
    informers = Informers(client, Metrics())
    main = asyncio.create_task(informers.run())
    subscription = informers.subscribe(Selection(CONFIG_MAPS, ("one", "two")), view)
    await asyncio.sleep(1.0)
    assert list(view.state) == [Key("one", "a")]
    assert not subscription.has_synced
    assert informers.unsynced == ["configmaps in one,two"]
    two_may_answer.set()
    await subscription.synced()
    server.put("b", "one")
    server.put("b", "two")
    server.put("b", "three")
    await settle()
    assert sorted(view.state) == [Key("one", "a"), Key("one", "b"), Key("two", "a"), Key("two", "b")]
    main.cancel()


@in_virtual_time
async def test_a_list_of_one_namespace_leaves_the_others_alone() -> None:
    server = ModelServer()
    server.put("a", "one")
    server.put("a", "two")
    async with running(server) as run:
        subscription = run.informers.subscribe(Selection(CONFIG_MAPS, ("one", "two")))
        await subscription.synced()
        server.hold()
        server.delete("a", "one")
        server.show()
        server.compact()
        server.cut()
        await asyncio.sleep(60.0)
        assert [obj.key for obj in subscription.cache] == [Key("two", "a")]


@in_virtual_time
async def test_own_writes_enter_the_cache_of_several_namespaces() -> None:
    server = ModelServer()
    async with running(server) as run:
        subscription = run.informers.subscribe(Selection(CONFIG_MAPS, ("ns", "two")))
        await subscription.synced()
        server.hold()
        await run.create("a")
        assert A in subscription.cache
        run.own.after = losing(effect=True)
        with pytest.raises(AnswerLost):
            await run.create("b")
        await run.informers.settled()
        assert B in subscription.cache


# Anything at all.


class Campaign:
    """Random writes by others and by this process, random faults, and what must hold whatever happens."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.server = ModelServer()
        self.server.streams_lists = self.chance.random() < 0.6
        self.run = Running(self.server, seed)
        namespaces = ("ns", "other") if self.chance.random() < 0.3 else ()
        label = "app=x" if self.chance.random() < 0.5 else ""
        self.selection: Selection[Any] = Selection(CONFIG_MAPS, namespaces, label_selector=label)
        self.faulty = True
        self.views: list[View] = []
        self.floor: dict[Key, int] = {}  # no version below this may be seen
        self.held: dict[Key, int] = {}  # what the cache held when it was last looked at
        self.wrote: dict[Key, int] = {}  # the newest version of an own write that was answered
        self.deleted_uids: set[str] = set()
        self.others: list[asyncio.Task[None]] = []
        self.last_writer: dict[Key, object] = {}
        self.writers: Counter[Key] = Counter()

    # The surroundings.

    async def _before_read(self, method: str, key: Key) -> Answer | None:
        if not self.faulty:
            return None
        await asyncio.sleep(self.chance.choice((0.0, 0.0, 0.1, 2.0)))
        if self.chance.random() < 0.15:
            if self.chance.random() < 0.3:
                raise self.chance.choice((AnswerLost("reset"), Unreachable("refused")))
            return _refused(self.chance.choice((429, 500, 503, 401, 401 if method == "GET" else 410)))
        return None

    async def _before_write(self, method: str, key: Key) -> Answer | None:
        await asyncio.sleep(self.chance.choice((0.0, 0.1, 1.0)))
        if self.faulty and self.chance.random() < 0.1:
            raise AnswerLost("reset before it took effect")
        return None

    async def _after(self, method: str, key: Key) -> None:
        await asyncio.sleep(self.chance.choice((0.0, 0.0, 0.1, 1.0, 5.0)))
        if self.faulty and method not in ("GET", "LIST") and self.chance.random() < 0.15:
            raise AnswerLost("reset after it took effect")

    def _disturb(self) -> None:
        server = self.server
        what = self.chance.random()
        if what < 0.3:
            server.shown = max(server.visible, self.chance.randint(server.visible, server.version))
            server.moved()
        elif what < 0.5:
            server.show()
        elif what < 0.65:
            server.hold()
        elif what < 0.85:
            server.cut(politely=self.chance.random() < 0.5)
        else:
            server.compact()

    # What is done to objects.

    def _somebody_writes(self) -> None:
        server, name = self.server, self.chance.choice("abcdef")
        namespace = self.chance.choice(("ns", "ns", "other"))
        known = server.objects.get(Key(namespace, name))
        if known is not None and self.chance.random() < 0.3:
            server.delete(name, namespace)
        elif known is not None and known["metadata"].get("deletionTimestamp"):
            server.put(name, namespace, finalizers=[])
        else:
            finalizers = ["example.com/f"] if self.chance.random() < 0.15 else []
            server.put(name, namespace, finalizers=finalizers, labels={"app": self.chance.choice("xxy")})

    async def _we_write(self) -> None:
        name, namespace = self.chance.choice("abcdef"), self.chance.choice(("ns", "ns", "other"))
        key = Key(namespace, name)
        client = self.run.client
        known = self.subscription.cache.get(key)
        labels = {"app": self.chance.choice("xxy")}
        me = self.last_writer[key] = object()
        alone = self.writers[key] == 0
        self.writers[key] += 1
        try:
            if known is None:
                metadata = {"name": name, "namespace": namespace, "labels": labels}
                self._answered(await client.create(CONFIG_MAPS, {"metadata": metadata}))
            elif self.chance.random() < 0.4:
                await client.delete(CONFIG_MAPS, name, namespace, uid=known.metadata.uid)
                self.deleted_uids |= {known.metadata.uid} & self.run.own.removed
            else:
                value = known.decode()
                value["metadata"] |= {"labels": labels, "finalizers": []}
                self._answered(await client.update(CONFIG_MAPS, value))
        except (ApiError, Unreachable):
            pass
        except AnswerLost:
            done = self.server.version
            await self.run.informers.settled()
            # Of two own writes at a time, one may be answered after the other was looked up: a 404 has no version.
            if alone and self.last_writer[key] is me:
                self._is_not_older(key, done)
        self.writers[key] -= 1
        self.look()

    def _answered(self, obj: Object[Any]) -> None:
        if obj.metadata.deletion_timestamp and not obj.metadata.finalizers:
            self.deleted_uids.add(obj.metadata.uid)
        else:
            self.wrote[obj.key] = max(self.wrote.get(obj.key, 0), obj.version)

    # What must hold.

    def _is_not_older(self, key: Key, version: int) -> None:
        """Check that the cache shows a state of the object that there was at this version or later."""
        if not self.selection.namespaces or key.namespace in self.selection.namespaces:
            shown_ = self.subscription.cache.get(key)
            states: list[int | None] = [None]
            for write in self.server.history:
                value = write.new or write.old
                assert value is not None
                if Key(value["metadata"]["namespace"], value["metadata"]["name"]) == key:
                    held = write.new is not None and self.selection.holds(_of(write.new))
                    if write.version <= version:
                        states.clear()
                    states.append(write.version if held else None)
            found = None if shown_ is None else shown_.version
            assert found in states, f"{key}: {found} is in the cache, and since {version} there were {states}"

    def look(self) -> None:
        cache = self.subscription.cache
        now = {obj.key: obj for obj in cache}
        for key, obj in now.items():
            if key not in self.held:
                assert obj.version > self.floor.get(key, 0), f"{key} is back from the dead: {obj}"
            assert obj.version >= self.floor.get(key, 0), f"{key} went back in time: {obj}"
            self.floor[key] = obj.version
            assert obj.metadata.uid not in self.deleted_uids, f"{obj} was deleted by this process"
        self.held = {key: obj.version for key, obj in now.items()}
        for key, version in self.wrote.items():
            self._is_not_older(key, version)

    def _subscribe(self) -> tuple[View, Subscription[Any]]:
        view = View()
        self.views.append(view)
        chance = random.Random(self.chance.random())

        async def handler(delta: Delta[Any]) -> None:
            if self.faulty and chance.random() < 0.1:
                await asyncio.sleep(chance.uniform(0, 3))
            if self.faulty and chance.random() < 0.1:
                view.failed = True
                raise ValueError("a bad day")
            view(delta)

        return view, self.run.informers.subscribe(self.selection, handler)

    def _step(self) -> None:
        what = self.chance.random()
        if what < 0.4:
            self._somebody_writes()
        elif what < 0.7:
            self.others.append(asyncio.create_task(self._we_write()))
        elif what < 0.95:
            self._disturb()
        elif what < 0.98:
            self._subscribe()
        else:
            view, subscription = self._subscribe()
            self.views.remove(view)
            self.others.append(asyncio.create_task(subscription.remove()))

    async def play(self) -> None:
        for _ in range(self.chance.randint(0, 8)):
            self._somebody_writes()
        if self.chance.random() < 0.5:
            self.server.hold()
            self._somebody_writes()
        self.subscription = self.run.informers.subscribe(self.selection)
        self._subscribe()
        self.run.transport.before = self._before_read
        self.run.own.before = self._before_write
        self.run.transport.after = self.run.own.after = self._after
        self.server.repeats = lambda: self.chance.choice((0, 0, 1, 2, 4)) if self.faulty else 0
        for _ in range(60):
            self._step()
            self.look()
            await asyncio.sleep(self.chance.choice((0.0, 0.0, 0.1, 1.0, 10.0)))
            self.look()
        self.faulty = False
        self.server.show()
        await asyncio.sleep(300.0)
        await asyncio.gather(*self.others)
        self.look()
        self._check_end()
        await self.run.stop()

    def _check_end(self) -> None:
        expected = {
            key: int(value["metadata"]["resourceVersion"])
            for key, value in self.server.objects.items()
            if self.selection.holds(_of(value))
        }
        assert {obj.key: obj.version for obj in self.subscription.cache} == expected
        for view in self.views:
            assert view.wrong == []
            assert {key: obj.version for key, obj in view.state.items()} == expected


@pytest.mark.parametrize("start", range(0, 300, 50))
def test_whatever_happens_the_cache_never_goes_back_and_ends_up_equal_to_the_server(start: int) -> None:
    for seed in range(start, start + 50):

        @in_virtual_time
        async def play(seed: int = seed) -> None:
            with structlog.testing.capture_logs():
                await Campaign(seed).play()

        try:
            play()
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
