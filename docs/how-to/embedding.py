"""A manager inside a program that has other things to do, and its own way of starting and ending."""

import asyncio

from disvc.runtime import Controller, Manager, Request, Resource, configure_logging, connect

CONFIG_MAPS = Resource("v1", "ConfigMap", "configmaps")


class Seen:
    def __init__(self) -> None:
        self.names: set[str] = set()
        self.enough = asyncio.Event()

    async def reconcile(self, request: Request) -> None:
        self.names.add(request.name)
        if len(self.names) == 3:
            self.enough.set()


async def main() -> None:
    configure_logging(level="warning")
    seen, stop = Seen(), asyncio.Event()
    async with connect() as transport, asyncio.TaskGroup() as group:
        manager = Manager(transport)
        manager.add(Controller("seen", for_=CONFIG_MAPS, reconciler=seen))
        group.create_task(manager.run(stop=stop, handle_signals=False))
        await seen.enough.wait()  # or whatever the program is there for
        print("there are at least", len(seen.names), "ConfigMaps")
        stop.set()


if __name__ == "__main__":
    asyncio.run(main())
