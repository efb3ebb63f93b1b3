"""KServe is down: what serves goes on and is reported by its endpoints; new work waits, and finishes when it is back.

While it is down, statuses of InferenceServices stay as they are, its webhooks refuse creates and edits of them and
creates of their pods, and deletes hang on its finalizer.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from disvc.reconcilers.resources import DISVCS, INGRESSES, ISVCS, REVISIONS, SERVICES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractAsyncContextManager

    from disvc.runtime import Manager
    from disvc.testing.history import History, Moment
    from disvc.testing.kserve import SimulatedKServe

    Violations = Callable[[Iterable[Moment]], list[str]]
    Operate = Callable[..., AbstractAsyncContextManager[Manager]]

V1, V2 = {"version": "v1"}, {"version": "v2"}


async def serve(cluster: Any, **spec: Any) -> None:
    await cluster.create(cluster.manifest(annotations=V1, **spec))
    await cluster.until_ready()


async def states(history: History) -> list[tuple[str, str, str]]:
    """Return what the DISVC's status said, in order: its phase, and the status of Available and of Ready."""
    found = []
    for moment in await history.moments():
        if moment.change.resource.kind == DISVCS.kind and (status := moment.change.object.get("status")):
            told = {c["type"]: c["status"] for c in status["conditions"]}
            found.append((status["phase"], told["Available"], told["Ready"]))
    return found


async def is_terminating(cluster: Any, isvc: str) -> bool:
    found = await cluster.find(isvc, ISVCS)
    return found is not None and "deletionTimestamp" in found["metadata"]


def reconciles(manager: Manager) -> float:
    """Return how often the slowest controller has looked at what it has."""

    def of(controller: str) -> float:
        labels = ({"controller": controller, "result": result} for result in ("success", "requeue_after", "error"))
        value = manager.metrics.registry.get_sample_value
        return sum(value("controller_runtime_reconcile_total", label) or 0 for label in labels)

    return min(of(controller) for controller in ("inferenceservice", "service", "ingress", "status"))


async def test_what_serves_is_reported_as_before_and_no_operator_that_starts_then_writes_anything(
    cluster: Any, kserve: SimulatedKServe, operate: Operate
) -> None:
    async with operate():
        await serve(cluster, replicas=2)
    await kserve.stop()
    since = datetime.now(UTC)
    async with operate() as manager:
        async with asyncio.timeout(60):
            while not reconciles(manager):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    log = await cluster.plane.audit.settled()
    calls = log.calls(user="operator", namespace=cluster.namespace, since=since)
    assert {call.verb for call in calls} - {"list"} == {"watch"}
    assert (await cluster.condition("Ready"))["status"] == "True"


async def test_pods_that_die_meanwhile_are_told_by_their_endpoints_though_kserve_still_says_ready(
    cluster: Any, kserve: SimulatedKServe, operator: Manager, history: History
) -> None:
    await serve(cluster, replicas=2)
    await kserve.stop()
    kserve.fail_pods("m-v1-0")
    told = await cluster.until_condition("Ready", "Unknown", "MembersNotReady")
    assert "m-v1-0" in told["message"]
    assert (await cluster.condition("Available"))["status"] == "True"
    kserve.fail_pods("m-v1-1")
    await cluster.until_condition("Available", "False", "NoEndpoints")
    conditions = (await cluster.get("m-v1-0", ISVCS))["status"]["conditions"]
    assert {c["type"]: c["status"] for c in conditions}["Ready"] == "True"
    kserve.recover("m-v1-0")
    kserve.recover("m-v1-1")
    await cluster.until_ready()
    assert {phase for phase, *_ in await states(history)} == {"Initializing", "Stable"}


async def test_a_rollout_tries_again_at_a_steady_pace_and_so_goes_on_as_soon_as_kserve_is_back(
    cluster: Any, kserve: SimulatedKServe, operator: Manager, history: History
) -> None:
    await serve(cluster)
    await kserve.stop()
    await cluster.set_spec("m", annotations=V2)
    waiting = await cluster.until_condition("Ready", "Unknown", "WebhookUnavailable")
    assert 'failed calling webhook "inferenceservice.kserve-webhook-server.defaulter"' in waiting["message"]

    async def refusals() -> list[datetime]:
        log = await cluster.plane.audit.settled()
        wanted = {"verb": "create", "resource": ISVCS.plural, "namespace": cluster.namespace}
        return [call.received for call in log.calls(**wanted, user="operator", code=500)]

    async def has_tried_for_a_while() -> bool:
        tries = await refusals()
        return bool(tries) and (tries[-1] - tries[0]).total_seconds() > 8

    await cluster.until(has_tried_for_a_while)
    tries = await refusals()
    longest = max(later - earlier for earlier, later in pairwise(tries))
    assert longest < 0.45 * (tries[-1] - tries[0]), "of a back-off, the last wait is half of all the time"
    assert ("Progressing", "True", "False") not in await states(history), "a person is not needed"
    await kserve.start()
    await cluster.until_ready()
    await cluster.until_gone(ISVCS, "m-v1-0")
    assert {available for phase, available, _ in await states(history) if phase != "Initializing"} == {"True"}


async def test_a_new_service_makes_what_it_can_and_the_rest_when_kserve_is_back(
    cluster: Any, kserve: SimulatedKServe, operator: Manager
) -> None:
    await kserve.stop()
    await cluster.create(cluster.manifest())
    waiting = await cluster.until_condition("Ready", "Unknown", "WebhookUnavailable")
    assert "m-v1-0" in waiting["message"]
    assert (await cluster.condition("Available"))["status"] == "False"
    await cluster.until(lambda: cluster.find("m", INGRESSES))
    assert await cluster.names(SERVICES) == {"m", "m-v1"}
    await kserve.start()
    await cluster.until_ready()


async def test_a_rollout_that_misses_its_deadline_meanwhile_is_failed_with_the_webhooks_words(
    cluster: Any, kserve: SimulatedKServe, operator: Manager
) -> None:
    await serve(cluster)
    await kserve.stop()
    await cluster.set_spec("m", annotations=V2)
    await cluster.until_condition("Ready", "Unknown", "WebhookUnavailable")
    await cluster.set_spec("m", deploymentStrategy={"progressDeadlineSeconds": 1})
    await cluster.until_phase("Failed")
    stalled = await cluster.until_condition("Stalled", reason="ProgressDeadlineExceeded")
    assert "m-v2-0: cannot be created: " in stalled["message"]
    assert "failed calling webhook" in stalled["message"]
    assert (await cluster.condition("Available"))["status"] == "True"
    await kserve.start()
    await cluster.set_spec("m", annotations={"version": "v3"}, deploymentStrategy={"progressDeadlineSeconds": 600})
    status = await cluster.until_ready()
    assert status["activeRevision"]["name"] == "m-v3"


async def test_the_deletes_of_a_rollout_hang_on_finalizers_and_the_next_rollout_waits_for_them(
    cluster: Any, kserve: SimulatedKServe, operator: Manager, history: History, violations: Violations
) -> None:
    await serve(cluster, deploymentStrategy={"propagationSeconds": 0, "drainSeconds": 2})
    await cluster.set_spec("m", annotations=V2)
    await cluster.until_phase("Draining")
    await kserve.stop()
    await cluster.until(lambda: is_terminating(cluster, "m-v1-0"))
    await cluster.until_ready()
    assert (await cluster.status())["ready"] == "1/1"
    await cluster.set_spec("m", annotations={"version": "v3"})
    await cluster.until_phase("Progressing")

    async def says_what_it_waits_for() -> bool:
        words = "m-v3-0: waits until m-v1-0 is gone, which is being deleted, and waits for its finalizers"
        return words in (await cluster.condition("Ready"))["message"]

    await cluster.until(says_what_it_waits_for)
    assert await is_terminating(cluster, "m-v1-0")
    assert (await cluster.condition("Available"))["status"] == "True"
    await kserve.start()
    await cluster.until_ready()
    await cluster.until_gone(ISVCS, "m-v1-0", "m-v2-0")
    assert await cluster.names(ISVCS) == {"m-v3-0"}
    assert violations(await history.moments()) == []


async def test_scaling_down_hangs_and_scaling_up_again_waits_for_the_name(
    cluster: Any, kserve: SimulatedKServe, operator: Manager, history: History
) -> None:
    await serve(cluster, replicas=2)
    former = (await cluster.get("m-v1-1", ISVCS))["metadata"]["uid"]
    await kserve.stop()
    await cluster.set_spec("m", replicas=1)
    await cluster.until(lambda: is_terminating(cluster, "m-v1-1"))
    status = await cluster.until_ready()
    assert (status["ready"], status["replicas"]) == ("1/1", 2)
    await cluster.set_spec("m", replicas=2)
    waiting = await cluster.until_condition("Ready", "Unknown", "MembersNotReady")
    assert "m-v1-1: is being deleted, and waits for its finalizers: inferenceservice.finalizers" in waiting["message"]
    assert "see: kubectl -n kserve get pods" in waiting["message"]
    assert await is_terminating(cluster, "m-v1-1")
    await kserve.start()
    await cluster.until_ready()
    assert (await cluster.get("m-v1-1", ISVCS))["metadata"]["uid"] != former
    assert {phase for phase, *_ in await states(history)} == {"Initializing", "Stable"}


async def test_a_deleted_disvc_leaves_hanging_members_that_go_when_kserve_is_back(
    cluster: Any, kserve: SimulatedKServe, operator: Manager
) -> None:
    await serve(cluster, replicas=2)
    await kserve.stop()
    await cluster.delete("m")
    await cluster.until_gone(DISVCS, "m")
    await cluster.until_gone(INGRESSES, "m")
    await cluster.until_gone(SERVICES, "m", "m-v1")
    await cluster.until_gone(REVISIONS, "m-v1")
    for isvc in ("m-v1-0", "m-v1-1"):
        await cluster.until(lambda isvc=isvc: is_terminating(cluster, isvc))
    await kserve.start()
    await cluster.until_gone(ISVCS, "m-v1-0", "m-v1-1")
    await cluster.until_gone(SERVICES, "m-v1-0-predictor", "m-v1-1-predictor")
