"""What has the name of a child and is somebody else's is left alone, told of, and waited for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from disvc.reconcilers.resources import INGRESSES, ISVCS, REVISIONS, SERVICES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from disvc.runtime import Manager
    from disvc.testing.history import History, Moment

    Violations = Callable[[Iterable[Moment]], list[str]]
    Value = dict[str, Any]

pytestmark = pytest.mark.usefixtures("kserve")

SERVICE = {"spec": {"selector": {"app": "theirs"}, "ports": [{"port": 80}]}}
INGRESS = {"spec": {"defaultBackend": {"service": {"name": "theirs", "port": {"number": 80}}}}}
REVISION = {"revision": 7, "data": {"theirs": True}}
ISVC = {"spec": {"predictor": {"model": {"modelFormat": {"name": "sklearn"}, "storageUri": "gs://theirs"}}}}
STANDARD = {"serving.kserve.io/deploymentMode": "Standard"}

FIRST: dict[str, tuple[Any, str, Value]] = {
    "a": (SERVICES, "a", SERVICE),
    "b": (SERVICES, "b-v1", SERVICE),
    "c": (INGRESSES, "c", INGRESS),
    "d": (ISVCS, "d-v1-0", ISVC),
    "e": (REVISIONS, "e-v1", REVISION),
    "f": (ISVCS, "f", ISVC),
}
"""By DISVC: a kind and a name that its first revision needs, and the object that has it."""

NEXT: dict[str, tuple[Any, str, Value]] = {
    "g": (SERVICES, "g-v2", SERVICE),
    "h": (ISVCS, "h-v2-0", ISVC),
    "i": (REVISIONS, "i-v2", REVISION),
}
"""Likewise for the second revision."""


async def take(cluster: Any, resource: Any, name: str, rest: Value) -> Value:
    """Make an object of somebody else's, with its owner's mark, and return it as it is to stay."""
    metadata = {"name": name, "labels": {"owner": "them"}, "annotations": STANDARD if resource is ISVCS else {}}
    await cluster.create({"metadata": metadata, **rest}, resource)
    if resource is ISVCS:
        # KServe writes its status and, once, its finalizer.
        await cluster.until(lambda: _is_served(cluster, name))
    return await theirs(cluster, resource, name)


async def theirs(cluster: Any, resource: Any, name: str) -> Value:
    """Return all of an object but what KServe reports in it."""
    value: Value = await cluster.get(name, resource)
    if resource is ISVCS:
        value.pop("status")
        del value["metadata"]["resourceVersion"], value["metadata"]["managedFields"]
    return value


async def _is_served(cluster: Any, isvc: str) -> bool:
    conditions = (await cluster.get(isvc, ISVCS)).get("status", {}).get("conditions", ())
    return any((c["type"], c["status"]) == ("Ready", "True") for c in conditions)


async def test_objects_under_the_names_of_a_first_revision_are_left_alone_and_told_of_until_they_are_gone(
    cluster: Any, operator: Manager
) -> None:
    async def meets(disvc: str, resource: Any, name: str, rest: Value) -> None:
        before = await take(cluster, resource, name, rest)
        await cluster.create(cluster.manifest(disvc))
        stalled = await cluster.until_condition("Stalled", reason="NameConflict", name=disvc)
        assert f"{resource.kind} {name} exists" in stalled["message"]
        assert (await cluster.condition("Ready", disvc))["status"] == "False"
        assert await theirs(cluster, resource, name) == before, name
        await cluster.delete(name, resource)
        await cluster.until_ready(disvc)
        assert await cluster.condition("Stalled", disvc) == {}

    async with asyncio.TaskGroup() as group:
        for disvc, (resource, name, rest) in FIRST.items():
            group.create_task(meets(disvc, resource, name, rest), name=f"{resource.kind} {name}")


async def test_objects_under_the_names_of_a_next_revision_hold_it_up_and_the_old_one_serves(
    cluster: Any, operator: Manager, history: History, violations: Violations
) -> None:
    async def meets(disvc: str, resource: Any, name: str, rest: Value) -> None:
        await cluster.create(cluster.manifest(disvc, annotations={"version": "v1"}))
        await cluster.until_ready(disvc)
        before = await take(cluster, resource, name, rest)
        await cluster.set_spec(disvc, annotations={"version": "v2"})
        stalled = await cluster.until_condition("Stalled", reason="NameConflict", name=disvc)
        assert f"{resource.kind} {name} exists" in stalled["message"]
        assert (await cluster.condition("Available", disvc))["status"] == "True"
        assert (await cluster.status(disvc))["activeRevision"]["name"] == f"{disvc}-v1"
        assert await theirs(cluster, resource, name) == before, name
        await cluster.delete(name, resource)
        status = await cluster.until_ready(disvc)
        assert status["activeRevision"]["name"] == f"{disvc}-v2"

    async with asyncio.TaskGroup() as group:
        for disvc, (resource, name, rest) in NEXT.items():
            group.create_task(meets(disvc, resource, name, rest), name=f"{resource.kind} {name}")
    assert violations(await history.moments()) == []


async def test_a_child_whose_owner_reference_was_taken_off_is_somebody_elses(cluster: Any, operator: Manager) -> None:
    await cluster.create(cluster.manifest())
    await cluster.until_ready()
    await cluster.change("m", {"metadata": {"ownerReferences": None}}, INGRESSES)
    stalled = await cluster.until_condition("Stalled", reason="NameConflict")
    assert "Ingress m exists" in stalled["message"]
    orphan = await cluster.get("m", INGRESSES)
    await cluster.set_spec("m", routing={"annotations": {"a": "b"}})
    await cluster.until_condition("Stalled", reason="NameConflict")
    assert await cluster.get("m", INGRESSES) == orphan


@pytest.mark.parametrize("solution", ["the elder goes", "the elder takes another host"])
async def test_of_two_disvcs_on_one_host_the_younger_has_no_route_until_the_elder_gives_way(
    cluster: Any, operator: Manager, solution: str
) -> None:
    routing = {"host": f"shared-{cluster.namespace}.example.com"}
    await cluster.create(cluster.manifest("elder", routing=routing))
    await cluster.until_ready("elder")
    await cluster.create(cluster.manifest("younger", routing=routing))
    conflict = await cluster.until_condition("TrafficReady", "False", "HostConflict", "younger")
    assert f"{cluster.namespace}/elder" in conflict["message"]
    assert await cluster.names(INGRESSES) == {"elder"}
    await cluster.until_condition("Available", name="younger")  # within the cluster
    if solution == "the elder goes":
        await cluster.delete("elder")
    else:
        await cluster.set_spec("elder", routing={"host": f"other-{cluster.namespace}.example.com"})
        await cluster.until_ready("elder")
    await cluster.until_ready("younger")
    ingress = await cluster.get("younger", INGRESSES)
    assert [rule["host"] for rule in ingress["spec"]["rules"]] == [routing["host"]]


async def test_an_elder_that_changes_its_host_takes_none_that_serves_already(
    cluster: Any, operator: Manager, history: History, violations: Violations
) -> None:
    routing = {"host": f"shared-{cluster.namespace}.example.com"}
    await cluster.create(cluster.manifest("elder"))
    await cluster.until_ready("elder")
    await asyncio.sleep(1)  # creationTimestamps are whole seconds
    await cluster.create(cluster.manifest("younger", routing=routing))
    await cluster.until_ready("younger")
    await cluster.set_spec("elder", routing=routing)
    await cluster.until_condition("TrafficReady", "False", "HostConflict", "elder")
    await cluster.until_condition("Ready", "True", name="younger")
    assert violations(await history.moments()) == []
    deleted = [m.change.name for m in await history.moments() if m.change.type == "DELETED"]
    assert "younger" not in deleted
