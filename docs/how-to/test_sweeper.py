"""A day of the sweeper in milliseconds, without a server."""

import asyncio

from sweeper import CONFIG_MAPS, Sweeper

from disvc.runtime import Controller, Environment, Manager
from disvc.testing.clock import VirtualClock, in_virtual_time
from disvc.testing.stub import StubServer


@in_virtual_time
async def test_a_config_map_is_deleted_when_its_time_is_over() -> None:
    clock, server, stop = VirtualClock(), StubServer(), asyncio.Event()
    config_map = server.put(CONFIG_MAPS, "a", "default", labels={"ttl": "86400"})
    config_map["metadata"]["creationTimestamp"] = clock.now().isoformat()
    manager = Manager(server.transport(), environment=Environment(clock=clock))
    manager.add(Controller("sweeper", for_=CONFIG_MAPS, reconciler=Sweeper(manager)))
    async with asyncio.TaskGroup() as group:
        group.create_task(manager.run(stop=stop, handle_signals=False))
        await asyncio.sleep(86_399)
        assert server.get(CONFIG_MAPS, "a", "default") is not None
        await asyncio.sleep(2)
        assert server.get(CONFIG_MAPS, "a", "default") is None
        stop.set()
