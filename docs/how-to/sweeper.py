"""Deletes a ConfigMap when it is as old, in seconds, as its label `ttl` says."""

from datetime import datetime

from disvc.runtime import Client, Manager, Request, Resource, Result

CONFIG_MAPS = Resource("v1", "ConfigMap", "configmaps")


class Sweeper:
    def __init__(self, manager: Manager) -> None:
        self.client: Client = manager.client
        self.clock = manager.environment.clock
        self.config_maps = manager.cache(CONFIG_MAPS)

    async def reconcile(self, request: Request) -> Result:
        config_map = self.config_maps.get(request)
        if config_map is None or "ttl" not in config_map.metadata.labels:
            return Result()
        created = datetime.fromisoformat(config_map.metadata.creation_timestamp or "")
        left = int(config_map.metadata.labels["ttl"]) - (self.clock.now() - created).total_seconds()
        if left > 0:
            return Result(requeue_after=left)
        await self.client.delete(CONFIG_MAPS, request.name, request.namespace, uid=config_map.metadata.uid)
        return Result()
