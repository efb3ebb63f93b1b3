"""How an ISVC fails in the simulated KServe: a test for each way that design/kserve.md tells of."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest

from disvc.runtime import Resource
from disvc.testing.history import History
from disvc.testing.kserve import (
    INFERENCE_SERVICES,
    Behaviour,
    Crash,
    Flapping,
    Healthy,
    ImageNotPulled,
    InitFailure,
    OutOfMemory,
    ServingRuntime,
    Silent,
    SimulatedKServe,
    UnknownRuntime,
    UnsupportedStorage,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from conftest import ISVCs

    Value = dict[str, Any]
    MakeKServe = Callable[..., Awaitable[SimulatedKServe]]

DEPLOYMENTS = Resource("apps/v1", "Deployment", "deployments")
PODS = Resource("v1", "Pod", "pods")
ENDPOINT_SLICES = Resource("discovery.k8s.io/v1", "EndpointSlice", "endpointslices")
EVENTS = Resource("v1", "Event", "events")


def container(pods: dict[str, Value], field: str = "containerStatuses") -> Value:
    """Return the status of the first container of the only pod, {} where there is none."""
    statuses = [pod["status"].get(field) or [{}] for pod in pods.values()]
    return statuses[0][0] if statuses else {}


def waits_for(pods: dict[str, Value], reason: str, field: str = "containerStatuses") -> bool:
    waiting: Value = container(pods, field).get("state", {}).get("waiting", {})
    return waiting.get("reason") == reason


def model(isvcs: dict[str, Value]) -> Value:
    """Return the modelStatus of `a`."""
    found: Value = isvcs["a"].get("status", {}).get("modelStatus", {})
    return found


@pytest.mark.parametrize(
    ("behaviour", "reason", "exit_code"),
    [(Crash(exit_code=3, message="no model"), "Error", 3), (OutOfMemory(), "OOMKilled", 137)],
)
async def test_a_server_that_ends_is_told_by_its_pod_and_by_kserve_only_at_the_deadline(
    isvcs: ISVCs, make_kserve: MakeKServe, behaviour: Behaviour, reason: str, exit_code: int
) -> None:
    kserve = await make_kserve(progress_deadline_seconds=3)
    kserve.behave("a", behaviour)
    async with History(isvcs.client.transport, isvcs.namespace, INFERENCE_SERVICES) as history:
        await isvcs.create("a")
        pods = await isvcs.until(PODS, lambda pods: waits_for(pods, "CrashLoopBackOff"))
        ended = container(pods)["lastState"]["terminated"]
        assert (ended["reason"], ended["exitCode"]) == (reason, exit_code)
        assert container(pods)["restartCount"] == 1
        now = await isvcs.until(
            INFERENCE_SERVICES, lambda now: model(now).get("transitionStatus") == "BlockedByFailedLoad"
        )
        versions = [moment.change.object for moment in await history.moments()]
    before = [version for version in versions if version.get("status")][:-1]
    assert {version["status"]["modelStatus"]["states"]["targetModelState"] for version in before} == {"Pending"}
    assert model(now)["lastFailureInfo"]["reason"] == "ModelLoadFailed"
    assert model(now)["lastFailureInfo"]["exitCode"] == exit_code
    assert isvcs.condition(now["a"], "PredictorReady")["status"] == "False"


async def test_an_image_that_cannot_be_pulled_is_told_by_its_pod_and_by_kserve_never(
    isvcs: ISVCs, make_kserve: MakeKServe
) -> None:
    kserve = await make_kserve(progress_deadline_seconds=3)
    kserve.behave("a", ImageNotPulled(message="not found", pull_seconds=0.5))
    await isvcs.create("a")
    await isvcs.until(PODS, lambda pods: waits_for(pods, "ErrImagePull"))
    pods = await isvcs.until(PODS, lambda pods: waits_for(pods, "ImagePullBackOff"))
    assert "not found" in container(pods)["state"]["waiting"]["message"]
    (pod,) = pods.values()
    assert pod["status"]["phase"] == "Pending"
    await isvcs.until(
        DEPLOYMENTS, lambda now: isvcs.condition(now["a-predictor"], "Progressing").get("status") == "False"
    )
    await isvcs.annotate("a", look="again")  # KServe looks, and has nothing to say
    await isvcs.until(DEPLOYMENTS, lambda now: now["a-predictor"]["status"]["observedGeneration"] == 2)
    now = await isvcs.until(INFERENCE_SERVICES, lambda now: now["a"]["status"].get("observedGeneration") == 2)
    assert model(now)["transitionStatus"] == "InProgress"
    assert model(now)["states"]["targetModelState"] == "Pending"
    assert "lastFailureInfo" not in model(now)


async def test_a_storage_initializer_that_fails_is_told_at_once_and_for_ever(
    isvcs: ISVCs, kserve: SimulatedKServe
) -> None:
    kserve.behave("a", InitFailure(exit_code=2, message="RuntimeError: no such bucket"))
    await isvcs.create("a")
    now = await isvcs.until(INFERENCE_SERVICES, lambda now: model(now).get("transitionStatus") == "BlockedByFailedLoad")
    failure = {"reason": "ModelLoadFailed", "message": "RuntimeError: no such bucket", "exitCode": 2}
    assert model(now)["lastFailureInfo"] == failure
    (pod,) = await isvcs.all(PODS)
    assert pod["status"]["phase"] == "Pending"
    assert isvcs.condition(pod, "Initialized")["status"] == "False"
    assert waits_for({"": pod}, "CrashLoopBackOff", "initContainerStatuses")
    assert waits_for({"": pod}, "PodInitializing")
    kserve.recover("a")
    await isvcs.until_ready("a")
    now = await isvcs.until(INFERENCE_SERVICES, lambda now: model(now)["transitionStatus"] == "UpToDate")
    assert model(now)["lastFailureInfo"] == failure


async def test_while_the_storage_initializer_runs_the_model_is_loading(isvcs: ISVCs, kserve: SimulatedKServe) -> None:
    kserve.behave("a", Healthy(init_seconds=math.inf))
    await isvcs.create("a")
    await isvcs.until(INFERENCE_SERVICES, lambda now: model(now).get("states", {}).get("targetModelState") == "Loading")
    kserve.recover("a")
    await isvcs.until_ready("a")


async def test_a_runtime_that_does_not_exist_is_told_at_once_and_found_by_back_off(
    isvcs: ISVCs, kserve: SimulatedKServe
) -> None:
    await isvcs.create("a", predictor=isvcs.predictor(model={"runtime": "mine"}))
    now = await isvcs.until(INFERENCE_SERVICES, lambda now: model(now).get("transitionStatus") == "InvalidSpec")
    assert {c["type"]: c["status"] for c in now["a"]["status"]["conditions"]} == dict.fromkeys(
        ("IngressReady", "PredictorReady", "Ready"), "Unknown"
    )
    assert model(now)["lastFailureInfo"] == {
        "reason": "RuntimeNotRecognized",
        "message": "Waiting for runtime to become available",
    }
    assert model(now)["states"]["targetModelState"] == "FailedToLoad"
    kserve.put_runtime("mine", ServingRuntime("mine:1", ("sklearn",)))
    await isvcs.until_ready("a")


@pytest.mark.parametrize("behaviour", [None, UnsupportedStorage()])
async def test_a_storage_uri_that_is_not_supported_is_told_only_by_an_event(
    isvcs: ISVCs, kserve: SimulatedKServe, behaviour: Behaviour | None
) -> None:
    if behaviour is None:
        created = await isvcs.create("a", predictor=isvcs.predictor(model={"storageUri": "ftp://models/sklearn"}))
    else:
        kserve.behave("a", behaviour)
        created = await isvcs.create("a")
    now = await isvcs.until(INFERENCE_SERVICES, lambda now: now["a"].get("status"))
    conditions = now["a"]["status"]["conditions"]
    assert {(c["status"], c.get("reason"), c.get("message")) for c in conditions} == {("Unknown", None, None)}
    assert model(now) == {"transitionStatus": ""}
    (event,) = (await isvcs.until(EVENTS, lambda events: events)).values()
    assert (event["type"], event["reason"]) == ("Warning", "InternalError")
    assert "StorageURI not supported" in event["message"]
    about = event["involvedObject"]
    assert (about["kind"], about["name"], about["uid"]) == ("InferenceService", "a", created["metadata"]["uid"])
    assert event["source"] == {"component": "v1beta1Controllers"}
    await isvcs.until(EVENTS, lambda events: [e["count"] for e in events.values()] >= [3])
    if behaviour is not None:
        kserve.recover("a")
        await isvcs.until_ready("a")


async def test_a_kserve_that_is_silent_leaves_ready_pods_without_a_status(
    isvcs: ISVCs, kserve: SimulatedKServe
) -> None:
    kserve.behave("a", Silent())
    await isvcs.create("a")
    await isvcs.until(DEPLOYMENTS, lambda now: now.get("a-predictor", {}).get("status", {}).get("readyReplicas") == 1)
    assert "status" not in await isvcs.get(INFERENCE_SERVICES, "a")
    kserve.recover("a")
    await isvcs.until_ready("a")


async def test_readiness_that_flaps_goes_through_to_the_isvc(isvcs: ISVCs, kserve: SimulatedKServe) -> None:
    kserve.behave("a", Flapping(ready_seconds=0.5, unready_seconds=0.5))
    await isvcs.create("a")
    for status in ("True", "False", "True", "False"):
        await isvcs.until_ready("a", status)


async def test_pods_that_die_later_take_readiness_with_them_and_events_tell_of_it(
    isvcs: ISVCs, kserve: SimulatedKServe
) -> None:
    await isvcs.create("a")
    await isvcs.until_ready("a")
    kserve.fail_pods("a", Crash(exit_code=4))
    isvc = await isvcs.until_ready("a", "False")
    assert isvcs.condition(isvc, "PredictorReady")["reason"] == "MinimumReplicasUnavailable"
    now = await isvcs.until(INFERENCE_SERVICES, lambda now: "lastFailureInfo" in model(now))
    assert model(now)["lastFailureInfo"]["exitCode"] == 4
    kserve.recover("a")
    await isvcs.until_ready("a")
    pods = await isvcs.all(PODS)
    assert container({"": pods[0]})["restartCount"] == 1
    wanted = {
        ("Normal", "InferenceServiceReady", "InferenceService [a] is Ready"),
        (
            "Warning",
            "InferenceServiceNotReady",
            "InferenceService [a] is no longer Ready because of: IngressReady, PredictorReady, Ready, Stopped",
        ),
    }

    def told(events: dict[str, Value]) -> set[tuple[str, str, str]]:
        about = [e for e in events.values() if e["involvedObject"]["kind"] == "InferenceService"]
        return {(e["type"], e["reason"], e["message"]) for e in about}

    await isvcs.until(EVENTS, lambda events: told(events) == wanted)


async def test_a_pod_that_fails_and_is_deleted_is_replaced_by_a_healthy_one(
    isvcs: ISVCs, kserve: SimulatedKServe
) -> None:
    await isvcs.create("a")
    await isvcs.until_ready("a")
    kserve.fail_pods("a")
    await isvcs.until_ready("a", "False")
    (pod,) = await isvcs.all(PODS)
    await isvcs.client.delete(PODS, pod["metadata"]["name"], isvcs.namespace)
    await isvcs.until_ready("a")


@pytest.mark.parametrize("behaviour", [UnknownRuntime(), InitFailure(), ImageNotPulled()])
async def test_what_only_befalls_a_start_leaves_pods_that_serve_alone(
    isvcs: ISVCs, kserve: SimulatedKServe, behaviour: Behaviour
) -> None:
    await isvcs.create("a")
    await isvcs.create("b")
    await isvcs.until_ready("a")
    await isvcs.until_ready("b")
    async with History(isvcs.client.transport, isvcs.namespace, PODS) as history:
        kserve.behave("a", behaviour)
        kserve.fail_pods("b")  # told after `a`, so that `a` has been looked at when this shows
        await isvcs.until_ready("b", "False")
        changed = {moment.change.object["metadata"]["labels"]["app"] for moment in await history.moments()}
    assert changed == {"isvc.b-predictor"}


async def test_a_function_of_the_isvc_chooses_its_behaviour(isvcs: ISVCs, make_kserve: MakeKServe) -> None:
    def choose(isvc: Any) -> Behaviour:
        return InitFailure() if "bad" in isvc.decode()["spec"]["predictor"]["model"]["storageUri"] else Healthy()

    await make_kserve(behaviour=choose)
    await isvcs.create("a", predictor=isvcs.predictor(model={"storageUri": "gs://bad/model"}))
    await isvcs.create("b")
    await isvcs.until_ready("b")
    await isvcs.until(INFERENCE_SERVICES, lambda now: model(now).get("transitionStatus") == "BlockedByFailedLoad")
