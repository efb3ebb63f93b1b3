"""Keeps every version of every object under one global revision, as etcd does; knows nothing of the API.

- A write makes the next revision. An object's resourceVersion is the revision of its last write.
- What was written stays readable at its revision until it is compacted away.
- A reader follows a collection by its place in the history (`Collection.since`) and waits for more (`changed`). It
  has no queue of its own, so a slow one costs nothing and cannot lose an event without being told.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left, bisect_right, insort
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from disvc.testing.memory.resource import ResourceType

    Value = dict[str, Any]

__all__ = ["Collection", "Event", "Store", "Version", "converted", "copied"]

_encode = msgspec.json.Encoder().encode


class Version:
    """One version of one object, as it was written at a revision. Neither it nor its value is ever changed.

    `resource` is the kind in the API version that it was written in. Its JSON is made once, when it is first asked for.
    """

    __slots__ = ("_raw", "_view", "key", "resource", "revision", "value")

    def __init__(self, resource: ResourceType, key: str, value: Value, revision: int) -> None:
        self.resource = resource
        self.key = key
        self.value = value
        self.revision = revision
        self._raw: bytes | None = None
        self._view: Version | None = None

    @property
    def raw(self) -> bytes:
        """The value as JSON."""
        if self._raw is None:
            self._raw = _encode(self.value)
        return self._raw

    def seen_as(self, resource: ResourceType) -> Version:
        """Return it as a reader of another API version sees it, or of the same one after its schema has changed."""
        if resource is self.resource:
            return self
        if self._view is None or self._view.resource is not resource:
            self._view = Version(resource, self.key, converted(self.value, self.resource, resource), self.revision)
        return self._view

    def at(self, revision: int) -> Version:
        """Return it as it is told of when it went, or when it left somebody's selection, at a later revision."""
        metadata = {**self.value["metadata"], "resourceVersion": str(revision)}
        return Version(self.resource, self.key, {**self.value, "metadata": metadata}, revision)


class Event(NamedTuple):
    """What one revision changed: an object came (`before` is None), changed, or went (`after` is None)."""

    revision: int
    key: str
    before: Version | None
    after: Version | None


class Collection:
    """The objects of one resource, by key: `namespace/name`, or `name` where there are no namespaces."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.changed = asyncio.Event()
        """Set for a moment whenever there is a new event."""
        self._keys: list[str] = []  # sorted: a namespace is a range of them
        self._current: dict[str, Version] = {}

    def get(self, key: str) -> Version | None:
        """Return the newest version of an object, None where there is none."""
        return self._current.get(key)

    def keys(self, first: str, end: str) -> list[str]:
        """Return the keys of what there is now from `first` on, to before `end`, in order ("" is no end)."""
        return self._keys[bisect_left(self._keys, first) : bisect_left(self._keys, end) if end else None]

    def at(self, revision: int, first: str, end: str) -> Sequence[Version]:
        """Return the objects of a range of keys as they were at a revision, in the order of their keys."""
        current = self._current
        undone: dict[str, Version | None] = {
            event.key: event.before
            for event in reversed(self.since(revision))
            if first <= event.key and (not end or event.key < end)
        }
        keys = self.keys(first, end)
        if not undone:
            return [current[key] for key in keys]
        found = (undone[key] if key in undone else current[key] for key in sorted({*keys, *undone}))
        return [version for version in found if version is not None]

    def since(self, revision: int) -> list[Event]:
        """Return what happened after a revision."""
        return self.events[bisect_right(self.events, revision, key=_revision) :]

    def put(self, event: Event) -> None:
        """Take in what has happened."""
        if event.after is None:
            del self._current[event.key]
            del self._keys[bisect_left(self._keys, event.key)]
        else:
            if event.before is None:
                insort(self._keys, event.key)
            self._current[event.key] = event.after
        self.events.append(event)
        _pulse(self.changed)

    def forget(self, revision: int) -> None:
        """Drop the history before a revision."""
        del self.events[: bisect_left(self.events, revision, key=_revision)]


class Store:
    """All collections under one revision."""

    def __init__(self) -> None:
        self.revision = 1  # etcd's first
        self.compacted = 0
        """No state before this revision can be read any more, and no event before it."""
        self.changed = asyncio.Event()
        """Set for a moment whenever there is a new revision."""
        self._collections: dict[tuple[str, str], Collection] = {}

    def of(self, resource: ResourceType) -> Collection:
        """Return the objects of a resource, in whichever API version it is served."""
        return self._collections.setdefault(resource.storage, Collection())

    def put(self, resource: ResourceType, key: str, value: Value) -> Version:
        """Write an object, new or not, and return it with its new resourceVersion."""
        collection = self.of(resource)
        self.revision += 1
        metadata = {**value["metadata"], "resourceVersion": str(self.revision)}
        after = Version(resource, key, {**value, "metadata": metadata}, self.revision)
        collection.put(Event(self.revision, key, collection.get(key), after))
        _pulse(self.changed)
        return after

    def remove(self, resource: ResourceType, key: str) -> Version:
        """Take an object away, and return its last version under the revision at which it went."""
        collection = self.of(resource)
        before = collection.get(key)
        assert before is not None
        self.revision += 1
        collection.put(Event(self.revision, key, before, None))
        _pulse(self.changed)
        return before.at(self.revision)

    def compact(self, revision: int) -> None:
        """Forget all states before a revision."""
        self.compacted = max(self.compacted, revision)
        for collection in self._collections.values():
            collection.forget(self.compacted)


def converted(value: Value, written: ResourceType, read: ResourceType) -> Value:
    """Return an object of one API version as one of another; it may share parts with the original."""
    stored = written.stored_as.to_stored(value) if written.stored_as else value
    if read.stored_as:
        return read.stored_as.from_stored(stored)
    return {**stored, "kind": read.kind, "apiVersion": read.api_version}


def copied(value: Value) -> Value:
    """Return a copy that shares nothing with the original."""
    copy: Value = msgspec.json.decode(_encode(value))
    return copy


def _pulse(event: asyncio.Event) -> None:
    """Wake those that wait for an event, and nobody who comes later."""
    event.set()
    event.clear()


def _revision(event: Event) -> int:
    return event.revision
