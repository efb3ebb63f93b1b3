"""Warns the owner of a ConfigMap that is nearly too large: 1 MiB is the server's limit."""

from disvc.runtime import Controller, Manager, Request, Resource, connect, run

CONFIG_MAPS = Resource("v1", "ConfigMap", "configmaps")


class Warn:
    def __init__(self, manager: Manager) -> None:
        self.config_maps = manager.cache(CONFIG_MAPS)
        self.events = manager.events

    async def reconcile(self, request: Request) -> None:
        config_map = self.config_maps.get(request)
        if config_map is not None and len(config_map.raw) > 900_000:
            note = f"{len(config_map.raw)} of 1048576 bytes are used; move data to a second ConfigMap"
            self.events.event(config_map, "Warning", "NearlyFull", "Measure", note)


async def main() -> None:
    async with connect() as transport:
        manager = Manager(transport, name="size-warner")
        manager.add(Controller("sizes", for_=CONFIG_MAPS, reconciler=Warn(manager)))
        await manager.run()


if __name__ == "__main__":
    run(main())
