"""The HTTP endpoints of a manager: `/metrics`, `/healthz` and `/readyz`.

Paths and answers are those of controller-runtime: `/readyz` is 200 when every check passes, else 500 with a
line for each; `?verbose` shows the lines always, `?exclude=NAME` leaves a check out; `/readyz/NAME` asks a single
one. A check is a function, or a coroutine function, that raises, or returns what is wrong; None or "" means well.
What is wrong is shown, as who may ask these endpoints may also read the log; controller-runtime keeps it back.
"""

from __future__ import annotations

import inspect
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import structlog
from aiohttp import web
from prometheus_client.exposition import choose_encoder

from disvc.runtime.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from prometheus_client import CollectorRegistry

    Check = Callable[[], Any]

_log = structlog.get_logger("disvc.endpoints")


def parse_address(address: str) -> tuple[str | None, int]:
    """Return host and port of `:8080`, `127.0.0.1:8080` or `[::1]:8080`; no host means all interfaces.

    Raises `ConfigurationError`.
    """
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise ConfigurationError(f"{address!r} is not an address to listen on; give HOST:PORT or :PORT")
    return host.strip("[]") or None, int(port)


def metrics_application(registry: CollectorRegistry) -> web.Application:
    """Return an application that serves the registry's metrics, in the format that the scraper asks for."""

    async def serve(request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(registry), headers={"Content-Type": content_type})

    application = web.Application()
    application.router.add_get("/metrics", serve)
    return application


def probes_application(health: Mapping[str, Check], readiness: Mapping[str, Check]) -> web.Application:
    """Return an application that serves `/healthz` and `/readyz`; checks may be added while it runs."""
    application = web.Application()
    for path, checks in (("/healthz", health), ("/readyz", readiness)):
        application.router.add_get(path, _all_checks(path, checks))
        application.router.add_get(path + "/{name}", _one_check(checks))
    return application


def _all_checks(path: str, checks: Mapping[str, Check]) -> Callable[[web.Request], Any]:
    async def serve(request: web.Request) -> web.Response:
        excluded = request.query.getall("exclude", [])
        problems = {name: await _problem(check) for name, check in checks.items() if name not in excluded}
        failed = [name for name, problem in problems.items() if problem]
        if not failed and "verbose" not in request.query:
            return web.Response(text="ok")
        lines = [f"[-]{n} failed: {p}" if p else f"[+]{n} ok" for n, p in problems.items()]
        lines.append(f"{path[1:]} check {'failed' if failed else 'passed'}")
        return web.Response(status=500 if failed else 200, text="\n".join(lines) + "\n")

    return serve


def _one_check(checks: Mapping[str, Check]) -> Callable[[web.Request], Any]:
    async def serve(request: web.Request) -> web.Response:
        check = checks.get(request.match_info["name"])
        if check is None:
            return web.Response(status=404, text="there is no such check\n")
        problem = await _problem(check)
        return web.Response(status=500, text=f"{problem}\n") if problem else web.Response(text="ok")

    return serve


async def _problem(check: Check) -> str:
    try:
        result = check()
        if inspect.isawaitable(result):
            result = await result
    except Exception as error:
        return str(error) or type(error).__name__
    return str(result or "")


@asynccontextmanager
async def listening(applications: Mapping[str, tuple[web.Application, str]]) -> AsyncIterator[dict[str, str]]:
    """Serve applications at their addresses; yield the addresses they got, as port 0 means any free one.

    Raises `ConfigurationError` where an address is in use or cannot be listened on.
    """
    async with AsyncExitStack() as stack:
        bound = {}
        for what, (application, address) in applications.items():
            host, port = parse_address(address)
            runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            site = web.TCPSite(runner, host, port)
            try:
                await site.start()
            except OSError as error:
                raise ConfigurationError(
                    f"cannot serve {what} at {address}: {error.strerror or error}; "
                    f"stop what uses that port, or give {what} another address"
                ) from error
            got_host, got_port = runner.addresses[0][:2]
            bound[what] = f"[{got_host}]:{got_port}" if ":" in got_host else f"{got_host}:{got_port}"
            _log.info("serving", what=what, address=bound[what])
        yield bound
