"""Rolls a Deployment when a ConfigMap that its annotation `reload-on` names has changed."""

from collections.abc import Iterable
from typing import Any

from disvc.runtime import Controller, Key, Manager, Object, Request, Resource, Watch, connect, run

CONFIG_MAPS = Resource("v1", "ConfigMap", "configmaps")
DEPLOYMENTS = Resource("apps/v1", "Deployment", "deployments")


def config_map_of(deployment: Object[Any]) -> list[str]:
    """Return what the Deployment is indexed by: the key of the ConfigMap that it uses, if any."""
    name = deployment.metadata.annotations.get("reload-on")
    return [str(Key(deployment.metadata.namespace, name))] if name else []


class Reloader:
    def __init__(self, manager: Manager) -> None:
        self.client = manager.client
        self.config_maps = manager.cache(CONFIG_MAPS)
        self.deployments = manager.cache(DEPLOYMENTS)
        self.deployments.add_index("config map", config_map_of)

    def users_of(self, config_map: Object[Any]) -> Iterable[Key]:
        return [deployment.key for deployment in self.deployments.indexed("config map", str(config_map.key))]

    async def reconcile(self, request: Request) -> None:
        deployment = self.deployments.get(request)
        name = deployment.metadata.annotations.get("reload-on") if deployment else None
        config_map = self.config_maps.get(Key(request.namespace, name)) if name else None
        if deployment is None or config_map is None:
            return
        template = deployment.decode()["spec"]["template"]
        wanted = {"config-map-version": config_map.metadata.resource_version}
        if not wanted.items() <= template["metadata"].get("annotations", {}).items():
            patch = {"spec": {"template": {"metadata": {"annotations": wanted}}}}
            await self.client.patch(DEPLOYMENTS, request.name, patch, request.namespace)


async def main() -> None:
    async with connect() as transport:
        manager = Manager(transport)
        reloader = Reloader(manager)
        watch = Watch(CONFIG_MAPS, keys=reloader.users_of)
        manager.add(Controller("reloader", for_=DEPLOYMENTS, watches=[watch], reconciler=reloader))
        await manager.run()


if __name__ == "__main__":
    run(main())
