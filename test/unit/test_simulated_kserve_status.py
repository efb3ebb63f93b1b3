"""The simulated KServe's conditions and modelStatus: pure functions of what it sees."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from disvc.testing.kserve.conditions import INGRESS_READY, PREDICTOR_READY, READY, STOPPED, Conditions
from disvc.testing.kserve.status import propagate_deployment, propagate_model

if TYPE_CHECKING:
    Value = dict[str, Any]

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def statuses(status: Value) -> dict[str, str]:
    return {c["type"]: c["status"] for c in status["conditions"]}


def test_ready_is_true_only_when_both_that_it_depends_on_are() -> None:
    status: Value = {}
    conditions = Conditions(status, NOW)
    conditions.set(PREDICTOR_READY, "True")
    assert statuses(status) == {PREDICTOR_READY: "True", READY: "Unknown"}
    conditions.set(INGRESS_READY, "True")
    assert conditions.is_true(READY)


def test_ready_takes_over_why_the_last_one_to_fail_did() -> None:
    status: Value = {}
    conditions = Conditions(status, NOW)
    conditions.set(PREDICTOR_READY, "False", "A", "a")
    conditions.set(INGRESS_READY, "False", "B", "b")
    ready = conditions.get(READY) or {}
    assert (ready["status"], ready["reason"], ready["message"]) == ("False", "B", "b")


def test_what_is_unknown_does_not_hide_what_has_failed() -> None:
    conditions = Conditions({}, NOW)
    conditions.set(INGRESS_READY, "False", "B")
    conditions.set(PREDICTOR_READY, "Unknown", "A")
    assert (conditions.get(READY) or {})["reason"] == "B"


@pytest.mark.parametrize("kind", [STOPPED, "TransformerReady"])
def test_what_is_only_informative_does_not_touch_ready(kind: str) -> None:
    conditions = Conditions({}, NOW)
    conditions.set(PREDICTOR_READY, "True")
    conditions.set(INGRESS_READY, "True")
    conditions.set(kind, "False", "X")
    assert conditions.is_true(READY)
    assert (conditions.get(kind) or {})["severity"] == "Info"


def test_a_condition_that_says_the_same_keeps_its_time() -> None:
    status: Value = {}
    Conditions(status, NOW).set(PREDICTOR_READY, "False", "A")
    later = Conditions(status, NOW + timedelta(seconds=60))
    later.set(PREDICTOR_READY, "False", "A")
    assert (later.get(PREDICTOR_READY) or {})["lastTransitionTime"] == "2026-01-01T00:00:00Z"
    later.set(PREDICTOR_READY, "False", "B")
    assert (later.get(PREDICTOR_READY) or {})["lastTransitionTime"] == "2026-01-01T00:01:00Z"


AVAILABLE = {"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable"}
UNAVAILABLE = {"type": "Available", "status": "False", "reason": "MinimumReplicasUnavailable"}
COMPLETE = {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}
UPDATING = {"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated"}
LATE = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "too late"}
FAILURE = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate"}


@pytest.mark.parametrize(
    ("conditions", "status", "reason"),
    [
        ([], "False", ""),
        ([UPDATING], "Unknown", "ReplicaSetUpdated"),
        ([UPDATING, UNAVAILABLE], "False", "MinimumReplicasUnavailable"),
        ([UPDATING, AVAILABLE], "True", "MinimumReplicasAvailable"),
        ([COMPLETE, AVAILABLE], "True", "NewReplicaSetAvailable"),
        ([COMPLETE, UNAVAILABLE], "False", "MinimumReplicasUnavailable"),
        ([LATE, AVAILABLE], "False", "ProgressDeadlineExceeded"),
        ([COMPLETE, AVAILABLE, FAILURE], "False", "FailedCreate"),
    ],
)
def test_a_components_readiness_is_its_deployments(conditions: list[Value], status: str, reason: str) -> None:
    isvc: Value = {}
    deployment = {"status": {"observedGeneration": 7, "conditions": conditions}}
    found = Conditions(isvc, NOW)
    propagate_deployment(isvc, found, "predictor", deployment, "http://x")
    condition = found.get(PREDICTOR_READY) or {}
    assert (condition["status"], condition.get("reason", "")) == (status, reason)
    assert isvc["observedGeneration"] == 7
    assert isvc["components"]["predictor"] == ({"url": "http://x"} if status == "True" else {})


def test_a_deployment_that_nobody_has_observed_says_nothing() -> None:
    isvc: Value = {"observedGeneration": 1}
    found = Conditions(isvc, NOW)
    propagate_deployment(isvc, found, "predictor", {"status": {"conditions": [COMPLETE]}}, "http://x")
    assert statuses(isvc)[PREDICTOR_READY] == "False"
    assert "observedGeneration" not in isvc


def pod(init: Value | None = None, server: Value | None = None, init_last: Value | None = None) -> Value:
    def of(name: str, state: Value, last: Value | None) -> Value:
        return {"name": name, "state": state, "lastState": {"terminated": last} if last else {}}

    return {
        "status": {
            "initContainerStatuses": [of("storage-initializer", init, init_last)] if init else [],
            "containerStatuses": [of("kserve-container", server or {}, {"exitCode": 5, "message": "bang"})],
        }
    }


BACKOFF = {"waiting": {"reason": "CrashLoopBackOff"}}
RUNNING: Value = {"running": {}}
STARTING = {"status": {"conditions": [UPDATING]}}
STARTED = {"status": {"conditions": [COMPLETE]}}
STUCK = {"status": {"conditions": [LATE]}}


@pytest.mark.parametrize(
    ("pods", "ready", "deployment", "state"),
    [
        ([], False, STARTING, "Pending"),
        ([pod(init=RUNNING)], False, STARTING, "Loading"),
        ([pod(init=BACKOFF, init_last={"exitCode": 1})], False, STARTING, "FailedToLoad"),
        ([pod(init={"terminated": {"reason": "Error", "exitCode": 1}})], False, STARTING, "FailedToLoad"),
        ([pod(server=RUNNING)], False, STARTING, "Pending"),
        ([pod(server=RUNNING)], True, STARTED, "Loaded"),
        ([pod(server=BACKOFF)], False, STARTING, "Pending"),
        ([pod(server=BACKOFF)], False, STUCK, "FailedToLoad"),
        ([pod(server=BACKOFF)], False, STARTED, "FailedToLoad"),
        ([pod(server={"waiting": {"reason": "ImagePullBackOff"}})], False, STUCK, "Pending"),
    ],
)
def test_a_models_state_is_that_of_the_first_pod(pods: list[Value], ready: bool, deployment: Value, state: str) -> None:
    status: Value = {"modelStatus": {"transitionStatus": ""}}
    assert propagate_model(status, ready=ready, pods=pods, deployment=deployment)
    model = status["modelStatus"]
    assert model["states"]["targetModelState"] == state
    transitions = {"Loaded": "UpToDate", "FailedToLoad": "BlockedByFailedLoad"}
    assert model["transitionStatus"] == transitions.get(state, "InProgress")
    assert ("lastFailureInfo" in model) == (state == "FailedToLoad")


def test_the_failure_of_a_container_that_backs_off_is_its_last_one() -> None:
    status: Value = {"modelStatus": {"transitionStatus": ""}}
    propagate_model(status, ready=False, pods=[pod(server=BACKOFF)], deployment=STUCK)
    failure = {"reason": "ModelLoadFailed", "message": "bang", "exitCode": 5}
    assert status["modelStatus"]["lastFailureInfo"] == failure
    propagate_model(status, ready=True, pods=[pod(server=RUNNING)], deployment=STARTED)
    assert status["modelStatus"]["lastFailureInfo"] == failure, "it stays after recovery"


def test_an_initializer_that_runs_again_after_a_failure_is_looked_at_later() -> None:
    status: Value = {"modelStatus": {"transitionStatus": "BlockedByFailedLoad"}}
    pods = [pod(init=RUNNING, init_last={"exitCode": 1})]
    assert not propagate_model(status, ready=False, pods=pods, deployment=STARTING)
