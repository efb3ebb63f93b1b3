"""One answer on its way to a client; the faults that strike within it do so here.

`Relay` writes to the client and knows when to stop: it raises `CutError` or `QuietError`, and the one who
holds the connection (`disvc.testing.proxy`) closes it or leaves it alone.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import aiohttp
from aiohttp import web

from disvc.testing.faults import Cut, Fault, HalfOpen, WatchError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    from multidict import CIMultiDict

    from disvc.testing.injection import Injection, Injections
    from disvc.testing.match import APIRequest


class CutError(Exception):
    """The client's connection is to be closed; by RST where `reset` is set."""

    def __init__(self, *, reset: bool = False) -> None:
        super().__init__()
        self.reset = reset


class QuietError(Exception):
    """The client's connection is to be left open, without another byte."""


class ClientGoneError(Exception):
    """The client closed its connection while it was being answered."""


class _EndOfWatchError(Exception):
    """A fault ended the watch; the end of the body is still to be sent."""


@dataclass(slots=True)
class Exchange:
    """One request that came to the proxy, and what became of it.

    `status` is what the server answered, or the fault in its place; None while there is none. `faults` are
    those that struck, its events included. `error` says why the server could not be asked, or broke off.
    """

    method: str
    path: str
    query: Mapping[str, str]
    verb: str
    group: str
    resource: str
    subresource: str
    namespace: str
    name: str
    status: int | None = None
    faults: list[Fault] = field(default_factory=list)
    error: str | None = None


class Relay:
    """Passes one answer on.

    `flowing` is the gate that a network partition closes. `armed` is a fault with a position in the answer;
    it is counted when that is reached.
    """

    def __init__(
        self, incoming: web.BaseRequest, flowing: asyncio.Event, exchange: Exchange, armed: Injection | None
    ) -> None:
        self._incoming = incoming
        self._flowing = flowing
        self._exchange = exchange
        self._armed = armed
        self._bytes_left: int | None = None
        self._events_left: int | None = None
        self._torn = False
        match None if armed is None else armed.fault:
            case Cut() as fault:
                self._bytes_left, self._events_left = fault.after_bytes, fault.after_events
                self._torn = fault.torn
            case HalfOpen() as fault:
                self._bytes_left, self._events_left = fault.after_bytes, fault.after_events
            case WatchError() as fault:
                self._events_left = fault.after_events

    async def start(self, status: int, reason: str | None, headers: CIMultiDict[str]) -> None:
        """Send status and headers."""
        await self._flowing.wait()
        self._response = web.StreamResponse(status=status, reason=reason, headers=headers)
        with _client_may_be_gone():
            await self._response.prepare(self._incoming)
        if self._bytes_left == 0:
            await self._strike_armed(b"")

    async def send(self, data: bytes, *gates: asyncio.Event) -> None:
        """Send a piece of the body, once these gates are open and no partition holds it back."""
        if self._bytes_left is None:
            await self._write(data, gates)
            return
        await self._write(data[: self._bytes_left], gates)
        rest = data[self._bytes_left :]
        self._bytes_left = max(0, self._bytes_left - len(data))
        if self._bytes_left == 0:
            self._bytes_left = None
            await self._strike_armed(b"")
            await self._write(rest, gates)

    async def finish(self, *gates: asyncio.Event) -> web.StreamResponse:
        """Send the proper end of the body."""
        await self._open(gates)
        with _client_may_be_gone():
            await self._response.write_eof()
        return self._response

    async def send_watch(
        self, content: aiohttp.StreamReader, request: APIRequest, injections: Injections, gate: asyncio.Event
    ) -> web.StreamResponse:
        """Pass on a watch, event by event while `gate` is open, until it ends or a fault ends it.

        Raises:
            aiohttp.ClientError: the server broke it off.

        """
        # Without a bound: while events are held back here, the server must not find its client slow and
        # close the watch, which would be another fault.
        arrived: asyncio.Queue[_Arrival] = asyncio.Queue()
        reading = asyncio.create_task(_read_events(content, arrived), name=f"read watch {request.path}")
        try:
            await self._send_events(arrived, request, injections, gate)
        except _EndOfWatchError:
            pass
        finally:
            reading.cancel()
            await asyncio.wait([reading])
        return await self.finish(gate)

    async def _send_events(
        self,
        arrived: asyncio.Queue[_Arrival],
        request: APIRequest,
        injections: Injections,
        gate: asyncio.Event,
    ) -> None:
        loop = asyncio.get_running_loop()
        while True:
            if self._events_left == 0 and not self._torn:
                await self._strike_armed(b"", gate)
            arrival = await arrived.get()
            if arrival.error is not None:
                await self._open((gate,))
                raise arrival.error
            if not arrival.line:
                return
            if self._events_left == 0:
                await self._strike_armed(arrival.line, gate)
            struck = injections.strike_event(request, arrival.line)
            self._exchange.faults.extend(struck.faults)
            if struck.delay:
                await asyncio.sleep(max(0.0, arrival.time + struck.delay - loop.time()))
            if struck.deciding is not None:
                await self._end(struck.deciding.fault, arrival.line, gate)
            for _ in range(struck.copies):
                await self.send(arrival.line, gate)
            if self._events_left:
                self._events_left -= 1

    async def _strike_armed(self, line: bytes, *gates: asyncio.Event) -> None:
        self._events_left = None
        if self._armed is not None and self._armed.strike():
            self._exchange.faults.append(self._armed.fault)
            await self._end(self._armed.fault, line, *gates)

    async def _end(self, fault: Fault, line: bytes, *gates: asyncio.Event) -> None:
        match fault:
            case Cut(torn=torn, reset=reset):
                if torn:
                    await self.send(line[: len(line) // 2], *gates)
                await self._open(gates)
                raise CutError(reset=reset)
            case HalfOpen():
                raise QuietError
            case WatchError():
                await self.send(fault.event(), *gates)
                raise _EndOfWatchError

    async def _write(self, data: bytes, gates: tuple[asyncio.Event, ...]) -> None:
        await self._open(gates)
        with _client_may_be_gone():
            await self._response.write(data)

    async def _open(self, gates: tuple[asyncio.Event, ...]) -> None:
        # Again, as the first may have been closed while the second was waited for.
        while not (self._flowing.is_set() and all(gate.is_set() for gate in gates)):
            for gate in (self._flowing, *gates):
                await gate.wait()


@dataclass(frozen=True, slots=True)
class _Arrival:
    """A line of a watch and the loop's time at which it came; no line and no error is the end."""

    time: float
    line: bytes
    error: Exception | None = None


async def _read_events(content: aiohttp.StreamReader, arrived: asyncio.Queue[_Arrival]) -> None:
    now = asyncio.get_running_loop().time
    try:
        async for line in _lines(content):
            arrived.put_nowait(_Arrival(now(), line))
    except (aiohttp.ClientError, OSError) as error:
        arrived.put_nowait(_Arrival(now(), b"", error))
    else:
        arrived.put_nowait(_Arrival(now(), b""))


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    # Not StreamReader.readline: it refuses a line longer than its buffer, and an object may have 1.5 MB.
    pieces: list[bytes] = []
    async for chunk in content.iter_any():
        *complete, rest = chunk.split(b"\n")
        for line in complete:
            yield b"".join((*pieces, line, b"\n"))
            pieces.clear()
        if rest:
            pieces.append(rest)
    if pieces:
        yield b"".join(pieces)


@contextmanager
def _client_may_be_gone() -> Iterator[None]:
    try:
        yield
    except ConnectionError as error:
        raise ClientGoneError from error
