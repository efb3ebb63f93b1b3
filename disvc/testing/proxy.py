"""A fault-injecting proxy to stand in front of a kube-apiserver.

It promises to a test:

- Without faults a client cannot tell it from the server: bodies, codes and headers pass unchanged, watch
  events one by one and at once. A connection that the server breaks off is broken off for the client.
- It never repeats a request and never answers in the server's name, unless a fault says so.
- Faults strike where `disvc.testing.match.Match` says, and look to the client as `disvc.testing.faults` says,
  down to TCP: a half-open connection gets neither byte nor FIN nor RST.
- When it is closed, no connection and no task of it is left, whatever was frozen or delayed.

It runs in the event loop of the test; clients may be in other processes, while that loop stays responsive.
HTTP/1.1 is spoken both ways; upgrades (exec, port-forward) are not passed on. Single events are looked at in
watches that are JSON; in other encodings only the faults on requests and on bytes strike.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import aiohttp
from aiohttp import web

from disvc.testing.faults import Answer, Cut, Fault, HalfOpen, LoseAnswer
from disvc.testing.injection import Injection, Injections
from disvc.testing.listener import LOOPBACK, Listener
from disvc.testing.match import READS, APIRequest, Match
from disvc.testing.relay import ClientGoneError, CutError, Exchange, QuietError, Relay
from disvc.testing.upstream import LONGEST_HEADER, Upstream, headers_to_pass_on

if TYPE_CHECKING:
    import ssl as tls
    from collections.abc import Mapping, Sequence
    from random import Random

    from multidict import CIMultiDict

# SO_LINGER on, with 0 seconds: closing sends RST in place of FIN.
_LINGER_NOT = struct.pack("ii", 1, 0)


class FaultProxy:
    """`async with FaultProxy(server_url, ssl=context) as proxy:`, and clients talk to `proxy.url`.

    A caller's `Authorization` header is passed on. For a caller without one the proxy acts as `user`, in
    `groups`, by the front-proxy headers `X-Remote-User` and `X-Remote-Group`; the server believes these where
    the certificate in `ssl` is signed by its `--requestheader-client-ca-file`. Without `user` the caller is
    whoever that certificate says.

    Args:
        upstream: URL of the server, such as `https://127.0.0.1:6443`.
        ssl: the server's CA and the proxy's client certificate; not needed for an http upstream.
        user: the user that callers without credentials are.
        groups: that user's groups.
        headers: sent with every request, in place of the caller's of the same name.
        serve_tls: certificate to serve https with; plain http without it.
        port: where to listen on 127.0.0.1; 0 for a free one.
        remembered: how many exchanges `requests` holds, the latest.

    Raises:
        ValueError: there are groups and no user.
        OSError: on entering, `port` is in use.

    Attributes:
        url: what clients talk to; empty before `async with`.
        requests: what came by, in the order of coming.

    """

    def __init__(
        self,
        upstream: str,
        *,
        ssl: tls.SSLContext | None = None,
        user: str | None = None,
        groups: Sequence[str] = (),
        headers: Mapping[str, str] | None = None,
        serve_tls: tls.SSLContext | None = None,
        port: int = 0,
        remembered: int = 100_000,
    ) -> None:
        if groups and user is None:
            raise ValueError("groups are of a user: pass user= too")
        self._upstream_url = upstream
        self._ssl = ssl
        self._user = user
        self._groups = groups
        self._headers = headers or {}
        self._serve_tls = serve_tls
        self._port = port
        self._injections = Injections()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._watches_flowing = asyncio.Event()
        self._watches_flowing.set()
        self._writes: set[asyncio.Task[_WholeAnswer]] = set()
        self.requests: deque[Exchange] = deque(maxlen=remembered)
        self.url = ""

    async def __aenter__(self) -> Self:
        self._server = web.Server(
            self._handle,
            handler_cancellation=True,
            access_log=None,
            auto_decompress=False,
            max_line_size=LONGEST_HEADER,
            max_field_size=LONGEST_HEADER,
        )
        self._listener = Listener(self._server, gate=self._flowing, port=self._port, tls=self._serve_tls)
        self._upstream = Upstream(
            self._upstream_url, ssl=self._ssl, user=self._user, groups=self._groups, headers=self._headers
        )
        scheme = "http" if self._serve_tls is None else "https"
        self.url = f"{scheme}://{LOOPBACK}:{self._listener.port}"
        self._listener.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._listener.close()
        self.cut_all()
        writes = list(self._writes)
        for write in writes:
            write.cancel()
        await asyncio.gather(*writes, return_exceptions=True)
        async with asyncio.timeout(10):
            while True:
                # aiohttp forgets a connection when its tasks are done, a few turns of the loop after the cut.
                if not self._server.connections:
                    break
                await asyncio.sleep(0)
        await self._upstream.close()

    def inject(
        self,
        match: Match,
        fault: Fault,
        *,
        times: int | None = None,
        probability: float = 1.0,
        random: Random | None = None,
    ) -> Injection:
        """Let a fault strike what `match` chooses, from now on.

        Faults on requests strike those that come later; a watch that is open already is reached by faults on
        its events. Of several faults that match, the one that was injected first decides; delays add up.

        Args:
            match: which requests, or which events of which watches.
            fault: what happens to them.
            times: strike the first so many, and then no more; None for no end.
            probability: from 0 to 1, drawn for each request or event that matches.
            random: source of the draws; needed where `probability` is below 1.

        Raises:
            ValueError: the fault cannot strike what `match` chooses, or `random` is missing.

        """
        injection = Injection(match, fault, times=times, probability=probability, random=random)
        self._injections.add(injection)
        return injection

    def clear(self) -> None:
        """Remove every fault. What was struck stays struck; `freeze` and `pause_watches` are not faults."""
        self._injections.clear()

    def freeze(self) -> None:
        """Make a network partition: nothing passes in either direction, and nobody is told.

        It holds for the connections open now and for new ones, which the kernel accepts and nobody answers.
        """
        self._flowing.clear()

    def thaw(self) -> None:
        """End the partition. What was on the way arrives, writes included whose client has given up.

        Of a connection that was made during the partition and is closed again by its client, a write may
        arrive or not.
        """
        self._flowing.set()

    def pause_watches(self) -> None:
        """Hold back the events, and the ends, of all watches; everything else passes."""
        self._watches_flowing.clear()

    def resume_watches(self) -> None:
        """Pass on the events that were held back, in order, and those that follow."""
        self._watches_flowing.set()

    def cut_all(self, *, reset: bool = False) -> None:
        """Close every client's connection now, even in a partition: by FIN, or by RST with `reset`.

        Connections that were made during a partition have not been answered yet; the kernel sends RST on
        them in any case, where the client has sent something.
        """
        for connection in self._server.connections:
            if connection.transport is not None:
                _close(connection.transport, reset=reset, at_once=True)
        self._listener.drop_waiting()

    async def refuse_connections(self) -> None:
        """Answer new connections with RST, as a host does on which no server runs; open ones stay."""
        await self._listener.refuse()

    def accept_connections(self) -> None:
        """Listen again, on the same port."""
        self._listener.open()

    async def _handle(self, incoming: web.BaseRequest) -> web.StreamResponse:
        body = await incoming.content.read()
        request = APIRequest.parse(incoming.method, incoming.path, incoming.query, incoming.headers, body)
        exchange = Exchange(
            request.method,
            request.path,
            request.query,
            request.verb,
            request.group,
            request.resource,
            request.subresource,
            request.namespace,
            request.name,
        )
        self.requests.append(exchange)
        try:
            return await self._answer(incoming, request, exchange)
        except CutError as cut:
            await self._close(incoming, reset=cut.reset)
        except (aiohttp.ClientError, OSError) as error:
            exchange.error = f"{self._upstream_url}: {type(error).__name__}: {error}"
            await self._close(incoming, reset=False)
        except (QuietError, ClientGoneError):
            pass
        # aiohttp sends nothing while this handler runs, and cancels it when the connection is gone.
        never: asyncio.Future[web.StreamResponse] = asyncio.get_running_loop().create_future()
        return await never

    async def _answer(self, incoming: web.BaseRequest, request: APIRequest, exchange: Exchange) -> web.StreamResponse:
        struck = self._injections.strike_request(request)
        exchange.faults.extend(struck.faults)
        armed = struck.deciding if struck.deciding is not None and struck.deciding.has_position else None
        fault = None if struck.deciding is None or armed is not None else struck.deciding.fault
        match fault:
            case HalfOpen():
                raise QuietError
            case Cut():
                await self._travel(struck.delay)
                raise CutError(reset=fault.reset)
            case Answer():
                await self._travel(struck.delay)
                exchange.status = fault.status
                return _injected(fault, request)
        relay = Relay(incoming, self._flowing, exchange, armed)
        passing = _Passing(request, incoming.raw_path, struck.delay, fault, exchange)
        if request.verb in READS:
            return await self._pass_read(passing, relay)
        return await self._pass_write(passing, relay)

    async def _pass_read(self, passing: _Passing, relay: Relay) -> web.StreamResponse:
        await self._travel(passing.delay)
        async with self._upstream.send(passing.request, passing.target) as answer:
            passing.exchange.status = answer.status
            passing.lose_answer()
            await relay.start(answer.status, answer.reason, headers_to_pass_on(answer.headers))
            if passing.request.verb == "watch" and answer.ok and answer.content_type == "application/json":
                return await relay.send_watch(answer.content, passing.request, self._injections, self._watches_flowing)
            async for chunk in answer.content.iter_any():
                await relay.send(chunk)
            return await relay.finish()

    async def _pass_write(self, passing: _Passing, relay: Relay) -> web.StreamResponse:
        # In a task of its own, as a write that was sent reaches the server even where the client gave up.
        write = asyncio.create_task(self._complete(passing), name=f"{passing.exchange.verb} {passing.target}")
        self._writes.add(write)
        write.add_done_callback(self._writes.discard)
        answer = await asyncio.shield(write)
        passing.lose_answer()
        await relay.start(answer.status, answer.reason, answer.headers)
        await relay.send(answer.body)
        return await relay.finish()

    async def _complete(self, passing: _Passing) -> _WholeAnswer:
        await self._travel(passing.delay)
        async with self._upstream.send(passing.request, passing.target) as answer:
            passing.exchange.status = answer.status
            return _WholeAnswer(answer.status, answer.reason, headers_to_pass_on(answer.headers), await answer.read())

    async def _travel(self, seconds: float) -> None:
        if seconds:
            await asyncio.sleep(seconds)
        await self._flowing.wait()

    async def _close(self, incoming: web.BaseRequest, *, reset: bool) -> None:
        await self._flowing.wait()
        if incoming.transport is not None:
            _close(incoming.transport, reset=reset, at_once=False)


@dataclass(frozen=True, slots=True)
class _Passing:
    """A request that is to reach the server; `fault` is LoseAnswer or None."""

    request: APIRequest
    target: str
    delay: float
    fault: Fault | None
    exchange: Exchange

    def lose_answer(self) -> None:
        """Raise what keeps the answer from the client, if that is the fault."""
        if isinstance(self.fault, LoseAnswer):
            raise QuietError if self.fault.half_open else CutError


@dataclass(frozen=True, slots=True)
class _WholeAnswer:
    status: int
    reason: str | None
    headers: CIMultiDict[str]
    body: bytes


def _injected(fault: Answer, request: APIRequest) -> web.Response:
    body = fault.body(group=request.group, resource=request.resource, name=request.name)
    headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
    content_type = "application/json" if fault.text is None else "text/plain"
    return web.Response(status=fault.status, body=body, headers=headers, content_type=content_type)


def _close(transport: asyncio.Transport, *, reset: bool, at_once: bool) -> None:
    if reset:
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
    # TLS would say goodbye in its own protocol first, and wait for the answer.
    if reset or at_once or transport.get_extra_info("sslcontext") is not None:
        transport.abort()
    else:
        transport.close()
