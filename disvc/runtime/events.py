"""Kubernetes Events (events.k8s.io/v1): what a controller tells people about an object.

What is promised: `EventRecorder.event()` never waits, and never raises for what the server does; it only refuses
arguments that the API would refuse. Events are best effort: what cannot be sent is dropped, counted, and logged
once in a while.

Names begin with the time and sort by it, as client-go's: people see Events of events.k8s.io/v1 in the order of
their names, as `kubectl describe` sorts by lastTimestamp only, which these do not have. Those of one recorder are in
the order in which they were recorded, also at one instant, and when the wall clock goes back.

Series, as in client-go's tools/events. Events are the same ("isomorphic") when type, reason, action, regarding,
related and reporter are, whatever their note and, unlike in client-go, the resourceVersions: who writes an object's
status and then repeats an Event would never have a series. The first one is created; the first repeat makes it one with
count 2; further repeats are only counted here, and the server is told every 30 minutes, as well as when the
series ends: after 6 minutes without a repeat, or at shutdown. An Event that is gone from the server by then (they
live for an hour) is created again.

    event() ──► the series it belongs to ──(new, second, or 30 min since the last write)──► queue ──► run() ──► server

The deprecated fields (count, firstTimestamp, lastTimestamp, source) stay unset: events.k8s.io/v1 refuses an
Event that has them, and kubectl shows eventTime, series and reportingController in their place.
"""

from __future__ import annotations

import asyncio
import math
import re
import socket
from collections import OrderedDict, deque
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

import msgspec
import structlog
import tenacity

from disvc.runtime.backoff import Backoff
from disvc.runtime.errors import (
    AlreadyExists,
    ApiError,
    Forbidden,
    NotFound,
    RuntimeFailure,
    ServerError,
    TooManyRequests,
    TransportError,
)
from disvc.runtime.objects import Key, Object, Resource
from disvc.runtime.timestamps import micro_time

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from disvc.runtime.client import Client
    from disvc.runtime.metrics import Metrics

EVENTS: Final[Resource[dict[str, Any]]] = Resource("events.k8s.io/v1", "Event", "events")

EventType = Literal["Normal", "Warning"]

# https://github.com/kubernetes/kubernetes/blob/v1.36.0/pkg/apis/core/validation/events.go; in bytes
_LONGEST_NOTE = 1024
_LONGEST_WORD = 128  # of reason, action and reportingInstance
_QUALIFIED_NAME = re.compile(
    r"([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
)
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LONGEST_SUBDOMAIN = 253

# client-go's numbers, but for the number of series, which it does not bound.
_QUEUED = 1000
_SERIES = 4096
_SERIES_ENDS_SECONDS = 360.0
_REFRESH_SECONDS = 1800.0
_ATTEMPTS = 12
_FIRST_BACKOFF_SECONDS = 0.5
_LONGEST_BACKOFF_SECONDS = 20.0
_LOG_EVERY_SECONDS = 60.0

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

DROPPED: Final = ("queue_full", "unreachable", "rejected", "forbidden", "namespace_terminating", "shutdown")
"""Why an Event was given up: the values of the label `reason` of `disvc_events_dropped_total`."""

_log: FilteringBoundLogger = structlog.get_logger("disvc.events")


class ObjectReference(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A core/v1 ObjectReference: the object an Event is about, or a part of it (`field_path`)."""

    api_version: str = ""
    kind: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""
    resource_version: str = ""
    field_path: str = ""

    @classmethod
    def to(cls, obj: Object[Any]) -> ObjectReference:
        """Return a reference to this version of an object."""
        resource, metadata = obj.resource, obj.metadata
        return cls(
            resource.api_version,
            resource.kind,
            metadata.namespace,
            metadata.name,
            metadata.uid,
            metadata.resource_version,
        )


class _Kind(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """What isomorphic Events have in common."""

    type: EventType
    reason: str
    action: str
    regarding: ObjectReference
    related: ObjectReference | None
    reporting_controller: str
    reporting_instance: str

    def of_any_version(self) -> _Kind:
        return msgspec.structs.replace(
            self, regarding=_of_any_version(self.regarding), related=self.related and _of_any_version(self.related)
        )


class _Series:
    """One Event of the server and how often it happened; `kind` names the versions of the first time."""

    __slots__ = (
        "count",
        "created",
        "event_time",
        "identity",
        "key",
        "kind",
        "last_observed",
        "last_observed_at",
        "note",
        "queued",
        "told",
        "told_at",
    )

    def __init__(self, identity: _Kind, kind: _Kind, key: Key, note: str, now: datetime) -> None:
        self.identity = identity
        self.kind = kind
        self.key = key
        self.note = note
        self.event_time = now
        self.count = 0
        self.last_observed = now
        self.last_observed_at = 0.0  # by the monotonic clock
        self.queued = False  # waits for being written, or is being written
        self.created = False
        self.told = 0  # the count that the server knows
        self.told_at = math.inf  # by the monotonic clock

    def series(self) -> dict[str, Any]:
        return {"count": self.count, "lastObservedTime": micro_time(self.last_observed)}

    def whole(self) -> dict[str, Any]:
        event: dict[str, Any] = {
            "metadata": {"name": self.key.name, "namespace": self.key.namespace},
            "eventTime": micro_time(self.event_time),
            "note": self.note,
            **msgspec.to_builtins(self.kind),
        }
        if self.count > 1:
            event["series"] = self.series()
        return event


class EventRecorder:
    """Records Events by one reporter; `run` sends them. It belongs to one event loop.

    `reporting_controller` is the name that kubectl shows as the source (`disvc` or `example.com/disvc`),
    `reporting_instance` tells this process from others; by default it is made from the host's name. Raises
    `ValueError` where the API would refuse one of them.
    """

    def __init__(
        self, client: Client, metrics: Metrics, *, reporting_controller: str, reporting_instance: str = ""
    ) -> None:
        if not _QUALIFIED_NAME.fullmatch(reporting_controller):
            raise ValueError(
                f"reporting_controller {reporting_controller!r} is not a qualified name: at most 63 letters, digits, "
                "'-', '_' or '.', and before them, if you like, a DNS domain and '/'"
            )
        instance = reporting_instance or f"{reporting_controller}-{socket.gethostname()}"[:_LONGEST_WORD]
        _require_word("reporting_instance", instance)
        self.reporting_controller = reporting_controller
        self.reporting_instance = instance
        self._client = client
        self._environment = client.environment
        self._series: OrderedDict[_Kind, _Series] = OrderedDict()  # the one that happened longest ago first
        self._queue: deque[_Series] = deque()
        self._last_stamp = 0
        self._over = False  # nobody sends any more
        self._work = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._dropped = {reason: metrics.events_dropped.labels(reason) for reason in DROPPED}
        self._log_again_at: dict[str, float] = {}

    def event(
        self,
        regarding: Object[Any] | ObjectReference,
        event_type: EventType,
        reason: str,
        action: str,
        note: str,
        related: Object[Any] | ObjectReference | None = None,
    ) -> None:
        """Record that something happened to an object.

        `reason` says why (`Unhealthy`), `action` what was done or attempted (`Switching`): each a word for
        machines, at most 128 bytes. `note` is a sentence for people; more than 1,024 bytes are cut off.
        `related` is another object that has to do with it.

        Raises `ValueError` for arguments that no server would take; anything else that goes wrong is logged.
        """
        if event_type not in get_args(EventType):
            raise ValueError(f"event: the type is 'Normal' or 'Warning', not {event_type!r}")
        _require_word("reason", reason)
        _require_word("action", action)
        about = _reference("regarding", regarding)
        other = None if related is None else _reference("related", related)
        if self._over:
            self._drop("shutdown", about, "it happened when the process had stopped sending events")
            return
        kind = _Kind(event_type, reason, action, about, other, self.reporting_controller, self.reporting_instance)
        self._observe(kind, _cut(note))

    def _observe(self, kind: _Kind, note: str) -> None:
        self._end_old_series()
        now = self._environment.clock.monotonic()
        identity = kind.of_any_version()
        series = self._series.get(identity)
        if series is None:
            if len(self._queue) >= _QUEUED:
                self._drop("queue_full", kind.regarding, f"more than {_QUEUED} events wait to be sent")
                return
            wall = self._environment.clock.now()
            key = Key(kind.regarding.namespace or "default", self._name(kind.regarding.name, wall))
            series = self._series[identity] = _Series(identity, kind, key, note, wall)
            if len(self._series) > _SERIES:
                self._end(next(iter(self._series.values())))
        else:
            self._series.move_to_end(identity)
            series.last_observed = self._environment.clock.now()
        series.count += 1
        series.last_observed_at = now
        if series.told < min(series.count, 2) or now - series.told_at >= _REFRESH_SECONDS:
            self._enqueue(series)

    def _name(self, about: str, now: datetime) -> str:
        """Return a new Event's name: the object's, nanoseconds since the epoch, and what no other process has."""
        self._last_stamp = max(self._last_stamp + 1, (now - _EPOCH) // _MICROSECOND * 1000)
        stamp = f"{self._last_stamp:016x}{self._environment.random.getrandbits(32):08x}"
        name = f"{about}.{stamp}"
        if len(name) <= _LONGEST_SUBDOMAIN and _SUBDOMAIN.fullmatch(name):
            return name
        return stamp  # `system:node` and `2001:db8::1` are names of objects, too

    def _enqueue(self, series: _Series) -> None:
        if series.queued:
            return
        series.queued = True
        self._queue.append(series)
        self._idle.clear()
        self._work.set()

    def _end_old_series(self) -> None:
        before = self._environment.clock.monotonic() - _SERIES_ENDS_SECONDS
        while self._series and (oldest := next(iter(self._series.values()))).last_observed_at <= before:
            self._end(oldest)

    def _end(self, series: _Series) -> None:
        del self._series[series.identity]
        if series.count != series.told:
            self._enqueue(series)

    async def run(self) -> None:
        """Send what is recorded, until cancelled; what waits then, or is recorded later, is dropped. See `flush`."""
        self._over = False
        try:
            while True:
                self._end_old_series()
                while self._queue:
                    await self._send(self._queue[0])
                    self._queue.popleft()
                self._idle.set()
                self._work.clear()
                await self._wait_for_work()
        finally:
            self._over = True
            for series in self._queue:
                self._drop("shutdown", series.kind.regarding, "the process ends")
            self._queue.clear()

    async def flush(self) -> None:
        """Wait until all that was recorded is with the server, or dropped; `run` must be running.

        The counts of series that go on are sent, too. Bound it by `asyncio.timeout`: a server that does not
        answer is tried for minutes.
        """
        await self._idle.wait()
        for series in self._series.values():
            if series.count != series.told:
                self._enqueue(series)
        await self._idle.wait()

    async def _wait_for_work(self) -> None:
        seconds = None
        if self._series:
            oldest = next(iter(self._series.values()))
            seconds = oldest.last_observed_at + _SERIES_ENDS_SECONDS - self._environment.clock.monotonic()
        try:
            async with asyncio.timeout(seconds):
                await self._work.wait()
        except TimeoutError:
            pass

    async def _send(self, series: _Series) -> None:
        """Write a series to the server, trying again while the server is in trouble: the others wait meanwhile."""
        backoff = Backoff(self._environment.random, base=_FIRST_BACKOFF_SECONDS, cap=_LONGEST_BACKOFF_SECONDS)
        retrying = tenacity.AsyncRetrying(
            stop=tenacity.stop_after_attempt(_ATTEMPTS),
            wait=lambda _: backoff.next(),
            retry=tenacity.retry_if_exception_type((TransportError, TooManyRequests, ServerError)),
            sleep=asyncio.sleep,
            reraise=True,
        )
        try:
            await retrying(self._write, series)
        except RuntimeFailure as error:
            self._drop(_reason(error), series.kind.regarding, str(error))
            if not series.created and self._series.get(series.identity) is series:
                del self._series[series.identity]  # the next one is new to the server
            series.queued = False
        else:
            series.queued = False
            ended = self._series.get(series.identity) is not series
            if series.told < (series.count if ended else min(series.count, 2)):
                self._enqueue(series)  # it happened again while it was being sent

    async def _write(self, series: _Series) -> None:
        count = series.count
        if series.created:
            try:
                await self._patch(series)
            except NotFound:
                series.created = False
        if not series.created:
            try:
                await self._client.create(EVENTS, series.whole())
            except AlreadyExists:
                # The name is ours, so the answer to an earlier attempt was lost, which knew a lower count.
                if count > 1:
                    await self._patch(series)
            series.created = True
        series.told = count
        series.told_at = self._environment.clock.monotonic()

    async def _patch(self, series: _Series) -> None:
        await self._client.patch(EVENTS, series.key.name, {"series": series.series()}, series.key.namespace)

    def _drop(self, reason: str, about: ObjectReference, detail: str) -> None:
        """Count an Event that is given up; log that once a minute for each reason, and a 403 once."""
        self._dropped[reason].inc()
        if reason == "namespace_terminating":
            _log.debug("event dropped", reason=reason, namespace=about.namespace, name=about.name, error=detail)
            return
        now = self._environment.clock.monotonic()
        if now < self._log_again_at.get(reason, -math.inf):
            return
        self._log_again_at[reason] = math.inf if reason == "forbidden" else now + _LOG_EVERY_SECONDS
        _log.warning(
            "events are dropped; see the metric disvc_events_dropped_total",
            reason=reason,
            kind=about.kind,
            namespace=about.namespace,
            name=about.name,
            error=detail,
        )


def _reason(error: RuntimeFailure) -> str:
    """Return why an Event is dropped, as one of `DROPPED`."""
    if isinstance(error, TransportError | TooManyRequests | ServerError):
        return "unreachable"
    if isinstance(error, ApiError) and any(cause.reason == "NamespaceTerminating" for cause in error.causes):
        return "namespace_terminating"
    if isinstance(error, NotFound):  # of a create: the namespace has gone altogether
        return "namespace_terminating"
    return "forbidden" if isinstance(error, Forbidden) else "rejected"


def _of_any_version(reference: ObjectReference) -> ObjectReference:
    return msgspec.structs.replace(reference, resource_version="")


def _reference(argument: str, value: Object[Any] | ObjectReference) -> ObjectReference:
    reference = ObjectReference.to(value) if isinstance(value, Object) else value
    if not (reference.kind and reference.name):
        raise ValueError(f"event: {argument} must name a kind and an object, not {reference}")
    return reference


def _require_word(argument: str, value: str) -> None:
    if not 0 < len(value.encode()) <= _LONGEST_WORD:
        raise ValueError(f"event: {argument} must have 1 to {_LONGEST_WORD} bytes: {value!r}")


def _cut(note: str) -> str:
    """Return a note that is not longer than the API allows, whole characters only, with `…` for what is missing."""
    whole = note.encode()
    if len(whole) <= _LONGEST_NOTE:
        return note
    return whole[: _LONGEST_NOTE - len("…".encode())].decode(errors="ignore") + "…"
