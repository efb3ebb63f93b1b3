"""What a subresource answers may be of another kind than the object it belongs to."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from disvc.runtime import Key, Manager, Resource, Selection, connect

if TYPE_CHECKING:
    from disvc.testing.controlplane import ControlPlane

DEPLOYMENTS = Resource("apps/v1", "Deployment", "deployments")


async def test_a_deployment_that_was_scaled_is_still_a_deployment_in_the_cache(
    control_plane: ControlPlane, namespace: str
) -> None:
    labels = {"a": "b"}
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": pod}
    async with connect(control_plane.admin.kubeconfig) as transport:
        manager, stop = Manager(transport), asyncio.Event()
        cache = manager.cache(Selection(DEPLOYMENTS, (namespace,)))
        async with asyncio.TaskGroup() as group:
            group.create_task(manager.run(stop=stop, handle_signals=False))
            await manager.informers.synced()
            await manager.client.create(DEPLOYMENTS, {"metadata": {"name": "d"}, "spec": spec}, namespace)
            await manager.client.patch(DEPLOYMENTS, "d", {"spec": {"replicas": 1}}, namespace, subresource="scale")
            await manager.informers.settled()
            await asyncio.sleep(2)  # the watch may tell of the Deployment later, and must not have to
            held = cache.get(Key(namespace, "d"))
            stop.set()
    assert held is not None
    assert held.decode().get("kind") == "Deployment"
    assert "template" in held.decode()["spec"]
