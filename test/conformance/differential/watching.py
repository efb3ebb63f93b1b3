"""A watch on one server, open in the background while the sequence goes on."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from differential.comparison import Reply

if TYPE_CHECKING:
    from collections.abc import Mapping

    from disvc.runtime.transport import Transport

__all__ = ["Watching", "decoded"]

_TIMEOUT_S = 30.0


class Watching:
    """One open watch: what it answered at first, and the events since."""

    def __init__(self, transport: Transport, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> None:
        self.events: list[Any] = []
        self.ended = False
        self._reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._follow(transport, path, query, headers), name=f"watch {path}")

    async def opened(self) -> Reply:
        """Wait for the answer's head; its body is there only where the watch was refused."""
        return await asyncio.shield(self._reply)

    async def finished(self) -> None:
        """Wait until the server has ended the watch."""
        await self._task

    async def close(self) -> None:
        """End it."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _follow(
        self, transport: Transport, path: str, query: Mapping[str, str], headers: Mapping[str, str]
    ) -> None:
        try:
            async with transport.stream(path, query=query, headers=headers, timeout=_TIMEOUT_S) as stream:
                if stream.status != 200:
                    body = b"".join([chunk async for chunk in stream.chunks()])
                    self._reply.set_result(Reply(stream.status, stream.headers, decoded(body)))
                else:
                    self._reply.set_result(Reply(stream.status, stream.headers, None))
                    rest = b""
                    async for chunk in stream.chunks():
                        *lines, rest = (rest + chunk).split(b"\n")
                        self.events += [json.loads(line) for line in lines if line]
            self.ended = True
        except Exception as error:
            if self._reply.done():
                raise
            self._reply.set_exception(error)


def decoded(body: bytes) -> Any:
    """Return JSON decoded, anything else as text."""
    try:
        return json.loads(body)
    except ValueError:
        return body.decode(errors="replace")
