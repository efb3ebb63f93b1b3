"""The API client: one small method for each verb, typed by the `Resource` it is given.

Errors are those of `disvc.runtime.errors`. A call is repeated, a few times and with back-off, only where
that is safe: reads on any passing failure; writes where the server says that it did nothing (429, 503 with
Retry-After) or no connection could be made. There is no rate limit on the client's side: priority and
fairness is the server's job.

Each write passes a fence (may this process write? see `leader_election`), and each result of a write is told
to an observer (see `informer`), which is how a cache never answers older than this process's own writes.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import msgspec
import tenacity

from disvc.runtime.backoff import Backoff
from disvc.runtime.environment import Environment
from disvc.runtime.errors import (
    AlreadyExists,
    AnswerLost,
    ApiError,
    DecodeError,
    ServerError,
    ServerTimeout,
    ServiceUnavailable,
    TooManyRequests,
    TransportError,
    Unreachable,
    api_error,
)
from disvc.runtime.metrics import ClientMetrics
from disvc.runtime.objects import Key, Object, Resource
from disvc.runtime.server_warnings import ServerWarnings

if TYPE_CHECKING:
    import builtins
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from disvc.runtime.transport import Answer, Stream, Transport

R = TypeVar("R")
T = TypeVar("T")

_ATTEMPTS = 4
_LONGEST_WAIT_SECONDS = 30.0
"""A server that asks to wait for longer gets no second attempt: the caller is told, and decides."""
_JSON = "application/json"
_MERGE_PATCH = "application/merge-patch+json"
_APPLY_PATCH = "application/apply-patch+yaml"  # JSON is YAML

_NAME_CHARACTERS = "bcdfghjklmnpqrstvwxz2456789"
"""What the server's own name generator draws from: no vowels, so no words."""


_ESCAPED = {character.encode(): f"\\u{ord(character):04x}".encode() for character in "<>&\u2028\u2029"}


def _encode(value: Any) -> bytes:
    """Return JSON as Go's encoder writes it, but for the order of fields, which is the value's.

    Where the API server keeps bytes as they came (a ControllerRevision's `data`), it may later compare them with what
    Go made of them. The characters stand only in strings, so they can be replaced wherever they are.
    """
    encoded = _encode_json(value)
    for character, escape in _ESCAPED.items():
        encoded = encoded.replace(character, escape)
    return encoded


class WriteObserver(Protocol):
    """Is told what this client's writes did, before the writer gets the answer."""

    def wrote(self, obj: Object[Any]) -> None:
        """Take note that the server answered a write with this version of the object."""

    def deleted(self, resource: Resource[Any], key: Key, uid: str) -> None:
        """Take note that the object with this UID is gone."""

    def uncertain(self, resource: Resource[Any], key: Key) -> None:
        """Take note that a write to this object may have taken effect, or may yet do so."""


class ObjectList(msgspec.Struct, Generic[T], frozen=True, eq=False):
    """What a LIST answered. `continue_token` is "" on the last page."""

    items: list[Object[T]]
    resource_version: str
    continue_token: str = ""


class WatchEvent(msgspec.Struct, frozen=True, gc=False):
    """One event of a watch: ADDED, MODIFIED, DELETED, BOOKMARK or ERROR, and the object's JSON."""

    type: str
    object: msgspec.Raw


class _ListMetadata(msgspec.Struct, rename="camel"):
    resource_version: str = ""
    continue_: str = msgspec.field(name="continue", default="")


class _List(msgspec.Struct):
    metadata: _ListMetadata
    items: list[msgspec.Raw] | None = None


class _DeletedDetails(msgspec.Struct):
    uid: str = ""


class _Deleted(msgspec.Struct):
    """What a DELETE answers: a Status with the UID where the object is gone, else the object as it now is."""

    kind: str = ""
    details: _DeletedDetails | None = None


class _Kind(msgspec.Struct):
    kind: str = ""


_encode_json = msgspec.json.Encoder().encode
_decode_kind = msgspec.json.Decoder(_Kind).decode
_decode_list = msgspec.json.Decoder(_List).decode
_decode_deleted = msgspec.json.Decoder(_Deleted).decode
_decode_event = msgspec.json.Decoder(WatchEvent).decode


class Client:
    """Talks to one API server over a `Transport`.

    `timeout` is in seconds and holds for each attempt of each call. `field_manager` names this program in
    managedFields, `user_agent` in the server's logs. What the server warns of is logged, see `server_warnings`.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        environment: Environment | None = None,
        metrics: ClientMetrics | None = None,
        fence: Callable[[], float | None] | None = None,
        observer: WriteObserver | None = None,
        field_manager: str = "disvc",
        user_agent: str = "disvc",
        timeout: float = 30.0,
        warnings: ServerWarnings | None = None,
    ) -> None:
        self.transport = transport
        self.environment = environment or Environment()
        self._metrics = metrics or ClientMetrics()
        self._fence = fence
        self._observer = observer
        self.field_manager = field_manager
        self._timeout = timeout
        self._warnings = warnings or ServerWarnings()
        self._read_headers = {"Accept": _JSON, "User-Agent": user_agent}
        self._write_headers = {
            content: {**self._read_headers, "Content-Type": content} for content in (_JSON, _MERGE_PATCH, _APPLY_PATCH)
        }

    async def get(self, resource: Resource[T], name: str, namespace: str = "") -> Object[T]:
        """Return one object as the server has it now. Raises `NotFound`."""
        answer = await self._call("get", "GET", resource, namespace, _named("get", resource, name))
        return resource.read(answer.body)

    async def list(
        self,
        resource: Resource[T],
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 0,
        continue_token: str = "",
        resource_version: str = "",
        on_undecodable: Callable[[DecodeError], None] | None = None,
    ) -> ObjectList[T]:
        """Return the objects of a namespace, or of all of them ("").

        `limit` makes pages, `continue_token` asks for the next one, and `resource_version` for a state that
        is not older ("0": whatever the server has at hand; "": the newest). An item that does not decode
        raises `DecodeError`, or is passed over and handed to `on_undecodable`.

        Raises `Expired` where the version or the token is too old.
        """
        query = _selection(label_selector, field_selector)
        if limit:
            query["limit"] = str(limit)
        if continue_token:
            query["continue"] = continue_token
        elif resource_version:
            query["resourceVersion"] = resource_version
            query["resourceVersionMatch"] = "NotOlderThan"
        answer = await self._call("list", "GET", resource, namespace, query=query)
        try:
            page = _decode_list(answer.body)
        except (ValueError, RecursionError) as error:
            raise DecodeError(f"list {resource}: the answer is not a list: {error}") from error
        items = []
        for raw in page.items or ():
            try:
                items.append(resource.read(raw))
            except DecodeError as error:
                if on_undecodable is None:
                    raise
                on_undecodable(error)
        return ObjectList(items, page.metadata.resource_version, page.metadata.continue_)

    @asynccontextmanager
    async def watch(
        self,
        resource: Resource[Any],
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        resource_version: str = "",
        initial_events: bool = False,
        timeout_seconds: int,
    ) -> AsyncIterator[AsyncIterator[builtins.list[WatchEvent]]]:
        """Open a watch with bookmarks; it yields the events of each piece of the stream as they arrive.

        `initial_events` asks for the present state first, ended by a bookmark with the annotation
        `k8s.io/initial-events-end`. `timeout_seconds` is after how long the server is to end the stream.

        Raises as other calls do, when opened; `AnswerLost` or `DecodeError` while it runs.
        https://kubernetes.io/docs/reference/using-api/api-concepts/#streaming-lists
        """
        query = _selection(label_selector, field_selector)
        query |= {"watch": "1", "allowWatchBookmarks": "true", "timeoutSeconds": str(timeout_seconds)}
        if resource_version:
            query["resourceVersion"] = resource_version
        if initial_events:
            query |= {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
        what = f"watch {resource}" + (f" in namespace {namespace}" if namespace else "")
        started = self.environment.clock.monotonic()
        code = "<error>"
        try:
            stream_context = self.transport.stream(
                resource.path(namespace), query=query, headers=self._read_headers, timeout=self._timeout
            )
            async with stream_context as stream:
                code = str(stream.status)
                self._record(code, "GET", "watch", started)
                self._warnings.note(what, stream.headers)
                if stream.status != 200:
                    body = b""
                    with suppress(TimeoutError):  # what is there by then has to do
                        async with asyncio.timeout(self._timeout):
                            async for chunk in stream.chunks():
                                body += chunk
                    raise api_error(what, stream.status, body, stream.headers.get("retry-after"))
                yield _events(what, stream)
        except TransportError:
            if code == "<error>":
                self._record(code, "GET", "watch", started)
            raise

    async def create(self, resource: Resource[T], value: T | Mapping[str, Any], namespace: str = "") -> Object[T]:
        """Create an object and return it as the server made it. Raises `AlreadyExists`, `Invalid`.

        Its namespace is the value's own, or `namespace`. A `generateName` is made into a name here, from the
        environment's randomness, so that after a lost answer it can still be found out whether it exists.
        """
        body = resource.write(value)
        metadata = body["metadata"] = dict(body.get("metadata") or {})
        namespace = metadata.get("namespace") or namespace
        if metadata.get("name"):
            return await self._create(resource, namespace, body)
        prefix = (metadata.get("generateName") or "")[:58]
        if not prefix:
            raise ValueError(f"create {resource}: the object has neither metadata.name nor metadata.generateName")
        for attempt in range(8):  # as often as the server itself tries
            metadata["name"] = prefix + "".join(self.environment.random.choices(_NAME_CHARACTERS, k=5))
            try:
                return await self._create(resource, namespace, body)
            except AlreadyExists:
                if attempt == 7:
                    raise
        raise AssertionError("unreachable")

    async def _create(self, resource: Resource[T], namespace: str, body: dict[str, Any]) -> Object[T]:
        name = body["metadata"]["name"]
        return await self._write("create", "POST", resource, namespace, name, body=body, on_collection=True)

    async def update(self, resource: Resource[T], value: T | Mapping[str, Any], *, subresource: str = "") -> Object[T]:
        """Replace an object and return it as it now is.

        With a `resourceVersion` in its metadata it is replaced only if it has not changed since.
        Raises `Conflict`, `NotFound`, `Invalid`.
        """
        body = resource.write(value)
        metadata = body.get("metadata") or {}
        return await self._write(
            "update", "PUT", resource, metadata.get("namespace", ""), metadata.get("name", ""), subresource, body=body
        )

    async def update_status(self, resource: Resource[T], value: T | Mapping[str, Any]) -> Object[T]:
        """Replace an object's status, and nothing else of it; see `update`."""
        return await self.update(resource, value, subresource="status")

    async def patch(
        self,
        resource: Resource[T],
        name: str,
        patch: Mapping[str, Any],
        namespace: str = "",
        *,
        subresource: str = "",
    ) -> Object[T]:
        """Merge `patch` into an object (RFC 7386: null removes, lists are replaced) and return the result.

        Put `resourceVersion` or `uid` into the patch's metadata as a precondition. Raises `Conflict`,
        `NotFound`, `Invalid`.
        """
        return await self._write(
            "patch", "PATCH", resource, namespace, name, subresource, body=patch, content=_MERGE_PATCH
        )

    async def apply(
        self,
        resource: Resource[T],
        value: T | Mapping[str, Any],
        namespace: str = "",
        *,
        force: bool = False,
        subresource: str = "",
    ) -> Object[T]:
        """Server-side apply: own the fields of `value`, create the object if it is not there.

        `force` takes fields from other managers; without it that is a `Conflict` whose causes name them.
        https://kubernetes.io/docs/reference/using-api/server-side-apply/
        """
        body = resource.write(value)
        metadata = body.get("metadata") or {}
        query = {"force": "true"} if force else {}
        return await self._write(
            "apply",
            "PATCH",
            resource,
            metadata.get("namespace") or namespace,
            metadata.get("name", ""),
            subresource,
            body=body,
            content=_APPLY_PATCH,
            query=query,
        )

    async def delete(
        self,
        resource: Resource[Any],
        name: str,
        namespace: str = "",
        *,
        uid: str = "",
        resource_version: str = "",
        propagation: str = "Background",
        grace_period_seconds: int | None = None,
    ) -> None:
        """Delete an object; with finalizers it goes on existing until these are gone.

        `uid` and `resource_version` are preconditions: `Conflict` is raised where they do not hold, and
        `NotFound` where there is no object. `propagation` is what happens to its dependents: `Background`,
        `Foreground` or `Orphan`.
        """
        _named("delete", resource, name)
        options: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": propagation,
        }
        preconditions = {"uid": uid, "resourceVersion": resource_version}
        if any(preconditions.values()):
            options["preconditions"] = {name: value for name, value in preconditions.items() if value}
        if grace_period_seconds is not None:
            options["gracePeriodSeconds"] = grace_period_seconds
        key = Key(namespace if resource.namespaced else "", name)

        async def deleted() -> Object[Any] | str:
            answer = await self._call(
                "delete", "DELETE", resource, namespace, name, body=_encode(options), content=_JSON
            )
            try:
                result = _decode_deleted(answer.body)
            except ValueError as error:
                raise DecodeError(f"delete {resource} {key}: the answer does not decode: {error}") from error
            if result.kind == "Status":
                return (result.details.uid if result.details else "") or uid
            return resource.read(answer.body)

        result = await self._tell_uncertainty(resource, key, deleted())
        if self._observer is None:
            return
        if isinstance(result, str):
            self._observer.deleted(resource, key, result)
            return
        if result.metadata.deletion_timestamp:
            self._tell(self._observer, result)
        else:  # some built-in kinds answer with the object that has just gone
            self._observer.deleted(resource, key, result.metadata.uid)

    async def _write(
        self,
        verb: str,
        method: str,
        resource: Resource[T],
        namespace: str,
        name: str,
        subresource: str = "",
        *,
        body: Mapping[str, Any],
        content: str = _JSON,
        query: Mapping[str, str] | None = None,
        on_collection: bool = False,
    ) -> Object[T]:
        _named(verb, resource, name)
        query = {"fieldManager": self.field_manager, **(query or {})}

        async def written() -> Object[T]:
            answer = await self._call(
                verb,
                method,
                resource,
                namespace,
                name,
                subresource,
                query=query,
                body=_encode(body),
                content=content,
                on_collection=on_collection,
            )
            return resource.read(answer.body)

        key = Key(namespace if resource.namespaced else "", name)
        obj = await self._tell_uncertainty(resource, key, written())
        if self._observer is None:
            return obj
        if subresource not in ("", "status") and _decode_kind(obj.raw).kind != resource.kind:
            # A Scale, say: it has the metadata of the object that has changed, and is not that object.
            self._observer.uncertain(resource, key)
        else:
            self._tell(self._observer, obj)
        return obj

    @staticmethod
    def _tell(observer: WriteObserver, obj: Object[Any]) -> None:
        """Tell of an object as it is after a write, or as it was when it went.

        The write that takes the last finalizer from an object that is being deleted is what deletes it. A
        Namespace waits for finalizers of its own in its spec.
        """
        metadata, resource = obj.metadata, obj.resource
        waits = metadata.finalizers or metadata.deletion_grace_period_seconds or str(resource) == "namespaces"
        if metadata.deletion_timestamp and not waits:
            observer.deleted(resource, obj.key, metadata.uid)
        else:
            observer.wrote(obj)

    async def _tell_uncertainty(self, resource: Resource[Any], key: Key, call: Awaitable[R]) -> R:
        try:
            return await call
        except (AnswerLost, ServerError, DecodeError, asyncio.CancelledError):
            # Any of these may follow a write that took effect: a gateway's 502 or 503, an etcd timeout's
            # 500, an answer that nobody can read, and a cancelled task whose request was on its way.
            if self._observer is not None:
                self._observer.uncertain(resource, key)
            raise

    async def _call(
        self,
        verb: str,
        method: str,
        resource: Resource[Any],
        namespace: str,
        name: str = "",
        subresource: str = "",
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content: str = "",
        on_collection: bool = False,
    ) -> Answer:
        path = resource.path(namespace, "" if on_collection else name, subresource)
        headers = self._write_headers[content] if content else self._read_headers
        key = Key(namespace, name)
        what = f"{verb} {resource}" + (f"/{subresource}" if subresource else "") + (f" {key}" if name else "")

        async def once() -> Answer:
            started = self.environment.clock.monotonic()
            code = "<error>"
            try:
                answer = await self.transport.request(
                    method,
                    path,
                    query=query or {},
                    headers=headers,
                    body=body,
                    timeout=self._timeout,
                    fence=self._fence if body is not None else None,
                )
                code = str(answer.status)
            finally:
                self._record(code, method, verb, started)
            self._warnings.note(what, answer.headers)
            if answer.status >= 300:
                raise api_error(what, answer.status, answer.body, answer.headers.get("retry-after"))
            return answer

        try:
            return await once()
        except (ApiError, TransportError) as error:
            if not _repeatable(error, is_read=body is None):
                raise
            first = error
        return await self._repeat(once, first, is_read=body is None)

    async def _repeat(self, once: Callable[[], Any], first: Exception, *, is_read: bool) -> Answer:
        """Make the attempts after a `first` one that failed: tenacity costs too much for those that do not."""
        backoff = Backoff(self.environment.random, base=0.1, cap=2.0)

        def wait(error: BaseException | None) -> float:
            asked = error.retry_after if isinstance(error, ApiError) else None
            return asked if asked is not None else backoff.next()

        retrying = tenacity.AsyncRetrying(
            stop=tenacity.stop_after_attempt(_ATTEMPTS - 1),
            wait=lambda state: wait(state.outcome.exception() if state.outcome else None),
            retry=tenacity.retry_if_exception(lambda error: _repeatable(error, is_read=is_read)),
            sleep=asyncio.sleep,
            reraise=True,
        )
        await asyncio.sleep(wait(first))
        answer: Answer = await retrying(once)
        return answer

    def _record(self, code: str, method: str, verb: str, started: float) -> None:
        seconds = self.environment.clock.monotonic() - started
        self._metrics.request(code, method, verb.upper(), self.transport.host, seconds)


def _repeatable(error: BaseException, *, is_read: bool) -> bool:
    """Whether the same request may simply be sent again.

    The server did nothing on a 429, and says so on a 503 by asking to wait. A 500 or 504 that asks to wait
    does not: the server gives it, too, when etcd did not tell whether a write was carried out.
    """
    if isinstance(error, ApiError) and (error.retry_after or 0) > _LONGEST_WAIT_SECONDS:
        return False
    if isinstance(error, TooManyRequests | Unreachable):
        return True
    if is_read:
        if isinstance(error, ServerTimeout) and error.version_too_large:
            return False  # a reflector knows better what to do about that
        return isinstance(error, AnswerLost | ServerError)
    return isinstance(error, ServiceUnavailable) and error.retry_after is not None


def _named(verb: str, resource: Resource[Any], name: object) -> str:
    """Return the name. Without one the address is that of the collection: a DELETE would delete all there is."""
    if not isinstance(name, str):
        raise TypeError(f"{verb} {resource}: the name is {name!r}; give a str")
    if not name:
        raise ValueError(f"{verb} {resource}: the object has no name; give metadata.name")
    return name


def _selection(label_selector: str, field_selector: str) -> dict[str, str]:
    query = {"labelSelector": label_selector, "fieldSelector": field_selector}
    return {name: value for name, value in query.items() if value}


def _event(line: bytes) -> WatchEvent:
    """Decode one event. Raises `ValueError`.

    An object may be nested more deeply than can be decoded (the server takes 10,000 levels): what stands in its place
    then does not decode either, by itself, so that one object cannot end the watch of all.
    """
    try:
        return _decode_event(line)
    except RecursionError:
        return WatchEvent("MODIFIED", msgspec.Raw(_encode(f"nested too deeply: {line[:300].decode(errors='replace')}")))


async def _events(what: str, stream: Stream) -> AsyncIterator[list[WatchEvent]]:
    """Cut a watch's stream into its events, one a line."""
    rest = b""
    async for chunk in stream.chunks():
        *lines, rest = (rest + chunk).split(b"\n")
        if lines:
            try:
                yield [_event(line) for line in lines if line]
            except ValueError as error:
                raise DecodeError(f"{what}: the stream holds what is not a watch event: {error}") from error
