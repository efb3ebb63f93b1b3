"""Bindings and evictions of Pods on the in-memory API server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from disvc.runtime import Client, Conflict, NotFound, Resource

if TYPE_CHECKING:
    from disvc.testing.memory import APIServer

PODS = Resource("v1", "Pod", "pods")


@pytest.fixture
async def client(memory_server: APIServer) -> Client:
    client = Client(memory_server.transport())
    spec = {"containers": [{"name": "c", "image": "i"}]}
    await client.create(PODS, {"metadata": {"name": "p", "namespace": "default"}, "spec": spec})
    return client


async def create_below(client: Client, name: str, subresource: str, **content: Any) -> None:
    resource: Resource[Any] = Resource("v1", subresource.title(), f"pods/{name}/{subresource}")
    await client.create(resource, {"metadata": {"name": name, "namespace": "default"}, **content})


async def pod(client: Client) -> dict[str, Any]:
    return (await client.get(PODS, "p", "default")).decode()


async def test_a_pod_is_bound_to_a_node_once(client: Client) -> None:
    await create_below(client, "p", "binding", target={"kind": "Node", "name": "n"})
    bound = await pod(client)
    assert bound["spec"]["nodeName"] == "n"
    scheduled = {condition["type"]: condition["status"] for condition in bound["status"]["conditions"]}
    assert scheduled == {"PodScheduled": "True"}
    with pytest.raises(Conflict, match='pod p is already assigned to node "n"'):
        await create_below(client, "p", "binding", target={"kind": "Node", "name": "m"})


async def test_an_evicted_pod_that_is_on_no_node_goes_at_once(client: Client) -> None:
    await create_below(client, "p", "eviction")
    with pytest.raises(NotFound):
        await pod(client)


async def test_an_evicted_pod_on_a_node_is_told_why_it_ends(client: Client) -> None:
    await create_below(client, "p", "binding", target={"kind": "Node", "name": "n"})
    await create_below(client, "p", "eviction")
    evicted = await pod(client)
    assert evicted["metadata"]["deletionGracePeriodSeconds"] == 30
    reasons = {condition["type"]: condition.get("reason") for condition in evicted["status"]["conditions"]}
    assert reasons["DisruptionTarget"] == "EvictionByEvictionAPI"


async def test_what_is_not_there_is_neither_bound_nor_evicted(client: Client) -> None:
    with pytest.raises(NotFound, match='pods "q" not found'):
        await create_below(client, "q", "binding", target={"kind": "Node", "name": "n"})
    with pytest.raises(NotFound, match='pods "q" not found'):
        await create_below(client, "q", "eviction")
