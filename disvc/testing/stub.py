"""A stub of an API server, in this process and without a socket: the least that a manager needs to run.

For unit tests of controllers, in virtual time (`clock`) if they like. It keeps objects of any resource, counts
one version for all of them, and answers get, list, watch (streamed lists and bookmarks included), create,
update, merge patch and delete. It checks nothing: no schema, no admission, no finalizers, no subresources.
What is to be proved against a real API server belongs on a `ControlPlane`.

    server = StubServer()
    server.put(CONFIG_MAPS, "a", "default", data={"x": "1"})
    manager = Manager(server.transport())
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from disvc.runtime.errors import AnswerLost, Unreachable
from disvc.runtime.selection import fields_match, labels_match
from disvc.runtime.transport import Answer, Stream, Transport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping

    from disvc.runtime.objects import Resource

    Value = dict[str, Any]

_BOOKMARK_SECONDS: Final = 60.0  # as a kube-apiserver


class Call(NamedTuple):
    """One request that reached the stub."""

    method: str
    """`WATCH` for a stream, else HTTP's."""
    path: str
    query: Mapping[str, str]
    body: bytes | None


class _Address(NamedTuple):
    collection: str
    """Path of the collection in all namespaces."""
    namespace: str
    name: str


class _Change(NamedTuple):
    collection: str
    before: Value | None
    after: Value | None
    version: int


class StubServer:
    """Keeps objects and tells the watches about them; see the module's text.

    `hook` is asked before a request takes effect: it may wait, raise (`Unreachable`, `AnswerLost`), or return
    the answer to give in place of the server's own.
    """

    def __init__(self) -> None:
        self.version = 100
        self.calls: list[Call] = []
        self.hook: Callable[[Call], Awaitable[Answer | None]] | None = None
        self.silent = False
        """Whether open watches say nothing any more, and do not end either: a half-open connection."""
        self._objects: dict[str, dict[tuple[str, str], Value]] = {}
        self._changes: list[_Change] = []
        self._watches: set[asyncio.Queue[_Change]] = set()

    def transport(self) -> StubTransport:
        """Return a way to this server."""
        return StubTransport(self)

    def writes(self) -> list[Call]:
        """Return the calls that were to change something."""
        return [call for call in self.calls if call.body is not None]

    def put(
        self,
        resource: Resource[Any],
        name: str,
        namespace: str = "",
        *,
        labels: Mapping[str, str] | None = None,
        owners: Iterable[Mapping[str, Any]] = (),
        **content: Any,
    ) -> Value:
        """Create or change an object by somebody else's hand; `content` is what stands beside its metadata."""
        metadata: Value = {"name": name, "labels": dict(labels or {}), "ownerReferences": list(owners)}
        if namespace:
            metadata["namespace"] = namespace
        value = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata, **content}
        return self._put(_Address(resource.path(), namespace, name), value)

    def remove(self, resource: Resource[Any], name: str, namespace: str = "") -> Value:
        """Delete an object by somebody else's hand, and return it. Raises `KeyError` where there is none."""
        return self._remove(_Address(resource.path(), namespace, name))

    def get(self, resource: Resource[Any], name: str, namespace: str = "") -> Value | None:
        """Return an object, or None where there is none."""
        return self._objects.get(resource.path(), {}).get((namespace, name))

    def _put(self, address: _Address, value: Value) -> Value:
        known = self._objects.setdefault(address.collection, {})
        before = known.get((address.namespace, address.name))
        self.version += 1
        metadata = {
            "uid": f"uid-{self.version}",
            **({"uid": before["metadata"]["uid"]} if before else {}),
            **{name: field for name, field in value.get("metadata", {}).items() if name != "uid"},
            "resourceVersion": str(self.version),
            "generation": _generation(before, value),
        }
        after = known[address.namespace, address.name] = {**value, "metadata": metadata}
        self._tell(_Change(address.collection, before, after, self.version))
        return after

    def _remove(self, address: _Address) -> Value:
        gone = self._objects[address.collection].pop((address.namespace, address.name))
        self.version += 1
        last = {**gone, "metadata": {**gone["metadata"], "resourceVersion": str(self.version)}}
        self._tell(_Change(address.collection, last, None, self.version))
        return last

    def _tell(self, change: _Change) -> None:
        self._changes.append(change)
        for watch in self._watches:
            watch.put_nowait(change)

    def held(self, address: _Address, query: Mapping[str, str]) -> list[Value]:
        """Return the objects of a collection that a query selects."""
        objects = self._objects.get(address.collection, {}).values()
        return [value for value in objects if _selected(value, address, query)]

    def answer(self, call: Call) -> Answer:
        """Carry a request out."""
        address = _address(call.path)
        value: Value = msgspec.json.decode(call.body) if call.body else {}
        known = self._objects.get(address.collection, {}).get((address.namespace, address.name))
        if call.method == "GET" and not address.name:
            metadata = {"resourceVersion": str(self.version)}
            return json_answer(200, {"metadata": metadata, "items": self.held(address, call.query)})
        if call.method == "POST":
            address = address._replace(name=value["metadata"]["name"])
            if (address.namespace, address.name) in self._objects.get(address.collection, {}):
                return refusal(409, "AlreadyExists")
            return json_answer(201, self._put(address, value))
        if known is None:
            return refusal(404, "NotFound")
        if call.method == "PUT":
            if value["metadata"].get("resourceVersion") not in (None, known["metadata"]["resourceVersion"]):
                return refusal(409, "Conflict")
            return json_answer(200, self._put(address, value))
        if call.method == "PATCH":
            return json_answer(200, self._put(address, _merged(known, value)))
        if call.method == "DELETE":
            self._remove(address)
            return json_answer(200, {"kind": "Status", "details": {"uid": known["metadata"]["uid"]}})
        return json_answer(200, known)

    async def events(self, call: Call) -> AsyncIterator[bytes]:
        """Yield the lines of a watch: the state if it was asked for, then the changes, and bookmarks."""
        address = _address(call.path)
        waiting: asyncio.Queue[_Change] = asyncio.Queue()
        if call.query.get("sendInitialEvents"):
            for value in self.held(address, call.query):
                yield _line("ADDED", value)
            yield self._bookmark({"k8s.io/initial-events-end": "true"})
        else:
            after = int(call.query.get("resourceVersion") or self.version)
            for change in self._changes:
                if change.version > after:
                    waiting.put_nowait(change)
        self._watches.add(waiting)
        try:
            while True:
                try:
                    async with asyncio.timeout(_BOOKMARK_SECONDS):
                        line = _event(await waiting.get(), address, call.query)
                except TimeoutError:
                    line = self._bookmark({})
                if line and not self.silent:
                    yield line
        finally:
            self._watches.discard(waiting)

    def _bookmark(self, annotations: Mapping[str, str]) -> bytes:
        return _line("BOOKMARK", {"metadata": {"resourceVersion": str(self.version), "annotations": annotations}})


class StubTransport(Transport):
    """A way to a `StubServer`. `cut` makes it unreachable by this transport and what is forked from it."""

    host = "stub"

    def __init__(self, server: StubServer, parent: StubTransport | None = None) -> None:
        self.server = server
        self.closed = False
        self._parent = parent
        self._cut = asyncio.Event()

    def cut(self) -> None:
        """Break the network between this process and the server, from now on; open watches fall silent."""
        self._cut.set()

    @property
    def _is_cut(self) -> bool:
        return self._cut.is_set() or (self._parent is not None and self._parent._is_cut)

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
        """See `Transport.request`."""
        call = Call(method, path, query, body)
        try:
            async with asyncio.timeout(timeout):
                given = await self._received(call)
        except TimeoutError as error:
            raise AnswerLost(f"{method} {path}: no answer within {timeout:g} s") from error
        if fence is not None:
            fence()
        self.server.calls.append(call)
        return given or self.server.answer(call)

    @asynccontextmanager
    async def stream(
        self, path: str, *, query: Mapping[str, str], headers: Mapping[str, str], timeout: float
    ) -> AsyncIterator[Stream]:
        """See `Transport.stream`."""
        call = Call("WATCH", path, query, None)
        given = await self._received(call)
        self.server.calls.append(call)
        yield _Stream(self, call, given)

    async def _received(self, call: Call) -> Answer | None:
        await asyncio.sleep(0)
        if self._is_cut:
            raise Unreachable(f"{call.method} {call.path}: the test has cut this process off")
        return await self.server.hook(call) if self.server.hook else None

    async def fork(self) -> StubTransport:
        """See `Transport.fork`."""
        return StubTransport(self.server, self)

    async def close(self) -> None:
        """See `Transport.close`."""
        self.closed = True


class _Stream(Stream):
    headers: Mapping[str, str] = {}

    def __init__(self, transport: StubTransport, call: Call, given: Answer | None) -> None:
        self.status = given.status if given else 200
        self._transport = transport
        self._call = call
        self._given = given

    async def chunks(self) -> AsyncIterator[bytes]:
        if self._given is not None:
            yield self._given.body
            return
        async for line in self._transport.server.events(self._call):
            if not self._transport._is_cut:
                yield line


def json_answer(status: int, value: Mapping[str, Any]) -> Answer:
    """Return an answer with a JSON body."""
    return Answer(status, {}, msgspec.json.encode(value))


def refusal(status: int, reason: str, message: str = "") -> Answer:
    """Return an answer with a metav1.Status that says no."""
    return json_answer(status, {"kind": "Status", "code": status, "reason": reason, "message": message})


def _address(path: str) -> _Address:
    parts = path.strip("/").split("/")
    prefix, rest = (parts[:2], parts[2:]) if parts[0] == "api" else (parts[:3], parts[3:])
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    return _Address("/" + "/".join([*prefix, rest[0]]), namespace, rest[1] if len(rest) > 1 else "")


def _selected(value: Value | None, address: _Address, query: Mapping[str, str]) -> bool:
    if value is None:
        return False
    metadata = value["metadata"]
    return (
        (not address.namespace or metadata.get("namespace") == address.namespace)
        and labels_match(query.get("labelSelector", ""), metadata.get("labels") or {})
        and fields_match(query.get("fieldSelector", ""), value)
    )


def _event(change: _Change, address: _Address, query: Mapping[str, str]) -> bytes:
    """Return the line that a change means to a watch, where leaving its selection is being deleted; or b""."""
    if change.collection != address.collection:
        return b""
    was, is_now = (_selected(value, address, query) for value in (change.before, change.after))
    if is_now:
        assert change.after is not None
        return _line("MODIFIED" if was else "ADDED", change.after)
    if was:
        assert change.before is not None
        metadata = {**change.before["metadata"], "resourceVersion": str(change.version)}
        return _line("DELETED", {**change.before, "metadata": metadata})
    return b""


def _line(kind: str, value: Value) -> bytes:
    return msgspec.json.encode({"type": kind, "object": value}) + b"\n"


def _generation(before: Value | None, after: Value) -> int:
    if before is None:
        return 1
    generation: int = before["metadata"]["generation"]
    return generation + (before.get("spec") != after.get("spec"))


def _merged(target: Value, patch: Value) -> Value:
    """Return a JSON merge patch's result (RFC 7386)."""
    result = dict(target)
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, dict):
            result[name] = _merged(result.get(name) or {}, value)
        else:
            result[name] = value
    return result
