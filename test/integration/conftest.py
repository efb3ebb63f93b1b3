"""What the tests of `disvc.runtime`, and of the simulated KServe, on a real kube-apiserver have in common.

A program under test watches ConfigMaps through a `FaultProxy`; others, whom the proxy does not touch, write
them. In the end what the program knows and what its handlers were told must equal what the server lists.

The simulated KServe is tested by what a person does to ISVCs, and sees of them and of what they consist of.
"""

from __future__ import annotations

import asyncio
import signal
import ssl
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import aiohttp
import msgspec
import pytest
from structlog.testing import capture_logs

from disvc.runtime import Client, Delta, Key, Manager, Object, Resource, Selection, connect
from disvc.testing.kserve import INFERENCE_SERVICES
from disvc.testing.proxy import FaultProxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, MutableMapping
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from disvc.testing.controlplane import ControlPlane

    MakeProxy = Callable[..., Awaitable[FaultProxy]]
    MakeOthers = Callable[..., Awaitable["Others"]]
    Watching = Callable[..., AbstractAsyncContextManager["Program"]]
    Until = Callable[..., Awaitable[None]]
    Log = list[MutableMapping[str, Any]]
    Value = dict[str, Any]

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # So it is under a shell that runs the tests in the background, and programs under test would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)

CONFIG_MAPS = Resource("v1", "ConfigMap", "configmaps")


class Version(NamedTuple):
    """Which version of which object it is; names come back, UIDs do not."""

    uid: str
    resource_version: str


def version_of(obj: Object[Any]) -> Version:
    return Version(obj.metadata.uid, obj.metadata.resource_version)


async def poll(condition: Callable[[], bool | Awaitable[bool]], seconds: float = 120.0) -> None:
    """Wait until something is so. Raises `TimeoutError` after that many seconds."""
    async with asyncio.timeout(seconds):
        while True:
            result = condition()
            if result if isinstance(result, bool) else await result:
                return
            await asyncio.sleep(0.02)


class Seen:
    """A handler that folds what it is told, and holds every delta against what it was told before."""

    def __init__(self) -> None:
        self.state: dict[Key, Version] = {}
        self.deleted: list[tuple[Key, str]] = []
        """The key and UID of each deletion, in order."""
        self.wrong: list[str] = []
        """Deltas that do not fit what came before; there must be none."""

    def __call__(self, delta: Delta[Any]) -> None:
        key = delta.object.key
        before = self.state.pop(key, None)
        old = None if delta.old is None else version_of(delta.old)
        if delta.new is None:
            self.deleted.append((key, delta.object.metadata.uid))
            if before is None or before.uid != delta.object.metadata.uid:
                self.wrong.append(f"{delta}: deleted, after {before}")
            return
        new = self.state[key] = version_of(delta.new)
        if old != before:
            self.wrong.append(f"{delta}: changed from {old}, after {before}")
        if before is not None and int(new.resource_version) <= int(before.resource_version):
            self.wrong.append(f"{delta}: gone back, after {before}")


@dataclass
class Others:
    """Clients other than the program under test: they write to one collection, past any proxy."""

    plane: ControlPlane
    resource: Resource[Any]
    namespace: str
    _session: aiohttp.ClientSession
    uids: dict[str, str] = field(default_factory=dict)
    """Of each name, the UID of the last object created under it."""

    async def create(self, *names: str, **body: Any) -> None:
        async def one(name: str) -> None:
            created = await self._send("POST", "", {**body, "metadata": {"name": name}})
            self.uids[name] = created["metadata"]["uid"]

        await self._many(one, names)

    async def change(self, *names: str, **patch: Any) -> None:
        """Patch objects; without a `patch` their annotation `n` counts up."""

        async def one(name: str) -> None:
            annotation = {"metadata": {"annotations": {"n": str(asyncio.get_running_loop().time())}}}
            await self._send("PATCH", name, patch or annotation)

        await self._many(one, names)

    async def delete(self, *names: str) -> None:
        async def one(name: str) -> None:
            await self._send("DELETE", name)

        await self._many(one, names)

    async def listed(self) -> dict[Key, Version]:
        """List the collection as the server has it now."""
        answer = await self._send("GET", "")
        metadata = [item["metadata"] for item in answer["items"]]
        return {Key(m.get("namespace", ""), m["name"]): Version(m["uid"], m["resourceVersion"]) for m in metadata}

    async def _many(self, one: Callable[[str], Awaitable[None]], names: Iterable[str]) -> None:
        left = iter(names)

        async def work() -> None:
            for name in left:
                await one(name)

        async with asyncio.TaskGroup() as group:
            for _ in range(16):
                group.create_task(work())

    async def _send(self, method: str, name: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        url = self.plane.url + self.resource.path(self.namespace, name)
        if body is not None and method == "POST":
            body = {"apiVersion": self.resource.api_version, "kind": self.resource.kind, **body}
        headers = {"Content-Type": "application/merge-patch+json"} if method == "PATCH" else {}
        async with self._session.request(method, url, json=body, headers=headers) as response:
            answer: dict[str, Any] = await response.json()
            assert response.status < 300, answer
            return answer


class Observer:
    """A handler at one selection, and the cache behind it."""

    def __init__(self, manager: Manager, selection: Selection[Any]) -> None:
        self.seen = Seen()
        self.subscription = manager.informers.subscribe(selection, self.seen, str(selection))

    @property
    def cached(self) -> dict[Key, Version]:
        return {obj.key: version_of(obj) for obj in self.subscription.cache}

    async def agrees_with(self, others: Others) -> None:
        """Wait until cache and handler equal what the server lists, and hold the handler's history to it.

        Nobody may write meanwhile.
        """
        listed = await others.listed()
        try:
            await poll(lambda: listed == self.cached == self.seen.state)
        except TimeoutError:
            assert self.cached == listed
            assert self.seen.state == listed
        assert self.seen.wrong == []
        assert len(set(self.seen.deleted)) == len(self.seen.deleted), "an object was deleted twice"

    def saw_deleted(self, others: Others, *names: str) -> None:
        """Assert that the handler was told of the deletion of the objects last created under these names."""
        told = set(self.seen.deleted)
        missing = [n for n in names if (Key(others.namespace, n), others.uids[n]) not in told]
        assert missing == []


class Program(Observer):
    """A program that watches, as a user of the library writes it: a manager and a handler."""

    def __init__(self, manager: Manager, selection: Selection[Any], log: Log) -> None:
        super().__init__(manager, selection)
        self.manager = manager
        self.log = log

    def observe(self, selection: Selection[Any]) -> Observer:
        """Add another handler, at a selection of its own."""
        return Observer(self.manager, selection)

    def metric(self, name: str) -> float:
        """Return a metric, summed over its labels."""
        families = self.manager.metrics.registry.collect()
        return sum(s.value for family in families for s in family.samples if s.name == name)

    def logged(self, text: str) -> Log:
        """Return what was logged with this text in any of its values."""
        return [entry for entry in self.log if any(text in str(value) for value in entry.values())]

    async def until_logged(self, text: str) -> None:
        await poll(lambda: bool(self.logged(text)))


@pytest.fixture
def until() -> Until:
    """`await until(condition)`: wait until a condition, which may be a coroutine function, is true."""
    return poll


@pytest.fixture
async def make_others() -> AsyncIterator[MakeOthers]:
    """`await make_others(plane, namespace, resource)`: other clients, who may do everything."""
    async with AsyncExitStack() as stack:

        async def make(plane: ControlPlane, namespace: str, resource: Resource[Any] = CONFIG_MAPS) -> Others:
            tls = await asyncio.to_thread(plane.admin.ssl_context)
            connector = aiohttp.TCPConnector(ssl=tls, limit=16, force_close=False)
            session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
            return Others(plane, resource, namespace, session)

        yield make


@pytest.fixture
async def make_proxy() -> AsyncIterator[MakeProxy]:
    """`await make_proxy(plane, user)`: a proxy that acts as `user`, in no group but those of all users.

    Without `user` callers bring a token of their own.
    """
    async with AsyncExitStack() as stack:

        async def make(plane: ControlPlane, user: str | None = None) -> FaultProxy:
            tls = ssl.create_default_context(cafile=str(plane.ca_file))
            groups: tuple[str, ...] = ()
            if user is not None:
                tls.load_cert_chain(plane.front_proxy.cert_file, plane.front_proxy.key_file)
                groups = ("system:authenticated",)
            return await stack.enter_async_context(FaultProxy(plane.url, ssl=tls, user=user, groups=groups))

        yield make


@pytest.fixture
def watching() -> Watching:
    """`async with watching(kubeconfig, selection, **options) as program`: connect, and run a manager.

    It does not wait until the program has synchronised. `prepare` gets the manager before it runs; the other
    options are the manager's.
    """

    @asynccontextmanager
    async def watch(
        kubeconfig: Path,
        selection: Selection[Any],
        /,
        prepare: Callable[[Manager], None] | None = None,
        **options: Any,
    ) -> AsyncIterator[Program]:
        with capture_logs() as log:
            async with connect(kubeconfig) as transport:
                manager = Manager(transport, **options)
                if prepare is not None:
                    prepare(manager)
                program = Program(manager, selection, log)
                stop = asyncio.Event()
                async with asyncio.TaskGroup() as group:
                    group.create_task(manager.run(stop=stop, handle_signals=False))
                    yield program
                    stop.set()

    return watch


@dataclass
class ISVCs:
    """The ISVCs of the namespace that the simulated KServe serves, and a person who handles them."""

    client: Client
    namespace: str

    async def create(self, name: str, *, labels: Any = None, annotations: Any = None, **spec: Any) -> Value:
        """Create an ISVC of a scikit-learn model, in Standard mode and without an autoscaler, and return it.

        `spec` are fields besides or in place of `predictor`; an annotation that is None is left out.
        """
        standard = {
            "serving.kserve.io/autoscalerClass": "none",
            "serving.kserve.io/deploymentMode": "RawDeployment",
        }
        wanted = {key: value for key, value in {**standard, **(annotations or {})}.items() if value is not None}
        metadata = {"name": name, "labels": labels or {}, "annotations": wanted}
        spec = {"predictor": self.predictor(), **spec}
        isvc = {"metadata": metadata, "spec": spec}
        return (await self.client.create(INFERENCE_SERVICES, isvc, self.namespace)).decode()

    @staticmethod
    def predictor(*, model: Any = None, **fields: Any) -> Value:
        """Return a predictor with a scikit-learn model; `model` and `fields` are added."""
        sklearn = {
            "modelFormat": {"name": "sklearn"},
            "runtime": "kserve-sklearnserver",
            "storageUri": "gs://models/sklearn",
        }
        return {"model": {**sklearn, **(model or {})}, **fields}

    async def change(self, name: str, patch: Value) -> None:
        """Merge a patch into an ISVC."""
        await self.client.patch(INFERENCE_SERVICES, name, patch, self.namespace)

    async def annotate(self, name: str, **annotations: str | None) -> None:
        """Set annotations of the group serving.kserve.io, or remove them."""
        patch = {f"serving.kserve.io/{key}": value for key, value in annotations.items()}
        await self.change(name, {"metadata": {"annotations": patch}})

    async def delete(self, name: str) -> None:
        """Delete an ISVC."""
        await self.client.delete(INFERENCE_SERVICES, name, self.namespace)

    async def get(self, resource: Resource[Any], name: str) -> Value:
        """Return an object as it is now."""
        value: Value = (await self.client.get(resource, name, self.namespace)).decode()
        return value

    async def all(self, resource: Resource[Any]) -> list[Value]:
        """Return all objects of a kind, as they are now."""
        return [obj.decode() for obj in (await self.client.list(resource, self.namespace)).items]

    async def until(
        self, resource: Resource[Any], condition: Callable[[dict[str, Value]], object], seconds: float = 60.0
    ) -> dict[str, Value]:
        """Wait until something is so of the objects of a kind, by name, and return them; a watch tells of them.

        Raises `TimeoutError`, with the objects as they are then.
        """
        listed = await self.client.list(resource, self.namespace)
        now: dict[str, Value] = {obj.metadata.name: obj.decode() for obj in listed.items}
        try:
            async with (
                asyncio.timeout(seconds),
                self.client.watch(
                    resource, self.namespace, resource_version=listed.resource_version, timeout_seconds=600
                ) as pieces,
            ):
                if condition(now):
                    return now
                async for piece in pieces:
                    for event in piece:
                        value = msgspec.json.decode(event.object)
                        if event.type == "DELETED":
                            del now[value["metadata"]["name"]]
                        elif event.type != "BOOKMARK":
                            now[value["metadata"]["name"]] = value
                        if condition(now):
                            return now
        except TimeoutError:
            raise TimeoutError(f"not so within {seconds:g} s: {now}") from None
        raise AssertionError(f"the watch of {resource} ended")

    async def until_ready(self, name: str, status: str = "True") -> Value:
        """Wait until an ISVC has this readiness, and return it."""

        def is_so(isvcs: dict[str, Value]) -> bool:
            return self.condition(isvcs[name], "Ready").get("status") == status

        return (await self.until(INFERENCE_SERVICES, is_so))[name]

    @staticmethod
    def condition(obj: Value, kind: str) -> Value:
        """Return a condition of an object, {} where it is not set."""
        found = obj.get("status", {}).get("conditions", ())
        return next((c for c in found if c["type"] == kind), {})


@pytest.fixture
async def isvcs(control_plane_with_controllers: ControlPlane, kserve_namespace: str) -> AsyncIterator[ISVCs]:
    """The ISVCs of `kserve_namespace`, as a person with all rights handles them."""
    async with connect(control_plane_with_controllers.admin.kubeconfig) as transport:
        yield ISVCs(Client(transport, field_manager="a-person"), kserve_namespace)
