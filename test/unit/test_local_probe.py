"""Readiness probes of processes: by TCP, by HTTP, and what is said of others."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from disvc.local.addresses import Addresses
from disvc.local.containers import CannotRun
from disvc.local.probe import Probe
from disvc.testing.shared_port import share_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from disvc.local.addresses import Sandbox

    Value = dict[str, Any]

QUICK = {"periodSeconds": 0.01, "timeoutSeconds": 5, "failureThreshold": 3}


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    addresses = Addresses()
    yield addresses.open([8080])
    addresses.close_all()


def container(**probe: Any) -> Value:
    return {"name": "server", "ports": [{"name": "http", "containerPort": 8080}], "readinessProbe": probe}


@asynccontextmanager
async def watched(probe: Probe) -> AsyncIterator[asyncio.Queue[bool]]:
    """What a probe tells, in order."""
    told: asyncio.Queue[bool] = asyncio.Queue()
    watching = asyncio.create_task(probe.watch(told.put_nowait))
    try:
        yield told
    finally:
        watching.cancel()


async def next_of(told: asyncio.Queue[bool]) -> bool:
    async with asyncio.timeout(30):
        return await told.get()


@pytest.mark.parametrize("port", [8080, "http"])
async def test_by_tcp_a_container_is_ready_while_its_port_accepts_connections(sandbox: Sandbox, port: Any) -> None:
    async with watched(Probe(container(tcpSocket={"port": port}, **QUICK), sandbox)) as told:
        with share_port(sandbox.port(8080) or 0) as server:
            server.listen()
            assert await next_of(told) is True
        assert await next_of(told) is False


async def test_by_http_it_is_ready_by_the_status_and_not_by_one_failure(sandbox: Sandbox) -> None:
    statuses = iter([500, 404, 200, 500, 500, 302, 500, 500, 500, 200, *[200] * 1000])
    asked: list[int] = []

    async def answer(request: web.Request) -> web.Response:
        assert (request.path, request.headers["X-Probe"]) == ("/ready", "yes")
        asked.append(next(statuses))
        return web.Response(status=asked[-1], headers={"Location": "/"})

    app = web.Application()
    app.router.add_get("/ready", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.SockSite(runner, share_port(sandbox.port(8080) or 0)).start()
    http = {"path": "/ready", "port": 8080, "httpHeaders": [{"name": "X-Probe", "value": "yes"}]}
    async with watched(Probe(container(httpGet=http, **QUICK), sandbox)) as told:
        assert [(await next_of(told), len(asked)) for _ in range(3)] == [(True, 3), (False, 9), (True, 10)]
    await runner.cleanup()


async def test_without_a_probe_it_is_ready_when_it_runs(sandbox: Sandbox) -> None:
    async with watched(Probe({"name": "server"}, sandbox)) as told:
        assert await next_of(told) is True


@pytest.mark.parametrize(
    ("probe", "words"),
    [
        ({"exec": {"command": ["true"]}}, "neither httpGet nor tcpSocket"),
        ({"tcpSocket": {"port": 9000}}, "is at port 9000, where its server does not listen"),
    ],
)
def test_a_probe_that_cannot_be_done_is_told(sandbox: Sandbox, probe: Value, words: str) -> None:
    with pytest.raises(CannotRun, match=words):
        Probe(container(**probe), sandbox)
