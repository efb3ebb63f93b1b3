"""The cases that a rollout must get right: a test for each row of the table in the design that is no file of its own.

Kills: test_kill. Two operators: test_two_operators. Edits and deletes by hand: test_hand_edits. Names that are taken:
test_foreign_objects.
"""

from __future__ import annotations

import asyncio
import math
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Any

import pytest

from disvc.reconcilers.resources import DISVCS, INGRESSES, ISVCS, REVISIONS, SERVICES
from disvc.rollout.template import template_hash
from disvc.testing.kserve import Crash, Healthy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from contextlib import AbstractAsyncContextManager

    from disvc.runtime import Manager
    from disvc.testing.history import History, Moment
    from disvc.testing.kserve import SimulatedKServe

    Violations = Callable[[Iterable[Moment]], list[str]]
    Operate = Callable[..., AbstractAsyncContextManager[Manager]]

NEVER_READY = Healthy(startup_seconds=math.inf)
V1, V2, V3 = ({"version": f"v{number}"} for number in (1, 2, 3))
ONCE = ["Progressing", "Switching", "Draining", "Stable"]


SOON_LATE, NEVER_LATE = {"progressDeadlineSeconds": 1}, {"progressDeadlineSeconds": 600}
"""For what is to fail, and for what is not to, on a slow machine either."""


async def serve(cluster: Any, **spec: Any) -> None:
    await cluster.create(cluster.manifest(annotations=V1, **spec))
    await cluster.until_ready()


def phases(moments: Sequence[Moment]) -> list[str]:
    """Return the phases that were recorded, in order."""
    told = (m.change.object.get("status", {}).get("phase") for m in moments if m.change.resource.kind == DISVCS.kind)
    return [phase for phase, _ in groupby(phase for phase in told if phase)]


def routed(moments: Sequence[Moment]) -> list[str]:
    """Return the revisions that the stable Service has led to, in order."""
    services = (m.state[SERVICES].get("m") for m in moments)
    return [name for name, _ in groupby(s["spec"]["selector"]["disvc.group"] for s in services if s)]


async def is_just(cluster: Any, revision: str) -> bool:
    """Whether of all revisions just this one exists, and has the traffic."""
    services = await cluster.list(SERVICES)
    ingress = await cluster.get("m", INGRESSES)
    (path,) = ingress["spec"]["rules"][0]["http"]["paths"]
    return bool(
        await cluster.names(ISVCS) == {f"{revision}-0"}
        and {name for name in services if "predictor" not in name} == {"m", revision}
        and services["m"]["spec"]["selector"]["disvc.group"] == revision
        and path["backend"]["service"]["name"] == revision
    )


async def test_v3_while_v2_is_progressing_abandons_v2_and_v1_serves_on(
    cluster: Any, kserve: SimulatedKServe, operator: Manager, history: History, violations: Violations
) -> None:
    await serve(cluster)
    kserve.behave("m-v2-0", NEVER_READY)
    await cluster.set_spec("m", annotations=V2)
    await cluster.until(lambda: cluster.find("m-v2-0", ISVCS))
    await cluster.set_spec("m", annotations=V3)
    await cluster.until_ready()
    await cluster.until(lambda: is_just(cluster, "m-v3"))
    moments = await history.moments()
    assert routed(moments) == ["m-v1", "m-v3"]
    assert violations(moments) == []
    assert "Superseded" in await cluster.kubectl("get", "events")


@pytest.mark.parametrize("phase", ["Switching", "Draining"])
async def test_v3_in_switching_or_draining_waits_until_v2_is_finished(
    cluster: Any,
    kserve: SimulatedKServe,
    operator: Manager,
    history: History,
    violations: Violations,
    phase: str,
) -> None:
    waits = {"Switching": {"propagationSeconds": 2, "drainSeconds": 0}, "Draining": {"drainSeconds": 2}}[phase]
    await serve(cluster, deploymentStrategy={"propagationSeconds": 0, **waits})
    await cluster.set_spec("m", annotations=V2)
    await cluster.until_phase(phase)
    await cluster.set_spec("m", annotations=V3)
    assert (await cluster.status())["targetRevision"]["name"] == "m-v2"
    await cluster.until_ready()
    await cluster.until(lambda: is_just(cluster, "m-v3"))
    moments = await history.moments()
    assert phases(moments) == ["Initializing", "Stable", *ONCE, *ONCE]
    assert routed(moments) == ["m-v1", "m-v2", "m-v3"]
    assert violations(moments) == []


async def test_the_template_of_v1_while_v2_is_progressing_abandons_v2_and_makes_no_v3(
    cluster: Any, kserve: SimulatedKServe, operator: Manager, history: History, violations: Violations
) -> None:
    await serve(cluster)
    kserve.behave("m-v2-0", NEVER_READY)
    await cluster.set_spec("m", annotations=V2)
    await cluster.until(lambda: cluster.find("m-v2-0", ISVCS))
    await cluster.set_spec("m", annotations=V1)
    status = await cluster.until_ready()
    assert status["activeRevision"] == status["targetRevision"]
    await cluster.until(lambda: is_just(cluster, "m-v1"))
    assert await cluster.names(REVISIONS) == {"m-v1", "m-v2"}
    moments = await history.moments()
    assert routed(moments) == ["m-v1"]
    assert "m-v1-0" not in {m.change.name for m in moments if m.change.type == "DELETED"}
    assert violations(moments) == []


async def test_v2_that_never_gets_ready_is_rolled_back_at_the_deadline_and_stays_failed(
    cluster: Any, kserve: SimulatedKServe, operate: Operate, history: History, violations: Violations
) -> None:
    quick = {"propagationSeconds": 0, "drainSeconds": 0}
    async with operate():
        await serve(cluster, deploymentStrategy=quick)
        kserve.behave("m-v2-0", NEVER_READY)
        await cluster.set_spec("m", annotations=V2, deploymentStrategy=SOON_LATE)
        await cluster.until_phase("Failed")
        stalled = await cluster.until_condition("Stalled", reason="ProgressDeadlineExceeded")
        assert "m-v2-0" in stalled["message"]
        assert (await cluster.condition("Available"))["status"] == "True"
        assert (await cluster.condition("Ready"))["status"] == "False"
        await cluster.until(lambda: is_just(cluster, "m-v1"))
    async with operate():
        # A change that is none of the template's, seen by another process: v2 is not tried again.
        await cluster.set_spec("m", replicas=2)
        await cluster.until(lambda: cluster.find("m-v1-1", ISVCS))
        await cluster.until_condition("Stalled", reason="ProgressDeadlineExceeded")
        assert phases(await history.moments()) == ["Initializing", "Stable", "Progressing", "RollingBack", "Failed"]
        assert "m-v2-0" not in await cluster.names(ISVCS)
        await cluster.set_spec("m", replicas=1, annotations=V3, deploymentStrategy=NEVER_LATE)
        await cluster.until_ready()
        await cluster.until(lambda: is_just(cluster, "m-v3"))
    moments = await history.moments()
    assert routed(moments) == ["m-v1", "m-v3"]
    assert violations(moments) == []


async def test_the_template_of_v1_again_after_v2_failed_is_a_success_without_v3(
    cluster: Any, kserve: SimulatedKServe, operator: Manager
) -> None:
    await serve(cluster, deploymentStrategy={"propagationSeconds": 0, "drainSeconds": 0})
    kserve.behave("m-v2-0", NEVER_READY)
    await cluster.set_spec("m", annotations=V2, deploymentStrategy=SOON_LATE)
    await cluster.until_phase("Failed")
    await cluster.set_spec("m", annotations=V1)
    status = await cluster.until_ready()
    assert status["targetRevision"]["name"] == "m-v1"
    assert await cluster.names(REVISIONS) == {"m-v1", "m-v2"}


async def test_v1_that_is_unhealthy_when_v2_is_ready_does_not_hold_the_switch_up(
    cluster: Any, kserve: SimulatedKServe, operator: Manager
) -> None:
    await serve(cluster)
    kserve.behave("m-v1-0", Crash())
    await cluster.until_condition("Available", "False", "NoEndpoints")
    await cluster.set_spec("m", annotations=V2)
    await cluster.until_ready()
    await cluster.until(lambda: is_just(cluster, "m-v2"))


async def test_an_active_isvc_that_turns_unready_changes_conditions_and_nothing_else(
    cluster: Any, kserve: SimulatedKServe, operator: Manager, history: History
) -> None:
    await serve(cluster, replicas=2)
    before = await cluster.list(ISVCS)
    kserve.fail_pods("m-v1-0")
    ready = await cluster.until_condition("Ready", "False")
    assert "m-v1-0" in ready["message"]
    assert (await cluster.condition("Available"))["status"] == "True"
    kserve.fail_pods("m-v1-1")
    await cluster.until_condition("Available", "False", "NoEndpoints")
    kserve.recover("m-v1-0")
    await cluster.until_condition("Available")
    kserve.recover("m-v1-1")
    await cluster.until_ready()
    moments = await history.moments()
    assert phases(moments) == ["Initializing", "Stable"]
    after = await cluster.list(ISVCS)
    assert {name: isvc["metadata"]["uid"] for name, isvc in after.items()} == {
        name: isvc["metadata"]["uid"] for name, isvc in before.items()
    }


async def test_while_kserve_is_down_what_serves_is_reported_and_new_work_waits_with_the_webhooks_words(
    cluster: Any, kserve: SimulatedKServe, operator: Manager, history: History, violations: Violations
) -> None:
    await serve(cluster)
    await kserve.stop()
    await cluster.set_spec("m", annotations=V2)
    waiting = await cluster.until_condition("Ready", "Unknown", "WebhookUnavailable")
    assert "webhook" in waiting["message"]
    assert "m-v2-0" in waiting["message"]
    assert (await cluster.condition("Available"))["status"] == "True"
    assert await cluster.condition("Stalled") == {}
    await kserve.start()
    await cluster.until_ready()
    await cluster.until(lambda: is_just(cluster, "m-v2"))
    assert violations(await history.moments()) == []


async def test_a_disvc_deleted_mid_rollout_and_made_again_waits_for_the_names_and_shares_no_child(
    cluster: Any, kserve: SimulatedKServe, operator: Manager
) -> None:
    await serve(cluster)
    kserve.behave("m-v2-0", NEVER_READY)
    await cluster.set_spec("m", annotations=V2)
    await cluster.until(lambda: cluster.find("m-v2-0", ISVCS))
    kserve.recover("m-v2-0")
    held = {"metadata": {"finalizers": ["inferenceservice.finalizers", "example.com/held"]}}
    await cluster.change("m-v1-0", held, ISVCS)
    former = (await cluster.get("m"))["metadata"]["uid"]
    await cluster.delete("m")
    await cluster.until_gone(DISVCS, "m")
    await cluster.create(cluster.manifest(annotations=V1))

    async def waits_for_the_held() -> bool:
        ready = await cluster.condition("Ready")
        held = "InferenceService m-v1-0 of the deleted" in ready.get("message", "")
        return held and (ready["status"], ready["reason"]) == ("Unknown", "WaitingForGarbageCollection")

    await cluster.until(waits_for_the_held)
    assert (await cluster.get("m-v1-0", ISVCS))["metadata"]["ownerReferences"][0]["uid"] == former
    await cluster.change("m-v1-0", {"metadata": {"finalizers": None}}, ISVCS)
    await cluster.until_ready()
    await cluster.until(lambda: is_just(cluster, "m-v1"))
    present = (await cluster.get("m"))["metadata"]["uid"]
    for resource in (ISVCS, INGRESSES, REVISIONS):
        for name, child in (await cluster.list(resource)).items():
            assert [owner["uid"] for owner in child["metadata"]["ownerReferences"]] == [present], name


async def test_paused_there_is_no_transition_and_the_deadline_stands_still(
    cluster: Any, kserve: SimulatedKServe, operator: Manager, history: History
) -> None:
    deadline = 3
    quick = {"propagationSeconds": 0, "drainSeconds": 0, "progressDeadlineSeconds": deadline}
    await serve(cluster, deploymentStrategy=quick)
    kserve.behave("m-v2-0", NEVER_READY)
    await cluster.set_spec("m", annotations=V2, paused=True)
    paused = await cluster.until_condition("Ready", "Unknown", "Paused")
    assert "spec.paused" in paused["message"]
    assert await cluster.names(REVISIONS) == {"m-v1"}, "a rollout began"
    await cluster.set_spec("m", paused=False)
    await cluster.until_phase("Progressing")
    await cluster.set_spec("m", paused=True)
    await cluster.until(lambda: _paused_at(cluster))
    before = (await cluster.status())["rollout"]
    over = _time(before["startedAt"]) + timedelta(seconds=deadline + 1)

    async def is_over() -> bool:
        return datetime.now(UTC) > over

    await cluster.until(is_over)
    kserve.recover("m-v2-0")
    await cluster.until(lambda: _is_ready(cluster, "m-v2-0"))
    assert (await cluster.status())["phase"] == "Progressing"
    await cluster.set_spec("m", paused=False)
    await cluster.until_ready()
    moments = await history.moments()
    assert phases(moments) == ["Initializing", "Stable", *ONCE]
    disvcs = (m.change.object for m in moments if m.change.resource.kind == DISVCS.kind)
    rollouts = [rollout for value in disvcs if (rollout := value.get("status", {}).get("rollout"))]
    resumed = next(r for r in rollouts if _time(r["startedAt"]) > _time(before["startedAt"]))
    assert _time(resumed["startedAt"]) - _time(before["startedAt"]) > over - _time(before["pausedAt"])


async def _paused_at(cluster: Any) -> object:
    return ((await cluster.status()).get("rollout") or {}).get("pausedAt")


async def _is_ready(cluster: Any, isvc: str) -> bool:
    conditions = (await cluster.get(isvc, ISVCS)).get("status", {}).get("conditions", ())
    return any((c["type"], c["status"]) == ("Ready", "True") for c in conditions)


def _time(written: str) -> datetime:
    return datetime.fromisoformat(written)


async def test_with_0_replicas_there_are_no_members_the_route_stays_and_scaling_up_is_no_rollout(
    cluster: Any, kserve: SimulatedKServe, operator: Manager, history: History
) -> None:
    await serve(cluster)
    ingress = await cluster.get("m", INGRESSES)
    await cluster.set_spec("m", replicas=0)
    await cluster.until_condition("Available", "False", "ScaledToZero")
    await cluster.until_gone(ISVCS, "m-v1-0")
    await cluster.set_spec("m", replicas=1)
    await cluster.until_ready()
    assert await is_just(cluster, "m-v1")
    assert (await cluster.get("m", INGRESSES))["metadata"]["uid"] == ingress["metadata"]["uid"]
    assert phases(await history.moments()) == ["Initializing", "Stable"]


async def test_a_record_with_the_hash_of_a_template_and_other_content_is_not_taken_for_it(
    cluster: Any, kserve: SimulatedKServe, operator: Manager
) -> None:
    await serve(cluster)
    record = await cluster.get("m-v1", REVISIONS)
    collision = template_hash({**record["data"]["template"], "annotations": V2})
    made = {
        **{name: record[name] for name in ("apiVersion", "kind")},
        "metadata": {
            "name": "m-v2",
            **{name: record["metadata"][name] for name in ("labels", "annotations", "ownerReferences")},
        },
        "revision": 2,
        "data": {**record["data"], "hash": collision},
    }
    await cluster.create(made, REVISIONS)
    # And by hand the hash of the live one is made to lie.
    lie = {"metadata": {"annotations": {"disvc.serving.kserve.io/hash": collision}}}
    await cluster.change("m-v1", lie, REVISIONS)
    await cluster.set_spec("m", annotations=V2)
    status = await cluster.until_ready()
    assert status["activeRevision"] == {"name": "m-v3", "number": 3, "hash": collision}
    await cluster.until(lambda: is_just(cluster, "m-v3"))
    annotations = (await cluster.get("m-v3-0", ISVCS))["metadata"]["annotations"]
    assert annotations["version"] == "v2"


async def test_a_deleted_record_is_made_again_as_it_was(
    cluster: Any, kserve: SimulatedKServe, operator: Manager, history: History
) -> None:
    await serve(cluster)
    before = await cluster.get("m-v1", REVISIONS)
    await cluster.delete("m-v1", REVISIONS)
    await cluster.until(lambda: cluster.find("m-v1", REVISIONS))
    after = await cluster.get("m-v1", REVISIONS)
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    assert after["revision"] == before["revision"]
    assert {**after["data"], "inferenceService": None} == {**before["data"], "inferenceService": None}
    isvc = await cluster.get("m-v1-0", ISVCS)
    await asyncio.gather(cluster.set_spec("m", replicas=2), cluster.until(lambda: cluster.find("m-v1-1", ISVCS)))
    other = await cluster.get("m-v1-1", ISVCS)
    assert other["spec"] == isvc["spec"]
    assert phases(await history.moments()) == ["Initializing", "Stable"]
