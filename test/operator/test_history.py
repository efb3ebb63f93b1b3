"""A rolling update as a watch sees it: each state, in the order of resourceVersions, and not what a poll catches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from disvc.reconcilers.resources import DISVCS, ENDPOINT_SLICES, INGRESSES, ISVCS, SERVICES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from disvc.runtime import Manager
    from disvc.testing.audit import Call
    from disvc.testing.history import Change, History, Moment

    Violations = Callable[[Iterable[Moment]], list[str]]

pytestmark = pytest.mark.usefixtures("kserve")

PROPAGATION_SECONDS, DRAIN_SECONDS = 1, 2


def first(changes: Iterable[Change], kind: str, name: str, is_so: Callable[[Change], object] = bool) -> int:
    """Return when something became so of an object: the resourceVersion."""
    return next(c.version for c in changes if (c.resource.kind, c.name) == (kind, name) and is_so(c))


def phase(change: Change) -> str | None:
    value: str | None = change.object.get("status", {}).get("phase")
    return value


def is_ready(change: Change) -> bool:
    conditions = change.object.get("status", {}).get("conditions", ())
    return any((c["type"], c["status"]) == ("Ready", "True") for c in conditions)


def backend(change: Change) -> str:
    paths = change.object["spec"]["rules"][0]["http"]["paths"]
    name: str = paths[0]["backend"]["service"]["name"]
    return name


def selected(change: Change) -> str:
    name: str = change.object["spec"]["selector"]["disvc.group"]
    return name


async def roll(cluster: Any, **spec: Any) -> None:
    await cluster.create(cluster.manifest(annotations={"version": "v1"}, **spec))
    await cluster.until_ready()
    await cluster.set_spec("m", annotations={"version": "v2"})
    await cluster.until_ready()
    await cluster.until_gone(ISVCS, "m-v1-0", "m-v1-1")
    await cluster.until_gone(SERVICES, "m-v1")


async def test_a_rolling_update_makes_v2_then_switches_then_removes_v1(
    cluster: Any, operator: Manager, history: History, violations: Violations
) -> None:
    await roll(cluster, replicas=2)
    moments = await history.moments()
    assert violations(moments) == []

    changes = [moment.change for moment in moments]
    v1, v2 = ("m-v1-0", "m-v1-1"), ("m-v2-0", "m-v2-1")
    progressing = first(changes, DISVCS.kind, "m", lambda c: phase(c) == "Progressing")
    created = [first(changes, ISVCS.kind, name) for name in v2] + [first(changes, SERVICES.kind, "m-v2")]
    ready = [first(changes, ISVCS.kind, name, is_ready) for name in v2]
    serving = next(
        m.change.version
        for m in moments
        if sum(
            len(one.get("endpoints") or ())
            for one in m.state[ENDPOINT_SLICES].values()
            if one["metadata"]["labels"]["kubernetes.io/service-name"] == "m-v2"
            and all(e["conditions"]["ready"] for e in one.get("endpoints") or ())
        )
        == 2
    )
    switching = first(changes, DISVCS.kind, "m", lambda c: phase(c) == "Switching")
    moved = [
        first(changes, SERVICES.kind, "m", lambda c: selected(c) == "m-v2"),
        first(changes, INGRESSES.kind, "m", lambda c: backend(c) == "m-v2"),
    ]
    draining = first(changes, DISVCS.kind, "m", lambda c: phase(c) == "Draining")
    stable = first([c for c in changes if c.version > draining], DISVCS.kind, "m", lambda c: phase(c) == "Stable")
    removed = [first(changes, ISVCS.kind, n, lambda c: "deletionTimestamp" in c.object["metadata"]) for n in v1]
    removed.append(first(changes, SERVICES.kind, "m-v1", lambda c: c.type == "DELETED"))

    assert progressing < min(created)
    assert max(*ready, serving) < switching
    assert switching < min(moved)
    assert max(moved) < draining < stable < min(removed)


async def test_from_the_first_ready_on_every_address_leads_to_ready_endpoints(
    cluster: Any, operator: Manager, history: History, violations: Violations
) -> None:
    """And propagationSeconds lie between the move of the routes and its record, drainSeconds before the removal."""
    strategy = {"propagationSeconds": PROPAGATION_SECONDS, "drainSeconds": DRAIN_SECONDS}
    await roll(cluster, deploymentStrategy=strategy)
    moments = await history.moments()
    assert violations(moments) == []
    begun = next(i for i, m in enumerate(moments) if m.change.resource.kind == DISVCS.kind and is_ready(m.change))
    for moment in moments[begun:]:
        serving = {
            one["metadata"]["labels"]["kubernetes.io/service-name"]
            for one in moment.state[ENDPOINT_SLICES].values()
            if any(e["conditions"]["ready"] for e in one.get("endpoints") or ())
        }
        service, ingress = moment.state[SERVICES]["m"], moment.state[INGRESSES]["m"]
        led_to = {
            service["spec"]["selector"]["disvc.group"],
            ingress["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]["name"],
        }
        assert led_to <= serving, moment.change

    log = await cluster.plane.audit.settled()

    def writes(resource: str, name: str) -> list[Call]:
        calls = log.calls(namespace=cluster.namespace, resource=resource, name=name)
        made = [call for call in calls if call.verb in ("create", "patch", "update", "delete") and call.code < 300]
        return sorted(made, key=lambda call: call.staged)

    # Each write of the DISVC that changed it is one event of its watch.
    states = [m.change for m in moments if m.change.resource.kind == DISVCS.kind]
    written = zip(states, writes(DISVCS.plural, "m"), strict=True)
    draining = next(call for change, call in written if phase(change) == "Draining")
    switched = max(writes(resource.plural, "m")[-1].received for resource in (SERVICES, INGRESSES))
    assert (draining.staged - switched).total_seconds() >= PROPAGATION_SECONDS
    for resource, name in ((ISVCS, "m-v1-0"), (SERVICES, "m-v1")):
        deletion = next(call for call in writes(resource.plural, name) if call.verb == "delete")
        assert (deletion.received - switched).total_seconds() >= DRAIN_SECONDS
