"""The server on a TCP port: HTTPS in front of `APIServer.handle`.

HTTP/1.1 over TLS, which kubectl and all Kubernetes clients speak. A watch's events are sent as they happen; a client
that goes away ends its request. A body above the limit of a kube-apiserver is refused with 413.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec
from aiohttp import web

from disvc.runtime.transport import Answer
from disvc.testing.memory.answers import refusal
from disvc.testing.memory.authentication import Certificate, impersonated
from disvc.testing.memory.authorization import ANONYMOUS, Attributes
from disvc.testing.memory.compaction import COMPACT_PATH
from disvc.testing.memory.errors import Refused
from disvc.testing.memory.negotiation import JSON
from disvc.testing.memory.presentation import indents
from disvc.testing.memory.requests import Request

if TYPE_CHECKING:
    import ssl
    from socket import socket
    from typing import Self

    from disvc.runtime.transport import Stream
    from disvc.testing.memory.audit import AuditTrail
    from disvc.testing.memory.authentication import Authenticator
    from disvc.testing.memory.requests import User
    from disvc.testing.memory.server import APIServer

__all__ = ["HTTPServer"]

_LARGEST_BODY: Final = 3 * 1024 * 1024
_LONGEST_LINE: Final = 64 * 1024
_QUEUED_CONNECTIONS: Final = 1024
_GRACE_S: Final = 0.1

_log = logging.getLogger(__name__)


class HTTPServer:
    """`async with HTTPServer(...)`: it serves until the block ends, and then cuts its connections, watches too.

    Args:
        server: what carries the requests out.
        authenticator: tells who sends them.
        tls: the certificate to serve, and the authorities of clients' certificates.
        listener: bound to the port, not listening yet; closed at the end.
        audit: where each request is logged.

    """

    def __init__(
        self,
        server: APIServer,
        authenticator: Authenticator,
        *,
        tls: ssl.SSLContext,
        listener: socket,
        audit: AuditTrail,
    ) -> None:
        self._server = server
        self._authenticator = authenticator
        self._tls = tls
        self._listener = listener
        self._audit = audit

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._web = web.Server(
            self._handle,
            request_factory=partial(web.BaseRequest, loop=loop, client_max_size=_LARGEST_BODY),
            handler_cancellation=True,
            access_log=None,
            max_line_size=_LONGEST_LINE,
            max_field_size=_LONGEST_LINE,
        )
        self._accepting = await loop.create_server(
            self._web, sock=self._listener, ssl=self._tls, backlog=_QUEUED_CONNECTIONS
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        self._accepting.close()
        self._web.pre_shutdown()
        await self._web.shutdown(_GRACE_S)

    async def _handle(self, incoming: web.BaseRequest) -> web.StreamResponse:
        exchange = _Exchange(self._audit, self._server, incoming)
        try:
            exchange.request = replace(exchange.request, user=self._user(incoming))
            exchange.request = replace(exchange.request, body=await _body(incoming))
            answer = await self._answer(exchange.request)
        except Refused as refused:
            answer = refusal(refused)
        except Exception as error:
            _log.exception("%s %s", incoming.method, incoming.path_qs)
            answer = refusal(Refused(500, "InternalError", f"Internal error occurred: {error!r}"))
        if isinstance(answer, Answer):
            return await exchange.send(answer)
        return await exchange.send_stream(answer)

    def _user(self, incoming: web.BaseRequest) -> User:
        user = self._authenticator.user(_certificate(incoming), incoming.headers)
        return impersonated(user, incoming.headers, self._server.authorizer)

    async def _answer(self, request: Request) -> Answer | Stream:
        if request.path != COMPACT_PATH:
            return await self._server.handle(request)
        self._server.authorizer.check(request.user, Attributes(request.method.lower(), path=request.path))
        self._server.compact()
        return Answer(200, {"content-type": JSON}, msgspec.json.encode({"revision": self._server.store.revision}))


class _Exchange:
    """One request and the sending of its answer, with a record in the audit log."""

    def __init__(self, audit: AuditTrail, server: APIServer, incoming: web.BaseRequest) -> None:
        self._audit = audit
        self._now = server.environment.clock.now
        self._incoming = incoming
        self._id = incoming.headers.get("Audit-ID") or server.environment.new_uid()
        self._received = self._now()
        headers = {name.lower(): value for name, value in incoming.headers.items()}
        self.request = Request(incoming.method, incoming.path, dict(incoming.query), headers, user=ANONYMOUS)

    async def send(self, answer: Answer) -> web.StreamResponse:
        """Send a whole answer."""
        body = answer.body
        if answer.headers.get("content-type") == JSON and indents(
            self.request.query, self.request.headers.get("user-agent", "")
        ):
            body = msgspec.json.format(body, indent=2)
        response = web.Response(status=answer.status, headers=self._headers(answer), body=body)
        await response.prepare(self._incoming)
        await response.write_eof()
        self._record(answer.status, "ResponseComplete")
        return response

    async def send_stream(self, stream: Stream) -> web.StreamResponse:
        """Send an answer bit by bit, until it ends or the client has gone."""
        response = web.StreamResponse(status=stream.status, headers=self._headers(stream))
        response.enable_chunked_encoding()
        await response.prepare(self._incoming)
        self._record(stream.status, "ResponseStarted")
        try:
            async for chunk in stream.chunks():
                await response.write(chunk)
            await response.write_eof()
        except ConnectionError:
            pass  # the client has gone
        finally:
            self._record(stream.status, "ResponseComplete")
        return response

    def _headers(self, answer: Answer | Stream) -> dict[str, str]:
        return {"audit-id": self._id, "cache-control": "no-cache, private", **answer.headers}

    def _record(self, code: int, stage: str) -> None:
        self._audit.write(self.request, self._incoming.path_qs, self._id, self._received, self._now(), code, stage)


async def _body(incoming: web.BaseRequest) -> bytes:
    try:
        return await incoming.read()
    except web.HTTPRequestEntityTooLarge as error:
        message = f"Request entity too large: limit is {_LARGEST_BODY}"
        raise Refused(413, "RequestEntityTooLarge", message) from error
    except web.RequestPayloadError as error:  # such as one that is not gzip, and says that it is
        raise Refused(400, "BadRequest", f"the body cannot be read: {error}") from error


def _certificate(incoming: web.BaseRequest) -> Certificate | None:
    assert incoming.transport is not None
    tls: ssl.SSLObject = incoming.transport.get_extra_info("ssl_object")
    decoded = tls.getpeercert()
    return Certificate.read(decoded, tls.getpeercert(binary_form=True) or b"") if decoded else None
