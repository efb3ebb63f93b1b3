"""The simulated kubelet in virtual time: how long a pod goes on that is being deleted, and what keeps a node alive."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from disvc.runtime import Environment, Manager, Resource
from disvc.testing.clock import VirtualClock, in_virtual_time
from disvc.testing.kserve.behaviour import Healthy
from disvc.testing.kserve.kubelet import LEASES, Kubelet, Node
from disvc.testing.kserve.simulated_pods import SimulatedPods
from disvc.testing.stub import StubServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from disvc.testing.kserve.behaviour import Behaviour

PODS = Resource("v1", "Pod", "pods")


async def healthy(pod: Any) -> Behaviour:
    return Healthy()


@asynccontextmanager
async def kubelet(server: StubServer, termination_seconds: float) -> AsyncIterator[None]:
    manager, stop = Manager(server.transport(), environment=Environment(clock=VirtualClock())), asyncio.Event()
    node = Node(manager.client, "node")
    clock = manager.environment.clock
    Kubelet(manager, node, SimulatedPods(clock, healthy, termination_seconds=termination_seconds))
    manager.add(node)
    server.put(LEASES, "node", "kube-node-lease", spec={})
    async with asyncio.TaskGroup() as group:
        group.create_task(manager.run(stop=stop, handle_signals=False))
        yield
        stop.set()


@pytest.mark.parametrize(("termination", "grace", "seconds"), [(5, 30, 5), (60, 30, 30)])
def test_a_pod_that_is_deleted_ends_after_its_time_or_its_grace(termination: int, grace: int, seconds: int) -> None:
    @in_virtual_time
    async def run() -> None:
        server = StubServer()
        pod = server.put(PODS, "a", "test", spec={"nodeName": "node"})
        deleted = {"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": grace}
        pod["metadata"].update(deleted)
        async with kubelet(server, termination):
            await asyncio.sleep(seconds - 0.5)
            assert server.get(PODS, "a", "test") is not None
            await asyncio.sleep(1)
            assert server.get(PODS, "a", "test") is None

    run()


@in_virtual_time
async def test_the_nodes_lease_is_renewed_every_ten_seconds() -> None:
    server = StubServer()
    async with kubelet(server, 0):
        await asyncio.sleep(35)
        lease = server.get(LEASES, "node", "kube-node-lease")
    assert lease is not None
    assert lease["spec"]["renewTime"] == "2026-01-01T00:00:30.000000Z"
