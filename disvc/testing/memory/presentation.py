"""An answer in the form that the client accepts: as another kind (`tables`), in YAML, or indented for people to read.

The rest of the server answers in plain JSON. `Presentation` is made for one request to a resource, before it is carried
out, so that one that cannot be answered changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
import yaml

from disvc.runtime.transport import Answer, Stream
from disvc.testing.memory.errors import Refused
from disvc.testing.memory.negotiation import JSON, YAML, MediaType, negotiate, not_acceptable
from disvc.testing.memory.tables import view

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from datetime import datetime

    from disvc.testing.memory.resource import ResourceType
    from disvc.testing.memory.tables import View

    Value = dict[str, Any]

__all__ = ["Presentation", "indents"]

_PEOPLE: Final = ("curl", "Wget", "Mozilla/5.0")


class Presentation:
    """The form of one request's answer.

    Args:
        accept: the request's header, "" where there is none.
        resource: the kind of the objects in the answer.
        query: the request's.
        now: the time by which a table tells ages.

    Raises:
        Refused: 400 or 406, there is no such form.

    """

    def __init__(
        self, accept: str, resource: ResourceType, query: Mapping[str, str], now: Callable[[], datetime]
    ) -> None:
        self._media_type = _negotiated(accept, resource)
        self._resource = resource
        conversion = self._media_type.conversion
        self._view = view(conversion, resource, query, now) if conversion else None

    def answer(self, answer: Answer) -> Answer:
        """Return an answer in this form; a Status is never converted. Raises `Refused` (406)."""
        if self._media_type == (JSON, None):
            return answer
        value: Value = msgspec.json.decode(answer.body)
        if self._view is not None and value["kind"] != "Status":
            value = self._whole(value, self._view)
        headers = {**answer.headers, "content-type": self._media_type.name}
        body = yaml.safe_dump(value).encode() if self._media_type.name == YAML else msgspec.json.encode(value)
        return Answer(answer.status, headers, body)

    def stream(self, stream: Stream) -> Stream:
        """Return a watch in this form. Raises `Refused` (406)."""
        if self._media_type.name == YAML:
            raise Refused(406, "NotAcceptable", f"only the following media types are accepted: {JSON};stream=watch")
        return _ViewedStream(stream, self._view) if self._view is not None else stream

    def _whole(self, value: Value, view: View) -> Value:
        resource = self._resource
        if value["kind"] != (resource.list_kind or f"{resource.kind}List"):
            return view.one(value)
        # Items of a list of a built-in kind do not say what they are.
        kind = {"kind": resource.kind, "apiVersion": resource.api_version}
        metadata = {name: field for name, field in value["metadata"].items() if field}
        return view.many(metadata, [kind | item for item in value["items"]])


def indents(query: Mapping[str, str], user_agent: str) -> bool:
    """Return whether JSON is to be indented: where it is asked for, and for programs through which people look."""
    asked = query.get("pretty", "")
    return asked.lower() in ("1", "t", "true") if asked else user_agent.startswith(_PEOPLE)


def _negotiated(accept: str, resource: ResourceType) -> MediaType:
    try:
        return negotiate(accept)
    except Refused as refused:
        if resource.is_custom:
            raise not_acceptable() from refused
        raise


class _ViewedStream(Stream):
    def __init__(self, stream: Stream, view: View) -> None:
        self.status = stream.status
        self.headers = stream.headers
        self._stream = stream
        self._view = view

    async def chunks(self) -> AsyncIterator[bytes]:
        # The server's own streams are cut at the ends of lines.
        async for chunk in self._stream.chunks():
            yield b"".join(self._line(line) for line in chunk.splitlines())

    def _line(self, line: bytes) -> bytes:
        event: Value = msgspec.json.decode(line)
        if event["type"] != "ERROR":
            present = self._view.bookmark if event["type"] == "BOOKMARK" else self._view.one
            event["object"] = present(event["object"])
        return msgspec.json.encode(event) + b"\n"
