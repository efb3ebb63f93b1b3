"""Replicas, exposure and stopping change in place: no new revision, and no InferenceService is edited for it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from disvc.reconcilers.resources import ENDPOINT_SLICES, INGRESSES, ISVCS, REVISIONS, SERVICES
from disvc.testing.kserve import Healthy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from disvc.runtime import Manager
    from disvc.testing.history import History, Moment
    from disvc.testing.kserve import SimulatedKServe

    Violations = Callable[[Iterable[Moment]], list[str]]

pytestmark = pytest.mark.usefixtures("kserve")

VISIBILITY = "networking.kserve.io/visibility"
STOP = "serving.kserve.io/stop"


def removals(moments: Iterable[Moment]) -> list[str]:
    """Return the InferenceServices that somebody deleted, in order."""
    found = (
        m.change for m in moments if m.change.resource == ISVCS and "deletionTimestamp" in m.change.object["metadata"]
    )
    return list(dict.fromkeys(change.name for change in found))


async def edits(cluster: Any) -> list[str]:
    """Return what the operator has patched."""
    log = await cluster.plane.audit.settled()
    calls = log.calls(user="operator", verb="patch", namespace=cluster.namespace)
    return [call.resource for call in calls if not call.subresource and call.group != "events.k8s.io"]


async def test_replicas_change_in_place(
    cluster: Any, operator: Manager, history: History, violations: Violations
) -> None:
    await cluster.create(cluster.manifest())
    active = (await cluster.until_ready())["activeRevision"]

    for replicas in (3, 2):
        await cluster.set_spec("m", replicas=replicas)
        status = await cluster.until_ready()
        assert status["ready"] == f"{replicas}/{replicas}"
        await cluster.until(partial(_has_members, cluster, {f"m-v1-{index}" for index in range(replicas)}))
        await cluster.until(partial(_has, cluster, replicas=replicas, readyReplicas=replicas, updatedReplicas=replicas))
        await cluster.until(partial(_serves, cluster, replicas))

    await cluster.set_spec("m", replicas=0)
    await cluster.until_condition("Available", "False", "ScaledToZero")
    await cluster.until_condition("Ready", "False", "ScaledToZero")
    await cluster.until_gone(ISVCS, "m-v1-0", "m-v1-1")
    await cluster.until(lambda: _has(cluster, replicas=0, ready="0/0"))
    status = await cluster.status()
    assert (status["phase"], status["activeRevision"], status["readyReplicas"]) == ("Stable", active, 0)
    assert await cluster.names(INGRESSES) == {"m"}
    assert await cluster.names(SERVICES) >= {"m", "m-v1"}

    await cluster.set_spec("m", replicas=1)
    status = await cluster.until_ready()
    assert status["activeRevision"] == status["targetRevision"] == active
    assert await cluster.names(REVISIONS) == {"m-v1"}
    assert await cluster.names(ISVCS) == {"m-v1-0"}

    assert await edits(cluster) == []
    moments = await history.moments()
    assert violations(moments) == []
    # From the highest index; the last two go together.
    assert removals(moments) == ["m-v1-2", "m-v1-1", "m-v1-0"]


async def _serves(cluster: Any, addresses: int) -> bool:
    """Whether both Services lead to so many ready addresses."""
    ready = dict.fromkeys(("m", "m-v1"), 0)
    for one in (await cluster.list(ENDPOINT_SLICES)).values():
        service = one["metadata"]["labels"]["kubernetes.io/service-name"]
        if service in ready:
            ready[service] += sum(endpoint["conditions"]["ready"] for endpoint in one.get("endpoints") or ())
    return set(ready.values()) == {addresses}


async def _has(cluster: Any, **fields: object) -> bool:
    status = await cluster.status()
    return all(status.get(name) == value for name, value in fields.items())


async def test_scaling_during_a_rollout_scales_both_revisions(
    cluster: Any, operator: Manager, kserve: SimulatedKServe, history: History, violations: Violations
) -> None:
    await cluster.create(cluster.manifest(replicas=2))
    await cluster.until_ready()
    for index in range(3):
        kserve.behave(f"m-v2-{index}", Healthy(startup_seconds=600))
    await cluster.set_spec("m", annotations={"version": "v2"})
    await cluster.until(lambda: _has_members(cluster, {"m-v1-0", "m-v1-1", "m-v2-0", "m-v2-1"}))

    await cluster.set_spec("m", replicas=3)
    await cluster.until(lambda: _has_members(cluster, {f"m-v{v}-{i}" for v in (1, 2) for i in range(3)}))
    await cluster.until(lambda: _has(cluster, ready="3/3", updatedReplicas=3))
    await cluster.set_spec("m", replicas=1)
    await cluster.until(lambda: _has_members(cluster, {"m-v1-0", "m-v2-0"}))
    assert await _has(cluster, phase="Progressing")

    for index in range(3):
        kserve.recover(f"m-v2-{index}")
    await cluster.until_ready()
    await cluster.until(lambda: _has_members(cluster, {"m-v2-0"}))
    assert await cluster.names(REVISIONS) == {"m-v1", "m-v2"}
    assert violations(await history.moments()) == []


async def _has_members(cluster: Any, names: set[str]) -> bool:
    members: set[str] = await cluster.names(ISVCS)
    return members == names


async def test_a_service_leaves_the_outside_and_comes_back_while_it_serves(cluster: Any, operator: Manager) -> None:
    created = await cluster.create(cluster.manifest())
    outside = (await cluster.until_ready())["url"]
    isvc = await cluster.get("m-v1-0", ISVCS)

    await cluster.change("m", {"metadata": {"labels": {VISIBILITY: "cluster-local"}}})
    await cluster.until_gone(INGRESSES, "m")
    await cluster.until(lambda: _has(cluster, url=f"http://m.{cluster.namespace}.svc.cluster.local"))
    assert (await cluster.condition("Ready"))["status"] == "True"
    assert (await cluster.condition("TrafficReady"))["status"] == "True"

    await cluster.change("m", {"metadata": {"labels": {VISIBILITY: None}}})
    await cluster.until(lambda: cluster.find("m", INGRESSES))
    await cluster.until(lambda: _has(cluster, url=outside))
    await cluster.until_condition("TrafficReady")

    after = await cluster.get("m-v1-0", ISVCS)
    assert after["metadata"]["uid"] == isvc["metadata"]["uid"]
    assert after["metadata"]["generation"] == isvc["metadata"]["generation"]
    assert await edits(cluster) == []
    assert (await cluster.get("m"))["metadata"]["generation"] == created["metadata"]["generation"]
    assert await cluster.names(REVISIONS) == {"m-v1"}


async def test_a_stopped_service_has_no_members_until_the_annotation_is_removed(
    cluster: Any, operator: Manager
) -> None:
    await cluster.create(cluster.manifest(replicas=2))
    active = (await cluster.until_ready())["activeRevision"]

    await cluster.change("m", {"metadata": {"annotations": {STOP: "true"}}})
    await cluster.until_condition("Ready", "False", "Stopped")
    await cluster.until_condition("Available", "False", "Stopped")
    await cluster.until_gone(ISVCS, "m-v1-0", "m-v1-1")
    assert (await cluster.get("m"))["spec"]["replicas"] == 2
    assert await cluster.names(INGRESSES) == {"m"}

    await cluster.change("m", {"metadata": {"annotations": {STOP: None}}})
    assert (await cluster.until_ready())["activeRevision"] == active
    assert await cluster.names(ISVCS) == {"m-v1-0", "m-v1-1"}
    assert STOP not in (await cluster.get("m-v1-0", ISVCS))["metadata"]["annotations"]
    assert await cluster.names(REVISIONS) == {"m-v1"}
