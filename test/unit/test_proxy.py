"""What a client sees through `FaultProxy`, against a toy upstream on loopback."""

from __future__ import annotations

import asyncio
import gc
import gzip
import io
import json
import os
import socket
import ssl
import warnings
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import RawTestServer
from yarl import URL

from disvc.testing.certificates import Authority
from disvc.testing.faults import Answer, Cut, Delay, Duplicate, HalfOpen, LoseAnswer, WatchError
from disvc.testing.match import Match, any_event
from disvc.testing.proxy import FaultProxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from disvc.testing.faults import Fault


PODS = "/api/v1/namespaces/default/pods"
WATCH = PODS + "?watch=1"
EVENTS = Match(verb="watch", event=any_event)

# Seconds that a test listens before it calls a connection quiet: far above what an answer takes on loopback.
SILENCE = 0.15


def event(name: str, kind: str = "MODIFIED") -> bytes:
    return json.dumps({"type": kind, "object": {"metadata": {"name": name}}}).encode() + b"\n"


A, B, C, D = (event(name) for name in "abcd")


@dataclass
class Seen:
    """A request that reached the server."""

    method: str
    target: str
    headers: dict[str, list[str]]
    body: bytes


@dataclass
class ToyServer:
    """Answers a watch with what a test sends, and everything else with `answer`."""

    url: str = ""
    seen: list[Seen] = field(default_factory=list)
    tasks: set[asyncio.Task[Any] | None] = field(default_factory=set)
    watches_open: int = 0
    answer: Callable[[web.BaseRequest], web.StreamResponse] = lambda _: web.json_response({"ok": True})
    answering: asyncio.Event = field(default_factory=asyncio.Event)
    _lines: asyncio.Queue[bytes | None] = field(default_factory=asyncio.Queue)

    def send(self, *lines: bytes) -> None:
        for line in lines:
            self._lines.put_nowait(line)

    def end_watch(self) -> None:
        self._lines.put_nowait(None)

    def break_off_watch(self) -> None:
        self._lines.put_nowait(b"")

    def __post_init__(self) -> None:
        self.answering.set()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.tasks |= {request.task, asyncio.current_task()}
        headers = {name: request.headers.getall(name) for name in request.headers}
        self.seen.append(Seen(request.method, request.raw_path, headers, await request.content.read()))
        if "watch" not in request.query:
            await self.answering.wait()
            return self.answer(request)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        writer = await response.prepare(request)
        assert writer is not None
        writer.send_headers()
        self.watches_open += 1
        try:
            while (line := await self._lines.get()) is not None:
                if not line:
                    assert request.transport is not None
                    request.transport.abort()
                    break
                await response.write(line)
        finally:
            self.watches_open -= 1
        return response


@asynccontextmanager
async def running(toy: ToyServer, tls: ssl.SSLContext | None = None) -> AsyncIterator[ToyServer]:
    raw = RawTestServer(toy.handle, scheme="http" if tls is None else "https")
    await raw.start_server(auto_decompress=False, ssl=tls)
    toy.url = str(raw.make_url("/"))
    try:
        yield toy
    finally:
        await raw.close()


@pytest.fixture
async def server() -> AsyncIterator[ToyServer]:
    async with running(ToyServer()) as toy:
        yield toy


@pytest.fixture
async def proxy(server: ToyServer) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(server.url) as proxy:
        yield proxy


class Client:
    """An HTTP client that asks once, and releases what a test left of its answers."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url = url
        self._session = session
        self._responses: list[aiohttp.ClientResponse] = []

    async def ask(
        self, method: str, target: str, data: object = None, headers: dict[str, str] | None = None
    ) -> aiohttp.ClientResponse:
        url = URL(self._url + target, encoded=True)
        response = await self._session.request(method, url, data=data, headers=headers)
        self._responses.append(response)
        return response

    async def get(self, target: str) -> aiohttp.ClientResponse:
        return await self.ask("GET", target)

    def release(self) -> None:
        for response in self._responses:
            response.close()


@asynccontextmanager
async def client_of(proxy: FaultProxy, tls: ssl.SSLContext | bool = True) -> AsyncIterator[Client]:
    connector = aiohttp.TCPConnector(ssl=tls)
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:
        session._retry_connection = False  # as in disvc.testing.upstream
        client = Client(proxy.url, session)
        try:
            yield client
        finally:
            client.release()


@pytest.fixture
async def client(proxy: FaultProxy) -> AsyncIterator[Client]:
    async with client_of(proxy) as client:
        yield client


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while True:
            if condition():
                return
            await asyncio.sleep(0.005)


class Raw:
    """A connection on which a test sees every byte, FIN and RST."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def ask(self, method: str, target: str, body: bytes = b"") -> None:
        head = f"{method} {target} HTTP/1.1\r\nHost: proxy\r\nContent-Length: {len(body)}\r\n\r\n"
        self.writer.write(head.encode() + body)

    async def read_until(self, piece: bytes) -> bytes:
        async with asyncio.timeout(10):
            return await self.reader.readuntil(piece)

    async def is_closed(self) -> bool:
        """A FIN comes, and no byte before it; a RST raises ConnectionResetError."""
        return await asyncio.wait_for(self.reader.read(1), 10) == b""

    async def is_quiet(self) -> bool:
        """Neither a byte nor a FIN comes; a RST would raise."""
        try:
            await asyncio.wait_for(self.reader.read(1), SILENCE)
        except TimeoutError:
            return True
        return False


@asynccontextmanager
async def raw_connection(proxy: FaultProxy) -> AsyncIterator[Raw]:
    reader, writer = await asyncio.open_connection("127.0.0.1", _port(proxy))
    try:
        yield Raw(reader, writer)
    finally:
        writer.transport.abort()


def _port(proxy: FaultProxy) -> int:
    return int(proxy.url.rsplit(":", 1)[1])


def die(request: web.BaseRequest) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def lines_of(response: aiohttp.ClientResponse, count: int) -> list[bytes]:
    async with asyncio.timeout(10):
        return [await response.content.readline() for _ in range(count)]


async def rest_of(response: aiohttp.ClientResponse) -> tuple[bytes, bool]:
    """What still comes, and whether it ends properly."""
    received = b""
    try:
        async with asyncio.timeout(10):
            async for chunk in response.content.iter_any():
                received += chunk
    except aiohttp.ClientPayloadError:
        return received, False
    return received, True


# Without faults


async def test_a_request_passes_with_method_path_query_headers_and_body_unchanged(
    server: ToyServer, proxy: FaultProxy, client: Client
) -> None:
    target = PODS + "/a%2Fb?labelSelector=app%3Dx%2Cy%20in%20(1)&limit=5"
    headers = {"Content-Type": "application/merge-patch+json", "Accept": "a", "User-Agent": "me"}
    await client.ask("PATCH", target, b'{"x":1}', headers)
    (seen,) = server.seen
    assert (seen.method, seen.target, seen.body) == ("PATCH", target, b'{"x":1}')
    assert {name: seen.headers[name] for name in headers} == {name: [headers[name]] for name in headers}
    assert "Transfer-Encoding" not in seen.headers


@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_an_answer_passes_with_status_headers_and_body_unchanged(
    server: ToyServer, client: Client, method: str
) -> None:
    body = os.urandom(3_000_000)
    headers = {"Content-Encoding": "gzip", "Warning": "299", "Content-Type": "x/y"}
    server.answer = lambda _: web.Response(status=409, body=body, headers=headers)
    response = await client.ask(method, PODS)
    assert response.status == 409
    assert {name: response.headers[name] for name in headers} == headers
    assert await response.read() == body


async def test_a_request_body_of_several_megabytes_passes(server: ToyServer, client: Client) -> None:
    body = os.urandom(3_000_000)
    await client.ask("POST", PODS, io.BytesIO(body))
    assert server.seen[0].body == body


async def test_a_body_in_chunks_passes(server: ToyServer, client: Client) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"{"
        yield b"}"

    await client.ask("POST", PODS, chunks())
    assert server.seen[0].body == b"{}"


async def test_a_compressed_body_passes_as_it_is(server: ToyServer, client: Client) -> None:
    await client.ask("POST", PODS, gzip.compress(b"{}"), {"Content-Encoding": "gzip"})
    assert gzip.decompress(server.seen[0].body) == b"{}"


async def test_a_redirect_is_left_to_the_client(server: ToyServer, proxy: FaultProxy) -> None:
    server.answer = lambda _: web.Response(status=302, headers={"Location": "/elsewhere"})
    async with raw_connection(proxy) as raw:
        raw.ask("GET", PODS)
        assert b"Location: /elsewhere" in await raw.read_until(b"\r\n\r\n")
    assert len(server.seen) == 1


async def test_a_connection_is_kept_for_the_next_request(server: ToyServer, proxy: FaultProxy) -> None:
    proxy.inject(Match(verb="get"), Answer(503), times=1)
    async with raw_connection(proxy) as raw:
        for method in ("GET", "GET", "PUT", "GET"):
            raw.ask(method, PODS + "/a", b"{}" if method == "PUT" else b"")
            head = await raw.read_until(b"\r\n\r\n")
            (length,) = [line for line in head.split(b"\r\n") if line.startswith(b"Content-Length")]
            await raw.reader.readexactly(int(length.split()[1]))
    assert len(server.seen) == 3


async def test_watch_events_pass_one_by_one_as_they_come(server: ToyServer, client: Client) -> None:
    response = await client.get(WATCH)
    assert response.status == 200
    for line in (A, B):
        server.send(line)
        assert await lines_of(response, 1) == [line]
    server.end_watch()
    assert await rest_of(response) == (b"", True)


async def test_an_event_larger_than_any_buffer_passes_whole(server: ToyServer, client: Client) -> None:
    line = event("x" * 3_000_000)
    response = await client.get(WATCH)
    server.send(line[:1_500_000], line[1_500_000:] + A + B[:10], B[10:])
    server.end_watch()
    assert await rest_of(response) == (line + A + B, True)


async def test_a_line_that_is_no_event_passes_even_where_events_are_looked_at(
    server: ToyServer, proxy: FaultProxy, client: Client
) -> None:
    proxy.inject(EVENTS, Duplicate())
    response = await client.get(WATCH)
    server.send(b"{nonsense\n", A)
    assert await lines_of(response, 3) == [b"{nonsense\n", A, A]


async def test_a_watch_that_the_server_breaks_off_is_broken_off_for_the_client(
    server: ToyServer, proxy: FaultProxy, client: Client
) -> None:
    response = await client.get(WATCH)
    server.send(A)
    server.break_off_watch()
    assert await rest_of(response) == (A, False)
    assert server.url.rstrip("/") in str(proxy.requests[0].error)


async def test_a_server_that_is_not_there_looks_like_a_connection_that_closes() -> None:
    async with FaultProxy("http://127.0.0.1:1") as proxy, client_of(proxy) as client:
        for method in ("GET", "POST"):
            with pytest.raises(aiohttp.ServerDisconnectedError):
                await client.ask(method, PODS)
        assert [exchange.status for exchange in proxy.requests] == [None, None]
        assert "127.0.0.1:1" in str(proxy.requests[-1].error)


async def test_a_write_is_never_repeated_when_a_kept_connection_to_the_server_is_dead(
    server: ToyServer, proxy: FaultProxy, client: Client
) -> None:
    await client.ask("PUT", PODS + "/a", b"{}")
    server.answer = die
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await client.ask("PUT", PODS + "/a", b"{}")
    assert len(server.seen) == 2


async def test_a_client_that_leaves_its_watch_ends_it_on_the_server(server: ToyServer, proxy: FaultProxy) -> None:
    async with raw_connection(proxy) as raw:
        raw.ask("GET", WATCH)
        await raw.read_until(b"\r\n\r\n")
        assert server.watches_open == 1
    await until(lambda: server.watches_open == 0)


async def test_exchanges_are_remembered_up_to_the_bound(server: ToyServer) -> None:
    async with FaultProxy(server.url, remembered=2) as proxy, client_of(proxy) as client:
        proxy.inject(Match(verb="delete"), Answer(500))
        await client.get(PODS + "/a")
        await client.get(PODS + "?limit=5")
        await client.ask("DELETE", "/apis/apps/v1/namespaces/default/deployments/d/status")
        listed, deleted = proxy.requests
        assert (listed.verb, listed.resource, listed.status, listed.faults) == ("list", "pods", 200, [])
        assert (listed.path, listed.query["limit"]) == (PODS, "5")
        assert (deleted.verb, deleted.group, deleted.resource) == ("delete", "apps", "deployments")
        assert (deleted.subresource, deleted.namespace, deleted.name) == ("status", "default", "d")
        assert (deleted.status, deleted.faults) == (500, [Answer(500)])


# As whom the server is asked


async def test_callers_without_credentials_are_the_configured_user(server: ToyServer) -> None:
    proxy = FaultProxy(server.url, user="alice", groups=["a", "b"], headers={"X-Test": "1"})
    async with proxy, client_of(proxy) as client:
        await client.ask("GET", PODS, headers={"X-Remote-User": "system:admin", "X-Test": "2"})
    headers = server.seen[0].headers
    assert headers["X-Remote-User"] == ["alice"]
    assert headers["X-Remote-Group"] == ["a", "b"]
    assert headers["X-Test"] == ["1"]


async def test_a_callers_bearer_token_is_passed_on_in_place_of_the_configured_user(server: ToyServer) -> None:
    proxy = FaultProxy(server.url, user="alice", groups=["a"])
    async with proxy, client_of(proxy) as client:
        await client.ask("GET", PODS, headers={"Authorization": "Bearer t", "X-Remote-Group": "system:masters"})
    headers = server.seen[0].headers
    assert headers["Authorization"] == ["Bearer t"]
    assert "X-Remote-User" not in headers
    assert "X-Remote-Group" not in headers


async def test_groups_without_a_user_are_refused(server: ToyServer) -> None:
    with pytest.raises(ValueError, match="pass user="):
        async with FaultProxy(server.url, groups=["a"]):
            pass


# Faults on requests


@pytest.mark.parametrize("reset", [False, True])
async def test_cut_closes_the_connection_before_the_server_sees_the_request(
    server: ToyServer, proxy: FaultProxy, reset: bool
) -> None:
    cut = proxy.inject(Match(verb="create"), Cut(reset=reset))
    async with raw_connection(proxy) as raw:
        raw.ask("POST", PODS, b"{}")
        if reset:
            with pytest.raises(ConnectionResetError):
                await raw.is_closed()
        else:
            assert await raw.is_closed()
    assert (server.seen, cut.count) == ([], 1)


@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_cut_after_bytes_breaks_the_answer_off_there(
    server: ToyServer, proxy: FaultProxy, client: Client, method: str
) -> None:
    server.answer = lambda _: web.Response(body=b"x" * 100_000)
    for count in (0, 7, 70_000):
        cut = proxy.inject(Match(), Cut(after_bytes=count))
        response = await client.ask(method, PODS + "/a")
        assert response.status == 200
        assert await rest_of(response) == (b"x" * count, False)
        assert cut.count == 1
        cut.remove()


async def test_cut_after_bytes_may_end_in_the_middle_of_an_event(
    server: ToyServer, proxy: FaultProxy, client: Client
) -> None:
    proxy.inject(Match(verb="watch"), Cut(after_bytes=len(A) + 5))
    response = await client.get(WATCH)
    server.send(A, B)
    assert await rest_of(response) == (A + B[:5], False)


async def test_cut_after_bytes_does_not_strike_a_shorter_answer(
    server: ToyServer, proxy: FaultProxy, client: Client
) -> None:
    cut = proxy.inject(Match(), Cut(after_bytes=1000))
    assert await (await client.get(PODS)).json() == {"ok": True}
    assert (cut.count, proxy.requests[0].faults) == (0, [])


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_half_open_leaves_a_request_without_a_byte_a_fin_or_a_rst(
    server: ToyServer, proxy: FaultProxy, method: str
) -> None:
    proxy.inject(Match(), HalfOpen())
    async with raw_connection(proxy) as raw:
        raw.ask(method, PODS, b"{}" if method == "POST" else b"")
        assert await raw.is_quiet()
        raw.ask(method, PODS)
        assert await raw.is_quiet()
    assert server.seen == []


async def test_half_open_after_bytes_goes_quiet_within_the_answer(server: ToyServer, proxy: FaultProxy) -> None:
    proxy.inject(Match(), HalfOpen(after_bytes=4))
    async with raw_connection(proxy) as raw:
        raw.ask("GET", PODS)
        await raw.read_until(b'\r\n\r\n{"ok')
        assert await raw.is_quiet()


async def test_delay_sends_a_request_on_later(server: ToyServer, proxy: FaultProxy, client: Client) -> None:
    proxy.inject(Match(), Delay(SILENCE))
    proxy.inject(Match(), Delay(SILENCE))
    asking = asyncio.create_task(client.get(PODS))
    await asyncio.sleep(SILENCE * 1.5)
    assert server.seen == []
    assert (await asking).status == 200


async def test_a_delayed_write_takes_effect_even_where_its_client_gave_up_and_a_read_does_not(
    server: ToyServer, proxy: FaultProxy
) -> None:
    proxy.inject(Match(), Delay(SILENCE))
    async with raw_connection(proxy) as reading, raw_connection(proxy) as writing:
        reading.ask("GET", PODS + "/a")
        writing.ask("PUT", PODS + "/a")
        await until(lambda: len(proxy.requests) == 2)
    await until(lambda: len(server.seen) == 1)
    await asyncio.sleep(SILENCE)
    assert [seen.method for seen in server.seen] == ["PUT"]


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (409, "Conflict"),
        (410, "Expired"),
        (429, "TooManyRequests"),
        (500, "InternalError"),
        (503, "ServiceUnavailable"),
    ],
)
async def test_answer_gives_a_status_with_the_reason_of_its_code(
    server: ToyServer, proxy: FaultProxy, client: Client, status: int, reason: str
) -> None:
    proxy.inject(Match(), Answer(status))
    response = await client.ask("PUT", "/apis/apps/v1/namespaces/default/deployments/d", b"{}")
    assert (response.status, response.content_type) == (status, "application/json")
    body = await response.json()
    assert (body["kind"], body["apiVersion"], body["status"]) == ("Status", "v1", "Failure")
    assert (body["code"], body["reason"]) == (status, reason)
    assert body["details"] == {"name": "d", "group": "apps", "kind": "deployments"}
    assert "Retry-After" not in response.headers
    assert server.seen == []


async def test_answer_tells_when_to_come_back(proxy: FaultProxy, client: Client) -> None:
    proxy.inject(Match(), Answer(429, retry_after=3))
    response = await client.get(PODS)
    assert response.headers["Retry-After"] == "3"
    assert (await response.json())["details"]["retryAfterSeconds"] == 3


async def test_answer_may_be_plain_text_as_of_a_server_at_its_limit_of_requests(
    proxy: FaultProxy, client: Client
) -> None:
    proxy.inject(Match(), Answer(429, retry_after=1, text="Too many requests"))
    response = await client.get(PODS)
    assert (response.status, response.content_type) == (429, "text/plain")
    assert await response.text() == "Too many requests"


async def test_answer_gives_another_reason_and_message_where_asked(proxy: FaultProxy, client: Client) -> None:
    proxy.inject(Match(), Answer(409, reason="AlreadyExists", message="there is one"))
    body = await (await client.ask("POST", PODS, b"{}")).json()
    assert (body["reason"], body["message"]) == ("AlreadyExists", "there is one")


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize("half_open", [False, True])
async def test_lose_answer_lets_the_request_take_effect_and_says_nothing(
    server: ToyServer, proxy: FaultProxy, method: str, half_open: bool
) -> None:
    proxy.inject(Match(), LoseAnswer(half_open=half_open))
    async with raw_connection(proxy) as raw:
        raw.ask(method, PODS, b"{}" if method == "POST" else b"")
        if half_open:
            assert await raw.is_quiet()
        else:
            assert await raw.is_closed()
    assert [seen.method for seen in server.seen] == [method]
    assert proxy.requests[0].status == 200


# Faults in a watch


async def test_cut_after_events_closes_the_stream_there(server: ToyServer, proxy: FaultProxy, client: Client) -> None:
    cut = proxy.inject(Match(verb="watch"), Cut(after_events=2))
    response = await client.get(WATCH)
    server.send(A)
    assert await lines_of(response, 1) == [A]
    assert cut.count == 0
    server.send(B)
    assert await rest_of(response) == (B, False)
    assert (cut.count, proxy.requests[0].faults) == (1, [Cut(after_events=2)])
    await until(lambda: server.watches_open == 0)


async def test_cut_after_no_event_closes_the_stream_behind_its_headers(proxy: FaultProxy, client: Client) -> None:
    proxy.inject(Match(), Cut(after_events=0))
    assert (await client.get(PODS)).status == 200
    response = await client.get(WATCH)
    assert response.status == 200
    assert await rest_of(response) == (b"", False)


async def test_cut_after_no_byte_does_not_wait_for_one(proxy: FaultProxy, client: Client) -> None:
    proxy.inject(Match(), Cut(after_bytes=0))
    assert await rest_of(await client.get(WATCH)) == (b"", False)


async def test_a_torn_cut_leaves_half_an_event(server: ToyServer, proxy: FaultProxy, client: Client) -> None:
    proxy.inject(Match(verb="watch"), Cut(after_events=1, torn=True), times=1)
    response = await client.get(WATCH)
    server.send(A, B)
    assert await rest_of(response) == (A + B[: len(B) // 2], False)


async def test_cut_at_an_event_closes_the_stream_before_it(
    server: ToyServer, proxy: FaultProxy, client: Client
) -> None:
    proxy.inject(Match(verb="watch", event=lambda event: event.name == "c"), Cut())
    response = await client.get(WATCH)
    server.send(A, B, C)
    assert await rest_of(response) == (A + B, False)


async def test_half_open_after_events_makes_a_watch_go_quiet(server: ToyServer, proxy: FaultProxy) -> None:
    quiet = proxy.inject(Match(verb="watch"), HalfOpen(after_events=1))
    async with raw_connection(proxy) as raw:
        raw.ask("GET", WATCH)
        server.send(A, B)
        await raw.read_until(A + b"\r\n")
        assert await raw.is_quiet()
        server.end_watch()
        assert await raw.is_quiet()
    assert quiet.count == 1


async def test_half_open_at_an_event_makes_a_watch_that_is_open_already_go_quiet(
    server: ToyServer, proxy: FaultProxy
) -> None:
    async with raw_connection(proxy) as raw:
        raw.ask("GET", WATCH)
        server.send(A)
        await raw.read_until(A + b"\r\n")
        quiet = proxy.inject(EVENTS, HalfOpen())
        server.send(B)
        await asyncio.wait_for(quiet.struck(), 10)
        assert await raw.is_quiet()


async def test_delayed_events_stay_in_order_and_hold_up_those_behind_them(
    server: ToyServer, proxy: FaultProxy, client: Client
) -> None:
    proxy.inject(Match(verb="watch", event=lambda event: event.name == "b"), Delay(SILENCE))
    response = await client.get(WATCH)
    server.send(A, B, C)
    assert await lines_of(response, 1) == [A]
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(response.content.readline(), SILENCE / 2)
    assert await lines_of(response, 2) == [B, C]


async def test_the_delays_of_a_row_of_events_do_not_add_up(
    server: ToyServer, proxy: FaultProxy, client: Client
) -> None:
    proxy.inject(EVENTS, Delay(SILENCE))
    response = await client.get(WATCH)
    server.send(*[A] * 1000)
    assert await lines_of(response, 1000) == [A] * 1000


async def test_duplicate_passes_the_chosen_events_on_twice(
    server: ToyServer, proxy: FaultProxy, client: Client
) -> None:
    twice = proxy.inject(Match(event=lambda event: event.type == "DELETED"), Duplicate(), times=1)
    response = await client.get(WATCH)
    gone = event("a", "DELETED")
    server.send(A, gone, B, gone)
    server.end_watch()
    assert await rest_of(response) == (A + gone + gone + B + gone, True)
    assert twice.count == 1


async def test_faults_on_one_event_add_up_until_one_decides(
    server: ToyServer, proxy: FaultProxy, client: Client
) -> None:
    proxy.inject(Match(event=lambda event: event.name == "b"), Duplicate())
    proxy.inject(Match(event=lambda event: event.name == "b"), Duplicate())
    response = await client.get(WATCH)
    server.send(A, B, C)
    assert await lines_of(response, 6) == [A, B, B, B, B, C]
    cut = proxy.inject(EVENTS, Cut())
    behind = proxy.inject(EVENTS, Cut())
    server.send(B)
    assert await rest_of(response) == (b"", False)
    assert (cut.count, behind.count) == (1, 0)


async def test_duplicate_without_a_predicate_takes_every_event(
    server: ToyServer, proxy: FaultProxy, client: Client
) -> None:
    proxy.inject(Match(resource="pods"), Duplicate())
    response = await client.get(WATCH)
    server.send(A, B)
    assert await lines_of(response, 4) == [A, A, B, B]


async def test_watch_error_sends_an_error_event_and_ends_the_stream(
    server: ToyServer, proxy: FaultProxy, client: Client
) -> None:
    proxy.inject(Match(), WatchError(after_events=1))
    proxy.inject(Match(), Answer(503), times=1)
    assert [(await client.get(PODS)).status for _ in range(2)] == [503, 200]
    response = await client.get(WATCH)
    server.send(A, B)
    received, ended_properly = await rest_of(response)
    first, error = received.splitlines(keepends=True)
    assert (first, ended_properly) == (A, True)
    content = json.loads(error)
    assert content["type"] == "ERROR"
    assert content["object"]["kind"] == "Status"
    assert (content["object"]["code"], content["object"]["reason"]) == (410, "Expired")
    await until(lambda: server.watches_open == 0)


async def test_watch_error_at_an_event_stands_in_its_place(
    server: ToyServer, proxy: FaultProxy, client: Client
) -> None:
    proxy.inject(Match(event=lambda event: event.name == "b"), WatchError(500))
    response = await client.get(WATCH)
    server.send(A, B)
    received, ended_properly = await rest_of(response)
    assert received.startswith(A)
    assert json.loads(received[len(A) :])["object"]["reason"] == "InternalError"
    assert ended_properly


# Which faults strike, and how often


async def test_times_strikes_the_first_and_lets_the_rest_pass(proxy: FaultProxy, client: Client) -> None:
    refused = proxy.inject(Match(), Answer(503), times=2)
    assert [(await client.get(PODS)).status for _ in range(4)] == [503, 503, 200, 200]
    assert (refused.count, refused.spent) == (2, True)


async def test_of_two_watches_a_cut_with_times_one_strikes_only_the_first_to_get_there(
    server: ToyServer, proxy: FaultProxy, client: Client
) -> None:
    cut = proxy.inject(Match(verb="watch"), Cut(after_events=1), times=1)
    first, second = await client.get(WATCH), await client.get(WATCH)
    server.send(A)
    assert await rest_of(first) == (A, False)
    server.send(B, C)
    assert await lines_of(second, 2) == [B, C]
    assert cut.count == 1


async def test_a_fault_that_is_removed_strikes_no_more(proxy: FaultProxy, client: Client) -> None:
    injection = proxy.inject(Match(), Answer(503))
    proxy.inject(Match(), Answer(500))
    statuses = [(await client.get(PODS)).status]
    injection.remove()
    statuses.append((await client.get(PODS)).status)
    proxy.clear()
    statuses.append((await client.get(PODS)).status)
    assert statuses == [503, 500, 200]


async def test_removing_a_fault_disarms_it_in_a_watch_that_runs(
    server: ToyServer, proxy: FaultProxy, client: Client
) -> None:
    proxy.inject(Match(), Cut(after_events=1))
    response = await client.get(WATCH)
    proxy.clear()
    server.send(A, B)
    assert await lines_of(response, 2) == [A, B]


async def test_probability_draws_from_the_given_source_for_each_request(proxy: FaultProxy, client: Client) -> None:
    proxy.inject(Match(), Answer(503), probability=0.4, random=Random(7))
    draws = Random(7)
    expected = [503 if draws.random() < 0.4 else 200 for _ in range(30)]
    assert {200, 503} == set(expected)
    assert [(await client.get(PODS)).status for _ in range(30)] == expected


async def test_probability_draws_for_each_event(server: ToyServer, proxy: FaultProxy, client: Client) -> None:
    proxy.inject(EVENTS, Duplicate(), probability=0.4, random=Random(7))
    draws = Random(7)
    lines = [event(str(number)) for number in range(30)]
    expected = b"".join(line * (2 if draws.random() < 0.4 else 1) for line in lines)
    response = await client.get(WATCH)
    server.send(*lines)
    server.end_watch()
    assert (await rest_of(response))[0] == expected


@pytest.mark.parametrize(
    ("match", "fault", "message"),
    [
        (EVENTS, Answer(500), "strikes requests"),
        (EVENTS, LoseAnswer(), "strikes requests"),
        (EVENTS, Cut(after_events=1), "drop the position"),
        (EVENTS, HalfOpen(after_bytes=1), "drop the position"),
        (EVENTS, WatchError(after_events=1), "drop after_events"),
        (Match(), Cut(torn=True), "needs after_events"),
    ],
)
async def test_a_fault_that_cannot_strike_what_is_matched_is_refused(
    proxy: FaultProxy, match: Match, fault: Fault, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        proxy.inject(match, fault)


async def test_a_probability_without_a_source_is_refused(proxy: FaultProxy) -> None:
    with pytest.raises(ValueError, match=r"random=Random\(seed\)"):
        proxy.inject(Match(), Cut(), probability=0.5)


# All connections


async def test_freeze_leaves_open_watches_running_requests_and_new_connections_quiet(
    server: ToyServer, proxy: FaultProxy
) -> None:
    proxy.inject(Match(name="slow"), Delay(SILENCE))
    async with raw_connection(proxy) as watch, raw_connection(proxy) as slow, raw_connection(proxy) as idle:
        watch.ask("GET", WATCH)
        server.send(A)
        await watch.read_until(A + b"\r\n")
        slow.ask("GET", PODS + "/slow")
        await until(lambda: len(proxy.requests) == 2)
        proxy.freeze()
        server.send(B)
        idle.ask("PUT", PODS + "/idle", b"{}")
        async with raw_connection(proxy) as new:
            new.ask("GET", PODS + "/new")
            for connection in (watch, slow, idle, new):
                assert await connection.is_quiet()
            server.break_off_watch()
            assert await watch.is_quiet()
            assert len(server.seen) == 1
            proxy.thaw()
            await watch.read_until(B + b"\r\n")
            assert await watch.is_closed()
            for connection in (slow, idle, new):
                assert (await connection.read_until(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")


async def test_nothing_is_closed_or_answered_by_a_fault_during_a_freeze(proxy: FaultProxy) -> None:
    proxy.inject(Match(name="cut"), Cut())
    proxy.inject(Match(name="cut"), Delay(SILENCE))
    proxy.inject(Match(name="answer"), Answer(503))
    async with raw_connection(proxy) as cut, raw_connection(proxy) as answer:
        # So that the connections are accepted before the freeze.
        for raw in (cut, answer):
            raw.ask("GET", PODS)
            await raw.read_until(b"}")
        proxy.freeze()
        cut.ask("GET", PODS + "/cut")
        answer.ask("GET", PODS + "/answer")
        assert await cut.is_quiet()
        assert await answer.is_quiet()
        proxy.thaw()
        assert await cut.is_closed()
        assert (await answer.read_until(b"\r\n\r\n")).startswith(b"HTTP/1.1 503")


@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_a_server_that_dies_during_a_freeze_is_noticed_after_it(
    server: ToyServer, proxy: FaultProxy, method: str
) -> None:
    server.answer = die
    server.answering.clear()
    async with raw_connection(proxy) as raw:
        raw.ask(method, PODS + "/a")
        await until(lambda: len(server.seen) == 1)
        proxy.freeze()
        server.answering.set()
        await until(lambda: proxy.requests[0].error is not None)
        assert await raw.is_quiet()
        proxy.thaw()
        assert await raw.is_closed()


async def test_a_write_held_by_a_freeze_arrives_after_it_even_where_its_client_gave_up(
    server: ToyServer, proxy: FaultProxy
) -> None:
    async with raw_connection(proxy) as raw:
        raw.ask("GET", PODS)
        await raw.read_until(b"}")
        proxy.freeze()
        raw.ask("PUT", PODS + "/a", b"{}")
        await until(lambda: len(proxy.requests) == 2)
    await asyncio.sleep(SILENCE)
    assert len(server.seen) == 1
    proxy.thaw()
    await until(lambda: len(server.seen) == 2)
    assert server.seen[1].method == "PUT"


async def test_paused_watches_deliver_in_order_when_resumed_and_other_requests_pass_meanwhile(
    server: ToyServer, proxy: FaultProxy, client: Client
) -> None:
    async with raw_connection(proxy) as watch:
        watch.ask("GET", WATCH)
        await watch.read_until(b"\r\n\r\n")
        proxy.pause_watches()
        server.send(A, B, C)
        server.end_watch()
        assert await watch.is_quiet()
        assert (await client.get(PODS)).status == 200
        proxy.resume_watches()
        received = await watch.read_until(b"0\r\n\r\n")
        assert [line for line in received.split(b"\r\n") if line.startswith(b"{")] == [A, B, C]


async def test_a_paused_watch_does_not_end(server: ToyServer, proxy: FaultProxy) -> None:
    async with raw_connection(proxy) as watch:
        watch.ask("GET", WATCH)
        await watch.read_until(b"\r\n\r\n")
        proxy.pause_watches()
        server.end_watch()
        await until(lambda: server.watches_open == 0)
        assert await watch.is_quiet()
        proxy.resume_watches()
        await watch.read_until(b"0\r\n\r\n")


@pytest.mark.parametrize("paused_first", [False, True])
async def test_an_event_that_a_freeze_or_a_pause_holds_is_held_by_the_other_that_came_meanwhile(
    server: ToyServer, proxy: FaultProxy, paused_first: bool
) -> None:
    freeze, pause = (proxy.freeze, proxy.thaw), (proxy.pause_watches, proxy.resume_watches)
    (hold_first, release_first), (hold_then, release_then) = (pause, freeze) if paused_first else (freeze, pause)
    async with raw_connection(proxy) as watch:
        watch.ask("GET", WATCH)
        await watch.read_until(b"\r\n\r\n")
        hold_first()
        server.send(A)
        assert await watch.is_quiet()
        hold_then()
        release_first()
        assert await watch.is_quiet()
        release_then()
        await watch.read_until(A + b"\r\n")


async def test_a_paused_watch_does_not_make_the_server_wait(server: ToyServer, proxy: FaultProxy) -> None:
    async with raw_connection(proxy) as watch:
        watch.ask("GET", WATCH)
        await watch.read_until(b"\r\n\r\n")
        proxy.pause_watches()
        server.send(*[event("x" * 1_000_000)] * 30)
        server.end_watch()
        await until(lambda: server.watches_open == 0)


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("reset", [False, True])
async def test_cut_all_closes_every_connection(server: ToyServer, proxy: FaultProxy, frozen: bool, reset: bool) -> None:
    async with raw_connection(proxy) as watch, raw_connection(proxy) as idle:
        watch.ask("GET", WATCH)
        await watch.read_until(b"\r\n\r\n")
        idle.ask("GET", PODS)
        await idle.read_until(b"}")
        if frozen:
            proxy.freeze()
            connected = asyncio.open_connection("127.0.0.1", _port(proxy))
            reader, writer = await connected
            # One turn, for the proxy to take it from the kernel's queue.
            await asyncio.sleep(0.01)
            proxy.cut_all(reset=reset)
            assert await asyncio.wait_for(reader.read(1), 10) == b""
            writer.close()
        proxy.cut_all(reset=reset)
        for raw in (watch, idle):
            if reset:
                with pytest.raises(ConnectionResetError):
                    await raw.is_closed()
            else:
                assert await raw.is_closed()
    await until(lambda: server.watches_open == 0)


async def test_a_connection_that_is_cut_at_the_moment_at_which_it_is_accepted_is_closed(proxy: FaultProxy) -> None:
    address = ("127.0.0.1", _port(proxy))
    with warnings.catch_warnings(record=True) as caught, socket.create_connection(address) as client:
        warnings.simplefilter("always")
        await asyncio.sleep(0)
        # The proxy accepts in this turn of the loop, and begins to hand the connection over in the next: after this.
        asyncio.get_running_loop().call_soon(proxy.cut_all)
        client.setblocking(False)
        async with asyncio.timeout(10):
            assert await asyncio.get_running_loop().sock_recv(client, 1) == b""
        gc.collect()
    assert [str(warning.message) for warning in caught] == []


async def test_refused_connections_are_refused_until_accepted_again_on_the_same_port(
    server: ToyServer, proxy: FaultProxy
) -> None:
    async with raw_connection(proxy) as open_before:
        open_before.ask("GET", PODS)
        await open_before.read_until(b"}")
        for _ in range(2):
            await proxy.refuse_connections()
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", int(proxy.url.rsplit(":", 1)[1]))
        open_before.ask("GET", PODS)
        await open_before.read_until(b"}")
        proxy.accept_connections()
        async with raw_connection(proxy) as raw:
            raw.ask("GET", PODS)
            await raw.read_until(b"}")


# The end


async def test_closing_leaves_no_task_and_no_connection_whatever_is_frozen_delayed_or_half_open() -> None:
    before = asyncio.all_tasks()
    async with running(ToyServer()) as server:
        async with FaultProxy(server.url) as proxy:
            proxy.inject(Match(name="quiet"), HalfOpen())
            proxy.inject(Match(name="slow"), Delay(3600))
            proxy.inject(EVENTS, Delay(3600))
            connections = [await asyncio.open_connection("127.0.0.1", _port(proxy)) for _ in range(6)]
            raws = [Raw(*connection) for connection in connections]
            raws[0].ask("GET", WATCH)
            server.send(A)
            raws[1].ask("GET", PODS + "/quiet")
            raws[2].ask("GET", PODS + "/slow")
            raws[3].ask("PUT", PODS + "/slow", b"{}")
            await until(lambda: len(proxy.requests) == 4 and server.watches_open == 1)
            proxy.freeze()
            raws[4].ask("PUT", PODS + "/frozen", b"{}")
            new = await asyncio.open_connection("127.0.0.1", _port(proxy))
            raws.append(Raw(*new))
            raws[-1].ask("GET", PODS)
            await until(lambda: len(proxy.requests) == 5)
        assert asyncio.all_tasks() - server.tasks == before
        for raw in raws:
            with suppress(ConnectionResetError):
                await asyncio.wait_for(raw.reader.read(), 10)
            raw.writer.close()
        del raws, raw
    gc.collect()
    assert asyncio.all_tasks() == before


async def test_closing_waits_for_idle_connections() -> None:
    before = asyncio.all_tasks()
    async with FaultProxy("http://127.0.0.1:1") as proxy:
        _, writer = await asyncio.open_connection("127.0.0.1", _port(proxy))
        await until(lambda: len(asyncio.all_tasks() - before) == 1)
    assert asyncio.all_tasks() == before
    writer.close()


async def test_closing_does_not_wait_for_a_client_that_reads_nothing(server: ToyServer) -> None:
    async with FaultProxy(server.url) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", _port(proxy))
        Raw(reader, writer).ask("GET", WATCH)
        server.send(*[event("x" * 1_000_000)] * 30)
        server.end_watch()
        await until(lambda: len(server.seen) == 1 and server.watches_open == 0)
    writer.transport.abort()


async def test_a_port_in_use_is_named(server: ToyServer, proxy: FaultProxy) -> None:
    with pytest.raises(OSError, match=rf"127\.0\.0\.1:{_port(proxy)}; port=0"):
        async with FaultProxy(server.url, port=_port(proxy)):
            pass


# TLS


async def test_tls_is_spoken_on_both_sides_with_the_certificates_given(tmp_path: Path) -> None:
    authority = Authority("ca", tmp_path)
    serving = authority.server("server", ["localhost"], ["127.0.0.1"])
    mine = authority.client("client", "proxy")
    for_server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority.ca_file))
    for_server.load_cert_chain(serving.cert_file, serving.key_file)
    for_proxy = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    for_proxy.load_cert_chain(serving.cert_file, serving.key_file)
    as_client = ssl.create_default_context(cafile=str(authority.ca_file))
    with_certificate = ssl.create_default_context(cafile=str(authority.ca_file))
    with_certificate.load_cert_chain(mine.cert_file, mine.key_file)
    for_server.verify_mode = ssl.CERT_REQUIRED
    async with (
        running(ToyServer(), for_server) as server,
        FaultProxy(server.url, ssl=with_certificate, serve_tls=for_proxy) as proxy,
        client_of(proxy, as_client) as client,
    ):
        assert proxy.url.startswith("https://")
        assert (await client.get(PODS)).status == 200
        for cut in (Cut(after_events=1), Cut(after_events=1, reset=True)):
            proxy.inject(Match(verb="watch"), cut, times=1)
            response = await client.get(WATCH)
            server.send(A)
            assert await rest_of(response) == (A, False)
        proxy.freeze()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.open_connection("127.0.0.1", _port(proxy), ssl=as_client), SILENCE)
        proxy.thaw()
        async with client_of(proxy) as stranger:
            with pytest.raises(aiohttp.ClientConnectorCertificateError):
                await stranger.get(PODS)
        assert (await client.get(PODS)).status == 200
