"""What goes on by itself in an in-memory API server that runs as a process, in virtual time."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from unittest.mock import patch

from disvc.runtime import Client, Resource
from disvc.runtime.environment import Environment
from disvc.testing.clock import VirtualClock, in_virtual_time
from disvc.testing.memory import APIServer
from disvc.testing.memory.builtin import TYPES
from disvc.testing.memory.housekeeping import keep_house

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CONFIG_MAPS = Resource("v1", "ConfigMap", "configmaps")


@asynccontextmanager
async def housekept() -> AsyncIterator[APIServer]:
    server = APIServer(Environment(VirtualClock()), TYPES)
    housekeeper = asyncio.create_task(keep_house(server))
    try:
        yield server
    finally:
        housekeeper.cancel()


@in_virtual_time
async def test_garbage_goes_soon_after_it_has_become_such() -> None:
    async with housekept() as server:
        client = Client(server.transport())
        owner = await client.create(CONFIG_MAPS, {"metadata": {"name": "owner", "namespace": "default"}})
        references = [owner.controller_reference()]
        child = {"metadata": {"name": "child", "namespace": "default", "ownerReferences": references}}
        await client.create(CONFIG_MAPS, child)
        await asyncio.sleep(60)
        await client.delete(CONFIG_MAPS, "owner", "default")
        await asyncio.sleep(1)
        assert (await client.list(CONFIG_MAPS, "default")).items == []


@in_virtual_time
async def test_states_older_than_ten_minutes_are_forgotten_and_those_of_five_are_not() -> None:
    async with housekept() as server:
        client = Client(server.transport())
        revisions = {}
        for minute in range(20):
            revisions[minute] = server.store.revision
            await client.create(CONFIG_MAPS, {"metadata": {"name": f"c{minute}", "namespace": "default"}})
            await asyncio.sleep(60)
        assert revisions[9] <= server.store.compacted <= revisions[15]


@in_virtual_time
async def test_nothing_is_done_while_nothing_happens() -> None:
    async with housekept() as server:
        await asyncio.sleep(1)
        with patch.object(server, "collect_some_garbage") as look:
            await asyncio.sleep(10_000)
        look.assert_not_called()
