"""A node for one namespace: it plays scheduler and kubelet for the namespace's pods.

What it promises:
- The node exists and is Ready, and renews its lease, so that kube-controller-manager leaves its pods alone and the
  EndpointSlice controller finds it.
- A pod gets the node, then an IP of its own and its status, as its runner says that it is.
- A pod that is being deleted is stopped by its runner, and then taken away.

Deployments, ReplicaSets and EndpointSlices are not its business: they are kube-controller-manager's.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any, Final

from disvc.runtime import AlreadyExists, Conflict, Controller, NotFound, Resource, Result
from disvc.runtime.timestamps import metav1_time, micro_time
from disvc.testing.controllers.kinds import PODS
from disvc.testing.kserve.pod_status import pod_status
from disvc.testing.kserve.resources import ISVC_LABEL
from disvc.testing.shared_port import LOOPBACK

if TYPE_CHECKING:
    from disvc.runtime import Client, Manager, Object, Request
    from disvc.testing.kserve.resources import Value
    from disvc.testing.kserve.runner import Runner

NODES: Final = Resource("v1", "Node", "nodes", namespaced=False)
LEASES: Final = Resource("coordination.k8s.io/v1", "Lease", "leases")

_LEASE_NAMESPACE: Final = "kube-node-lease"
_RENEW_SECONDS: Final = 10.0
"""As a kubelet does; kube-controller-manager gives a node up after 50 s."""
_HOST_IP: Final = "10.0.0.1"


class Node:
    """The Node object and its lease; as a manager's runnable it renews the lease.

    `logs_port` is the port of this machine where logs of its pods are served. Without one the node tells no address,
    so that an API server that is asked for a log has none to go to, and says so.
    """

    needs_leader_election = False

    def __init__(self, client: Client, name: str, *, logs_port: int | None = None) -> None:
        self._client = client
        self.name = name
        self._logs_port = logs_port

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
        status: Value = {"conditions": [ready | {"lastHeartbeatTime": now, "lastTransitionTime": now}]}
        if self._logs_port is not None:
            status["addresses"] = [
                {"type": "Hostname", "address": LOOPBACK},
                {"type": "InternalIP", "address": _HOST_IP},
            ]
            status["daemonEndpoints"] = {"kubeletEndpoint": {"Port": self._logs_port}}
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
    """Reconciles the pods of the manager's namespaces; `runner` runs them."""

    def __init__(self, manager: Manager, node: Node, runner: Runner) -> None:
        self._client = manager.client
        self._clock = manager.environment.clock
        self._pods = manager.cache(PODS)
        self._node = node
        self._runner = runner
        self._controller = Controller("kubelet", for_=PODS, reconciler=self, needs_leader_election=False)
        manager.add(self._controller)
        runner.attach(self._controller.queue.add)

    def pods_of(self, isvc: str) -> list[Object[Any]]:
        """Return the pods of an ISVC, in the order in which they were first seen."""
        return self._pods.labelled(ISVC_LABEL, isvc)

    def look_again(self) -> None:
        """Ask how every pod is."""
        for pod in self._pods:
            self._controller.queue.add(pod.key)

    async def reconcile(self, request: Request) -> Result | None:
        """Bring one pod's status in line with how the pod is."""
        pod = self._pods.get(request)
        if pod is None:
            self._runner.forget(request)
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
        binding: Resource[Any] = Resource("v1", "Binding", f"pods/{pod.metadata.name}/binding")
        await self._client.create(binding, {"metadata": metadata, "target": target})

    async def _run(self, pod: Object[Any], value: Value) -> Result | None:
        run = await self._runner.run(pod, value)
        namespace, name = pod.key
        uid = {"uid": pod.metadata.uid}
        if not run.annotations.items() <= pod.metadata.annotations.items():
            await self._client.patch(PODS, name, {"metadata": {**uid, "annotations": dict(run.annotations)}}, namespace)
        status = pod_status(value, run.stage, run.restarts, (run.ip, _HOST_IP), self._clock.now())
        old = value.get("status") or {}
        if any(old.get(field, [] if new == [] else None) != new for field, new in status.items()):
            await self._client.patch(PODS, name, {"metadata": uid, "status": status}, namespace, subresource="status")
        return _after(run.stage.seconds)

    async def _end(self, pod: Object[Any]) -> Result | None:
        """Let a pod that is being deleted end, and take it away."""
        left = await self._runner.end(pod)
        if left > 0:
            return _after(left)
        await self._client.delete(PODS, *reversed(pod.key), uid=pod.metadata.uid, grace_period_seconds=0)
        return None


def _after(seconds: float) -> Result | None:
    return None if math.isinf(seconds) else Result(requeue_after=seconds)
