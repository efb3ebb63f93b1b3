"""What people can say about a rollout: its strategy, promote, abort, retry, undo, restart; and what is kept of it."""

from __future__ import annotations

import math
from datetime import datetime
from itertools import groupby
from typing import TYPE_CHECKING, Any

import pytest

from disvc.api.types import ABORT, PROMOTE, RETRY
from disvc.reconcilers.resources import DISVCS, INGRESSES, ISVCS, REVISIONS, SERVICES
from disvc.runtime import Resource
from disvc.testing.kserve import Crash, Healthy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from disvc.runtime import Manager
    from disvc.testing.history import History, Moment
    from disvc.testing.kserve import SimulatedKServe

    Violations = Callable[[Iterable[Moment]], list[str]]

DEPLOYMENTS: Resource[dict[str, Any]] = Resource("apps/v1", "Deployment", "deployments")
NEVER_READY = Healthy(startup_seconds=math.inf)
QUICK = {"propagationSeconds": 0, "drainSeconds": 0}
V1, V2 = {"version": "v1"}, {"version": "v2"}


SOON_LATE = {"progressDeadlineSeconds": 1}
"""For what is to fail; another revision could be late, too, on a slow machine."""


async def serve(cluster: Any, **spec: Any) -> None:
    await cluster.create(cluster.manifest(annotations=V1, **spec))
    await cluster.until_ready()


async def annotate(cluster: Any, annotation: str, value: str) -> None:
    await cluster.change("m", {"metadata": {"annotations": {annotation: value}}})


def phases(moments: Sequence[Moment]) -> list[str]:
    """Return the phases that were recorded, in order."""
    told = (m.change.object.get("status", {}).get("phase") for m in moments if m.change.resource.kind == DISVCS.kind)
    return [phase for phase, _ in groupby(phase for phase in told if phase)]


async def leads_to(cluster: Any) -> set[str]:
    """Return the revisions that the stable addresses lead to."""
    service, ingress = await cluster.get("m", SERVICES), await cluster.get("m", INGRESSES)
    (path,) = ingress["spec"]["rules"][0]["http"]["paths"]
    return {service["spec"]["selector"]["disvc.group"], path["backend"]["service"]["name"]}


def staffed(moments: Iterable[Moment]) -> list[set[str]]:
    """Return the sets of revisions that had members at the same time, in order."""
    sets = ({name.rpartition("-")[0] for name in m.state[ISVCS]} for m in moments)
    return [revisions for revisions, _ in groupby(sets)]


async def test_recreate_removes_the_members_of_v1_before_it_makes_those_of_v2(
    cluster: Any, kserve: SimulatedKServe, operator: Manager, history: History
) -> None:
    await serve(cluster, replicas=2, deploymentStrategy={**QUICK, "type": "Recreate"})
    await cluster.set_spec("m", annotations=V2)
    await cluster.until_ready()
    await cluster.until_gone(SERVICES, "m-v1")
    assert await leads_to(cluster) == {"m-v2"}
    moments = await history.moments()
    assert staffed(moments) == [set(), {"m-v1"}, set(), {"m-v2"}]
    assert phases(moments) == ["Initializing", "Stable", "Progressing", "Switching", "Draining", "Stable"]


async def test_recreate_that_fails_removes_v2_and_makes_v1_again_as_it_was(
    cluster: Any, kserve: SimulatedKServe, operator: Manager, history: History
) -> None:
    await serve(cluster, deploymentStrategy={**QUICK, "type": "Recreate"})
    before = await cluster.get("m-v1-0", ISVCS)
    kserve.behave("m-v2-0", NEVER_READY)
    await cluster.set_spec("m", annotations=V2, deploymentStrategy=SOON_LATE)
    await cluster.until_phase("Failed")
    await cluster.until(lambda: cluster.find("m-v1-0", ISVCS))
    await cluster.until_condition("Available")
    await cluster.until_gone(SERVICES, "m-v2")
    after = await cluster.get("m-v1-0", ISVCS)
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    assert (after["spec"], after["metadata"]["labels"]) == (before["spec"], before["metadata"]["labels"])
    assert await leads_to(cluster) == {"m-v1"}
    assert staffed(await history.moments()) == [set(), {"m-v1"}, set(), {"m-v2"}, set(), {"m-v1"}]


async def test_manual_promotion_waits_for_the_annotation_with_the_revisions_name(
    cluster: Any, kserve: SimulatedKServe, operator: Manager, history: History, violations: Violations
) -> None:
    await serve(cluster, deploymentStrategy={**QUICK, "promotion": "Manual"})
    await annotate(cluster, PROMOTE, "m-v1")
    await cluster.set_spec("m", annotations=V2)
    waiting = await cluster.until_condition("Ready", "Unknown", "AwaitingPromotion")
    assert f"{PROMOTE}=m-v2" in waiting["message"]
    assert await leads_to(cluster) == {"m-v1"}
    await annotate(cluster, PROMOTE, "m-v2")
    await cluster.until_ready()
    await cluster.until_gone(ISVCS, "m-v1-0")
    assert await leads_to(cluster) == {"m-v2"}
    assert violations(await history.moments()) == []


async def test_a_promotion_that_waits_is_taken_back_when_v2_is_not_ready_any_more(
    cluster: Any, kserve: SimulatedKServe, operator: Manager, history: History, violations: Violations
) -> None:
    await serve(cluster, deploymentStrategy={**QUICK, "promotion": "Manual"})
    await cluster.set_spec("m", annotations=V2)
    await cluster.until_phase("AwaitingPromotion")
    kserve.behave("m-v2-0", Crash())
    await cluster.until_phase("Progressing")
    await annotate(cluster, PROMOTE, "m-v2")
    await cluster.until_condition("Ready", "Unknown", "MemberFailing")
    assert await leads_to(cluster) == {"m-v1"}
    kserve.recover("m-v2-0")
    await cluster.until_ready()
    assert await leads_to(cluster) == {"m-v2"}
    assert violations(await history.moments()) == []


@pytest.mark.parametrize("phase", ["Progressing", "AwaitingPromotion", "Draining"])
async def test_abort_gives_a_try_of_v2_up_and_retry_begins_the_next(
    cluster: Any,
    kserve: SimulatedKServe,
    operator: Manager,
    history: History,
    violations: Violations,
    phase: str,
) -> None:
    strategy = {
        "Progressing": QUICK,
        "AwaitingPromotion": {**QUICK, "promotion": "Manual"},
        "Draining": {**QUICK, "drainSeconds": 300},
    }[phase]
    await serve(cluster, deploymentStrategy=strategy)
    if phase == "Progressing":
        kserve.behave("m-v2-0", NEVER_READY)
    await cluster.set_spec("m", annotations=V2)
    await cluster.until_phase(phase)
    await annotate(cluster, ABORT, "m-v2/1")
    await cluster.set_spec("m", deploymentStrategy={"drainSeconds": 0})
    await cluster.until_phase("Failed")
    await cluster.until_condition("Stalled", reason="Aborted")
    await cluster.until_gone(ISVCS, "m-v2-0")
    assert await leads_to(cluster) == {"m-v1"}
    assert (await cluster.condition("Available"))["status"] == "True"

    # KServe takes up a Deployment of its name, and garbage collection then removes it: KServe tries again much later.
    await cluster.until_gone(DEPLOYMENTS, "m-v2-0-predictor")
    kserve.recover("m-v2-0")
    await annotate(cluster, RETRY, "m-v2/2")
    await annotate(cluster, PROMOTE, "m-v2")
    await cluster.until_ready()
    assert await leads_to(cluster) == {"m-v2"}
    assert await cluster.names(REVISIONS) == {"m-v1", "m-v2"}
    assert violations(await history.moments()) == []


async def test_hold_keeps_a_failed_revision_without_traffic_until_another_template_comes(
    cluster: Any, kserve: SimulatedKServe, operator: Manager, history: History, violations: Violations
) -> None:
    await serve(cluster, deploymentStrategy={**QUICK, "onFailure": "Hold"})
    kserve.behave("m-v2-0", NEVER_READY)
    await cluster.set_spec("m", annotations=V2, deploymentStrategy=SOON_LATE)
    await cluster.until_phase("Failed")
    failed = await cluster.get("m-v2-0", ISVCS)
    await cluster.set_spec("m", annotations=V1)
    await cluster.until_ready()
    await cluster.until_gone(ISVCS, "m-v2-0")
    moments = await history.moments()
    removal = next(i for i, m in enumerate(moments) if m.change.name == "m-v2-0" and _is_deleting(m.change.object))
    assert phases(moments[:removal])[-1] == "Stable", "it was removed before another template came"
    assert moments[removal].change.object["metadata"]["uid"] == failed["metadata"]["uid"]
    assert violations(moments) == []


def _is_deleting(value: Any) -> bool:
    return "deletionTimestamp" in value["metadata"]


async def test_a_failed_revision_is_kept_for_failedrevisionttlseconds(
    cluster: Any, kserve: SimulatedKServe, operator: Manager
) -> None:
    seconds = 3
    await serve(cluster, deploymentStrategy={**QUICK, "failedRevisionTTLSeconds": seconds})
    kserve.behave("m-v2-0", NEVER_READY)
    await cluster.set_spec("m", annotations=V2, deploymentStrategy=SOON_LATE)
    await cluster.until_phase("Failed")
    failed_at = datetime.fromisoformat((await cluster.status())["rollout"]["failedAt"])
    await cluster.until_gone(ISVCS, "m-v2-0")
    log = await cluster.plane.audit.settled()
    (deletion,) = log.calls(namespace=cluster.namespace, resource=ISVCS.plural, name="m-v2-0", verb="delete")
    assert (deletion.received - failed_at).total_seconds() >= seconds


async def test_undo_after_success_makes_a_new_number_and_old_records_go_beyond_the_limit(
    cluster: Any, kserve: SimulatedKServe, operator: Manager, history: History, violations: Violations
) -> None:
    """And an annotation of the template, as `kubectl rollout restart` sets one, is enough for a new revision."""
    await serve(cluster, revisionHistoryLimit=1)
    await cluster.set_spec("m", annotations={"kubectl.kubernetes.io/restartedAt": "2026-11-21T12:00:00Z"})
    status = await cluster.until_ready()
    assert status["activeRevision"]["name"] == "m-v2"
    assert await cluster.names(REVISIONS) == {"m-v1", "m-v2"}
    first = (await cluster.get("m-v1", REVISIONS))["data"]
    await cluster.set_spec("m", annotations={"kubectl.kubernetes.io/restartedAt": None})
    status = await cluster.until_ready()
    assert status["activeRevision"]["name"] == "m-v3"
    await cluster.until_gone(REVISIONS, "m-v1")
    assert await cluster.names(REVISIONS) == {"m-v2", "m-v3"}
    third = (await cluster.get("m-v3", REVISIONS))["data"]
    assert (third["template"], third["hash"]) == (first["template"], first["hash"])
    assert violations(await history.moments()) == []


@pytest.mark.parametrize("paused", [False, True])
async def test_v2_that_loses_all_endpoints_while_it_drains_gives_the_traffic_back_to_v1(
    cluster: Any,
    kserve: SimulatedKServe,
    operator: Manager,
    history: History,
    violations: Violations,
    *,
    paused: bool,
) -> None:
    await serve(cluster, deploymentStrategy={**QUICK, "drainSeconds": 300})
    await cluster.set_spec("m", annotations=V2)
    await cluster.until_phase("Draining")
    if paused:
        await cluster.set_spec("m", paused=True)
        await cluster.until_condition("Ready", "Unknown", "Paused")
    kserve.behave("m-v2-0", Crash())
    await cluster.until_condition("Stalled", reason="EndpointsLost")

    async def is_back() -> bool:
        return await leads_to(cluster) == {"m-v1"}

    await cluster.until(is_back)
    await cluster.set_spec("m", paused=False, deploymentStrategy={"drainSeconds": 0})
    await cluster.until_phase("Failed")
    await cluster.until_gone(ISVCS, "m-v2-0")
    assert (await cluster.condition("Available"))["status"] == "True"
    assert "m-v1-0" not in {m.change.name for m in await history.moments() if m.change.type == "DELETED"}
