"""CustomResourceDefinitions on the in-memory API server: their resources come and go."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from disvc.runtime import Client, Invalid, NotFound, Resource

if TYPE_CHECKING:
    from disvc.testing.memory import APIServer

CRDS = Resource("apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions", namespaced=False)
WIDGETS = Resource("example.com/v1", "Widget", "widgets")
OLD_WIDGETS = Resource("example.com/v1beta1", "Widget", "widgets")
SIZE = {"type": "integer", "minimum": 1, "default": 3}
NAME = "widgets.example.com"


@pytest.fixture
def client(memory_server: APIServer) -> Client:
    return Client(memory_server.transport())


def definition(plural: str = "widgets", kind: str = "Widget", **properties: Any) -> dict[str, Any]:
    """Return a CRD with two versions, a status and a scale."""
    spec = {"type": "object", "properties": {"size": SIZE, **properties}}
    status = {"type": "object", "properties": {"size": {"type": "integer"}}}
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec, "status": status}}}
    scale = {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size"}
    versions = [
        {
            "name": name,
            "served": True,
            "storage": name == "v1",
            "schema": schema,
            "subresources": {"status": {}, "scale": scale},
        }
        for name in ("v1", "v1beta1")
    ]
    names = {"plural": plural, "singular": kind.lower(), "kind": kind, "listKind": f"{kind}List"}
    group = {"group": "example.com", "scope": "Namespaced", "names": names, "versions": versions}
    return {"metadata": {"name": f"{plural}.example.com"}, "spec": group}


def widget(name: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "default"}, "spec": spec}


def conditions(crd: dict[str, Any]) -> dict[str, str]:
    return {condition["type"]: condition["status"] for condition in crd["status"].get("conditions") or ()}


async def test_a_kind_is_served_while_its_definition_is_there(client: Client) -> None:
    with pytest.raises(NotFound):
        await client.list(WIDGETS)
    await client.create(CRDS, definition())
    created = await client.create(WIDGETS, widget("a"))
    assert created.decode()["spec"] == {"size": 3}
    await client.delete(CRDS, NAME)
    with pytest.raises(NotFound):
        await client.list(WIDGETS)
    with pytest.raises(NotFound):
        await client.get(CRDS, NAME)


async def test_a_watch_of_the_definition_sees_its_names_accepted_and_then_the_kind_established(client: Client) -> None:
    version = (await client.list(CRDS)).resource_version
    await client.create(CRDS, definition())
    async with client.watch(CRDS, resource_version=version, timeout_seconds=5) as pieces:
        events = await anext(pieces)
    assert [conditions(CRDS.read(event.object).decode()) for event in events] == [
        {},
        {"NamesAccepted": "True", "Established": "False"},
        {"NamesAccepted": "True", "Established": "True"},
    ]


async def test_a_deleted_definition_takes_its_objects_along_once_they_let_go(client: Client) -> None:
    await client.create(CRDS, definition())
    held = widget("a")
    held["metadata"]["finalizers"] = ["example.com/hold"]
    await client.create(WIDGETS, held)
    await client.create(WIDGETS, widget("b"))
    await client.delete(CRDS, NAME)
    assert [obj.metadata.name for obj in (await client.list(WIDGETS)).items] == ["a"]
    assert conditions((await client.get(CRDS, NAME)).decode())["Terminating"] == "True"
    await client.patch(WIDGETS, "a", {"metadata": {"finalizers": None}}, "default")
    with pytest.raises(NotFound):
        await client.get(CRDS, NAME)
    await client.create(CRDS, definition())
    assert (await client.list(WIDGETS)).items == []


async def test_a_definition_whose_kind_another_one_has_is_not_served(client: Client) -> None:
    await client.create(CRDS, definition())
    await client.create(CRDS, definition("gadgets"))
    gadgets = (await client.get(CRDS, "gadgets.example.com")).decode()
    assert conditions(gadgets) == {"NamesAccepted": "False", "Established": "False"}
    assert {condition["reason"] for condition in gadgets["status"]["conditions"]} >= {"NotAccepted"}
    await client.delete(CRDS, NAME)
    gadgets = (await client.get(CRDS, "gadgets.example.com")).decode()
    assert conditions(gadgets) == {"NamesAccepted": "True", "Established": "True"}


async def test_an_object_is_read_in_each_version(client: Client) -> None:
    await client.create(CRDS, definition())
    created = await client.create(OLD_WIDGETS, widget("a", size=5))
    assert created.decode()["apiVersion"] == "example.com/v1beta1"
    assert (await client.get(WIDGETS, "a", "default")).decode()["apiVersion"] == "example.com/v1"
    listed = (await client.list(OLD_WIDGETS)).items
    assert [obj.decode()["apiVersion"] for obj in listed] == ["example.com/v1beta1"]


async def test_a_new_default_shows_on_old_objects(client: Client) -> None:
    await client.create(CRDS, definition())
    await client.create(WIDGETS, widget("a"))
    crd = (await client.get(CRDS, NAME)).decode()
    for version in crd["spec"]["versions"]:
        properties = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
        properties["colour"] = {"type": "string", "default": "red"}
    await client.update(CRDS, crd)
    assert (await client.get(WIDGETS, "a", "default")).decode()["spec"] == {"size": 3, "colour": "red"}


async def test_a_value_out_of_range_is_refused_with_its_field(client: Client) -> None:
    await client.create(CRDS, definition())
    with pytest.raises(Invalid, match=r"spec\.size: Invalid value: 0: .*greater than or equal to 1"):
        await client.create(WIDGETS, widget("a", size=0))


async def test_generation_follows_the_spec_and_not_the_status(client: Client) -> None:
    await client.create(CRDS, definition())
    await client.create(WIDGETS, widget("a"))
    status = {"status": {"size": 3}, "spec": {"size": 9}}
    observed = await client.patch(WIDGETS, "a", status, "default", subresource="status")
    assert observed.decode()["spec"] == {"size": 3}
    assert observed.metadata.generation == 1
    changed = await client.patch(WIDGETS, "a", {"spec": {"size": 4}, "status": {"size": 9}}, "default")
    assert changed.decode()["status"] == {"size": 3}
    assert changed.metadata.generation == 2


async def test_a_scale_is_read_and_written_by_itself(client: Client) -> None:
    await client.create(CRDS, definition())
    await client.create(WIDGETS, widget("a"))
    scale = (await client.patch(WIDGETS, "a", {"spec": {"replicas": 7}}, "default", subresource="scale")).decode()
    assert (scale["kind"], scale["spec"], scale["status"]) == ("Scale", {"replicas": 7}, {"replicas": 0})
    assert (await client.get(WIDGETS, "a", "default")).decode()["spec"] == {"size": 7}


async def test_a_watch_goes_on_over_a_change_of_the_definition(client: Client) -> None:
    await client.create(CRDS, definition())
    version = (await client.list(WIDGETS)).resource_version
    async with client.watch(WIDGETS, resource_version=version, timeout_seconds=5) as pieces:
        first = asyncio.ensure_future(anext(pieces))
        await asyncio.sleep(0)
        crd = (await client.get(CRDS, NAME)).decode()
        crd["spec"]["names"]["shortNames"] = ["wd"]
        await client.update(CRDS, crd)
        await client.create(WIDGETS, widget("a"))
        assert [event.type for event in await first] == ["ADDED"]
