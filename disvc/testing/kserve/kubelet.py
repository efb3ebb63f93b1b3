"""A node for one namespace: it plays scheduler and kubelet for the namespace's pods.

What it promises:
- The node exists and is Ready, and renews its lease, so that kube-controller-manager leaves its pods alone and the
  EndpointSlice controller finds it.
- A pod gets the node and an IP of its own, then its status by its behaviour, which may change at any time.
- A pod that is being deleted ends after `termination_seconds`, or after its grace period where that is shorter.

Deployments, ReplicaSets and EndpointSlices are not its business: they are kube-controller-manager's.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from disvc.runtime import AlreadyExists, Conflict, Controller, NotFound, Resource, Result
from disvc.runtime.timestamps import micro_time
from disvc.testing.kserve.behaviour import Behaviour, Healthy, ImageNotPulled, InitFailure
from disvc.testing.kserve.pod_status import has_storage_initializer, is_ready, pod_status, restarts_of
from disvc.testing.kserve.resources import ISVC_LABEL, PODS, metav1_time

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from disvc.runtime import Client, Manager, Object, Request
    from disvc.testing.kserve.resources import Value

    Choose = Callable[[Object[Any]], Awaitable[Behaviour | None]]

NODES: Final = Resource("v1", "Node", "nodes", namespaced=False)
LEASES: Final = Resource("coordination.k8s.io/v1", "Lease", "leases")
BINDINGS: Final = Resource("v1", "Binding", "bindings")

_LEASE_NAMESPACE: Final = "kube-node-lease"
_RENEW_SECONDS: Final = 10.0
"""As a kubelet does; kube-controller-manager gives a node up after 50 s."""
_HOST_IP: Final = "10.0.0.1"


@dataclass(frozen=True)
class _Life:
    """What the kubelet remembers of a pod: since when it has which behaviour, in the clock's monotonic seconds."""

    behaviour: Behaviour
    since: float
    restarts: dict[str, int]


class Node:
    """The Node object and its lease; as a manager's runnable it renews the lease."""

    needs_leader_election = False

    def __init__(self, client: Client, name: str) -> None:
        self._client = client
        self.name = name

    async def register(self) -> None:
        """Create the node, Ready, with a lease that was just renewed; nothing happens to one that exists."""
        now = metav1_time(self._client.environment.clock.now())
        lease = {"metadata": {"name": self.name, "namespace": _LEASE_NAMESPACE}, "spec": self._lease_spec()}
        try:
            await self._client.create(LEASES, lease)
            await self._client.create(NODES, {"metadata": {"name": self.name, "labels": {"type": "simulated"}}})
        except AlreadyExists:
            await self._renew()
        ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "simulated by disvc.testing"}
        status = {
            "conditions": [ready | {"lastHeartbeatTime": now, "lastTransitionTime": now}],
            "addresses": [{"type": "InternalIP", "address": _HOST_IP}],
        }
        await self._client.patch(NODES, self.name, {"status": status}, subresource="status")

    async def remove(self) -> None:
        """Delete the node and its lease; nothing happens where they are gone."""
        for resource, namespace in ((NODES, ""), (LEASES, _LEASE_NAMESPACE)):
            try:
                await self._client.delete(resource, self.name, namespace)
            except NotFound:
                continue

    async def run(self) -> None:
        """Renew the lease until cancelled."""
        while True:
            await asyncio.sleep(_RENEW_SECONDS)
            await self._renew()

    async def _renew(self) -> None:
        await self._client.patch(LEASES, self.name, {"spec": self._lease_spec()}, _LEASE_NAMESPACE)

    def _lease_spec(self) -> Value:
        renewed = micro_time(self._client.environment.clock.now())
        return {"holderIdentity": self.name, "leaseDurationSeconds": 40, "renewTime": renewed}


class Kubelet:
    """Reconciles the pods of the manager's namespaces; `choose` says how a pod behaves (None: as it did)."""

    def __init__(self, manager: Manager, node: Node, choose: Choose, *, termination_seconds: float) -> None:
        self._client = manager.client
        self._clock = manager.environment.clock
        self._pods = manager.cache(PODS)
        self._node = node
        self._choose = choose
        self._termination_seconds = termination_seconds
        self._lives: dict[str, _Life] = {}
        self._ending: dict[str, float] = {}
        self._addresses = 0
        self._controller = Controller("kubelet", for_=PODS, reconciler=self, needs_leader_election=False)
        manager.add(self._controller)

    def pods_of(self, isvc: str) -> list[Object[Any]]:
        """Return the pods of an ISVC, in the order in which they were first seen."""
        return self._pods.labelled(ISVC_LABEL, isvc)

    def look_again(self) -> None:
        """Ask for every pod's behaviour anew."""
        for pod in self._pods:
            self._controller.queue.add(pod.key)

    async def reconcile(self, request: Request) -> Result | None:
        """Bring one pod's status in line with its behaviour."""
        pod = self._pods.get(request)
        if pod is None:
            known = {pod.metadata.uid for pod in self._pods}
            self._lives = {uid: life for uid, life in self._lives.items() if uid in known}
            self._ending = {uid: since for uid, since in self._ending.items() if uid in known}
            return None
        try:
            if pod.metadata.deletion_timestamp:
                return await self._end(pod)
            value = pod.decode()
            if not value["spec"].get("nodeName"):
                await self._bind(pod)
                return None
            return await self._run(pod, value)
        except (Conflict, NotFound):  # it was deleted, or changed; its next event is on its way
            return None

    async def _bind(self, pod: Object[Any]) -> None:
        target = {"apiVersion": "v1", "kind": "Node", "name": self._node.name}
        metadata = {"name": pod.metadata.name, "namespace": pod.metadata.namespace, "uid": pod.metadata.uid}
        await self._client.create(BINDINGS, {"metadata": metadata, "target": target})

    async def _run(self, pod: Object[Any], value: Value) -> Result | None:
        life = await self._life(pod, value)
        stage = life.behaviour.stage(self._clock.monotonic() - life.since)
        old = value.get("status") or {}
        addresses = (old.get("podIP") or self._new_address(), _HOST_IP)
        status = pod_status(value, stage, life.restarts, addresses, self._clock.now())
        if any(old.get(field, [] if new == [] else None) != new for field, new in status.items()):
            patch = {"metadata": {"uid": pod.metadata.uid}, "status": status}
            namespace, name = pod.key
            await self._client.patch(PODS, name, patch, namespace, subresource="status")
        return None if math.isinf(stage.seconds) else Result(requeue_after=stage.seconds)

    async def _life(self, pod: Object[Any], value: Value) -> _Life:
        known = self._lives.get(pod.metadata.uid)
        behaviour = await self._choose(pod)
        if behaviour is None:
            behaviour = known.behaviour if known else Healthy()
        if isinstance(behaviour, ImageNotPulled | InitFailure) and is_ready(value):
            behaviour = Healthy()  # it has started, and neither happens to it any more
        if isinstance(behaviour, InitFailure) and not has_storage_initializer(value):
            behaviour = Healthy()
        if known is not None and known.behaviour == behaviour:
            return known
        stays_ready = isinstance(behaviour, Healthy) and is_ready(value)
        since = -math.inf if stays_ready else self._clock.monotonic()
        life = self._lives[pod.metadata.uid] = _Life(behaviour, since, restarts_of(value))
        return life

    async def _end(self, pod: Object[Any]) -> Result | None:
        """Let a pod that is being deleted end, and take it away."""
        uid, now = pod.metadata.uid, self._clock.monotonic()
        seconds = min(self._termination_seconds, pod.metadata.deletion_grace_period_seconds or 0)
        left = self._ending.setdefault(uid, now) + seconds - now
        if left > 0:
            return Result(requeue_after=left)
        await self._client.delete(PODS, *reversed(pod.key), uid=uid, grace_period_seconds=0)
        return None

    def _new_address(self) -> str:
        self._addresses += 1
        return f"10.244.{self._addresses // 250 % 250}.{self._addresses % 250 + 1}"
