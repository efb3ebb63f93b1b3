"""The ingress itself: follows the API server, and keeps Envoy in line with it."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final, Self

import structlog

from disvc.local.ingress.certificates import certificates, default_certificate
from disvc.local.ingress.configuration import Configuration, Ports, configuration
from disvc.local.ingress.envoy import EnvoyError, envoy
from disvc.local.ingress.ports import choose
from disvc.local.ingress.world import World
from disvc.reconcilers.resources import ENDPOINT_SLICES, INGRESSES, PODS, SERVICES
from disvc.runtime import Manager, Resource, Selection
from disvc.testing.running import running

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path
    from types import TracebackType

    from disvc.runtime import Delta
    from disvc.runtime.transport import Transport

SECRETS: Final = Resource("v1", "Secret", "secrets")
_FOLLOWED: Final = (INGRESSES, SERVICES, ENDPOINT_SLICES, PODS, SECRETS)
"""What a `World` is made of, in its order."""
_TRIES: Final = 5
_GRACE_SECONDS: Final = 2.0

_log = structlog.get_logger("disvc.ingress")


class LocalIngress:
    """An ingress before what an API server knows; use as `async with`. It serves all that is there once entered.

    Args:
        transport: of a user who may read Ingresses, Services, EndpointSlices, Pods and Secrets.
        namespaces: those that it follows, none given: all.
        http_port: the plain port; None for 8080, or a free one where that is in use.
        https_port: the TLS port; None for 8443, or a free one where that is in use.

    Raises `PortInUse` for a port that was asked for, `EnvoyError` where Envoy cannot run.

    """

    ports: Ports
    """Where it listens, once entered."""

    def __init__(
        self,
        transport: Transport,
        *,
        namespaces: Sequence[str] = (),
        http_port: int | None = None,
        https_port: int | None = None,
    ) -> None:
        self._manager = Manager(transport, name="ingress", namespaces=namespaces, grace_seconds=_GRACE_SECONDS)
        self._asked = (http_port, https_port)
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            self._envoy = await stack.enter_async_context(envoy())
            self._certificate = await asyncio.to_thread(default_certificate, self._envoy.folder)
            self.ports = await self._listen()
            follower = _Follower(self._manager, self._serve)
            self._manager.add(follower)
            await stack.enter_async_context(running(self._manager))
            await follower.has_served.wait()
            self._open = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.aclose()

    async def check(self) -> None:
        """Return if Envoy runs. Raises `EnvoyError`."""
        await self._envoy.check()

    @property
    def access_log(self) -> Path:
        """A file with a line for each request, which is removed with the ingress."""
        return self._envoy.access_log

    async def _listen(self) -> Ports:
        """Return the ports that Envoy listens on: another process may take them from under its nose, and then again."""
        for tries_left in reversed(range(_TRIES)):
            self.ports = choose(*self._asked)
            try:
                await self._envoy.publish(self._configuration(World()))
            except EnvoyError as error:
                if not tries_left or "Address already in use" not in str(error):
                    raise
            else:
                break
        return self.ports

    async def _serve(self, world: World) -> None:
        try:
            await self._envoy.publish(self._configuration(world))
        except EnvoyError as error:
            _log.error("the last change is not served", error=str(error))

    def _configuration(self, world: World) -> Configuration:
        return configuration(
            world,
            ports=self.ports,
            certificates=certificates(world),
            default_certificate=self._certificate,
            access_log=str(self._envoy.access_log),
        )


class _Follower:
    """Runs in a manager: hands over the state of the world when something in it has changed."""

    needs_leader_election = False

    def __init__(self, manager: Manager, serve: Callable[[World], Awaitable[None]]) -> None:
        self.has_served = asyncio.Event()
        self._serve = serve
        self._changed = asyncio.Event()
        self._caches = [manager.cache(resource) for resource in _FOLLOWED]
        for resource in _FOLLOWED:
            manager.informers.subscribe(Selection(resource, manager.namespaces), self._note, "ingress")

    async def run(self) -> None:
        """Follow the world until cancelled."""
        while True:
            self._changed.clear()
            await self._serve(World(*([obj.decode() for obj in cache] for cache in self._caches)))
            self.has_served.set()
            await self._changed.wait()

    def _note(self, delta: Delta[Any]) -> None:
        self._changed.set()
