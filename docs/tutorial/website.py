"""An operator: each Website becomes a ConfigMap with its page and a Deployment that serves it."""

from typing import Any

import structlog

from disvc.runtime import Cache, Controller, Manager, Object, Request, Resource, connect, run
from disvc.runtime.predicates import generation_changed

WEBSITES = Resource("example.com/v1", "Website", "websites")
CONFIG_MAPS = Resource("v1", "ConfigMap", "configmaps")
DEPLOYMENTS = Resource("apps/v1", "Deployment", "deployments")

log = structlog.get_logger()


def config_map_of(website: Object) -> dict[str, Any]:
    return {"metadata": child_metadata(website), "data": {"index.html": website.decode()["spec"]["page"]}}


def deployment_of(website: Object) -> dict[str, Any]:
    labels = {"website": website.metadata.name}
    mount = {"name": "page", "mountPath": "/usr/share/nginx/html"}
    nginx = {"name": "nginx", "image": "nginx:1.29", "volumeMounts": [mount]}
    page = {"name": "page", "configMap": {"name": website.metadata.name}}
    return {
        "metadata": child_metadata(website),
        "spec": {
            "replicas": website.decode()["spec"]["replicas"],
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [nginx], "volumes": [page]}},
        },
    }


def child_metadata(website: Object) -> dict[str, Any]:
    return {
        "name": website.metadata.name,
        "namespace": website.metadata.namespace,
        "ownerReferences": [website.controller_reference()],
    }


class Websites:
    def __init__(self, manager: Manager) -> None:
        self.client = manager.client
        self.websites = manager.cache(WEBSITES)
        self.config_maps = manager.cache(CONFIG_MAPS)
        self.deployments = manager.cache(DEPLOYMENTS)

    async def reconcile(self, request: Request) -> None:
        website = self.websites.get(request)
        if website is None or website.metadata.deletion_timestamp:
            return
        await self.ensure(website, self.config_maps, CONFIG_MAPS, config_map_of(website))
        deployment = await self.ensure(website, self.deployments, DEPLOYMENTS, deployment_of(website))
        status = {
            "observedGeneration": website.metadata.generation,
            "readyReplicas": deployment.decode().get("status", {}).get("readyReplicas", 0),
        }
        if website.decode().get("status") != status:
            patch = {"status": status}
            await self.client.patch(WEBSITES, request.name, patch, request.namespace, subresource="status")

    async def ensure(self, website: Object, cache: Cache[Any], resource: Resource, desired: dict[str, Any]) -> Object:
        """Make a child what it should be, and return it as it is."""
        child = cache.get(website.key)
        if child is not None and website.metadata.uid not in (o.uid for o in child.metadata.owner_references):
            raise RuntimeError(f"{resource} {website.key} belongs to somebody else; rename one of the two")
        applied = await self.client.apply(resource, desired, force=True)
        if child is None:
            log.info("created", kind=resource.kind)
        return applied


async def main() -> None:
    async with connect() as transport:
        manager = Manager(
            transport,
            name="website-operator",
            metrics_bind_address="127.0.0.1:8080",
            health_probe_bind_address="127.0.0.1:8081",
        )
        manager.add(
            Controller(
                "website",
                for_=WEBSITES,
                owns=[CONFIG_MAPS, DEPLOYMENTS],
                predicates=[generation_changed],
                reconciler=Websites(manager),
            )
        )
        await manager.run()


if __name__ == "__main__":
    run(main())
