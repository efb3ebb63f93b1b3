"""The transport over HTTP: kubernetes_asyncio's configuration, credentials and pooled aiohttp sessions.

`connect()` finds the cluster in the order that controller-runtime has: an explicit kubeconfig, `KUBECONFIG`,
the service account of the pod, `~/.kube/config`. Requests are bytes on kubernetes_asyncio's session; its
generated models are not used. Importing kubernetes_asyncio costs some 65 MB, so this module is
imported only by a process that does talk to a cluster.

Credentials that expire are renewed: token files and exec plugins are looked at once a minute, and an answer
of 401 makes the whole configuration be read anew, once for all requests that are waiting for it.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode, urlsplit

import aiohttp
import structlog
from kubernetes_asyncio.client.rest import RESTClientObject
from yarl import URL

from disvc.runtime.configuration import ConfigurationSource
from disvc.runtime.environment import Environment
from disvc.runtime.errors import AnswerLost, ConfigurationError, TransportError, Unreachable
from disvc.runtime.fenced_body import FencedBody
from disvc.runtime.transport import Answer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping

    from kubernetes_asyncio.client import Configuration

_CONNECT_SECONDS = 10.0
_LOOK_AT_CREDENTIALS_SECONDS = 60.0
_POOL = 100
"""Requests under way at once. Watches have a pool of their own without a limit, so neither starves the other."""

_log = structlog.get_logger("disvc.connection")


@asynccontextmanager
async def connect(
    kubeconfig: str | os.PathLike[str] | None = None,
    *,
    context: str | None = None,
    environment: Environment | None = None,
) -> AsyncIterator[Connection]:
    """Open a connection to a cluster and close it at the end.

    `kubeconfig` is a file; without one, `KUBECONFIG`, the pod's service account and `~/.kube/config` are tried
    in this order. `context` is one of the kubeconfig's, by default its current one.

    Raises `ConfigurationError`, which says what is wrong with which file.
    """
    connection = await Connection.open(ConfigurationSource(kubeconfig, context), environment or Environment())
    try:
        yield connection
    finally:
        await connection.close()


class _Credentials(NamedTuple):
    """What a request was sent with: the token, a digest of what TLS uses, and how often they had been renewed."""

    token: str | None
    fingerprint: str
    renewals: int


class _Session:
    """The connections made with one configuration. A retired one is closed when its last request has ended."""

    def __init__(self, configuration: Configuration) -> None:
        self.requests: aiohttp.ClientSession = RESTClientObject(configuration, maxsize=_POOL).pool_manager
        self.streams: aiohttp.ClientSession = RESTClientObject(configuration, maxsize=0).pool_manager
        self._users = 0
        self._retired = False

    async def __aenter__(self) -> _Session:
        self._users += 1
        return self

    async def __aexit__(self, *_: object) -> None:
        self._users -= 1
        if self._retired and not self._users:
            await self.close()

    @property
    def closed(self) -> bool:
        """Whether all its connections are closed."""
        return self.requests.closed and self.streams.closed

    async def retire(self) -> None:
        """Take note that no new request comes."""
        self._retired = True
        if not self._users:
            await self.close()

    async def close(self) -> None:
        """Close all connections."""
        await self.requests.close()
        await self.streams.close()


class Connection:
    """A `Transport` to the API server of a kubeconfig or a pod; made by `connect()`."""

    def __init__(self, source: ConfigurationSource, configuration: Configuration, environment: Environment) -> None:
        self._source = source
        self._environment = environment
        self._renewing: asyncio.Task[None] | None = None
        self._renewals = 0
        self._retired: list[_Session] = []
        self._use(configuration)

    @classmethod
    async def open(cls, source: ConfigurationSource, environment: Environment) -> Connection:
        """Read the configuration and make the sessions; nothing is sent yet."""
        return cls(source, await source.read(anew=True), environment)

    def _use(self, configuration: Configuration) -> None:
        with self._explained(configuration):
            fingerprint = _fingerprint(configuration)
            session = _Session(configuration)
        self._session = session
        self._fingerprint = fingerprint
        self._base = str(configuration.host).rstrip("/")
        self.host = urlsplit(self._base).netloc
        self._arguments: dict[str, Any] = {}
        if configuration.proxy:
            self._arguments["proxy"] = configuration.proxy
        if configuration.proxy_headers:
            self._arguments["proxy_headers"] = configuration.proxy_headers
        if configuration.tls_server_name:
            self._arguments["server_hostname"] = configuration.tls_server_name
        self._take_token(configuration)

    @contextmanager
    def _explained(self, configuration: Configuration) -> Iterator[None]:
        try:
            yield
        except OSError as error:  # ssl.SSLError is one
            raise ConfigurationError(
                f"{self._source} cannot be used: its certificates or key for {configuration.host} are not valid PEM "
                f"files that belong together: {error}"
            ) from error

    def _take_token(self, configuration: Configuration) -> None:
        token: str | None = configuration.api_key.get("BearerToken")
        self._token = token and token.strip()  # a token file may end in a newline
        self._looked_at = self._environment.clock.monotonic()

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
        """Send a request; see `Transport.request`."""
        await self._look_at_credentials()
        used = self._credentials
        answer = await self._request(method, path, query, headers, body, timeout, fence)
        if answer.status == 401 and await self._renewed(used):
            return await self._request(method, path, query, headers, body, timeout, fence)
        return answer

    async def _request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        body: bytes | None,
        timeout: float,
        fence: Callable[[], float | None] | None,
    ) -> Answer:
        payload = None if body is None else FencedBody(body, headers["Content-Type"], fence)
        try:
            async with (
                self._session as session,
                session.requests.request(
                    method,
                    self._url(path, query),
                    headers=self._headers(headers),
                    data=payload,
                    timeout=aiohttp.ClientTimeout(total=timeout, sock_connect=_CONNECT_SECONDS),
                    allow_redirects=False,
                    **self._arguments,
                ) as response,
            ):
                return Answer(response.status, _headers(response), await response.read())
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            if payload is not None and payload.refusal is not None:
                raise payload.refusal from error
            raise self._failure(method, path, error, sent=payload is None or payload.sent) from error

    @asynccontextmanager
    async def stream(
        self, path: str, *, query: Mapping[str, str], headers: Mapping[str, str], timeout: float
    ) -> AsyncIterator[_Response]:
        """Open a stream; see `Transport.stream`."""
        await self._look_at_credentials()
        used = self._credentials
        async with self._opened(path, query, headers, timeout) as response:
            if response.status != 401 or not await self._renewed(used):
                yield response
                return
        async with self._opened(path, query, headers, timeout) as response:
            yield response

    @asynccontextmanager
    async def _opened(
        self, path: str, query: Mapping[str, str], headers: Mapping[str, str], timeout: float
    ) -> AsyncIterator[_Response]:
        async with self._session as session:
            try:
                async with asyncio.timeout(timeout):
                    response = await session.streams.request(
                        "GET",
                        self._url(path, query),
                        headers=self._headers(headers),
                        timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS),
                        allow_redirects=False,
                        **self._arguments,
                    )
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                raise self._failure("GET", path, error, sent=True) from error
            try:
                yield _Response(response, path)
            finally:
                if response.connection is not None and response.connection.transport is not None:
                    # A mere close would go on in the background, for up to 30 s, until the server ends TLS too.
                    response.connection.transport.abort()
                response.close()

    def _url(self, path: str, query: Mapping[str, str]) -> URL:
        return URL(f"{self._base}{path}?{urlencode(query)}" if query else self._base + path, encoded=True)

    def _headers(self, headers: Mapping[str, str]) -> Mapping[str, str]:
        # Without compression: it costs both sides more processor time than a cluster's network is worth.
        mine = {"Accept-Encoding": "identity", **headers}
        if self._token:
            mine["Authorization"] = self._token
        return mine

    def _failure(self, method: str, path: str, error: Exception, *, sent: bool) -> TransportError:
        what = f"{method} {path}"
        if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError):
            return Unreachable(
                f"{what}: the TLS handshake with {self._base} failed: {error}; is certificate-authority in "
                "the kubeconfig the one that signed the server's certificate, and is the certificate for that "
                "host, or for tls-server-name?"
            )
        detail = "it took too long" if type(error) is TimeoutError else str(error) or type(error).__name__
        if isinstance(error, aiohttp.ClientHttpProxyError):
            return Unreachable(f"{what}: {self._base} cannot be reached: the proxy answered {detail}")
        if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
            if error.errno is not None and error.errno > 0:  # a name that does not resolve has one below 0
                detail = f"{os.strerror(error.errno)}: {detail}"
            return Unreachable(f"{what}: {self._base} cannot be reached: {detail}")
        if not sent:
            return Unreachable(f"{what}: not sent to {self._base}: {detail}")
        return AnswerLost(f"{what}: no answer from {self._base}: {detail}")

    @property
    def _credentials(self) -> _Credentials:
        return _Credentials(self._token, self._fingerprint, self._renewals)

    async def _look_at_credentials(self) -> None:
        now = self._environment.clock.monotonic()
        if not self._source.renews_itself or now - self._looked_at <= _LOOK_AT_CREDENTIALS_SECONDS:
            return
        self._looked_at = now
        try:
            self._take_token(await self._source.read(anew=False))
        except ConfigurationError as error:  # the token may be good yet; the server will say when it is not
            _log.warning("the credentials could not be read anew", error=str(error))

    async def _renewed(self, used: _Credentials) -> bool:
        """Read the configuration anew, once for all who ask; return whether a request is worth repeating."""
        if self._credentials == used:  # else that has happened since the request was sent
            if self._renewing is None or self._renewing.done():
                self._renewing = asyncio.create_task(self._renew(), name="renew credentials")
            await asyncio.shield(self._renewing)
        return (self._token, self._fingerprint) != (used.token, used.fingerprint)

    async def _renew(self) -> None:
        try:
            configuration = await self._source.read(anew=True)
            with self._explained(configuration):
                fingerprint = _fingerprint(configuration)
            if fingerprint == self._fingerprint:
                self._take_token(configuration)
                return
            old = self._session
            self._use(configuration)
        finally:
            self._renewals += 1
        self._retired = [session for session in self._retired if not session.closed]
        self._retired.append(old)
        await old.retire()

    async def fork(self) -> Connection:
        """Return a connection of its own to the same server; the caller closes it."""
        return await Connection.open(self._source, self._environment)

    async def close(self) -> None:
        """Close all connections."""
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.gather(self._renewing, return_exceptions=True)
        for session in (self._session, *self._retired):
            await session.close()


class _Response:
    """A `Stream` over aiohttp."""

    def __init__(self, response: aiohttp.ClientResponse, path: str) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = _headers(response)
        self._response = response
        self._path = path

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._response.content.iter_any():
                yield chunk
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            detail = str(error) or type(error).__name__
            raise AnswerLost(f"GET {self._path}: the stream broke: {detail}") from error


def _headers(response: aiohttp.ClientResponse) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in response.headers.items():
        lower = name.lower()
        headers[lower] = f"{headers[lower]}, {value}" if lower in headers else value
    return headers


def _fingerprint(configuration: Configuration) -> str:
    """Return a digest of what a TLS session is made from: a changed one needs new sessions."""
    digest = hashlib.sha256(f"{configuration.host} {configuration.proxy} {configuration.verify_ssl}".encode())
    for file in (configuration.ssl_ca_cert, configuration.cert_file, configuration.key_file):
        digest.update(b"\0" + (Path(file).read_bytes() if file else b""))
    return digest.hexdigest()
