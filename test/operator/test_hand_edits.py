"""What people edit or delete by hand is put back, in every phase that lasts, and while paused.

A child is repaired to what is recorded of its revision. What is not the operator's is left alone.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any

import pytest

from disvc.reconcilers.resources import INGRESSES, ISVCS, REVISIONS, SERVICES
from disvc.testing.kserve import Healthy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from disvc.runtime import Manager
    from disvc.testing.kserve import SimulatedKServe

    Value = dict[str, Any]

NEVER_READY = Healthy(startup_seconds=math.inf)
REAL = Healthy(startup_seconds=5)
"""A model that loads slower than an operator repairs. Pods that are made with edited labels are not ready before their
labels are put back: else they would take the place of those that serve, and v2 would lose its endpoints."""
V1, V2 = {"version": "v1"}, {"version": "v2"}

PHASES: Mapping[str, Mapping[str, Any]] = {
    "Initializing": {},
    "Stable": {},
    "Progressing": {},
    "AwaitingPromotion": {"promotion": "Manual"},
    "Draining": {"drainSeconds": 300},
    "Failed": {"onFailure": "Hold", "progressDeadlineSeconds": 2},
}
in_every_phase = pytest.mark.parametrize(
    ("phase", "paused"),
    [*((phase, False) for phase in PHASES), ("Stable", True), ("Progressing", True)],
    ids=[*PHASES, "Stable and paused", "Progressing and paused"],
)
HASH = "disvc.serving.kserve.io/hash"

EDITS: Mapping[Any, Mapping[str, Value]] = {
    ISVCS: {
        "spec": {"spec": {"predictor": {"model": {"storageUri": "gs://other"}, "minReplicas": 3}}},
        "labels": {"metadata": {"labels": {"disvc": "other", "disvc.group": None}}},
        "annotations": {"metadata": {"annotations": {"version": "other", HASH: None}}},
    },
    SERVICES: {
        "selector": {"spec": {"selector": {"disvc.group": "other", "further": "condition"}}},
        "ports": {"spec": {"ports": [{"name": "a", "port": 80, "targetPort": 1}, {"name": "b", "port": 81}]}},
        "type": {"spec": {"type": "NodePort"}},
        "affinity": {"spec": {"sessionAffinity": "None", "sessionAffinityConfig": None}},
        "labels": {"metadata": {"labels": {"group": "other"}}},
    },
    INGRESSES: {
        "host": {"spec": {"rules": [{"host": "other.example.com"}]}},
        "default backend": {"spec": {"defaultBackend": {"service": {"name": "other", "port": {"number": 1}}}}},
        "class": {"spec": {"ingressClassName": "other"}},
        "annotations": {"metadata": {"annotations": {"nginx.ingress.kubernetes.io/upstream-hash-by": "other"}}},
    },
    REVISIONS: {
        "labels": {"metadata": {"labels": {"disvc": None}}},  # by which it is watched
    },
}
"""Edits of each kind of child, each of which changes what it does."""


async def bring_to(cluster: Any, kserve: SimulatedKServe, phase: str) -> None:
    """Make a DISVC of two members and let it come to rest in a phase."""
    strategy = {"propagationSeconds": 0, "drainSeconds": 0, **PHASES[phase]}
    manifest = cluster.manifest(annotations=V1, replicas=2, deploymentStrategy=strategy)
    manifest["spec"]["routing"] = {"className": "nginx"}
    if phase == "Initializing":
        kserve.behave("m-v1-0", NEVER_READY)
    await cluster.create(manifest)
    if phase == "Initializing":
        await cluster.until(lambda: _all_made(cluster))
        return
    await cluster.until_ready()
    if phase == "Stable":
        return
    if phase in ("Progressing", "Failed"):
        kserve.behave("m-v2-0", NEVER_READY)
    await cluster.set_spec("m", annotations=V2)
    await cluster.until_phase(phase)
    await cluster.until(lambda: cluster.find("m-v2-1", ISVCS))
    if phase == "Draining":
        for member in ("m-v2-0", "m-v2-1"):
            kserve.behave(member, REAL)


async def _all_made(cluster: Any) -> bool:
    return len(await children(cluster)) == 6


async def children(cluster: Any) -> dict[tuple[Any, str], Value]:
    """Return the live objects that the DISVC controls."""
    found = {}
    for resource in EDITS:
        for name, value in (await cluster.list(resource)).items():
            owners = value["metadata"].get("ownerReferences", ())
            if any(owner["kind"] == "DistributedInferenceService" for owner in owners):
                found[resource, name] = value
    return found


def told(value: Value) -> Value:
    """Return what an object is asked to be, and nothing that the server counts or KServe adds."""
    metadata = value["metadata"]
    rest = {name: part for name, part in value.items() if name not in ("metadata", "status", "apiVersion", "kind")}
    return {"labels": metadata.get("labels"), "annotations": metadata.get("annotations"), **rest}


@in_every_phase
async def test_edits_of_every_kind_of_child_are_put_back(
    cluster: Any, kserve: SimulatedKServe, operator: Manager, phase: str, *, paused: bool
) -> None:
    await bring_to(cluster, kserve, phase)
    if paused:
        await cluster.set_spec("m", paused=True)
    before = await children(cluster)
    edited = []
    for (resource, name), value in before.items():
        for what, patch in EDITS[resource].items():
            if phase == "Draining" and name == "m-v2" and what in ("selector", "ports"):
                continue  # it would have no endpoints for a moment, and the traffic would go back to v1
            changed = await cluster.change(name, patch, resource)
            if told(changed) == told(value):
                pytest.fail(f"the edit of {what} of {resource.kind} {name} has changed nothing")
            edited.append((resource, name, what))

    async def are_put_back() -> bool:
        now = await children(cluster)
        return all(key in now and told(now[key]) == told(value) for key, value in before.items())

    try:
        await cluster.until(are_put_back)
    except TimeoutError:
        now = await children(cluster)
        for key, value in before.items():
            assert told(now.get(key, {"metadata": {}})) == told(value), f"{key[0].kind} {key[1]}"
    after = await children(cluster)
    assert after.keys() == before.keys()
    assert {key: value["metadata"]["uid"] for key, value in after.items()} == {
        key: value["metadata"]["uid"] for key, value in before.items()
    }
    await cluster.until_phase(phase)


@in_every_phase
async def test_deleted_children_of_every_kind_are_made_again(
    cluster: Any, kserve: SimulatedKServe, operator: Manager, phase: str, *, paused: bool
) -> None:
    await bring_to(cluster, kserve, phase)
    if paused:
        await cluster.set_spec("m", paused=True)
    before = await children(cluster)
    deleted = {
        (resource, name): value
        for (resource, name), value in before.items()
        # One member of each revision goes on. In Draining, v2 without its Service would give the traffic back to v1.
        if not name.endswith("-1") and (phase, resource, name) != ("Draining", SERVICES, "m-v2")
    }
    await asyncio.gather(*(cluster.delete(name, resource) for resource, name in deleted))

    async def are_made_again() -> bool:
        now = await children(cluster)
        return now.keys() == before.keys() and all(
            now[key]["metadata"]["uid"] != value["metadata"]["uid"] for key, value in deleted.items()
        )

    await cluster.until(are_made_again)
    for key, value in (await children(cluster)).items():
        if key[0] is not SERVICES:  # whose addresses are new
            assert told(value).get("spec") == told(before[key]).get("spec"), key
    await cluster.until_phase(phase)


@pytest.mark.parametrize("phase", ["Stable", "Progressing", "AwaitingPromotion"])
async def test_a_status_emptied_by_hand_changes_nothing_for_the_traffic(
    cluster: Any, kserve: SimulatedKServe, operator: Manager, history: Any, violations: Any, phase: str
) -> None:
    await bring_to(cluster, kserve, phase)
    before = await children(cluster)
    seen = len(await history.moments())
    await cluster.kubectl(
        "patch", "disvc", "m", "--subresource=status", "--type=json", '--patch=[{"op": "remove", "path": "/status"}]'
    )
    await cluster.until_phase(phase)
    await cluster.until_condition("Available")
    status = await cluster.status()
    assert (status["activeRevision"]["name"], status["url"]) == (
        "m-v1",
        f"http://m-{cluster.namespace}.example.com",
    )
    after = await children(cluster)
    assert {key: told(value) for key, value in after.items()} == {key: told(value) for key, value in before.items()}
    moments = (await history.moments())[seen:]
    assert violations(moments) == []
    changed = [m.change for m in moments if m.change.type in ("ADDED", "DELETED")]
    ours = {c.resource.kind for c in changed if not c.name.endswith("-predictor")}  # KServe may not be done yet
    assert ours <= {"EndpointSlice"}
    assert not [m for m in moments if m.change.name == "m" and m.change.resource in (SERVICES, INGRESSES)]


async def test_what_is_not_the_operators_is_left_alone(
    cluster: Any, kserve: SimulatedKServe, operator: Manager
) -> None:
    await bring_to(cluster, kserve, "Stable")
    others = {
        "metadata": {"labels": {"team.example.com/name": "a"}, "annotations": {"team.example.com/note": "b"}},
    }
    for resource, name in ((ISVCS, "m-v1-0"), (SERVICES, "m"), (INGRESSES, "m")):
        await cluster.change(name, others, resource)
    # An edit that is put back shows that each has been looked at since.
    await cluster.change("m-v1-0", {"metadata": {"labels": {"disvc": "other"}}}, ISVCS)
    await cluster.change("m", {"spec": {"selector": {"disvc": "other"}}}, SERVICES)
    await cluster.change("m", {"spec": {"ingressClassName": "other"}}, INGRESSES)

    async def are_put_back() -> bool:
        isvc, service = await cluster.get("m-v1-0", ISVCS), await cluster.get("m", SERVICES)
        ingress = await cluster.get("m", INGRESSES)
        labels, selector = isvc["metadata"]["labels"], service["spec"]["selector"]
        return (labels["disvc"], selector["disvc"], ingress["spec"]["ingressClassName"]) == ("m", "m", "nginx")

    await cluster.until(are_put_back)
    for resource, name in ((ISVCS, "m-v1-0"), (SERVICES, "m"), (INGRESSES, "m")):
        metadata = (await cluster.get(name, resource))["metadata"]
        assert metadata["labels"]["team.example.com/name"] == "a"
        assert metadata["annotations"]["team.example.com/note"] == "b"
