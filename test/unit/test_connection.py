"""The transport over HTTP on servers of this machine: TLS, credentials, proxies, and what can go wrong with each."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import datetime
import json
import os
import socket
import ssl
import sys
import textwrap
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import uvloop
from aiohttp import web
from kubernetes_asyncio.config import incluster_config
from kubernetes_asyncio.config.exec_provider import ExecProvider

from disvc.runtime import configuration as configuration_module
from disvc.runtime import connection as connection_module
from disvc.runtime.connection import Connection, connect
from disvc.runtime.environment import Environment, SystemClock
from disvc.runtime.errors import AnswerLost, ConfigurationError, LeadershipLost, Unreachable
from disvc.testing.certificates import Authority

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
    from pathlib import Path

    from disvc.runtime.transport import Answer

SERVER_NAME = "api.example"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority("ca", tmp_path_factory.mktemp("ca"))


@pytest.fixture(autouse=True)
def _no_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


class Got(NamedTuple):
    """One request as the server got it."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    user: str
    """CN of the client certificate."""
    peer: Any


class Server:
    """An HTTPS server that takes the tokens it is told to take, and keeps what it got."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self.context = context
        self.got: list[Got] = []
        self.accepts: Callable[[Got], bool] = lambda got: True
        self.answer: Callable[[web.Request], Coroutine[Any, Any, web.StreamResponse]] | None = None
        self.names: list[str | None] = []
        self.url = ""
        if context is not None:
            context.sni_callback = lambda _, name, __: self.names.append(name)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        certificate = request.transport.get_extra_info("peercert") or {}
        subject = dict(pair for part in certificate.get("subject", ()) for pair in part)
        got = Got(
            request.method,
            request.path_qs,
            request.headers,
            await request.read(),
            subject.get("commonName", ""),
            request.transport.get_extra_info("peername"),
        )
        self.got.append(got)
        if not self.accepts(got):
            return web.json_response({"kind": "Status", "code": 401, "reason": "Unauthorized"}, status=401)
        if self.answer is not None:
            return await self.answer(request)
        return web.json_response({"kind": "ConfigMap"}, headers={"Retry-After": "3"})

    @property
    def tokens(self) -> list[str | None]:
        return [got.headers.get("Authorization") for got in self.got]


@asynccontextmanager
async def serve(context: ssl.SSLContext | None) -> AsyncIterator[Server]:
    server = Server(context)
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(application, shutdown_timeout=0.01)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    port = runner.addresses[0][1]
    server.url = f"{'https' if context else 'http'}://127.0.0.1:{port}"
    try:
        yield server
    finally:
        await runner.cleanup()


@pytest.fixture
def context(authority: Authority, tmp_path: Path) -> ssl.SSLContext:
    credentials = authority.server(f"server-{tmp_path.name}", [SERVER_NAME], ["127.0.0.1"])
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority.ca_file))
    context.verify_mode = ssl.CERT_OPTIONAL
    context.load_cert_chain(credentials.cert_file, credentials.key_file)
    return context


@pytest.fixture
async def server(context: ssl.SSLContext) -> AsyncIterator[Server]:
    async with serve(context) as server:
        yield server


class Kubeconfig:
    """A kubeconfig with one cluster, one user and one context, in a file that can be written anew."""

    def __init__(self, file: Path, url: str, authority: Authority | None) -> None:
        self.file = file
        self.cluster: dict[str, Any] = {"server": url}
        if authority is not None:
            self.cluster["certificate-authority"] = str(authority.ca_file)
        self.user: dict[str, Any] = {}

    def write(self) -> Path:
        value = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": self.cluster}],
            "users": [{"name": "u", "user": self.user}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_text(json.dumps(value))  # JSON is YAML
        return self.file


@pytest.fixture
def kubeconfig(server: Server, authority: Authority, tmp_path: Path) -> Kubeconfig:
    return Kubeconfig(tmp_path / "kubeconfig", server.url, authority)


class LaterClock(SystemClock):
    """The machine's clock, which a test can put forward."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead


async def ask(
    connection: Connection,
    method: str = "GET",
    path: str = "/api/v1/configmaps",
    *,
    query: Mapping[str, str] | None = None,
    body: bytes | None = None,
    timeout: float = 10,
    fence: Callable[[], float | None] | None = None,
) -> Answer:
    headers = {"Accept": "application/json"} | ({"Content-Type": "application/json"} if body is not None else {})
    return await connection.request(
        method, path, query=query or {}, headers=headers, body=body, timeout=timeout, fence=fence
    )


def stream(connection: Connection, timeout: float = 10) -> Any:
    return connection.stream("/watch", query={"watch": "1"}, headers={}, timeout=timeout)


async def read(response: Any) -> bytes:
    return b"".join([chunk async for chunk in response.chunks()])


# --- requests


async def test_a_request_arrives_as_it_was_asked_for(server: Server, kubeconfig: Kubeconfig) -> None:
    kubeconfig.user = {"token": "secret"}
    query = {"labelSelector": "a in (b,c),d!=e&f", "continue": "x/y+z="}
    async with connect(kubeconfig.write()) as connection:
        answer = await ask(connection, "POST", "/api/v1/system%3Aa", query=query, body=b'{"a": "\xc3\xa4"}')
        assert connection.host == server.url.removeprefix("https://")
    assert (answer.status, json.loads(answer.body)) == (200, {"kind": "ConfigMap"})
    assert answer.headers["retry-after"] == "3"
    [got] = server.got
    assert (got.method, got.body) == ("POST", b'{"a": "\xc3\xa4"}')
    assert got.path == "/api/v1/system%3Aa?labelSelector=a+in+%28b%2Cc%29%2Cd%21%3De%26f&continue=x%2Fy%2Bz%3D"
    assert got.headers["Authorization"] == "Bearer secret"
    assert (got.headers["Content-Type"], got.headers["Accept"]) == ("application/json", "application/json")
    assert got.headers["Accept-Encoding"] == "identity"


async def test_a_path_in_the_servers_url_is_kept(server: Server, kubeconfig: Kubeconfig) -> None:
    kubeconfig.cluster["server"] = f"{server.url}/k8s/clusters/c-1/"
    async with connect(kubeconfig.write()) as connection:
        await ask(connection)
    assert server.got[0].path == "/k8s/clusters/c-1/api/v1/configmaps"


async def test_a_redirect_is_an_answer_like_another(server: Server, kubeconfig: Kubeconfig) -> None:
    """Following it would send the token elsewhere."""

    async def redirect(request: web.Request) -> web.Response:
        return web.Response(status=307, headers={"Location": "/elsewhere"})

    server.answer = redirect
    async with connect(kubeconfig.write()) as connection:
        assert (await ask(connection)).status == 307
    assert len(server.got) == 1


async def test_headers_that_come_more_than_once_are_joined(server: Server, kubeconfig: Kubeconfig) -> None:
    async def warn(request: web.Request) -> web.Response:
        return web.Response(headers=[("Warning", '299 - "a"'), ("X-One", "1"), ("Warning", '299 - "b"')])

    server.answer = warn
    async with connect(kubeconfig.write()) as connection:
        answer = await ask(connection)
        async with stream(connection) as response:
            assert response.headers == {**answer.headers, "date": response.headers["date"]}
    assert answer.headers["warning"] == '299 - "a", 299 - "b"'
    assert answer.headers["x-one"] == "1"


async def test_connections_are_kept_and_a_fork_shares_none_of_them(server: Server, kubeconfig: Kubeconfig) -> None:
    async with connect(kubeconfig.write()) as connection:
        await ask(connection)
        await ask(connection)
        fork = await connection.fork()
        await ask(fork)
        await fork.close()
        await ask(connection)
    first, second, forked, last = (got.peer for got in server.got)
    assert first == second == last != forked


async def test_streams_take_no_place_of_requests_and_wait_for_none(
    server: Server, kubeconfig: Kubeconfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_module, "_POOL", 1)

    async def hang(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        if request.path == "/watch":
            await asyncio.sleep(60)
        return response

    server.answer = hang
    async with connect(kubeconfig.write()) as connection, contextlib.AsyncExitStack() as stack:
        for _ in range(3):
            await stack.enter_async_context(stream(connection))
        assert (await ask(connection)).status == 200


async def test_a_stream_yields_its_body_as_it_arrives(server: Server, kubeconfig: Kubeconfig) -> None:
    read_first = asyncio.Event()

    async def two_pieces(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first")
        await read_first.wait()
        await response.write(b"second")
        return response

    server.answer = two_pieces
    async with connect(kubeconfig.write()) as connection, stream(connection) as response:
        assert response.status == 200
        chunks = response.chunks()
        assert await anext(chunks) == b"first"
        read_first.set()
        assert b"".join([chunk async for chunk in chunks]) == b"second"


# --- what breaks


class RawServer:
    """A TCP server whose behaviour is a coroutine of the test; it keeps every byte that it got."""

    def __init__(self) -> None:
        self.received: list[bytearray] = []  # one for each connection
        self.url = ""

    async def request(self, reader: asyncio.StreamReader, got: bytearray) -> None:
        """Read one request with a body."""
        while b"\r\n\r\n" not in got:
            piece = await reader.read(65536)
            if not piece:
                raise EOFError
            got += piece
        head, _, body = bytes(got).rpartition(b"\r\n\r\n")
        length = next(
            (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
        )
        missing = length - len(body)
        if missing > 0:
            got += await reader.readexactly(missing)


OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


@asynccontextmanager
async def raw_server(behave: Any) -> AsyncIterator[RawServer]:
    server = RawServer()
    tasks: set[asyncio.Task[Any]] = set()

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        got = bytearray()
        server.received.append(got)
        try:
            with contextlib.suppress(ConnectionError, EOFError, asyncio.CancelledError):
                await behave(server, reader, writer, got)
                got += await reader.read()
        finally:
            writer.close()

    listener = await asyncio.start_server(serve_one, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        for task in tasks:
            task.cancel()
        listener.close()
        await asyncio.gather(*tasks, return_exceptions=True)


async def answers(
    server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, got: bytearray
) -> None:
    while True:
        request = bytearray()
        try:
            await server.request(reader, request)
        finally:
            got += request
        writer.write(OK)
        await writer.drain()


async def drops(server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, got: bytearray) -> None:
    await server.request(reader, got)
    writer.close()


async def answers_once_then_drops(
    server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, got: bytearray
) -> None:
    await server.request(reader, got)
    writer.write(OK)
    await writer.drain()
    second = bytearray()
    await server.request(reader, second)
    got += second
    writer.close()


async def says_nothing(
    server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, got: bytearray
) -> None:
    await server.request(reader, got)
    await asyncio.sleep(60)


@asynccontextmanager
async def connected(behave: Any, file: Path) -> AsyncIterator[tuple[RawServer, Connection]]:
    async with (
        raw_server(behave) as server,
        connect(Kubeconfig(file, server.url, None).write()) as connection,
    ):
        yield server, connection


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_a_connection_that_drops_after_the_request_loses_the_answer(method: str, tmp_path: Path) -> None:
    async with connected(drops, tmp_path / "k") as (server, connection):
        with pytest.raises(AnswerLost, match=rf"{method} /api/v1/configmaps: no answer from {server.url}: "):
            await ask(connection, method, body=b"{}")
        await asyncio.sleep(0.05)
        assert b"".join(server.received).count(f"{method} ".encode()) == 1


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_no_write_is_sent_twice_when_a_kept_connection_turns_out_dead(method: str, tmp_path: Path) -> None:
    """aiohttp by itself repeats PUT and DELETE there, though the first one may have been carried out."""
    async with connected(answers_once_then_drops, tmp_path / "k") as (server, connection):
        await ask(connection, "POST", body=b"{}")
        with pytest.raises(AnswerLost):
            await ask(connection, method, "/second", body=b"{}")
        await asyncio.sleep(0.05)
        assert b"".join(server.received).count(b" /second ") == 1


async def test_an_answer_that_does_not_come_in_time_is_lost(tmp_path: Path) -> None:
    async with connected(says_nothing, tmp_path / "k") as (_, connection):
        with pytest.raises(AnswerLost, match=r"no answer from http://127.*: it took too long"):
            await ask(connection, "POST", body=b"{}", timeout=0.1)
        with pytest.raises(AnswerLost, match="took too long"):
            async with stream(connection, timeout=0.1):
                pass


async def test_what_cannot_be_sent_in_time_was_not_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All connections are busy: for a write that is not the same as a lost answer."""
    monkeypatch.setattr(connection_module, "_POOL", 1)
    async with connected(says_nothing, tmp_path / "k") as (server, connection):
        busy = asyncio.create_task(ask(connection, timeout=5))
        await asyncio.sleep(0.05)
        with pytest.raises(Unreachable, match="not sent"):
            await ask(connection, "POST", body=b"{}", timeout=0.1)
        busy.cancel()
        assert not any(b"POST" in received for received in server.received)


async def test_a_server_that_stalls_in_the_tls_handshake_was_sent_nothing(tmp_path: Path) -> None:
    async with raw_server(says_nothing) as server:
        file = Kubeconfig(tmp_path / "k", server.url.replace("http:", "https:"), None).write()
        async with connect(file) as connection:
            with pytest.raises(Unreachable):
                await ask(connection, "POST", body=b"{}", timeout=0.2)


async def test_a_refused_connection_is_unreachable(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound and not listening
        url = f"https://127.0.0.1:{unused.getsockname()[1]}"
        async with connect(Kubeconfig(tmp_path / "k", url, None).write()) as connection:
            for call in (ask(connection), ask(connection, "POST", body=b"{}"), stream(connection).__aenter__()):
                with pytest.raises(Unreachable, match=rf"{url} cannot be reached: .*refused"):
                    await call


async def test_a_host_that_has_no_address_is_unreachable(tmp_path: Path) -> None:
    async with connect(Kubeconfig(tmp_path / "k", "https://no.such.host.invalid", None).write()) as connection:
        with pytest.raises(Unreachable, match=r"no\.such\.host\.invalid cannot be reached"):
            await ask(connection)


@pytest.mark.parametrize(
    "rest",
    [b"5\r\nfirst\r\n", b"5\r\nfirst\r\n7\r\nsec", b""],
    ids=["between chunks", "in a chunk", "before the first"],
)
async def test_a_stream_that_breaks_off_says_so(rest: bytes, tmp_path: Path) -> None:
    async def breaks(
        server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, got: bytearray
    ) -> None:
        await server.request(reader, got)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + rest)
        await writer.drain()
        writer.close()

    async with connected(breaks, tmp_path / "k") as (_, connection), stream(connection) as response:
        with pytest.raises(AnswerLost, match="GET /watch: the stream broke"):
            await read(response)


@pytest.mark.parametrize("head", [b"\x15\x03\x01\x00\x02\x02", b"SSH-2.0-OpenSSH_9.6\r\n"])
async def test_an_answer_that_is_not_http_is_lost(head: bytes, tmp_path: Path) -> None:
    async def talks_something_else(
        server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, got: bytearray
    ) -> None:
        await server.request(reader, got)
        writer.write(head)
        writer.close()

    async with connected(talks_something_else, tmp_path / "k") as (_, connection):
        with pytest.raises(AnswerLost):
            await ask(connection, "POST", body=b"{}")


# --- the fence


def refuse() -> None:
    raise LeadershipLost("the lease is lost")


async def test_a_refusing_fence_means_that_no_byte_is_sent(tmp_path: Path) -> None:
    async with connected(answers, tmp_path / "k") as (server, connection):
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            with pytest.raises(LeadershipLost, match="the lease is lost"):
                await ask(connection, method, body=b"{}", fence=refuse)
        await asyncio.sleep(0.05)
        assert b"".join(server.received) == b""


async def test_a_refusing_fence_sends_nothing_on_a_connection_that_is_kept(tmp_path: Path) -> None:
    async with connected(answers, tmp_path / "k") as (server, connection):
        await ask(connection, "POST", "/first", body=b"{}", fence=lambda: None)
        with pytest.raises(LeadershipLost):
            await ask(connection, "POST", "/second", body=b"{}", fence=refuse)
        await ask(connection, "POST", "/third", body=b"{}", fence=lambda: None)
        received = b"".join(server.received)
        assert [received.count(path) for path in (b"/first", b"/second", b"/third")] == [1, 0, 1]


async def test_a_fence_is_asked_when_the_connection_stands(server: Server, kubeconfig: Kubeconfig) -> None:
    """Connecting takes time, in which a lease can be lost."""
    handshakes: list[int] = []
    async with connect(kubeconfig.write()) as connection:
        await ask(connection, "POST", body=b"{}", fence=lambda: handshakes.append(len(server.names)))
    assert handshakes
    assert min(handshakes) == 1


@pytest.mark.parametrize("error", [ValueError("a bug"), OSError("no disk")])
async def test_whatever_a_fence_raises_ends_the_request(error: Exception, tmp_path: Path) -> None:
    def broken() -> None:
        raise error

    async with connected(answers, tmp_path / "k") as (server, connection):
        with pytest.raises(type(error), match=str(error)):
            await ask(connection, "POST", body=b"{}", fence=broken)
        assert b"".join(server.received) == b""


async def test_a_large_body_passes_the_fence_whole(tmp_path: Path) -> None:
    body = json.dumps({"data": "x" * 1_500_000}).encode()
    async with connected(answers, tmp_path / "k") as (server, connection):
        assert (await ask(connection, "POST", body=body, fence=lambda: 5.0)).status == 200
        assert bytes(server.received[0]).endswith(b"\r\n\r\n" + body)


# --- TLS


async def test_a_server_signed_by_another_authority_is_not_trusted_and_the_message_says_what_to_look_at(
    server: Server, kubeconfig: Kubeconfig, tmp_path: Path
) -> None:
    kubeconfig.cluster["certificate-authority"] = str(Authority("other", tmp_path).ca_file)
    async with connect(kubeconfig.write()) as connection:
        for call in (ask(connection), ask(connection, "POST", body=b"{}"), stream(connection).__aenter__()):
            with pytest.raises(Unreachable, match=r"TLS handshake with https://127.* is certificate-authority in the"):
                await call
    assert server.got == []


async def test_a_certificate_for_another_host_is_not_trusted(server: Server, kubeconfig: Kubeconfig) -> None:
    kubeconfig.cluster["server"] = server.url.replace("127.0.0.1", "localhost")
    async with connect(kubeconfig.write()) as connection:
        with pytest.raises(Unreachable, match="or for tls-server-name"):
            await ask(connection)


async def test_tls_server_name_is_asked_for_and_checked(server: Server, kubeconfig: Kubeconfig) -> None:
    kubeconfig.cluster["tls-server-name"] = SERVER_NAME
    async with connect(kubeconfig.write()) as connection:
        await ask(connection)
        async with stream(connection):
            pass
    assert set(server.names) == {SERVER_NAME}
    kubeconfig.cluster["tls-server-name"] = "other.example"
    async with connect(kubeconfig.write()) as connection:
        with pytest.raises(Unreachable, match="TLS handshake"):
            await ask(connection)


async def test_insecure_skip_tls_verify_trusts_any_server(server: Server, kubeconfig: Kubeconfig) -> None:
    del kubeconfig.cluster["certificate-authority"]
    kubeconfig.cluster["insecure-skip-tls-verify"] = True
    async with connect(kubeconfig.write()) as connection:
        assert (await ask(connection)).status == 200


async def test_an_authority_can_be_given_as_data_or_as_a_path_beside_the_kubeconfig(
    server: Server, kubeconfig: Kubeconfig, authority: Authority
) -> None:
    del kubeconfig.cluster["certificate-authority"]
    kubeconfig.cluster["certificate-authority-data"] = base64.b64encode(authority.ca_file.read_bytes()).decode()
    async with connect(kubeconfig.write()) as connection:
        assert (await ask(connection)).status == 200
    del kubeconfig.cluster["certificate-authority-data"]
    (kubeconfig.file.parent / "beside.crt").write_bytes(authority.ca_file.read_bytes())
    kubeconfig.cluster["certificate-authority"] = "beside.crt"
    async with connect(kubeconfig.write()) as connection:
        assert (await ask(connection)).status == 200


@pytest.mark.parametrize("by_data", [False, True])
async def test_a_client_certificate_tells_who_asks(
    by_data: bool, server: Server, kubeconfig: Kubeconfig, authority: Authority, tmp_path: Path
) -> None:
    pair = authority.client(f"client-{tmp_path.name}", "jane")
    files = {"client-certificate": pair.cert_file, "client-key": pair.key_file}
    if by_data:
        kubeconfig.user = {f"{name}-data": base64.b64encode(file.read_bytes()).decode() for name, file in files.items()}
    else:
        kubeconfig.user = {name: str(file) for name, file in files.items()}
    async with connect(kubeconfig.write()) as connection:
        await ask(connection)
        async with stream(connection):
            pass
    assert [got.user for got in server.got] == ["jane", "jane"]


async def test_a_renewed_client_certificate_is_taken_and_what_runs_on_the_old_one_ends_in_peace(
    server: Server, kubeconfig: Kubeconfig, authority: Authority, tmp_path: Path
) -> None:
    def become(user: str) -> None:
        pair = authority.client(f"{user}-{tmp_path.name}", user)
        kubeconfig.user = {"client-certificate": str(pair.cert_file), "client-key": str(pair.key_file)}
        kubeconfig.write()

    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def slow(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first")
        if request.path in {"/watch", "/slow"}:
            if request.path == "/slow":
                arrived.set()
            await go_on.wait()
        await response.write(b"second")
        return response

    server.answer = slow
    become("old")
    async with connect(kubeconfig.file) as connection:
        async with stream(connection) as response:
            running = asyncio.create_task(ask(connection, "POST", "/slow", body=b"{}"))
            await arrived.wait()
            become("new")
            server.accepts = lambda got: got.user == "new"
            answers = await asyncio.gather(*(ask(connection, "POST", body=b"{}") for _ in range(20)))
            assert [answer.status for answer in answers] == [200] * 20
            go_on.set()
            assert await read(response) == b"firstsecond"
            assert (await running).body == b"firstsecond"
        [retired] = connection._retired
        assert retired.closed
    assert server.got[-1].user == "new"


# --- tokens


async def test_a_token_file_is_read_anew_after_a_minute(server: Server, kubeconfig: Kubeconfig, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("one\n")
    kubeconfig.user = {"tokenFile": str(file)}
    clock = LaterClock()
    async with connect(kubeconfig.write(), environment=Environment(clock=clock)) as connection:
        await ask(connection)
        file.write_text("two\n")
        await ask(connection)
        clock.ahead = 61
        await ask(connection)
        async with stream(connection):
            pass
    assert server.tokens == ["Bearer one", "Bearer one", "Bearer two", "Bearer two"]


async def test_a_token_file_that_cannot_be_read_leaves_the_old_token_in_use(
    server: Server, kubeconfig: Kubeconfig, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text("one")
    kubeconfig.user = {"tokenFile": str(file)}
    clock = LaterClock()
    async with connect(kubeconfig.write(), environment=Environment(clock=clock)) as connection:
        file.unlink()
        clock.ahead = 61
        await ask(connection)
        assert server.tokens == ["Bearer one"]
        server.accepts = lambda got: False
        with pytest.raises(ConfigurationError, match=rf"there is no {file}"):
            await ask(connection)


async def test_a_refused_token_is_read_anew_at_once(server: Server, kubeconfig: Kubeconfig, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("one")
    kubeconfig.user = {"tokenFile": str(file)}
    async with connect(kubeconfig.write()) as connection:
        file.write_text("two")
        server.accepts = lambda got: got.headers["Authorization"] == "Bearer two"
        answer = await ask(connection, "POST", body=b"{}")
        assert answer.status == 200
        file.write_text("three")
        server.accepts = lambda got: got.headers["Authorization"] == "Bearer three"
        async with stream(connection) as response:
            assert response.status == 200
    assert [token and token.split()[1] for token in server.tokens] == ["one", "two", "two", "three"]


async def test_credentials_that_stay_refused_are_an_answer_and_nothing_is_repeated(
    server: Server, kubeconfig: Kubeconfig
) -> None:
    kubeconfig.user = {"token": "revoked"}
    server.accepts = lambda got: False
    async with connect(kubeconfig.write()) as connection:
        assert (await ask(connection, "POST", body=b"{}")).status == 401
        async with stream(connection) as response:
            assert response.status == 401
            assert b"Unauthorized" in await read(response)
    assert len(server.got) == 2


async def test_a_password_is_sent_as_basic_authentication(server: Server, kubeconfig: Kubeconfig) -> None:
    kubeconfig.user = {"username": "jane", "password": "secret"}
    async with connect(kubeconfig.write()) as connection:
        await ask(connection)
    assert server.tokens == ["Basic " + base64.b64encode(b"jane:secret").decode()]


class Plugin:
    """An exec plugin that gives `token-<how often it ran>`."""

    def __init__(self, folder: Path) -> None:
        self.runs_file = folder / "runs"
        self.script = folder / "plugin.py"
        self.status: dict[str, Any] = {}

    def user(self) -> dict[str, Any]:
        self.script.write_text(
            textwrap.dedent(f"""\
            import json, os, pathlib
            runs = pathlib.Path({str(self.runs_file)!r})
            n = len(runs.read_bytes()) + 1 if runs.exists() else 1
            with runs.open("a") as file:
                file.write("x")
            info = json.loads(os.environ["KUBERNETES_EXEC_INFO"])
            assert info["kind"] == "ExecCredential" and os.environ["EXTRA"] == "1"
            status = {{"token": f"token-{{n}}", **{self.status!r}}}
            print(json.dumps({{"apiVersion": info["apiVersion"], "kind": "ExecCredential", "status": status}}))
            """)
        )
        return {
            "exec": {
                "apiVersion": "client.authentication.k8s.io/v1",
                "command": sys.executable,
                "args": [str(self.script)],
                "env": [{"name": "EXTRA", "value": "1"}],
                "interactiveMode": "Never",
            }
        }

    @property
    def runs(self) -> int:
        return len(self.runs_file.read_bytes())


@pytest.fixture
def plugin(tmp_path: Path) -> Plugin:
    return Plugin(tmp_path)


@pytest.mark.parametrize(("hours", "runs"), [(1, 1), (-1, 2), (None, 1)])
async def test_an_exec_plugin_runs_again_when_its_token_expires(
    hours: int | None, runs: int, plugin: Plugin, server: Server, kubeconfig: Kubeconfig
) -> None:
    if hours is not None:
        expiry = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=hours)
        plugin.status = {"expirationTimestamp": expiry.strftime("%Y-%m-%dT%H:%M:%SZ")}
    kubeconfig.user = plugin.user()
    clock = LaterClock()
    async with connect(kubeconfig.write(), environment=Environment(clock=clock)) as connection:
        await ask(connection)
        clock.ahead = 61
        await ask(connection)
        await ask(connection)
    assert plugin.runs == runs
    assert server.tokens == ["Bearer token-1", *[f"Bearer token-{runs}"] * 2]


async def test_many_requests_refused_at_once_renew_the_credentials_once(
    plugin: Plugin, server: Server, kubeconfig: Kubeconfig
) -> None:
    expiry = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)
    plugin.status = {"expirationTimestamp": expiry.strftime("%Y-%m-%dT%H:%M:%SZ")}
    kubeconfig.user = plugin.user()
    async with connect(kubeconfig.write()) as connection:
        await ask(connection)
        server.accepts = lambda got: got.headers["Authorization"] == "Bearer token-2"
        answers = await asyncio.gather(
            *(ask(connection, "POST", body=b"{}") for _ in range(50)), *(self_closing(connection) for _ in range(10))
        )
    assert [answer for answer in answers if answer != 200 and getattr(answer, "status", 200) != 200] == []
    assert plugin.runs == 2


async def self_closing(connection: Connection) -> int:
    async with stream(connection) as response:
        return int(response.status)


async def test_many_requests_refused_for_good_run_the_plugin_once_more_and_not_once_each(
    plugin: Plugin, server: Server, kubeconfig: Kubeconfig
) -> None:
    kubeconfig.user = plugin.user()

    async def refuse_some_later_than_others(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(len(server.got) * 0.01)
        return web.Response(status=401)

    server.answer = refuse_some_later_than_others
    plugin.status = {"token": "always the same"}
    kubeconfig.user = plugin.user()
    async with connect(kubeconfig.write()) as connection:
        answers = await asyncio.gather(*(ask(connection) for _ in range(30)))
    assert {answer.status for answer in answers} == {401}
    assert plugin.runs == 2


async def test_a_request_cancelled_while_the_credentials_are_renewed_does_not_end_it_for_the_others(
    plugin: Plugin, server: Server, kubeconfig: Kubeconfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    kubeconfig.user = plugin.user()
    async with connect(kubeconfig.write()) as connection:
        reading, go_on = asyncio.Event(), asyncio.Event()
        read_source = connection._source.read

        async def read_slowly(*, anew: bool) -> Any:
            reading.set()
            await go_on.wait()
            return await read_source(anew=anew)

        monkeypatch.setattr(connection._source, "read", read_slowly)
        server.accepts = lambda got: got.headers["Authorization"] == "Bearer token-2"
        first = asyncio.create_task(ask(connection))
        await reading.wait()
        second = asyncio.create_task(ask(connection))
        await asyncio.sleep(0.05)
        first.cancel()
        await asyncio.sleep(0)
        go_on.set()
        assert (await second).status == 200
        assert plugin.runs == 2


async def test_an_exec_plugin_may_give_a_client_certificate(
    plugin: Plugin, server: Server, kubeconfig: Kubeconfig, authority: Authority, tmp_path: Path
) -> None:
    pair = authority.client(f"exec-{tmp_path.name}", "exec-jane")
    kubeconfig.user = plugin.user()
    script = plugin.script.read_text().replace('"token": f"token-{n}", ', "")
    status = {"clientCertificateData": pair.cert_file.read_text(), "clientKeyData": pair.key_file.read_text()}
    plugin.script.write_text(script.replace("**{}", f"**{status!r}"))
    async with connect(kubeconfig.write()) as connection:
        await ask(connection)
    assert server.got[0].user == "exec-jane"


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("import sys; sys.exit('log in first')", r"process returned 1\. log in first"),
        ("print('not json')", "failed to decode process output"),
        ("print('{}')", "missing key 'apiVersion'"),
        ('print(\'{"apiVersion": "v0", "kind": "", "status": {}}\')', "plugin api version v0 does not match"),
    ],
)
async def test_an_exec_plugin_that_fails_says_why(
    script: str, says: str, plugin: Plugin, kubeconfig: Kubeconfig
) -> None:
    kubeconfig.user = plugin.user()
    plugin.script.write_text(script)
    with pytest.raises(ConfigurationError, match=rf"kubeconfig {kubeconfig.file} cannot be used: .*{says}"):
        async with connect(kubeconfig.write()):
            pass


async def test_an_exec_plugin_that_does_not_answer_is_not_waited_for_for_ever(
    plugin: Plugin, kubeconfig: Kubeconfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(self: ExecProvider) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(ExecProvider, "run", hang)
    monkeypatch.setattr(configuration_module, "_READ_SECONDS", 0.05)
    kubeconfig.user = plugin.user()
    with pytest.raises(ConfigurationError, match="s to read; does its exec plugin wait for something"):
        async with connect(kubeconfig.write()):
            pass


@pytest.mark.parametrize(
    ("loop_factory", "says"),
    [
        (asyncio.new_event_loop, "there is no no-such-plugin; if that is its exec plugin, install it"),
        (uvloop.new_event_loop, "its exec plugin is not there: install it"),
    ],
)
def test_an_exec_plugin_that_is_not_installed_is_told(
    loop_factory: Callable[[], asyncio.AbstractEventLoop], says: str, plugin: Plugin, tmp_path: Path
) -> None:
    kubeconfig = Kubeconfig(tmp_path / "kubeconfig", "https://api.example", None)
    kubeconfig.user = plugin.user()
    kubeconfig.user["exec"]["command"] = "no-such-plugin"
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        message = runner.run(fails(kubeconfig.write()))
    assert message.startswith(f"kubeconfig {kubeconfig.file} cannot be used: {says}")


# --- proxies


class Proxy:
    """A proxy that joins both sides after CONNECT, and passes on plain requests."""

    def __init__(self, refusal: bytes = b"") -> None:
        self.refusal = refusal
        self.asked: list[bytes] = []
        self.url = ""

    async def serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            self.asked.append(head)
            if self.refusal:
                writer.write(self.refusal)
            elif head.startswith(b"CONNECT"):
                host, port = head.split()[1].split(b":")
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                there = await asyncio.open_connection(host.decode(), int(port))
                await asyncio.gather(self._pass(reader, there[1]), self._pass(there[0], writer))
            else:
                writer.write(OK)
        writer.close()

    @staticmethod
    async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while piece := await reader.read(65536):
                writer.write(piece)
        writer.close()


@asynccontextmanager
async def proxy(refusal: bytes = b"") -> AsyncIterator[Proxy]:
    proxy = Proxy(refusal)
    listener = await asyncio.start_server(proxy.serve_one, "127.0.0.1", 0)
    proxy.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    try:
        yield proxy
    finally:
        listener.close()


async def test_requests_go_through_the_proxy_of_the_kubeconfig(server: Server, kubeconfig: Kubeconfig) -> None:
    async with proxy() as between:
        kubeconfig.cluster["proxy-url"] = between.url
        async with connect(kubeconfig.write()) as connection:
            assert (await ask(connection, "POST", body=b"{}", fence=lambda: None)).status == 200
            async with stream(connection) as response:
                assert response.status == 200
    target = server.url.removeprefix("https://").encode()
    assert [asked.split(b"\r\n")[0] for asked in between.asked] == [b"CONNECT " + target + b" HTTP/1.1"] * 2


async def test_a_server_without_tls_is_asked_through_the_proxy_too(tmp_path: Path) -> None:
    async with proxy() as between:
        kubeconfig = Kubeconfig(tmp_path / "k", "http://api.example", None)
        kubeconfig.cluster["proxy-url"] = between.url
        async with connect(kubeconfig.write()) as connection:
            assert (await ask(connection)).status == 200
    assert between.asked[0].startswith(b"GET http://api.example/api/v1/configmaps HTTP/1.1\r\n")


async def test_a_proxy_that_refuses_is_unreachable(server: Server, kubeconfig: Kubeconfig) -> None:
    async with proxy(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n") as between:
        kubeconfig.cluster["proxy-url"] = between.url
        async with connect(kubeconfig.write()) as connection:
            for call in (ask(connection), ask(connection, "POST", body=b"{}")):
                with pytest.raises(Unreachable, match="the proxy answered 407"):
                    await call
    assert server.got == []


async def test_a_proxy_that_is_not_there_is_unreachable(server: Server, kubeconfig: Kubeconfig) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        kubeconfig.cluster["proxy-url"] = f"http://127.0.0.1:{port}"
        async with connect(kubeconfig.write()) as connection:
            with pytest.raises(Unreachable, match=f"proxy.*{port}|{port}.*proxy|127.0.0.1:{port}"):
                await ask(connection)


# --- where the configuration comes from


class Pod(NamedTuple):
    """A pod's service account."""

    token: Path


@pytest.fixture
def pod(server: Server, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pod:
    """Make it look as in a pod."""
    token = tmp_path / "serviceaccount-token"
    token.write_text("pod-token")
    port = server.url.rpartition(":")[2]
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(token))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(authority.ca_file))
    return Pod(token)


async def test_in_a_pod_the_service_account_is_used_and_its_token_read_anew(server: Server, pod: Pod) -> None:
    clock = LaterClock()
    async with connect(environment=Environment(clock=clock)) as connection:
        await ask(connection)
        pod.token.write_text("next-token\n")
        clock.ahead = 61
        await ask(connection)
        pod.token.write_text("last-token")
        server.accepts = lambda got: got.headers["Authorization"] == "Bearer last-token"
        assert (await ask(connection)).status == 200
    assert server.tokens[:2] == ["Bearer pod-token", "Bearer next-token"]


async def test_a_pod_without_a_service_account_says_so(pod: Pod) -> None:
    pod.token.unlink()
    with pytest.raises(
        ConfigurationError, match="the pod's service account cannot be used: Service token file does not"
    ):
        async with connect():
            pass


async def test_an_ipv6_service_address_is_put_into_brackets(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    async with connect() as connection:
        assert connection.host.startswith("[fd00::1]:")


@pytest.fixture
def named(server: Server, authority: Authority, tmp_path: Path) -> Callable[[str], Path]:
    """Return a function that writes a kubeconfig whose token is the file's name."""

    def write(name: str) -> Path:
        kubeconfig = Kubeconfig(tmp_path / name, server.url, authority)
        kubeconfig.user = {"token": kubeconfig.file.name}
        return kubeconfig.write()

    return write


async def token_of(*arguments: Any, **options: Any) -> str | None:
    async with connect(*arguments, **options) as connection:
        return connection._token


async def test_an_explicit_file_goes_before_kubeconfig_that_before_the_pod_and_home_comes_last(
    pod: Pod, named: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    named("home/.kube/config")
    monkeypatch.setenv("KUBECONFIG", str(named("from-variable")))
    assert await token_of(named("explicit")) == "Bearer explicit"
    assert await token_of() == "Bearer from-variable"
    monkeypatch.delenv("KUBECONFIG")
    assert await token_of() == "Bearer pod-token"
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST")
    assert await token_of() == "Bearer config"


async def test_several_files_are_merged_and_the_first_to_name_something_wins(
    server: Server, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ca = str(authority.ca_file)
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_text(
        json.dumps({"current-context": "x", "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}]})
    )
    second.write_text(
        json.dumps(
            {
                "clusters": [{"name": "c", "cluster": {"server": server.url, "certificate-authority": ca}}],
                "contexts": [
                    {"name": "x", "context": {"cluster": "c", "user": "other"}},
                    {"name": "y", "context": {"cluster": "c", "user": "other"}},
                ],
                "users": [
                    {"name": "u", "user": {"token": "u-token"}},
                    {"name": "other", "user": {"token": "other-token"}},
                ],
            }
        )
    )
    monkeypatch.setenv("KUBECONFIG", os.pathsep.join(["", str(first), str(tmp_path / "missing"), str(second)]))
    assert await token_of() == "Bearer u-token"
    assert await token_of(context="y") == "Bearer other-token"


async def test_a_file_may_be_named_from_the_home_folder(
    named: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    named("home/mine")
    monkeypatch.setenv("KUBECONFIG", "~/mine")
    assert await token_of() == "Bearer mine"


async def fails(*arguments: Any, **options: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        async with connect(*arguments, **options):
            pass
    return str(caught.value)


async def test_a_missing_kubeconfig_is_named_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    advice = ": pass --kubeconfig, set KUBECONFIG, or run in a pod with a service account"
    assert await fails(tmp_path / "a") == f"there is no kubeconfig file {tmp_path / 'a'}{advice}"
    assert await fails(tmp_path) == f"there is no kubeconfig file {tmp_path}{advice}"
    assert await fails() == f"there is no kubeconfig file {tmp_path / 'home/.kube/config'}{advice}"
    both = os.pathsep.join([str(tmp_path / "a"), str(tmp_path / "b")])
    monkeypatch.setenv("KUBECONFIG", both)
    assert await fails() == f"there is no kubeconfig file {both}{advice}"


async def test_a_kubeconfig_that_is_there_and_empty_is_not_called_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", os.devnull)
    assert await fails() == (
        "kubeconfig /dev/null cannot be used: /dev/null is empty: write a kubeconfig to it, "
        "or name another file by --kubeconfig or KUBECONFIG"
    )


async def test_a_context_that_is_not_there_is_named(kubeconfig: Kubeconfig) -> None:
    message = await fails(kubeconfig.write(), context="nope")
    assert message.startswith(f"kubeconfig {kubeconfig.file} with context nope cannot be used: ")
    assert "Expected object with name nope" in message


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty: write a kubeconfig to it, or name another file by --kubeconfig or KUBECONFIG"),
        ("just words", "does not have the form of a kubeconfig"),
        ("[1, 2]", "does not have the form of a kubeconfig"),
        ("a: b: c: [", "line 1, column"),
        ("\x00\x01", "special characters are not allowed"),
        ("clusters: []\ncontexts: []\nusers: []\n", "Expected key current-context"),
        ("current-context: x\ncontexts: [{}]", "list to have 'name' key"),
        ("current-context: x\ncontexts: [{name: x, context: {cluster: c, user: u}}]", "Expected object with name c"),
    ],
)
async def test_a_file_that_is_no_kubeconfig_says_what_is_wrong_with_it(text: str, says: str, tmp_path: Path) -> None:
    file = tmp_path / "kubeconfig"
    file.write_text(text)
    message = await fails(file)
    assert message.startswith(f"kubeconfig {file} cannot be used: ")
    assert says in message


@pytest.mark.parametrize("url", [None, "", "127.0.0.1:6443", "ftp://api.example", "/api"])
async def test_a_server_that_is_no_url_is_told(url: str | None, kubeconfig: Kubeconfig) -> None:
    kubeconfig.cluster = {"tls-server-name": "x"} if url is None else {"server": url}
    message = await fails(kubeconfig.write())
    assert f"{kubeconfig.file} cannot be used: its cluster's server is {(url or '').rstrip('/')!r}" in message
    assert "must be a URL that begins with https://" in message


@pytest.mark.parametrize(
    ("part", "field", "value", "says"),
    [
        ("cluster", "certificate-authority-data", "a", "a field that ends in -data is not base64"),
        ("user", "client-certificate-data", "a", "a field that ends in -data is not base64"),
        ("cluster", "certificate-authority-data", base64.b64encode(b"no PEM").decode(), "not valid PEM files"),
        ("cluster", "certificate-authority", "no-such-file.crt", "no-such-file.crt"),
        ("user", "client-certificate", "no-such-file.crt", "no-such-file.crt"),
        ("user", "tokenFile", "no-such-token", "there is no "),
    ],
)
async def test_a_wrong_field_of_a_kubeconfig_is_told_with_the_file(
    part: str, field: str, value: str, says: str, kubeconfig: Kubeconfig
) -> None:
    getattr(kubeconfig, part)[field] = value
    kubeconfig.cluster.pop("certificate-authority", None) if field.endswith("y-data") else None
    message = await fails(kubeconfig.write())
    assert message.startswith(f"kubeconfig {kubeconfig.file} cannot be used: ")
    assert says in message


async def test_a_certificate_and_a_key_that_do_not_belong_together_are_told(
    kubeconfig: Kubeconfig, authority: Authority, tmp_path: Path
) -> None:
    one, other = (authority.client(f"{n}-{tmp_path.name}", "jane") for n in range(2))
    kubeconfig.user = {"client-certificate": str(one.cert_file), "client-key": str(other.key_file)}
    assert "not valid PEM files that belong together" in await fails(kubeconfig.write())
