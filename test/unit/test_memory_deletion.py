"""Deletion on the in-memory API server: grace, finalizers, preconditions, dependents, namespaces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from disvc.runtime import Client, Conflict, Forbidden, NotFound, Resource

if TYPE_CHECKING:
    from disvc.runtime import Object
    from disvc.testing.memory import APIServer

CONFIG_MAPS = Resource("v1", "ConfigMap", "configmaps")
PODS = Resource("v1", "Pod", "pods")
NAMESPACES = Resource("v1", "Namespace", "namespaces", namespaced=False)


@pytest.fixture
def client(memory_server: APIServer) -> Client:
    return Client(memory_server.transport())


async def create(client: Client, name: str, owner: Object[Any] | None = None, **metadata: Any) -> Object[Any]:
    """Create a ConfigMap, owned by another one in the way that blocks its deletion in the foreground."""
    metadata |= {"name": name, "namespace": "default"}
    if owner is not None:
        kind = {"apiVersion": "v1", "kind": "ConfigMap", "name": owner.metadata.name, "uid": owner.metadata.uid}
        metadata["ownerReferences"] = [{**kind, "blockOwnerDeletion": True}]
    return await client.create(CONFIG_MAPS, {"metadata": metadata})


async def names(client: Client) -> list[str]:
    return [obj.metadata.name for obj in (await client.list(CONFIG_MAPS, "default")).items]


async def test_an_object_with_finalizers_is_terminating_until_the_last_is_gone(client: Client) -> None:
    created = await create(client, "a", finalizers=["example.com/hold"])
    await client.delete(CONFIG_MAPS, "a", "default")
    held = await client.get(CONFIG_MAPS, "a", "default")
    assert held.metadata.deletion_timestamp
    assert held.metadata.deletion_grace_period_seconds == 0
    assert held.version > created.version
    await client.patch(CONFIG_MAPS, "a", {"metadata": {"finalizers": None}}, "default")
    assert await names(client) == []


async def test_a_terminating_object_gets_no_new_finalizer(client: Client) -> None:
    await create(client, "a", finalizers=["example.com/hold"])
    await client.delete(CONFIG_MAPS, "a", "default")
    patch = {"metadata": {"finalizers": ["example.com/hold", "example.com/more"]}}
    with pytest.raises(Exception, match="no new finalizers can be added if the object is being deleted"):
        await client.patch(CONFIG_MAPS, "a", patch, "default")


async def test_a_delete_of_another_uid_is_a_conflict(client: Client) -> None:
    await create(client, "a")
    with pytest.raises(Conflict, match="the UID in the precondition"):
        await client.delete(CONFIG_MAPS, "a", "default", uid="other")
    assert await names(client) == ["a"]


async def test_a_running_pod_has_its_grace_period(client: Client) -> None:
    spec = {"nodeName": "n", "containers": [{"name": "c", "image": "i"}], "terminationGracePeriodSeconds": 7}
    await client.create(PODS, {"metadata": {"name": "p", "namespace": "default"}, "spec": spec})
    await client.delete(PODS, "p", "default")
    terminating = await client.get(PODS, "p", "default")
    assert terminating.metadata.deletion_grace_period_seconds == 7
    await client.delete(PODS, "p", "default", grace_period_seconds=0)
    with pytest.raises(NotFound):
        await client.get(PODS, "p", "default")


async def test_an_object_goes_after_its_owner(client: Client, memory_server: APIServer) -> None:
    owner = await create(client, "owner")
    child = await create(client, "child", owner)
    await create(client, "grandchild", child)
    await create(client, "free")
    await client.delete(CONFIG_MAPS, "owner", "default")
    memory_server.collect_garbage()
    assert await names(client) == ["free"]


async def test_an_object_goes_whose_owner_has_the_name_but_not_the_uid(
    client: Client, memory_server: APIServer
) -> None:
    owner = await create(client, "owner")
    await create(client, "child", owner)
    await client.delete(CONFIG_MAPS, "owner", "default")
    await create(client, "owner")
    memory_server.collect_garbage()
    assert await names(client) == ["owner"]


async def test_an_owner_deleted_in_the_foreground_waits_for_its_dependents(
    client: Client, memory_server: APIServer
) -> None:
    owner = await create(client, "owner")
    await create(client, "child", owner, finalizers=["example.com/hold"])
    await client.delete(CONFIG_MAPS, "owner", "default", propagation="Foreground")
    memory_server.collect_garbage()
    assert await names(client) == ["child", "owner"]
    await client.patch(CONFIG_MAPS, "child", {"metadata": {"finalizers": None}}, "default")
    memory_server.collect_garbage()
    assert await names(client) == []


async def test_orphans_forget_their_owner(client: Client, memory_server: APIServer) -> None:
    owner = await create(client, "owner")
    await create(client, "child", owner)
    await client.delete(CONFIG_MAPS, "owner", "default", propagation="Orphan")
    memory_server.collect_garbage()
    assert await names(client) == ["child"]
    assert (await client.get(CONFIG_MAPS, "child", "default")).metadata.owner_references == ()


async def test_an_object_with_another_owner_stays_and_forgets_the_one_that_is_gone(
    client: Client, memory_server: APIServer
) -> None:
    owners = [await create(client, name) for name in ("gone", "stays")]
    references = [
        {"apiVersion": "v1", "kind": "ConfigMap", "name": owner.metadata.name, "uid": owner.metadata.uid}
        for owner in owners
    ]
    await create(client, "child", ownerReferences=references)
    await client.delete(CONFIG_MAPS, "gone", "default")
    memory_server.collect_garbage()
    child = await client.get(CONFIG_MAPS, "child", "default")
    assert [owner.name for owner in child.metadata.owner_references] == ["stays"]


async def test_nothing_to_collect_writes_nothing(client: Client, memory_server: APIServer) -> None:
    await create(client, "child", await create(client, "owner"))
    before = memory_server.store.revision
    memory_server.collect_garbage()
    assert memory_server.store.revision == before


async def test_a_namespace_takes_nothing_new_while_it_is_deleted_and_goes_when_it_is_empty(
    client: Client, memory_server: APIServer
) -> None:
    await client.create(NAMESPACES, {"metadata": {"name": "x"}})
    content = {"metadata": {"name": "a", "namespace": "x", "finalizers": ["example.com/hold"]}}
    await client.create(CONFIG_MAPS, content)
    await client.delete(NAMESPACES, "x")
    memory_server.collect_garbage()
    assert (await client.get(NAMESPACES, "x")).decode()["status"]["phase"] == "Terminating"
    with pytest.raises(Forbidden, match="unable to create new content in namespace x"):
        await client.create(CONFIG_MAPS, {"metadata": {"name": "b", "namespace": "x"}})
    await client.patch(CONFIG_MAPS, "a", {"metadata": {"finalizers": None}}, "x")
    memory_server.collect_garbage()
    with pytest.raises(NotFound):
        await client.get(NAMESPACES, "x")


async def test_the_default_namespace_stays(client: Client) -> None:
    with pytest.raises(Forbidden, match="this namespace may not be deleted"):
        await client.delete(NAMESPACES, "default")


async def test_an_object_needs_its_namespace(client: Client) -> None:
    with pytest.raises(NotFound, match='namespaces "nowhere" not found'):
        await client.create(CONFIG_MAPS, {"metadata": {"name": "a", "namespace": "nowhere"}})
