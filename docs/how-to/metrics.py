"""Measures the ConfigMaps of a cluster: a gauge that goes with its object, and a counter."""

from prometheus_client import Counter, Gauge

from disvc.runtime import Controller, Manager, Request, Resource, connect, run

CONFIG_MAPS = Resource("v1", "ConfigMap", "configmaps")


class Sizes:
    def __init__(self, manager: Manager) -> None:
        self.config_maps = manager.cache(CONFIG_MAPS)
        registry = manager.metrics.registry
        self.bytes = Gauge("config_map_bytes", "Size of a ConfigMap's data.", ["namespace", "name"], registry=registry)
        self.changes = Counter("config_map_changes", "Changes of ConfigMaps that were seen.", registry=registry)

    async def reconcile(self, request: Request) -> None:
        config_map = self.config_maps.get(request)
        self.changes.inc()
        if config_map is None:
            self.bytes.remove(*request)
        else:
            data = config_map.decode().get("data", {})
            self.bytes.labels(*request).set(sum(map(len, data.values())))


async def main() -> None:
    async with connect() as transport:
        manager = Manager(transport, metrics_bind_address="127.0.0.1:8080")
        manager.add(Controller("sizes", for_=CONFIG_MAPS, reconciler=Sizes(manager)))
        await manager.run()


if __name__ == "__main__":
    run(main())
