"""A server that answers wrongly, each time in one way: what the differential test must find."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from disvc.runtime.transport import Answer, Stream, Transport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    Value = dict[str, Any]
    Bug = Callable[[str, Value], None]
    """Gets the method and an object, list or Status, to change in place."""

__all__ = ["BUGS", "EVENT_BUGS", "STATUS_BUGS", "Mutant"]


def _one_manager_less(_: str, body: Value) -> None:
    if managers := body.get("metadata", {}).get("managedFields"):
        managers.pop()


def _one_generation_more(method: str, body: Value) -> None:
    if method == "PUT" and "generation" in body.get("metadata", {}):
        body["metadata"]["generation"] += 1


def _revision_of_each_page(_: str, body: Value) -> None:
    if "items" in body and not body["metadata"].get("continue"):
        body["metadata"]["resourceVersion"] = str(int(body["metadata"]["resourceVersion"]) + 1)


def _new_uid_by_update(method: str, body: Value) -> None:
    if method == "PUT" and "uid" in body.get("metadata", {}):
        body["metadata"]["uid"] = "99999999-9999-4999-8999-999999999999"


def _revision_stays(method: str, body: Value) -> None:
    if method == "PATCH" and "resourceVersion" in body.get("metadata", {}):
        body["metadata"]["resourceVersion"] = "3"


def _backwards(_: str, body: Value) -> None:
    if "items" in body:
        body["items"].reverse()


def _one_item_less(_: str, body: Value) -> None:
    if body.get("items"):
        body["items"].pop()


def _no_reason(_: str, body: Value) -> None:
    body.pop("reason", None)


def _no_defaults(_: str, body: Value) -> None:
    body.get("spec", {}).pop("noteDefault", None)


def _cause_elsewhere(_: str, body: Value) -> None:
    for cause in body.get("details", {}).get("causes", ()):
        cause["field"] += ".x"


BUGS: dict[str, Bug] = {
    "a manager is missing in managedFields": _one_manager_less,
    "an update counts the generation twice": _one_generation_more,
    "the last page of a list has a revision of its own": _revision_of_each_page,
    "an update changes the UID": _new_uid_by_update,
    "a patch does not make a new revision": _revision_stays,
    "a list is in the wrong order": _backwards,
    "a list lacks its last object": _one_item_less,
    "an error has no reason": _no_reason,
    "a default is not filled in": _no_defaults,
    "a cause names another field": _cause_elsewhere,
}

STATUS_BUGS: dict[str, Callable[[str, int], int]] = {
    "a create is answered by 200": lambda method, status: 200 if method == "POST" and status == 201 else status,
    "a conflict is answered by 422": lambda _, status: 422 if status == 409 else status,
}


def _forgets(events: list[Value]) -> list[Value]:
    return [event for event in events if event["type"] != "MODIFIED"]


def _repeats(events: list[Value]) -> list[Value]:
    return [again for event in events for again in ((event, event) if event["type"] == "DELETED" else (event,))]


def _calls_it_added(events: list[Value]) -> list[Value]:
    return [event | {"type": "ADDED"} if event["type"] == "MODIFIED" else event for event in events]


def _never_initial(events: list[Value]) -> list[Value]:
    return [event for event in events if event["type"] != "BOOKMARK"]


EVENT_BUGS: dict[str, Callable[[list[Value]], list[Value]]] = {
    "a watch does not tell of changes": _forgets,
    "a watch tells twice of what is gone": _repeats,
    "a watch takes changes for news": _calls_it_added,
    "a watch does not say where the initial state ends": _never_initial,
}


class Mutant(Transport):
    """Another transport whose answers have a bug."""

    def __init__(
        self,
        transport: Transport,
        *,
        bug: Bug = lambda _, __: None,
        status: Callable[[str, int], int] = lambda _, status: status,
        events: Callable[[list[Value]], list[Value]] = lambda events: events,
    ) -> None:
        self.host = transport.host
        self._transport = transport
        self._bug = bug
        self._status = status
        self._events = events

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
        answer = await self._transport.request(
            method, path, query=query, headers=headers, body=body, timeout=timeout, fence=fence
        )
        decoded = json.loads(answer.body)
        self._bug(method, decoded)
        return Answer(self._status(method, answer.status), answer.headers, json.dumps(decoded).encode())

    @asynccontextmanager
    async def stream(
        self, path: str, *, query: Mapping[str, str], headers: Mapping[str, str], timeout: float
    ) -> AsyncIterator[Stream]:
        async with self._transport.stream(path, query=query, headers=headers, timeout=timeout) as stream:
            yield _MutantStream(stream, self._events) if stream.status == 200 else stream

    async def fork(self) -> Transport:
        return self

    async def close(self) -> None:
        await self._transport.close()


class _MutantStream(Stream):
    def __init__(self, stream: Stream, events: Callable[[list[Value]], list[Value]]) -> None:
        self.status = stream.status
        self.headers = stream.headers
        self._stream = stream
        self._events = events

    async def chunks(self) -> AsyncIterator[bytes]:
        async for chunk in self._stream.chunks():  # of whole lines, as the in-memory server cuts them
            events = [json.loads(line) for line in chunk.splitlines()]
            yield b"".join(json.dumps(event).encode() + b"\n" for event in self._events(events))
