"""The way to an `APIServer` from the same process: a `disvc.runtime.transport.Transport` without a network."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import unquote

from disvc.runtime.errors import AnswerLost
from disvc.runtime.transport import Answer, Stream, Transport
from disvc.testing.memory.requests import Request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from disvc.testing.memory.requests import User
    from disvc.testing.memory.server import APIServer

__all__ = ["MemoryTransport"]


class MemoryTransport(Transport):
    """Carries the requests of one user. A request lets others run once before it reaches the server."""

    host = "memory"

    def __init__(self, server: APIServer, user: User) -> None:
        self._server = server
        self._user = user

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
        await asyncio.sleep(0)
        if fence is not None:
            fence()
        try:
            async with asyncio.timeout(timeout):
                answer = await self._server.handle(self._request(method, path, query, headers, body or b""))
        except TimeoutError as error:
            raise AnswerLost(f"{method} {path}: no answer within {timeout:g} s") from error
        if isinstance(answer, Answer):
            return answer
        return Answer(answer.status, answer.headers, b"".join([chunk async for chunk in answer.chunks()]))

    @asynccontextmanager
    async def stream(
        self, path: str, *, query: Mapping[str, str], headers: Mapping[str, str], timeout: float
    ) -> AsyncIterator[Stream]:
        """See `Transport.stream`."""
        await asyncio.sleep(0)
        answer = await self._server.handle(self._request("GET", path, query, headers, b""))
        yield _Whole(answer) if isinstance(answer, Answer) else answer

    def _request(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], body: bytes
    ) -> Request:
        lowered = {name.lower(): value for name, value in headers.items()}
        return Request(method, unquote(path), query, lowered, body, self._user)

    async def fork(self) -> MemoryTransport:
        """See `Transport.fork`."""
        return MemoryTransport(self._server, self._user)

    async def close(self) -> None:
        """See `Transport.close`."""


class _Whole(Stream):
    """A whole answer to what was to be a stream: a refusal."""

    def __init__(self, answer: Answer) -> None:
        self.status = answer.status
        self.headers = answer.headers
        self._body = answer.body

    async def chunks(self) -> AsyncIterator[bytes]:
        yield self._body
