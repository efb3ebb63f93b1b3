"""watch: a stream of what happens to a selection, from any revision that is kept.

A watch holds its place in the collection's history and no queue: it reads on whenever the collection has changed. What
comes into its selection is ADDED, what leaves it is DELETED, whatever happened to the object itself.

https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import msgspec

from disvc.runtime.transport import Stream
from disvc.testing.memory import errors
from disvc.testing.memory.options import ListOptions
from disvc.testing.memory.reading import revision_of, selected_range
from disvc.testing.memory.selectors import selector

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from random import Random

    from disvc.testing.memory.requests import Call
    from disvc.testing.memory.store import Event, Store, Version

    Value = dict[str, Any]
    Show = Callable[[Version], bytes]

__all__ = ["Watch"]

_BOOKMARK_SECONDS: Final = 60.0
_LAST_BOOKMARK_SECONDS: Final = 2.0
"""How long before its end a watch tells how far it has come."""
_LEAST_SECONDS: Final = 1800.0
"""--min-request-timeout: a watch that does not say for how long lasts for once to twice this."""
_encode = msgspec.json.Encoder().encode


class Watch(Stream):
    """The answer to a watch. What happens after it is made is told, however late it is read."""

    status = 200
    headers: Mapping[str, str] = {"content-type": "application/json"}

    def __init__(self, store: Store, call: Call, random: Random) -> None:
        options = ListOptions.read(call.request.query, is_watch=True)
        wanted = selector(call.resource, options.label_selector, _field_selector(call, options))
        self._store = store
        self._resource = call.resource
        self._collection = store.of(call.resource)
        self._matches = wanted.matches
        self._first, self._end = selected_range(call, wanted)
        self._options = options
        self._seconds = options.timeout_seconds or _LEAST_SECONDS * (1 + random.random())
        revision = revision_of(options.resource_version)
        self._at = store.revision if options.starts_with_state else revision or store.revision
        is_too_new = options.starts_with_state and revision > store.revision
        self._refused = errors.too_new(revision, store.revision) if is_too_new else None
        self._state: Sequence[Version] = ()
        if options.starts_with_state:
            self._state = self._collection.at(store.revision, self._first, self._end)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the events, one a line and those at hand together."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self._seconds
        if self._refused is not None:
            yield _error(self._refused)
            return
        if initial := self._initial():
            yield initial
        bookmark = self._next_bookmark(loop.time(), end)
        while True:
            if self._at + 1 < self._store.compacted:
                yield _error(errors.expired(f"too old resource version: {self._at} ({self._store.compacted})"))
                return
            if lines := self._news():
                yield lines
                continue  # more may have happened meanwhile
            now = loop.time()
            if now >= end:
                return
            if now >= bookmark:
                yield self._bookmark()
                bookmark = self._next_bookmark(now, end)
            with suppress(TimeoutError):
                async with asyncio.timeout_at(min(end, bookmark)):
                    await self._collection.changed.wait()

    def _initial(self) -> bytes:
        """Return the state with which the watch starts, and the bookmark that ends it."""
        versions = (version.seen_as(self._resource) for version in self._state)
        self._state = ()
        lines = [_line("ADDED", version) for version in versions if self._selects(version)]
        if self._options.starts_with_state and self._options.bookmarks:
            lines.append(self._bookmark({"k8s.io/initial-events-end": "true"}))
        return b"".join(lines)

    def _news(self) -> bytes:
        """Return what has happened since the last time."""
        events = self._collection.since(self._at)
        self._at = max(self._at, self._store.revision)
        return b"".join([self._told(event) for event in events if self._is_in_range(event.key)])

    def _is_in_range(self, key: str) -> bool:
        return self._first <= key and (not self._end or key < self._end)

    def _told(self, event: Event) -> bytes:
        """Return what an event is to this watch, b"" where it is nothing."""
        before, after = (v and v.seen_as(self._resource) for v in (event.before, event.after))
        was = before is not None and self._selects(before)
        if after is not None and self._selects(after):
            return _line("MODIFIED" if was else "ADDED", after)
        if before is not None and was:
            return _line("DELETED", before.at(event.revision))
        return b""

    def _selects(self, version: Version) -> bool:
        return self._matches is None or self._matches(version.value)

    def _next_bookmark(self, now: float, end: float) -> float:
        """Return when to send a bookmark: each minute, and shortly before the end."""
        if not self._options.bookmarks:
            return end
        last = end - _LAST_BOOKMARK_SECONDS
        return min(now + _BOOKMARK_SECONDS, last) if last > now else end

    def _bookmark(self, annotations: Mapping[str, str] | None = None) -> bytes:
        metadata: Value = {"resourceVersion": str(self._at)}
        if annotations:
            metadata["annotations"] = annotations
        empty: Value = {"kind": self._resource.kind, "apiVersion": self._resource.api_version}
        if self._resource.decode is not None and not self._resource.is_custom:
            empty, _ = self._resource.decode(empty)
        return _encode({"type": "BOOKMARK", "object": {**empty, "metadata": metadata}}) + b"\n"


def _field_selector(call: Call, options: ListOptions) -> str:
    """Return the field selector; a watch on the path of one object selects its name. Raises `Refused` (400)."""
    if not call.name:
        return options.field_selector
    by_name = f"metadata.name={call.name}"
    if options.field_selector not in ("", by_name):
        raise errors.bad_request("fieldSelector metadata.name doesn't match requested name")
    return by_name


def _error(refused: errors.Refused) -> bytes:
    return _encode({"type": "ERROR", "object": refused.status()}) + b"\n"


def _line(kind: str, version: Version) -> bytes:
    return b"".join((b'{"type":"', kind.encode(), b'","object":', version.raw, b"}\n"))
