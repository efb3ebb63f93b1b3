"""Keeps a sink equal to what the server holds: one list, then a watch for ever.

    ┌──────────┐  initial events, or pages   ┌──────────┐
    │ unsynced │ ──────────────────────────► │ watching │ ──┐ end of stream, silence, errors:
    └──────────┘                             └──────────┘ ◄─┘ again from the last version seen
         ▲     410, a version too large, 404: the last version is of no use  │
         └───────────────────────────────────────────────────────────────────┘

What it promises:
- The state comes as a stream (`sendInitialEvents`) where the server can, and in pages of 500 where not.
- A stream is opened at the newest state. A list starts at "0" (what the server has at hand), later at the last
  version seen, and after a 410 or a too-large version at "" (the newest):
  https://kubernetes.io/docs/reference/using-api/api-concepts/#semantics-for-get-and-list
- A watch that says nothing for `idle_seconds`, bookmarks included, is given up and opened again: a half-open
  connection never ends by itself. The server ends each watch after 5 to 10 minutes, drawn at random.
- A failure is never a reason to list again, except one that makes the last version useless: it is too old or too
  large, it is followed by an object that nobody can read any more, or eight watches from it ended in an error.
- Back-off is 0.8 s × 2ⁿ up to 30 s with full jitter, over after two minutes of health; a server that
  says Retry-After is taken at its word; a watch that ends within a second without an event is a failure.
- An object that does not decode is reported and counted, and the rest goes on.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Generic, NoReturn, Protocol, TypeVar

import msgspec
import structlog

from disvc.runtime.backoff import Backoff
from disvc.runtime.errors import (
    ApiError,
    BadRequest,
    DecodeError,
    Expired,
    Forbidden,
    Invalid,
    MethodNotAllowed,
    NotFound,
    RuntimeFailure,
    ServerTimeout,
    TransportError,
    Unauthorized,
    api_error,
)

if TYPE_CHECKING:
    from disvc.runtime.client import Client, WatchEvent
    from disvc.runtime.metrics import ReflectorMetrics
    from disvc.runtime.objects import Key, Object
    from disvc.runtime.selection import Selection

T = TypeVar("T")

IDLE_SECONDS: Final = 120.0
"""Twice the minute after which the server sends a bookmark on a watch without events."""

_HEALTH_SECONDS: Final = 120.0
_LONGEST_WAIT_SECONDS: Final = 300.0
"""A Retry-After beyond this is not believed: what a proxy says for a day must not end the watch for a day."""
_PAGE: Final = 500
_ERROR_EVENTS: Final = 8
_INITIAL_EVENTS_END: Final = "k8s.io/initial-events-end"

_log = structlog.get_logger("disvc.reflector")


class WatchEnded(RuntimeFailure):
    """A watch ended too early, or fell silent."""


class Sink(Protocol[T]):
    """What a reflector keeps equal to the server."""

    def replace(self, namespace: str, objects: list[Object[T]], version: str) -> None:
        """Take these for all the objects of the namespace ("" for every one), at this version."""
        ...

    def changed(self, obj: Object[T]) -> None:
        """Take in an object that was added or modified."""
        ...

    def deleted(self, obj: Object[T]) -> None:
        """Take out an object; this was its last state."""
        ...


class _BookmarkMetadata(msgspec.Struct, rename="camel"):
    resource_version: str = ""
    annotations: dict[str, str] | None = None


class _Bookmark(msgspec.Struct):
    metadata: _BookmarkMetadata


_decode_bookmark = msgspec.json.Decoder(_Bookmark).decode


class Reflector(Generic[T]):
    """Keeps a sink equal to one namespace ("" for all) of a selection; see the module's text."""

    def __init__(
        self,
        client: Client,
        selection: Selection[T],
        namespace: str,
        sink: Sink[T],
        metrics: ReflectorMetrics,
        *,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self.namespace = namespace
        self.version = ""
        """The version up to which the sink has everything; "" before the first synchronisation."""
        self._client = client
        self._selection = selection
        self._sink = sink
        self._metrics = metrics
        self._idle_seconds = idle_seconds
        self._clock = client.environment.clock
        self._random = client.environment.random
        self._heard_at = self._clock.monotonic()
        self._synced = False  # False: `version` is no place to watch from
        self._error_events = 0  # that ended watches from `version`, one after the other
        self._newest = False  # the next list must not be answered from what the server has at hand
        self._can_stream = True
        self._list_next = False  # a stream of initial events broke: try the other way next
        self._backoff = Backoff(self._random, base=0.8, cap=30.0)
        self._well_since = self._heard_at  # when the last failure's delay was over
        self._log = _log.bind(resource=str(selection.resource), namespace=namespace or None)
        metrics.heard_since(self.silent_seconds)

    def silent_seconds(self) -> float:
        """Return for how many seconds the server has not been heard."""
        return self._clock.monotonic() - self._heard_at

    @property
    def too_silent(self) -> bool:
        """Whether the sink may be out of date without anybody knowing: then this process is not ready."""
        return self.silent_seconds() > self._idle_seconds + 30.0

    async def run(self) -> NoReturn:
        """Reflect until cancelled."""
        while True:
            try:
                if self._synced:
                    await self._watch(initial=False)
                elif self._can_stream and not self._list_next:
                    await self._watch(initial=True)
                else:
                    await self._list()
            except (RuntimeFailure, TimeoutError) as error:
                await asyncio.sleep(self._recover(error))
                self._well_since = self._clock.monotonic()

    def _recover(self, error: Exception) -> float:
        """Decide how to go on after a failure, and return after how many seconds."""
        if (
            not self._synced
            and self._can_stream
            and isinstance(error, Invalid | BadRequest | MethodNotAllowed)
            and not self._list_next
        ):
            self._can_stream = False
            self._log.info("server does not stream lists; listing in pages instead", error=str(error))
            return 0.0
        self._metrics.failures.inc()
        if self._version_is_useless(error):
            self._synced = False
            self._newest = True
        elif isinstance(error, NotFound):
            self._synced = False
        elif not self._synced and isinstance(error, TransportError | WatchEnded | DecodeError):
            self._list_next = not self._list_next
        if self._clock.monotonic() - self._well_since > _HEALTH_SECONDS:
            self._backoff.reset()
        failures = self._backoff.failures
        delay = self._backoff.next()
        if isinstance(error, ApiError) and error.retry_after is not None:
            delay = min(max(error.retry_after, 0.0), _LONGEST_WAIT_SECONDS)
        if failures & (failures + 1) == 0:  # the 1st, 2nd, 4th, 8th … in a row
            self._report(error, delay)
        return delay

    def _version_is_useless(self, error: Exception) -> bool:
        """Whether no watch from the last version can go on.

        `StorageReadError` tells that an object was corrupt and has been deleted: there will be no event of it.
        """
        return (
            isinstance(error, Expired)
            or (isinstance(error, ServerTimeout) and error.version_too_large)
            or (isinstance(error, ApiError) and error.reason == "StorageReadError")
            or self._error_events >= _ERROR_EVENTS
        )

    def _report(self, error: Exception, delay: float) -> None:
        if isinstance(error, Expired):
            self._log.info("version is too old to watch from; listing anew", error=str(error))
            return
        hint = None
        if isinstance(error, Forbidden):
            hint = f"grant list and watch on {self._selection.resource} to this user"
        elif isinstance(error, Unauthorized):
            hint = "the server does not accept these credentials; are they expired?"
        elif isinstance(error, NotFound):
            resource = self._selection.resource
            hint = f"is the CustomResourceDefinition {resource} installed? waiting for it"
            if resource.install_hint:
                hint += f"; {resource.install_hint}"
        self._log.warning(
            "list or watch failed", error=str(error) or type(error).__name__, hint=hint, retry_in=round(delay, 1)
        )

    async def _list(self) -> None:
        """Synchronise in pages."""
        self._metrics.lists.inc()
        selection = self._selection
        version = "" if self._newest else self.version or "0"
        items: list[Object[T]] = []
        limit, token = _PAGE, ""
        while True:
            try:
                page = await self._client.list(
                    selection.resource,
                    self.namespace,
                    label_selector=selection.label_selector,
                    field_selector=selection.field_selector,
                    limit=limit,
                    continue_token=token,
                    resource_version=version,
                    on_undecodable=self._undecodable,
                )
            except Expired:
                if not token:
                    raise
                # The pages' common version is compacted: all of it at once, as client-go's pager does.
                self._log.info("continue token is too old; listing everything at once")
                items, limit, token, version = [], 0, "", ""
                continue
            self._heard()
            items += page.items if selection.transform is None else [selection.read(obj.raw) for obj in page.items]
            token = page.continue_token
            if not token:
                break
        self._synchronised(items, page.resource_version)

    def _synchronised(self, items: list[Object[T]], version: str) -> None:
        self._sink.replace(self.namespace, items, version)
        self.version = version
        self._synced = True
        self._error_events = 0
        self._newest = self._list_next = False

    async def _watch(self, *, initial: bool) -> None:
        """Watch until the stream ends, which is well if it lasted; `initial`: synchronise from it first."""
        selection = self._selection
        gathered: dict[Key, Object[T]] | None = {} if initial else None
        (self._metrics.lists if initial else self._metrics.watches).inc()
        opened = self._clock.monotonic()
        version = "" if initial and self._newest else self.version
        heard_anything = False
        watch = self._client.watch(
            selection.resource,
            self.namespace,
            label_selector=selection.label_selector,
            field_selector=selection.field_selector,
            resource_version=version,
            initial_events=initial,
            timeout_seconds=self._server_timeout(),
        )
        loop = asyncio.get_running_loop()
        async with watch as pieces:
            self._heard()
            limit = asyncio.timeout(self._idle_seconds)
            try:
                async with limit:
                    async for events in pieces:
                        limit.reschedule(loop.time() + self._idle_seconds)
                        self._heard()
                        heard_anything = True
                        for event in events:
                            if self._take(event, gathered):
                                gathered = None
            except TimeoutError:
                if not limit.expired():
                    raise
                raise WatchEnded(
                    f"watch {selection.resource}: nothing was heard for {self._idle_seconds:g} s; opening it again"
                ) from None
        if gathered is not None:
            raise WatchEnded(f"watch {selection.resource}: the stream ended before the initial state was complete")
        if not heard_anything and self._clock.monotonic() - opened < 1.0:
            raise WatchEnded(f"watch {selection.resource}: it ended within a second without an event")

    def _server_timeout(self) -> int:
        """Return after how many seconds the server is to end a watch.

        A kube-apiserver keeps no watch cache of Events, and without one it sends no bookmarks: their watches may be
        silent though all is well, and are opened anew before that looks like a broken connection.
        """
        if self._selection.resource.plural == "events":
            return max(1, int(self._idle_seconds * self._random.uniform(0.5, 0.8)))
        return self._random.randint(300, 600)

    def _take(self, event: WatchEvent, gathered: dict[Key, Object[T]] | None) -> bool:
        """Act on one event. Return whether it completed the `gathered` initial state."""
        if event.type == "BOOKMARK":
            return self._take_bookmark(event, gathered)
        if event.type == "ERROR":
            self._error_events += 1
            raise api_error(f"watch {self._selection.resource}", 0, bytes(event.object))
        try:
            obj = self._selection.read(event.object)
        except DecodeError as error:
            self._undecodable(error)
            return False
        if gathered is not None:
            if event.type == "DELETED":
                gathered.pop(obj.key, None)
            else:
                gathered[obj.key] = obj
            return False
        if event.type == "DELETED":
            self._sink.deleted(obj)
        elif event.type in ("ADDED", "MODIFIED"):
            if self._is_past(obj.metadata.resource_version):
                return False  # it came before, and the object may be gone by now
            self._sink.changed(obj)
        else:
            self._undecodable(DecodeError(f"an event of unknown type {event.type!r}"))
            return False
        self._passed(obj.metadata.resource_version)
        return False

    def _take_bookmark(self, event: WatchEvent, gathered: dict[Key, Object[T]] | None) -> bool:
        try:
            metadata = _decode_bookmark(event.object).metadata
        except msgspec.DecodeError as error:
            raise DecodeError(f"watch {self._selection.resource}: a bookmark does not decode: {error}") from error
        if gathered is None:
            self._passed(metadata.resource_version)
            return False
        if (metadata.annotations or {}).get(_INITIAL_EVENTS_END) != "true":
            return False
        self._synchronised(list(gathered.values()), metadata.resource_version)
        return True

    def _passed(self, version: str) -> None:
        if version != self.version and not self._is_past(version):
            self.version = version
            self._error_events = 0

    def _is_past(self, version: str) -> bool:
        """Whether the watch was further than this already: events come in the order of their versions."""
        return version.isdecimal() and self.version.isdecimal() and int(version) < int(self.version)

    def _undecodable(self, error: Exception) -> None:
        self._metrics.undecodable.inc()
        self._log.error("object passed over: it does not decode", error=str(error))

    def _heard(self) -> None:
        self._heard_at = self._clock.monotonic()
