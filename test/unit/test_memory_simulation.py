"""A manager on the in-memory API server in virtual time: the same seed gives the same history."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import suppress
from random import Random
from typing import Any

from disvc.runtime import AlreadyExists, Client, Controller, Manager, Request, Resource
from disvc.runtime.environment import Environment
from disvc.testing.clock import VirtualClock, in_virtual_time
from disvc.testing.memory import APIServer
from disvc.testing.memory.builtin import TYPES

CONFIG_MAPS = Resource("v1", "ConfigMap", "configmaps")
SECRETS = Resource("v1", "Secret", "secrets")


class Copier:
    """Keeps a Secret beside each ConfigMap, owned by it."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def reconcile(self, request: Request) -> None:
        config = await self._client.get(CONFIG_MAPS, request.name, request.namespace)
        owner = config.controller_reference()
        metadata = {"name": request.name, "namespace": request.namespace, "ownerReferences": [owner]}
        with suppress(AlreadyExists):
            await self._client.create(SECRETS, {"metadata": metadata})


def environment(seed: int) -> Environment:
    random = Random(seed)
    return Environment(VirtualClock(), random, lambda: f"{random.getrandbits(64):016x}")


async def history(seed: int) -> list[Any]:
    """Return all that happened to Secrets while a manager ran for an hour and users came and went."""
    server = APIServer(environment(seed), TYPES)
    manager = Manager(server.transport(), environment=environment(seed + 1))
    manager.add(Controller("copier", for_=CONFIG_MAPS, owns=[SECRETS], reconciler=Copier(manager.client)))
    stop = asyncio.Event()
    running = asyncio.create_task(manager.run(stop=stop, handle_signals=False))
    user = Client(server.transport(), environment=environment(seed + 2))
    for number in itertools.count():
        await asyncio.sleep(user.environment.random.uniform(1, 600))
        if asyncio.get_running_loop().time() > 3600:
            break
        await user.create(CONFIG_MAPS, {"metadata": {"name": f"c{number}", "namespace": "default"}})
        if number % 3 == 2:
            await user.delete(CONFIG_MAPS, f"c{number - 1}", "default")
            server.collect_garbage()
    stop.set()
    await running
    secrets = server.registry.find("", "v1", "secrets")
    assert secrets is not None
    return [(event.revision, event.key, event.after and event.after.value) for event in server.store.of(secrets).events]


run = in_virtual_time(history)


def test_a_controller_works_on_it() -> None:
    events = run(1)
    created = {key for _, key, after in events if after}
    gone = {key for _, key, after in events if not after}
    assert {"default/c0", "default/c1"} <= created
    assert "default/c1" in gone
    assert "default/c0" not in gone


def test_the_same_seed_gives_the_same_history() -> None:
    assert run(7) == run(7)
    assert run(7) != run(8)
