"""The HTTP endpoints: addresses, probes, metrics."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Counter

from disvc.runtime.endpoints import listening, metrics_application, parse_address, probes_application
from disvc.runtime.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    Get = Callable[..., Any]

ANY_PORT = "127.0.0.1:0"


@asynccontextmanager
async def serving(application: aiohttp.web.Application) -> AsyncIterator[Get]:
    """Serve an application, and yield a function that asks for a path."""
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(asyncio.timeout(30))
        bound = await stack.enter_async_context(listening({"it": (application, ANY_PORT)}))
        session = await stack.enter_async_context(aiohttp.ClientSession(f"http://{bound['it']}"))

        async def get(path: str, **headers: str) -> tuple[int, str]:
            async with session.get(path, headers=headers) as answer:
                return answer.status, await answer.text()

        yield get


# Addresses.


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (":8080", (None, 8080)),
        ("127.0.0.1:8080", ("127.0.0.1", 8080)),
        ("localhost:0", ("localhost", 0)),
        ("[::1]:8080", ("::1", 8080)),
        (":65535", (None, 65535)),
    ],
)
def test_an_address_is_a_host_and_a_port(address: str, expected: tuple[str | None, int]) -> None:
    assert parse_address(address) == expected


@pytest.mark.parametrize("address", ["", "8080", "localhost", ":", ":http", ":-1", ":65536", "localhost:²", "0"])
def test_what_is_no_address_is_refused_with_what_it_should_be(address: str) -> None:
    with pytest.raises(ConfigurationError, match="is not an address to listen on; give HOST:PORT or :PORT"):
        parse_address(address)


async def test_the_addresses_that_were_got_are_told_and_can_be_used() -> None:
    application = probes_application({}, {})
    async with listening({"v4": (application, "127.0.0.1:0"), "v6": (probes_application({}, {}), "[::1]:0")}) as bound:
        assert bound["v4"].startswith("127.0.0.1:")
        assert bound["v6"].startswith("[::1]:")
        for address in bound.values():
            async with aiohttp.request("GET", f"http://{address}/healthz") as answer:
                assert answer.status == 200
    for address in bound.values():
        with pytest.raises(aiohttp.ClientConnectionError):
            await aiohttp.request("GET", f"http://{address}/healthz").__aenter__()


async def test_an_address_in_use_is_named_with_what_it_was_for_and_nothing_stays_open() -> None:
    async with listening({"first": (probes_application({}, {}), ANY_PORT)}) as bound:
        taken = bound["first"]
        free = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
        port = free.sockets[0].getsockname()[1]
        free.close()
        await free.wait_closed()
        with pytest.raises(ConfigurationError, match=f"cannot serve metrics at {taken}: .*; stop what uses that port"):
            async with listening(
                {
                    "probes": (probes_application({}, {}), f"127.0.0.1:{port}"),
                    "metrics": (metrics_application(CollectorRegistry()), taken),
                }
            ):
                raise AssertionError
        again = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", port)
        again.close()


async def test_a_host_that_is_not_ours_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"cannot serve probes at 192\.0\.2\.1:8081"):
        async with listening({"probes": (probes_application({}, {}), "192.0.2.1:8081")}):
            raise AssertionError


# Probes.


def broken() -> None:
    raise OSError("no space left")


async def slow_but_well() -> None:
    await asyncio.sleep(0)


async def not_loaded() -> str:
    await asyncio.sleep(0)
    return "the model is not loaded"


def silent_failure() -> None:
    raise ValueError


CHECKS: dict[str, Callable[[], Any]] = {"ping": lambda: None, "slow": slow_but_well, "empty": lambda: ""}


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_a_probe_is_well_when_all_checks_are(path: str) -> None:
    async with serving(probes_application(CHECKS, CHECKS)) as get:
        assert await get(path) == (200, "ok")
        for query in ("?verbose", "?verbose=true"):
            assert await get(path + query) == (
                200,
                f"[+]ping ok\n[+]slow ok\n[+]empty ok\n{path[1:]} check passed\n",
            )


async def test_a_probe_fails_when_one_check_does_and_says_which_and_why() -> None:
    checks = {**CHECKS, "disk": broken, "model": not_loaded, "mute": silent_failure}
    async with serving(probes_application({}, checks)) as get:
        assert await get("/healthz") == (200, "ok")
        status, text = await get("/readyz")
        assert status == 500
        assert text.splitlines() == [
            "[+]ping ok",
            "[+]slow ok",
            "[+]empty ok",
            "[-]disk failed: no space left",
            "[-]model failed: the model is not loaded",
            "[-]mute failed: ValueError",
            "readyz check failed",
        ]


async def test_a_check_that_is_excluded_does_not_count() -> None:
    checks = {**CHECKS, "disk": broken, "model": not_loaded}
    async with serving(probes_application({}, checks)) as get:
        assert await get("/readyz?exclude=disk&exclude=model") == (200, "ok")
        status, text = await get("/readyz?exclude=disk")
        assert status == 500
        assert "disk" not in text
        assert await get("/readyz?exclude=disk&exclude=model&exclude=no-such-check") == (200, "ok")


async def test_a_single_check_is_asked_alone() -> None:
    async with serving(probes_application({"ping": lambda: None, "disk": broken}, {})) as get:
        assert await get("/healthz/ping") == (200, "ok")
        assert await get("/healthz/disk") == (500, "no space left\n")
        assert (await get("/healthz/other"))[0] == 404
        assert (await get("/readyz/ping"))[0] == 404
        assert (await get("/metrics"))[0] == 404


async def test_a_check_that_is_added_while_it_runs_counts() -> None:
    checks: dict[str, Callable[[], Any]] = {}
    async with serving(probes_application(checks, {})) as get:
        assert await get("/healthz") == (200, "ok")
        checks["disk"] = broken
        assert (await get("/healthz"))[0] == 500


# Metrics.


async def test_metrics_are_served_in_the_format_that_is_asked_for_and_nothing_else_is() -> None:
    registry = CollectorRegistry()
    Counter("mine", "Mine.", registry=registry).inc()
    async with serving(metrics_application(registry)) as get:
        status, text = await get("/metrics")
        assert status == 200
        assert "# TYPE mine_total counter\nmine_total 1.0\n" in text
        status, text = await get("/metrics", Accept="application/openmetrics-text; version=1.0.0")
        assert status == 200
        assert "# TYPE mine counter\nmine_total 1.0\n" in text
        assert text.endswith("# EOF\n")
        for path in ("/", "/healthz", "/metrics/x"):
            assert (await get(path))[0] == 404
