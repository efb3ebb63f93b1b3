"""Events, of the core group and of events.k8s.io: the same objects under two names, stored as the former."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from disvc.testing.memory import causes, errors, formats
from disvc.testing.memory.builtin import selectable
from disvc.testing.memory.builtin.columns.core import EVENT
from disvc.testing.memory.builtin.decoding import read
from disvc.testing.memory.builtin.strategy import BuiltinStrategy, kind
from disvc.testing.memory.builtin.validation.fields import formatted, immutable
from disvc.testing.memory.resource import Column, Conversion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from disvc.testing.memory.errors import Cause

    Value = dict[str, Any]

__all__ = ["TYPES"]

_CORE: Final = "io.k8s.api.core.v1.Event"
_EVENTS: Final = "io.k8s.api.events.v1.Event"
_NAMES: Final = {
    "involvedObject": "regarding",
    "message": "note",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
    "reportingComponent": "reportingController",
}
"""What fields of the core group are called in events.k8s.io, where that is something else."""
_ANCIENT: Final = ("firstTimestamp", "lastTimestamp", "count", "source")
_MAX_LENGTHS: Final = {"reportingInstance": 128, "action": 128, "reason": 128, "message": 1024}
_FIXED: Final = (
    "involvedObject",
    "reason",
    "message",
    "source",
    "firstTimestamp",
    "lastTimestamp",
    "count",
    "reason",
    "type",
    "eventTime",
    "action",
    "related",
    "reportingComponent",
    "reportingInstance",
)
"""What no update may change. The real server looks at `reason` twice, and tells of it twice."""


def _to_core(event: Value) -> Value:
    theirs = {new: old for old, new in _NAMES.items()}
    return _renamed(event, theirs, "v1", _CORE)


def _from_core(event: Value) -> Value:
    return _renamed(event, _NAMES, "events.k8s.io/v1", _EVENTS)


def _renamed(event: Value, names: dict[str, str], api_version: str, definition: str) -> Value:
    renamed = {names.get(name, name): value for name, value in event.items()}
    return dict(read(definition, renamed | {"apiVersion": api_version})[0])


class _CoreEvent(BuiltinStrategy):
    def validate(self, obj: Value, old: Value | None, subresource: str) -> Sequence[Cause]:
        return list(_valid(obj, "reportingComponent"))


class _Event(BuiltinStrategy):
    """Events of events.k8s.io, in which the fields of old may no longer be set, and only the series grows."""

    def validate(self, obj: Value, old: Value | None, subresource: str) -> Sequence[Cause]:
        event = _to_core(obj)
        found = list(_valid(event, "reportingController"))
        if old is None:
            return _told(event, [*found, *_series(event), *_new(event)])
        before = _to_core(old)
        if event.get("series") != before.get("series"):
            found += _series(event)
        for name in _FIXED:
            path = "reportingController" if name == "reportingComponent" else name
            found += immutable(path, event.get(name), before.get(name))
        return _told(event, found)


def _told(event: Value, found: list[Cause]) -> Sequence[Cause]:
    """Refuse an event as the server does: as one of the core group."""
    if found:
        raise errors.invalid("", "Event", event["metadata"].get("name", ""), found)
    return ()


def _valid(event: Value, controller: str) -> Iterator[Cause]:
    """Check what both groups check; `controller` is the name of the field of who reports the event."""
    namespace, of = event["metadata"].get("namespace", ""), event["involvedObject"].get("namespace", "")
    if event["eventTime"] is None:
        if namespace != of and not (not of and namespace in {"", "default"}):
            yield causes.invalid("involvedObject.namespace", of, "does not match event.namespace")
        return
    if not of and namespace not in {"default", "kube-system"}:
        yield causes.invalid("involvedObject.namespace", of, "does not match event.namespace")
    if not event["reportingComponent"]:
        yield causes.required(controller)
    yield from formatted(controller, event["reportingComponent"], formats.label_key)
    for name, limit in _MAX_LENGTHS.items():
        text = event.get(name, "")
        if not text and name != "message":
            yield causes.required(name)
        if len(text.encode()) > limit:
            yield causes.invalid(name, "", f"can have at most {limit} characters")


def _series(event: Value) -> Iterator[Cause]:
    if (series := event.get("series")) is None:
        return
    if series.get("count", 0) < 2:
        yield causes.invalid("series.count", "", "should be at least 2")
    if series.get("lastObservedTime") is None:
        yield causes.required("series.lastObservedTime")


def _new(event: Value) -> Iterator[Cause]:
    if event["eventTime"] is None:
        yield causes.required("eventTime")
    if event.get("type", "") not in {"Normal", "Warning"}:
        yield causes.invalid("type", "", f"has invalid value: {event.get('type', '')}")
    for name in _ANCIENT:
        if event.get(name):
            yield causes.invalid(name, "", "needs to be unset")


def _column_of_core(column: Column) -> Column:
    """Return a column that shows an event of events.k8s.io as one of the core group."""
    return replace(column, cell=lambda event, now: column.cell(_to_core(event), now))


def _regarding(path: str, get: Callable[[Value], str]) -> tuple[str, Callable[[Value], str]]:
    """Return a field selector of the core group as one of events.k8s.io."""
    first, dot, rest = path.partition(".")
    return f"{_NAMES.get(first, first)}{dot}{rest}", lambda event: get(_to_core(event))


TYPES: Final = (
    kind(
        "",
        "v1",
        "Event",
        "events",
        _CoreEvent,
        short_names=("ev",),
        allows_create_on_update=True,
        columns=EVENT,
        selectable_fields=selectable.EVENT,
    ),
    kind(
        "events.k8s.io",
        "v1",
        "Event",
        "events",
        _Event,
        short_names=("ev",),
        allows_create_on_update=True,
        stored_as=Conversion("", "v1", _to_core, _from_core),
        columns=tuple(map(_column_of_core, EVENT)),
        selectable_fields=dict(_regarding(path, get) for path, get in selectable.EVENT.items() if path != "source"),
    ),
)
