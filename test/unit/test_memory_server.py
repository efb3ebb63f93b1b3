"""The in-memory API server by direct call: what every resource can do."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from disvc.runtime import AlreadyExists, Client, Conflict, Expired, Invalid, NotFound, Resource

if TYPE_CHECKING:
    from disvc.runtime.client import WatchEvent
    from disvc.testing.memory import APIServer

CONFIG_MAPS = Resource("v1", "ConfigMap", "configmaps")
NAMESPACES = Resource("v1", "Namespace", "namespaces", namespaced=False)


@pytest.fixture
def client(memory_server: APIServer) -> Client:
    return Client(memory_server.transport())


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "default"}, "data": data}


async def test_a_created_object_is_read_back_as_it_was_answered(client: Client) -> None:
    created = await client.create(CONFIG_MAPS, config_map("a", x="1"))
    assert created.metadata.uid
    assert created.decode()["data"] == {"x": "1"}
    assert (await client.get(CONFIG_MAPS, "a", "default")).raw == created.raw


async def test_a_name_is_taken_once(client: Client) -> None:
    await client.create(CONFIG_MAPS, config_map("a"))
    with pytest.raises(AlreadyExists, match='configmaps "a" already exists'):
        await client.create(CONFIG_MAPS, config_map("a"))


async def test_an_update_of_an_old_version_is_a_conflict(client: Client) -> None:
    created = await client.create(CONFIG_MAPS, config_map("a", x="1"))
    await client.patch(CONFIG_MAPS, "a", {"data": {"x": "2"}}, "default")
    with pytest.raises(Conflict, match="the object has been modified"):
        await client.update(CONFIG_MAPS, created.decode())


async def test_an_update_that_changes_nothing_keeps_the_version(client: Client) -> None:
    created = await client.create(CONFIG_MAPS, config_map("a", x="1"))
    updated = await client.update(CONFIG_MAPS, created.decode())
    assert updated.metadata.resource_version == created.metadata.resource_version


async def test_a_deleted_object_is_not_found(client: Client) -> None:
    await client.create(CONFIG_MAPS, config_map("a"))
    await client.delete(CONFIG_MAPS, "a", "default")
    with pytest.raises(NotFound, match='configmaps "a" not found'):
        await client.get(CONFIG_MAPS, "a", "default")


async def test_the_last_finalizer_lets_a_deleted_object_go(client: Client) -> None:
    value = config_map("a")
    value["metadata"]["finalizers"] = ["example.com/hold"]
    await client.create(CONFIG_MAPS, value)
    await client.delete(CONFIG_MAPS, "a", "default")
    held = await client.get(CONFIG_MAPS, "a", "default")
    assert held.metadata.deletion_timestamp
    await client.patch(CONFIG_MAPS, "a", {"metadata": {"finalizers": None}}, "default")
    with pytest.raises(NotFound):
        await client.get(CONFIG_MAPS, "a", "default")


async def test_a_name_must_be_a_subdomain(client: Client) -> None:
    with pytest.raises(Invalid, match=r'ConfigMap "A_b" is invalid: metadata\.name: Invalid value: "A_b"'):
        await client.create(CONFIG_MAPS, config_map("A_b"))


async def test_an_ingress_that_names_no_class_gets_the_default(client: Client) -> None:
    group = "networking.k8s.io/v1"
    classes = Resource(group, "IngressClass", "ingressclasses", namespaced=False)
    ingresses = Resource(group, "Ingress", "ingresses")
    spec = {"defaultBackend": {"service": {"name": "s", "port": {"number": 80}}}}
    none = await client.create(ingresses, {"metadata": {"name": "a", "namespace": "default"}, "spec": spec})
    assert "ingressClassName" not in none.decode()["spec"]
    default = {"annotations": {"ingressclass.kubernetes.io/is-default-class": "true"}}
    for name, metadata in (("x", {}), ("y", default)):
        await client.create(classes, {"metadata": {"name": name, **metadata}, "spec": {"controller": "example.com/c"}})
    given = await client.create(ingresses, {"metadata": {"name": "b", "namespace": "default"}, "spec": spec})
    assert given.decode()["spec"]["ingressClassName"] == "y"


async def test_pages_are_of_one_state(client: Client) -> None:
    for name in "abcd":
        await client.create(CONFIG_MAPS, config_map(name))
    first = await client.list(CONFIG_MAPS, "default", limit=2)
    await client.delete(CONFIG_MAPS, "c", "default")
    await client.create(CONFIG_MAPS, config_map("e"))
    rest = await client.list(CONFIG_MAPS, "default", continue_token=first.continue_token)
    assert [obj.metadata.name for obj in [*first.items, *rest.items]] == ["a", "b", "c", "d"]
    assert rest.resource_version == first.resource_version


async def test_a_continue_token_before_the_compaction_is_gone(client: Client, memory_server: APIServer) -> None:
    for name in "abc":
        await client.create(CONFIG_MAPS, config_map(name))
    first = await client.list(CONFIG_MAPS, "default", limit=1)
    await client.create(CONFIG_MAPS, config_map("d"))
    memory_server.compact()
    with pytest.raises(Expired, match="The provided continue parameter is too old"):
        await client.list(CONFIG_MAPS, "default", continue_token=first.continue_token)


async def events(client: Client, count: int, **options: Any) -> list[tuple[str, str]]:
    """Return type and name of the first events of a watch."""
    found: list[tuple[str, str]] = []
    async with client.watch(CONFIG_MAPS, "default", timeout_seconds=5, **options) as pieces:
        async for piece in pieces:
            found += map(told, piece)
            if len(found) >= count:
                break
    return found


def told(event: WatchEvent) -> tuple[str, str]:
    return event.type, CONFIG_MAPS.read(event.object).metadata.name


async def test_a_watch_tells_what_happened_since_a_version(client: Client) -> None:
    start = await client.create(CONFIG_MAPS, config_map("a"))
    await client.patch(CONFIG_MAPS, "a", {"data": {"x": "1"}}, "default")
    await client.create(CONFIG_MAPS, config_map("b"))
    await client.delete(CONFIG_MAPS, "a", "default")
    assert await events(client, 3, resource_version=start.metadata.resource_version) == [
        ("MODIFIED", "a"),
        ("ADDED", "b"),
        ("DELETED", "a"),
    ]


async def test_a_watch_tells_of_what_comes_into_its_selection_and_leaves_it(client: Client) -> None:
    start = await client.list(CONFIG_MAPS)
    await client.create(CONFIG_MAPS, config_map("a"))
    for label in ("yes", "no"):
        await client.patch(CONFIG_MAPS, "a", {"metadata": {"labels": {"wanted": label}}}, "default")
    selected = await events(client, 2, resource_version=start.resource_version, label_selector="wanted=yes")
    assert selected == [("ADDED", "a"), ("DELETED", "a")]


async def test_a_watch_wakes_up_for_what_is_new(client: Client) -> None:
    watching = asyncio.create_task(events(client, 2, initial_events=True))
    await asyncio.sleep(0.01)
    await client.create(CONFIG_MAPS, config_map("a"))
    assert await watching == [("BOOKMARK", ""), ("ADDED", "a")]


async def test_a_watch_from_before_the_compaction_ends_with_an_error(client: Client, memory_server: APIServer) -> None:
    start = await client.create(CONFIG_MAPS, config_map("a"))
    for name in "bcd":
        await client.create(CONFIG_MAPS, config_map(name))
    memory_server.compact()
    async with client.watch(CONFIG_MAPS, resource_version=start.metadata.resource_version, timeout_seconds=5) as pieces:
        piece = await anext(pieces)
    assert [event.type for event in piece] == ["ERROR"]
    assert msgspec.json.decode(piece[0].object)["code"] == 410
