"""All informers of a process: who asks for the same selection gets the same informer.

It is also where the process's writes are told to the caches: `Informers` is the `WriteObserver` of the manager's
client.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from disvc.runtime.informer import Informer
from disvc.runtime.reflector import IDLE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from disvc.runtime.client import Client
    from disvc.runtime.delta import Delta
    from disvc.runtime.metrics import Metrics
    from disvc.runtime.objects import Key, Object, Resource
    from disvc.runtime.selection import Selection
    from disvc.runtime.subscription import Subscription

T = TypeVar("T")


class Informers:
    """All informers of a process: equal selections share one. The `WriteObserver` of the process's client.

    `client` is for reading only. `resync_seconds` is how often handlers get every object again though nothing
    changed (0: never), `idle_seconds` how long a watch may be silent.
    """

    def __init__(
        self,
        client: Client,
        metrics: Metrics,
        *,
        resync_seconds: float = 36_000.0,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self._client = client
        self._metrics = metrics
        self._resync_seconds = resync_seconds
        self._idle_seconds = idle_seconds
        self._informers: dict[Selection[Any], Informer[Any]] = {}
        self._by_resource: dict[tuple[str, str], list[Informer[Any]]] = {}
        self._group: asyncio.TaskGroup | None = None
        self._ended = False

    def subscribe(
        self, selection: Selection[T], handler: Callable[[Delta[T]], Any] | None = None, name: str = ""
    ) -> Subscription[T]:
        """Subscribe to a selection, by its informer or a new one; see `Informer.subscribe`.

        Raises `RuntimeError` when the informers have ended.
        """
        if self._ended:
            raise RuntimeError(f"subscription to {selection}: the informers have ended")
        informer = self._informers.get(selection)
        if informer is None or informer.stopping:
            informer = Informer(
                self._client,
                selection,
                self._metrics,
                idle_seconds=self._idle_seconds,
                resync_seconds=self._resync_seconds,
            )
            self._informers[selection] = informer
            self._by_resource.setdefault(_identity(selection.resource), []).append(informer)
            if self._group is not None:
                self._begin(informer)
        return informer.subscribe(handler, name)

    async def run(self) -> None:
        """Run the informers of now and of later, until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                for informer in self._informers.values():
                    self._begin(informer)
                await asyncio.get_running_loop().create_future()
        finally:
            self._ended = True

    def _begin(self, informer: Informer[Any]) -> None:
        assert self._group is not None
        self._group.create_task(self._run(informer), name=f"informer {informer.selection}")

    async def _run(self, informer: Informer[Any]) -> None:
        try:
            await informer.run()
        finally:
            if self._informers.get(informer.selection) is informer:
                del self._informers[informer.selection]
            self._by_resource[_identity(informer.selection.resource)].remove(informer)

    async def synced(self) -> None:
        """Wait until the caches of all informers have held the server's whole state."""
        while waiting := [i for i in self._informers.values() if not i.synced.is_set()]:
            await waiting[0].synced.wait()

    def has_synced(self, selection: Selection[Any]) -> bool:
        """Whether there is an informer for a selection whose cache has held the server's whole state."""
        informer = self._informers.get(selection)
        return informer is not None and informer.synced.is_set()

    @property
    def unsynced(self) -> list[str]:
        """Return which selections have not been synchronised yet."""
        return [str(informer.selection) for informer in self._informers.values() if not informer.synced.is_set()]

    @property
    def too_silent(self) -> list[str]:
        """Return of which selections a watch has been silent for too long."""
        return [str(informer.selection) for informer in self._informers.values() if informer.too_silent]

    async def settled(self) -> None:
        """Wait until it is known of each own write whether it took effect."""
        for informer in list(self._informers.values()):
            await informer.settled()

    def wrote(self, obj: Object[Any]) -> None:
        """See `client.WriteObserver`."""
        for informer in self._by_resource.get(_identity(obj.resource), ()):
            informer.wrote(obj)

    def deleted(self, resource: Resource[Any], key: Key, uid: str) -> None:
        """See `client.WriteObserver`."""
        for informer in self._by_resource.get(_identity(resource), ()):
            informer.wrote_delete(key, uid)

    def uncertain(self, resource: Resource[Any], key: Key) -> None:
        """See `client.WriteObserver`."""
        for informer in self._by_resource.get(_identity(resource), ()):
            informer.uncertain(key)


def _identity(resource: Resource[Any]) -> tuple[str, str]:
    return resource.api_version, resource.plural
