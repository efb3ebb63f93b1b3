"""`disvc.testing.controllers` does what kube-controller-manager does: the same story on both, and the same objects.

The test plays the kubelet: it makes pods ready, but for those with the image `broken`.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from difflib import unified_diff
from typing import TYPE_CHECKING, Any

import msgspec

from disvc.runtime import Client, Manager, connect
from disvc.testing.controllers import add_to_manager
from disvc.testing.controllers.kinds import DEPLOYMENTS, ENDPOINT_SLICES, PODS, REPLICA_SETS, SERVICES, is_ready
from disvc.testing.kserve.kubelet import Node
from disvc.testing.namespaces import create_namespace, delete_namespace

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from disvc.runtime import Resource
    from disvc.testing.controlplane import ControlPlane

    Value = dict[str, Any]

LABELS = {"app": "web"}
NODE = "node-of-the-controllers-test"
SERVICE = {"metadata": {"name": "web"}, "spec": {"selector": LABELS, "ports": [{"port": 80, "targetPort": "http"}]}}


def deployment(image: str = "good", **spec: Any) -> Value:
    container = {"name": "c", "image": image, "ports": [{"name": "http", "containerPort": 8080}]}
    template = {"metadata": {"labels": LABELS}, "spec": {"containers": [container], "nodeName": NODE}}
    return {
        "metadata": {"name": "web", "annotations": {"told": "by us"}},
        "spec": {"replicas": 3, "selector": {"matchLabels": LABELS}, "template": template, **spec},
    }


class World:
    """A namespace that somebody's controllers look after, and what was seen in it."""

    def __init__(self, client: Client, namespace: str) -> None:
        self.client = client
        self.namespace = namespace
        self.fewest_ready = 0

    async def list(self, resource: Resource[Any]) -> list[Value]:
        return [obj.decode() for obj in (await self.client.list(resource, self.namespace)).items]

    async def play_kubelet(self) -> None:
        """Make pods ready, one at a look."""
        number = 0
        while True:
            pods = await self.list(PODS)
            for pod in pods:
                if "deletionTimestamp" in pod["metadata"]:
                    name = pod["metadata"]["name"]
                    await self.client.delete(PODS, name, self.namespace, grace_period_seconds=0)
            waiting = [p for p in pods if not is_ready(p) and p["spec"]["containers"][0]["image"] != "broken"]
            for pod in waiting[:1]:
                number += 1
                ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
                ip = f"10.0.0.{number}"
                status = {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "conditions": [ready]}
                await self.client.patch(
                    PODS, pod["metadata"]["name"], {"status": status}, self.namespace, subresource="status"
                )
            await asyncio.sleep(0.02)

    async def until(self, holds: Callable[[Value], bool]) -> Value:
        """Wait until the Deployment's status is so; count how few pods were ready meanwhile."""
        async with asyncio.timeout(40):
            while True:
                (found,) = await self.list(DEPLOYMENTS)
                ready = sum(is_ready(p) for p in await self.list(PODS) if "deletionTimestamp" not in p["metadata"])
                self.fewest_ready = min(self.fewest_ready, ready)
                if found.get("status", {}).get("observedGeneration") == found["metadata"]["generation"] and holds(
                    found["status"]
                ):
                    return found
                await asyncio.sleep(0.02)

    async def seen(self, holds: Callable[[Value], bool]) -> Value:
        """Wait until the Deployment's status is so and return all that there is, without what differs by chance."""
        found = await self.until(holds)
        ready = found["status"].get("readyReplicas", 0)
        async with asyncio.timeout(40):
            while await self._ready_endpoints() != ready:  # noqa: ASYNC110 - it is the server that changes
                await asyncio.sleep(0.02)
        return {
            "deployment": normal(found),
            "replica sets": sorted((normal(one) for one in await self.list(REPLICA_SETS)), key=msgspec.json.encode),
            "pods": sorted((normal(one) for one in await self.list(PODS)), key=msgspec.json.encode),
            "slices": [normal(one) for one in await self.list(ENDPOINT_SLICES)],
        }

    async def _ready_endpoints(self) -> int:
        slices = await self.list(ENDPOINT_SLICES)
        return sum(e["conditions"]["ready"] for one in slices for e in one.get("endpoints") or ())


async def story(world: World) -> list[Value]:
    """Scale, roll out, fail to roll out, and go back."""
    client, namespace = world.client, world.namespace
    chapters = []

    async def change(**spec: Any) -> None:
        await client.patch(DEPLOYMENTS, "web", {"spec": spec}, namespace)

    def rolled_out(replicas: int) -> Callable[[Value], bool]:
        counts = {
            "updatedReplicas": replicas,
            "availableReplicas": replicas,
            "replicas": replicas,
            "terminatingReplicas": 0,
        }
        return lambda status: (
            all(status.get(name, 0) == count for name, count in counts.items())
            and any(c["reason"] == "NewReplicaSetAvailable" for c in status["conditions"])
        )

    await client.create(SERVICES, SERVICE, namespace)
    await client.create(DEPLOYMENTS, deployment(), namespace)
    chapters.append(await world.seen(rolled_out(3)))
    await change(replicas=5)
    chapters.append(await world.seen(rolled_out(5)))
    world.fewest_ready = 5
    await change(template=deployment("better")["spec"]["template"])
    chapters.append(await world.seen(rolled_out(5)))
    assert world.fewest_ready >= 4  # a quarter of 5, rounded down, may be missing
    await change(replicas=2)
    chapters.append(await world.seen(rolled_out(2)))
    await change(template=deployment("broken")["spec"]["template"], progressDeadlineSeconds=2)
    failed = {"type": "Progressing", "reason": "ProgressDeadlineExceeded"}
    chapters.append(
        await world.seen(lambda status: any(failed.items() <= condition.items() for condition in status["conditions"]))
    )
    await change(template=deployment("good")["spec"]["template"], progressDeadlineSeconds=600)
    chapters.append(await world.seen(rolled_out(2)))
    await change(strategy={"type": "Recreate", "rollingUpdate": None}, template=deployment("best")["spec"]["template"])
    chapters.append(await world.seen(rolled_out(2)))
    await change(replicas=0)
    chapters.append(await world.seen(rolled_out(0)))
    return chapters


def normal(value: Value) -> Value:
    """Leave out what differs by chance, and name a template by its image."""
    value = msgspec.json.decode(msgspec.json.encode(value))
    image = _image(value)
    metadata = value["metadata"]
    for name in ("uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "namespace"):
        metadata.pop(name, None)
    for owner in metadata.get("ownerReferences") or ():
        owner.pop("uid")
    annotations = metadata.get("annotations") or {}
    annotations.pop("endpoints.kubernetes.io/last-change-trigger-time", None)
    if not annotations:
        metadata.pop("annotations", None)
    status = value.get("status") or {}
    status.pop("observedGeneration", None)
    for condition in status.get("conditions") or ():
        for name in ("lastUpdateTime", "lastTransitionTime", "lastProbeTime"):
            condition.pop(name, None)
    if isinstance(status.get("conditions"), list):
        status["conditions"].sort(key=lambda condition: condition["type"])
    for name in ("podIP", "podIPs"):
        status.pop(name, None)
    if "endpoints" in value:
        value["endpoints"] = len(value["endpoints"] or ())
        value["ports"] = value.get("ports") or []
    encoded = msgspec.json.encode(value, order="deterministic").decode()
    encoded = re.sub(r'"pod-template-hash":"[^"]*"', '"pod-template-hash":"-"', encoded)
    encoded = re.sub(r"web-[a-z0-9]{6,10}-[a-z0-9]{5}", "web-HASH-ID", encoded)
    encoded = re.sub(r"web-[a-z0-9]{6,10}(?=[\"\\])", f"web-{image or 'HASH'}", encoded)
    encoded = re.sub(r'"generateName":"web-[a-z0-9]{6,10}-"', '"generateName":"web-HASH-"', encoded)
    encoded = re.sub(r'"(web-)[a-z0-9]{5}"', r'"\1ID"', encoded)
    decoded: Value = msgspec.json.decode(encoded)
    return decoded


def _image(value: Value) -> str:
    template = value.get("spec", {}).get("template") or {}
    containers = (template.get("spec") or value.get("spec") or {}).get("containers") or [{}]
    return str(containers[0].get("image", ""))


@asynccontextmanager
async def world_of(plane: ControlPlane) -> AsyncIterator[World]:
    namespace = await asyncio.to_thread(create_namespace, plane.admin, "test")
    try:
        async with connect(plane.admin.kubeconfig) as transport:
            world = World(Client(transport), namespace)
            node = Node(world.client, NODE)
            await node.register()
            kubelet = asyncio.create_task(world.play_kubelet())
            try:
                yield world
            finally:
                kubelet.cancel()
                await asyncio.gather(kubelet, return_exceptions=True)
                await node.remove()
    finally:
        await asyncio.to_thread(delete_namespace, plane.admin, namespace)


async def test_the_same_story_ends_in_the_same_objects(
    make_control_plane: Callable[..., Awaitable[ControlPlane]],
) -> None:
    async with world_of(await make_control_plane(controller_manager=True)) as real:
        theirs = await story(real)
    plane = await make_control_plane()
    async with world_of(plane) as own, connect(plane.admin.kubeconfig) as transport:
        manager = Manager(transport, name="kube-controller-manager", namespaces=[own.namespace])
        add_to_manager(manager)
        stop = asyncio.Event()
        running = asyncio.create_task(manager.run(stop=stop, handle_signals=False))
        try:
            ours = await story(own)
        finally:
            stop.set()
            await running
    for number, (our_chapter, their_chapter) in enumerate(zip(ours, theirs, strict=True)):
        assert "\n".join(difference(our_chapter, their_chapter)) == "", f"chapter {number}"


def difference(ours: object, theirs: object) -> list[str]:
    """Return what tells two chapters apart, line by line."""
    return list(unified_diff(lines(ours), lines(theirs), lineterm="", n=2))


def lines(chapter: object) -> list[str]:
    return msgspec.json.format(msgspec.json.encode(chapter, order="deterministic")).decode().splitlines()
