"""Readiness probes, as a kubelet does them: TCP and HTTP."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import aiohttp

from disvc.local.containers import CannotRun
from disvc.testing.shared_port import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Callable

    from disvc.local.addresses import Sandbox
    from disvc.testing.kserve.resources import Value

_STARTING_SECONDS: Final = 0.1
"""How often a container is probed that was not ready yet: more often than in a cluster, as somebody waits for it."""


class Probe:
    """A container's readiness probe; without one a container is ready when it runs.

    Raises `CannotRun` for a probe that needs more than a process.
    """

    def __init__(self, container: Value, sandbox: Sandbox) -> None:
        spec: Value = container.get("readinessProbe") or {}
        self._period = spec.get("periodSeconds", 10)
        self._timeout = spec.get("timeoutSeconds", 1)
        self._failures = spec.get("failureThreshold", 3)
        self._http: Value | None = spec.get("httpGet")
        action: Value | None = self._http or spec.get("tcpSocket")
        if spec and action is None:
            raise CannotRun(
                "CreateContainerConfigError",
                f"the readinessProbe of container {container['name']} is neither httpGet nor tcpSocket, and only those "
                "can be done here",
            )
        self._port = _port(container, action["port"], sandbox) if action else None

    async def watch(self, tell: Callable[[bool], None]) -> None:
        """Call `tell` when readiness changes, until cancelled."""
        ready, failures = False, 0
        while True:
            if await self._passes():
                failures = 0
                if not ready:
                    ready = True
                    tell(ready)
            else:
                failures += 1
                if ready and failures >= self._failures:
                    ready = False
                    tell(ready)
            await asyncio.sleep(self._period if ready else _STARTING_SECONDS)

    async def _passes(self) -> bool:
        if self._port is None:
            return True
        try:
            async with asyncio.timeout(self._timeout):
                if self._http is None:
                    _, writer = await asyncio.open_connection(LOOPBACK, self._port)
                    writer.close()
                    return True
                return await self._get(self._http)
        except (OSError, TimeoutError, aiohttp.ClientError):
            return False

    async def _get(self, http: Value) -> bool:
        url = f"http://{LOOPBACK}:{self._port}{http.get('path', '/')}"
        headers = {header["name"]: header["value"] for header in http.get("httpHeaders") or ()}
        async with aiohttp.ClientSession() as session, session.get(url, headers=headers, allow_redirects=False) as got:
            return got.status < 400


def _port(container: Value, port: Any, sandbox: Sandbox) -> int | None:
    """Return the loopback port of a port of the pod, which may be given by its name."""
    named = {declared.get("name"): declared["containerPort"] for declared in container.get("ports") or ()}
    found = sandbox.port(named.get(port, port))
    if found is None:
        raise CannotRun(
            "CreateContainerConfigError",
            f"the readinessProbe of container {container['name']} is at port {port}, where its server does not listen",
        )
    return found
