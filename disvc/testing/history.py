"""What happened in a namespace, in the order in which it happened: from watches, so that no state is missed.

All objects of a cluster that are kept in one etcd share one counter, the resourceVersion, so that the events of
several resources can be put in order by it. A poll sees some of the states; this sees each one.

    async with History(transport, namespace, SERVICES, INGRESSES) as history:
        ...
        for moment in await history.moments():
            moment.event, moment.state[SERVICES]["a"]
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import msgspec

from disvc.runtime import Client, Resource

if TYPE_CHECKING:
    from collections.abc import Mapping

    from disvc.runtime.transport import Transport

    Value = dict[str, Any]

__all__ = ["Change", "History", "Moment"]


class Change(NamedTuple):
    """One event of a watch."""

    version: int
    type: str
    """ADDED, MODIFIED or DELETED."""
    resource: Resource[Any]
    name: str
    object: Value
    """As it is after the change, or, deleted, as it last was."""
    received: float
    """When the watch told it, by `time.monotonic()`; to report by, as order is told by the version."""


@dataclass(frozen=True)
class Moment:
    """One change, and what there is after it: of each resource, the objects by name."""

    change: Change
    state: Mapping[Resource[Any], Mapping[str, Value]]


class History:
    """Watches resources of one namespace from the moment it is entered."""

    def __init__(self, transport: Transport, namespace: str, *resources: Resource[Any]) -> None:
        self._client = Client(transport, user_agent="disvc-testing-history")
        self._namespace = namespace
        self._resources = resources
        self._before: dict[Resource[Any], dict[str, Value]] = {}
        self._changes: list[Change] = []
        self._seen: dict[Resource[Any], int] = {}
        self._more = asyncio.Condition()

    async def __aenter__(self) -> Self:
        self._tasks = []
        for resource in self._resources:
            listed = await self._client.list(resource, self._namespace)
            self._before[resource] = {obj.metadata.name: obj.decode() for obj in listed.items}
            self._tasks.append(asyncio.create_task(self._watch(resource, listed.resource_version)))
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        for ended in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(ended, Exception):
                raise ended

    async def _watch(self, resource: Resource[Any], version: str) -> None:
        self._seen[resource] = int(version)
        opened = self._client.watch(resource, self._namespace, resource_version=version, timeout_seconds=3600)
        async with opened as pieces:
            async for piece in pieces:
                received = time.monotonic()
                async with self._more:
                    for event in piece:
                        value = msgspec.json.decode(event.object, type=dict[str, Any])
                        at = int(value["metadata"]["resourceVersion"])
                        self._seen[resource] = at
                        if event.type != "BOOKMARK":
                            name = value["metadata"]["name"]
                            self._changes.append(Change(at, event.type, resource, name, value, received))
                    self._more.notify_all()
        raise AssertionError(f"the watch of {resource} ended")

    async def moments(self) -> list[Moment]:
        """Return all that has happened up to now, in order.

        What a list shows now is waited for; a deletion that is the newest change of its resource may be missed.
        """
        for resource in self._resources:
            listed = await self._client.list(resource, self._namespace)
            newest = max((int(obj.metadata.resource_version) for obj in listed.items), default=0)
            async with asyncio.timeout(30), self._more:
                while self._seen[resource] < newest:
                    await self._more.wait()
        state = {resource: dict(objects) for resource, objects in self._before.items()}
        moments = []
        for change in sorted(self._changes, key=lambda change: change.version):
            objects = dict(state[change.resource])
            if change.type == "DELETED":
                objects.pop(change.name, None)
            else:
                objects[change.name] = change.object
            state = {**state, change.resource: objects}
            moments.append(Moment(change, state))
        return moments
