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
import binascii
import hashlib
import os
import signal
import socket
import struct
from contextlib import asynccontextmanager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode, urlsplit

import aiohttp
import structlog
import yaml
from aiohttp.http import StreamWriter
from aiohttp.payload import Payload
from kubernetes_asyncio.client import Configuration
from kubernetes_asyncio.client.rest import RESTClientObject
from kubernetes_asyncio.config import ConfigException, load_incluster_config, load_kube_config
from yarl import URL

from disvc.runtime.environment import Environment
from disvc.runtime.errors import AnswerLost, ConfigurationError, TransportError, Unreachable
from disvc.runtime.transport import Answer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping

    from aiohttp.abc import AbstractStreamWriter

_CONNECT_SECONDS = 10.0
_LOOK_AT_CREDENTIALS_SECONDS = 60.0
_READ_SECONDS = 60.0
"""For reading a configuration, the run of an exec plugin included."""
_POOL = 100
"""Requests under way at once. Watches have a pool of their own without a limit, so neither starves the other."""
_LINGER_NOT = struct.pack("ii", 1, 0)
"""For SO_LINGER: closing throws away what is not delivered. Else the kernel would go on trying for minutes."""

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
    connection = await Connection.open(_Source(kubeconfig, context), environment or Environment())
    try:
        yield connection
    finally:
        await connection.close()


class _Source:
    """Where the configuration comes from; it can be read again and again."""

    def __init__(self, kubeconfig: str | os.PathLike[str] | None, context: str | None) -> None:
        self._context = context
        self._loader: Any = None
        explicit = kubeconfig or os.environ.get("KUBECONFIG")
        self._in_cluster = not explicit and "KUBERNETES_SERVICE_HOST" in os.environ
        self._file = str(explicit or Path.home() / ".kube" / "config")

    async def read(self, *, anew: bool) -> Configuration:
        """Return the configuration of now: `anew` forgets a cached exec credential that has not expired."""
        configuration = Configuration()
        configuration.connection_pool_maxsize = _POOL
        try:
            async with asyncio.timeout(_READ_SECONDS):
                await self._load(configuration, anew=anew)
        except ConfigurationError:
            raise
        except Exception as error:  # the loader raises whatever the YAML, base64 or plugin ran into
            raise ConfigurationError(f"{self} cannot be used: {_explain(error)}") from error
        if urlsplit(configuration.host).scheme not in {"http", "https"}:
            raise ConfigurationError(
                f"{self} cannot be used: its cluster's server is {configuration.host!r}; "
                "it must be a URL that begins with https:// or http://"
            )
        return configuration

    async def _load(self, configuration: Configuration, *, anew: bool) -> None:
        if self._in_cluster:
            load_incluster_config(client_configuration=configuration, try_refresh_token=False)
        elif self._loader is not None and not anew:
            await self._loader.load_and_set(configuration)
        else:
            self._check_files()
            self._loader = await load_kube_config(
                config_file=self._file,
                context=self._context,
                client_configuration=configuration,
                persist_config=False,
            )

    def _check_files(self) -> None:
        files = [Path(file).expanduser() for file in self._file.split(os.pathsep) if file]
        if not any(file.is_file() for file in files):  # of several some may be missing, as for kubectl
            raise ConfigurationError(
                f"there is no kubeconfig file {self._file}: pass --kubeconfig, set KUBECONFIG, "
                "or run in a pod with a service account"
            )

    def __str__(self) -> str:
        """Return what messages call it."""
        if self._in_cluster:
            return "the pod's service account"
        return f"kubeconfig {self._file}" + (f" with context {self._context}" if self._context else "")

    @property
    def renews_itself(self) -> bool:
        """Whether looking at the credentials once a minute can give new ones at little cost."""
        if self._in_cluster or hasattr(self._loader, "exec_plugin_expiry"):
            return True
        user = getattr(self._loader, "_user", None)
        return user is not None and "tokenFile" in user


def _explain(error: Exception) -> str:
    """Return what is wrong with a configuration, and what to do about it."""
    if isinstance(error, TimeoutError):
        return f"it took more than {_READ_SECONDS:.0f} s to read; does its exec plugin wait for something?"
    if isinstance(error, binascii.Error):
        return f"a field that ends in -data is not base64: {error}"
    if isinstance(error, FileNotFoundError):
        if error.filename is None:  # as uvloop has it
            return "its exec plugin is not there: install it, or put it on the PATH"
        return f"there is no {error.filename}; if that is its exec plugin, install it, or put it on the PATH"
    if isinstance(error, ConfigException | OSError | yaml.YAMLError):
        return str(error)
    return (
        f"it does not have the form of a kubeconfig ({type(error).__name__}: {error}); `kubectl config view` tells more"
    )


class _FencedBody(Payload):
    """A body that asks the fence right before its bytes go to the socket.

    aiohttp sends the headers together with the body's first bytes, so a refusal here means that the server
    never sees a whole request. Between the fence's answer and the kernel's taking the bytes no other code of
    this process runs, and where the process is stopped just there, `_until` ends it. Bytes that the kernel has
    and could not deliver (a partition) are taken back when the connection is closed, or the process ends.
    """

    def __init__(self, value: bytes, content_type: str, fence: Callable[[], float | None] | None) -> None:
        super().__init__(value, content_type=content_type)
        self._size = len(value)
        self._fence = fence
        self.refusal: Exception | None = None
        self.sent = False

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return str(self._value.decode(encoding, errors))

    async def write(self, writer: AbstractStreamWriter) -> None:
        await self.write_with_length(writer, None)

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        if self.sent:  # by aiohttp itself, which repeats a PUT or DELETE when a connection of its pool is dead
            raise ConnectionResetError("the connection broke after the request was sent")
        if self._fence is None:
            self.sent = True
            await writer.write(self._value)
            return
        assert isinstance(writer, StreamWriter)
        if writer.transport is not None:
            sock = writer.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        seconds = self._may_be_sent(self._fence)
        with nullcontext() if seconds is None else _until(seconds):
            self._may_be_sent(self._fence)  # again, as what counts is the time when the alarm is set
            self.sent = True
            await writer.write(self._value, drain=False)
        await writer.drain()

    def _may_be_sent(self, fence: Callable[[], float | None]) -> float | None:
        try:
            return fence()
        except Exception as refusal:
            self.refusal = refusal
            raise


@contextmanager
def _until(seconds: float) -> Iterator[None]:
    """Let the kernel kill this process (SIGALRM) if the block, which must not wait, is not over in time.

    No look at a clock can help a process that is stopped (SIGSTOP, no processor for it) right after the look. A
    signal that came due meanwhile is acted on by the kernel before anything else runs. It cannot be had where
    the program uses SIGALRM itself, nor on Windows; the time that a machine is suspended does not count.
    """
    if not hasattr(signal, "setitimer") or signal.getsignal(signal.SIGALRM) is not signal.SIG_DFL:
        yield
        return
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


class _Credentials(NamedTuple):
    """What a request was sent with: the token, a digest of what TLS uses, and how often they had been renewed."""

    token: str | None
    fingerprint: str
    renewals: int


class _Session:
    """The connections made with one configuration. A retired one is closed when its last request has ended."""

    def __init__(self, configuration: Configuration) -> None:
        self.requests: aiohttp.ClientSession = RESTClientObject(configuration).pool_manager
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

    def __init__(self, source: _Source, configuration: Configuration, environment: Environment) -> None:
        self._source = source
        self._environment = environment
        self._renewing: asyncio.Task[None] | None = None
        self._renewals = 0
        self._retired: list[_Session] = []
        self._use(configuration)

    @classmethod
    async def open(cls, source: _Source, environment: Environment) -> Connection:
        """Read the configuration and make the sessions; nothing is sent yet."""
        return cls(source, await source.read(anew=True), environment)

    def _use(self, configuration: Configuration) -> None:
        try:
            fingerprint = _fingerprint(configuration)
            session = _Session(configuration)
        except OSError as error:  # ssl.SSLError is one
            raise ConfigurationError(
                f"{self._source} cannot be used: its certificates or key for {configuration.host} are not valid PEM "
                f"files that belong together: {error}"
            ) from error
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
        payload = None if body is None else _FencedBody(body, headers["Content-Type"], fence)
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
                return Answer(response.status, response.headers, await response.read())
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
            if _fingerprint(configuration) == self._fingerprint:
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
        self.headers: Mapping[str, str] = response.headers
        self._response = response
        self._path = path

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._response.content.iter_any():
                yield chunk
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            detail = str(error) or type(error).__name__
            raise AnswerLost(f"GET {self._path}: the stream broke: {detail}") from error


def _fingerprint(configuration: Configuration) -> str:
    """Return a digest of what a TLS session is made from: a changed one needs new sessions."""
    digest = hashlib.sha256(f"{configuration.host} {configuration.proxy} {configuration.verify_ssl}".encode())
    for file in (configuration.ssl_ca_cert, configuration.cert_file, configuration.key_file):
        digest.update(b"\0" + (Path(file).read_bytes() if file else b""))
    return digest.hexdigest()
