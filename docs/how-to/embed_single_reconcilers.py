"""The operator without its Ingresses, as a reconciler of your own tells your own router.

`python embed_single_reconcilers.py NAMESPACE…`; without a namespace, all of them.
"""

import sys
from typing import Any

from disvc.reconcilers import add_to_manager
from disvc.reconcilers.resources import DISVCS
from disvc.runtime import Controller, Manager, Request, Resource, Selection, connect, run

CONFIG_MAPS = Resource("v1", "ConfigMap", "configmaps")


class Upstreams:
    """Keeps ConfigMap NAME-upstream for a router that reads such ConfigMaps: where requests for NAME go."""

    def __init__(self, manager: Manager, config_maps: Selection[dict[str, Any]]) -> None:
        self.client = manager.client
        self.services, self.config_maps = manager.cache(DISVCS), manager.cache(config_maps)

    async def reconcile(self, request: Request) -> None:
        service = self.services.get(request)
        if service is None or service.metadata.deletion_timestamp:
            return  # the owner reference sees to the ConfigMap
        disvc = service.decode()
        if disvc.status.address is None:
            return  # nothing has served yet
        name, data = f"{request.name}-upstream", {"url": disvc.status.address.url}
        there = self.config_maps.get(Request(request.namespace, name))
        if there is not None and there.decode()["data"] == data:
            return
        metadata = {
            "name": name,
            "namespace": request.namespace,
            "labels": {"for": "router"},
            "ownerReferences": [disvc.owner_reference],
        }
        await self.client.apply(CONFIG_MAPS, {"metadata": metadata, "data": data}, force=True)


async def main(namespaces: list[str]) -> None:
    async with connect() as transport:
        manager = Manager(transport, name="router-platform", namespaces=namespaces)
        add_to_manager(manager, only=("inferenceservice", "service", "status"))
        mine = Selection(CONFIG_MAPS, tuple(namespaces), "for=router")
        manager.add(Controller("upstreams", for_=DISVCS, owns=[mine], reconciler=Upstreams(manager, mine)))
        await manager.run()


if __name__ == "__main__":
    run(main(sys.argv[1:]))
