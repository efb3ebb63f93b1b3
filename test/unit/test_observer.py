"""What the observer reads at the server, on the in-memory one: endpoints, before the traffic is moved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from disvc.api.types import DistributedInferenceService
from disvc.reconcilers.observer import Observer
from disvc.reconcilers.resources import ENDPOINT_SLICES
from disvc.reconcilers.world import World
from disvc.rollout.configuration import RoutingDefaults
from disvc.rollout.observation import Observation
from disvc.runtime import Client, Manager

if TYPE_CHECKING:
    from disvc.testing.memory import APIServer

NAMESPACE = "default"
DISVC = DistributedInferenceService.model_validate(
    {
        "metadata": {"name": "m", "namespace": NAMESPACE, "uid": "u"},
        "spec": {"inferenceService": {"predictor": {"model": {"modelFormat": {"name": "sklearn"}}}}},
    }
)


def endpoint_slice(name: str, service: str, *addresses: str, ready: bool = True) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": service}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": ready}} for address in addresses],
    }


async def test_endpoints_are_as_the_server_has_them_though_no_cache_has_seen_any(memory_server: APIServer) -> None:
    manager = Manager(memory_server.transport(), namespaces=[NAMESPACE])
    observer, client = Observer(manager, World(manager, RoutingDefaults())), Client(memory_server.transport())
    for made in (
        endpoint_slice("a", "m-v1", "10.0.0.1", "10.0.0.2"),
        endpoint_slice("b", "m-v1", "10.0.0.2", "10.0.0.3"),
        endpoint_slice("c", "m-v2", "10.0.0.4", ready=False),
        endpoint_slice("d", "another", "10.0.0.5"),
    ):
        await client.create(ENDPOINT_SLICES, made, NAMESPACE)
    seen = Observation(endpoints={"m-v1": 0, "m-v2": 1, "m-v3": 1})
    assert await observer.live_endpoints(DISVC, seen) == {"m-v1": 3, "m-v2": 0, "m-v3": 0}
    assert await observer.live_endpoints(DISVC, Observation()) == {}
