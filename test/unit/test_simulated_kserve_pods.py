"""Pods of the simulated kubelet: the stages that a behaviour goes through, and the status that a stage becomes."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from disvc.testing.kserve.behaviour import (
    Behaviour,
    Crash,
    Flapping,
    Healthy,
    ImageNotPulled,
    InitFailure,
    OutOfMemory,
    Running,
    Silent,
    Stage,
    Terminated,
    UnknownRuntime,
    UnsupportedStorage,
    Waiting,
)
from disvc.testing.kserve.pod_status import pod_status

if TYPE_CHECKING:
    Value = dict[str, Any]

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ADDRESSES = ("10.244.0.2", "10.0.0.1")


@pytest.mark.parametrize("behaviour", [Healthy(), Silent(), UnknownRuntime(), UnsupportedStorage()])
def test_a_healthy_pod_is_ready_at_once_and_for_ever(behaviour: Behaviour) -> None:
    assert behaviour.stage(0) == behaviour.stage(1e9) == Stage(Running(), ready=True)


def test_a_slow_pod_initialises_then_starts_then_is_ready() -> None:
    slow = Healthy(startup_seconds=3, init_seconds=2)
    assert slow.stage(0) == Stage(Waiting("PodInitializing"), Running(), seconds=2)
    assert slow.stage(2) == Stage(Running(), seconds=3)
    assert slow.stage(4.5) == Stage(Running(), seconds=0.5)
    assert slow.stage(5).ready


def test_a_pod_that_never_turns_ready_runs() -> None:
    assert Healthy(startup_seconds=math.inf).stage(1e9) == Stage(Running(), seconds=math.inf)


def test_a_crash_repeats_with_one_more_restart_each_time() -> None:
    crash = Crash(exit_code=3, run_seconds=1, backoff_seconds=4)
    ended = Terminated("Error", 3)
    assert crash.stage(0) == Stage(Running(), seconds=1)
    backoff = crash.stage(1)
    assert isinstance(backoff.server, Waiting)
    assert (backoff.server.reason, backoff.last, backoff.restarts, backoff.seconds) == ("CrashLoopBackOff", ended, 1, 4)
    assert crash.stage(5) == Stage(Running(), last=ended, restarts=1, seconds=1)
    assert crash.stage(6).restarts == 2


def test_memory_is_out_with_137() -> None:
    assert OutOfMemory().stage(0).last == Terminated("OOMKilled", 137)


def test_a_pull_that_fails_backs_off_and_is_tried_again() -> None:
    stages = [ImageNotPulled("gone", pull_seconds=1, backoff_seconds=2).stage(elapsed) for elapsed in range(4)]
    waiting = [stage.server for stage in stages]
    assert [w.reason for w in waiting if isinstance(w, Waiting)] == [
        "ErrImagePull",
        "ImagePullBackOff",
        "ImagePullBackOff",
        "ErrImagePull",
    ]
    assert [stage.seconds for stage in stages] == [1, 2, 1, 1]


def test_a_storage_initializer_that_fails_keeps_the_server_waiting() -> None:
    stage = InitFailure(exit_code=2, message="no bucket").stage(0)
    assert stage.server == Waiting("PodInitializing")
    assert isinstance(stage.init, Waiting)
    assert stage.last == Terminated("Error", 2, "no bucket")


def test_readiness_flaps() -> None:
    flapping = Flapping(ready_seconds=2, unready_seconds=1)
    assert [flapping.stage(elapsed).ready for elapsed in range(6)] == [True, True, False] * 2


def pod(status: Value | None = None) -> Value:
    container = {"name": "kserve-container", "image": "x"}
    init = {"name": "storage-initializer", "image": "y"}
    metadata = {"name": "a-1", "namespace": "test", "uid": "u"}
    return {"metadata": metadata, "spec": {"containers": [container], "initContainers": [init]}, "status": status or {}}


def of(stage: Stage, before: Value | None = None, seconds: int = 0, **restarts: int) -> Value:
    counts = {"kserve-container": restarts.get("server", 0), "storage-initializer": restarts.get("init", 0)}
    return pod_status(pod(before), stage, counts, ADDRESSES, NOW + timedelta(seconds=seconds))


def conditions(status: Value) -> dict[str, str]:
    return {c["type"]: c["status"] for c in status["conditions"]}


@pytest.mark.parametrize(
    ("stage", "phase", "initialized", "ready"),
    [
        (Stage(Waiting("PodInitializing"), Running()), "Pending", "False", "False"),
        (Stage(Waiting("ErrImagePull")), "Pending", "True", "False"),
        (Stage(Running()), "Running", "True", "False"),
        (Stage(Running(), ready=True), "Running", "True", "True"),
        (Stage(Waiting("CrashLoopBackOff"), last=Terminated("Error", 1)), "Running", "True", "False"),
    ],
)
def test_phase_and_conditions_follow_the_stage(stage: Stage, phase: str, initialized: str, ready: str) -> None:
    status = of(stage)
    assert status["phase"] == phase
    assert conditions(status) == {
        "PodReadyToStartContainers": "True",
        "Initialized": initialized,
        "Ready": ready,
        "ContainersReady": ready,
        "PodScheduled": "True",
    }
    assert (status["podIP"], status["hostIP"]) == ADDRESSES


def test_a_status_that_says_the_same_keeps_its_times() -> None:
    for stage in (Stage(Running(), ready=True), Stage(Waiting("CrashLoopBackOff"), last=Terminated("Error", 1))):
        before = of(stage)
        assert of(stage, before, seconds=60) == before


def test_only_what_has_changed_gets_a_new_time() -> None:
    before = of(Stage(Running()))
    after = of(Stage(Running(), ready=True), before, seconds=60)
    changed = {c["type"] for c in after["conditions"] if c not in before["conditions"]}
    assert changed == {"Ready", "ContainersReady"}
    assert after["containerStatuses"][0]["state"] == before["containerStatuses"][0]["state"]


def test_how_a_container_ended_last_stays_after_it_has_recovered() -> None:
    crashed = of(Stage(Waiting("CrashLoopBackOff"), last=Terminated("Error", 3), restarts=1))
    recovered = of(Stage(Running(), ready=True), crashed, seconds=60, server=1)
    (server,) = recovered["containerStatuses"]
    assert server["lastState"]["terminated"]["exitCode"] == 3
    assert server["restartCount"] == 1


def test_a_back_off_says_which_container_of_which_pod_it_is() -> None:
    (server,) = of(Crash(backoff_seconds=10).stage(0))["containerStatuses"]
    message = "back-off 10s restarting failed container=kserve-container pod=a-1_test(u)"
    assert server["state"]["waiting"] == {"reason": "CrashLoopBackOff", "message": message}


def test_a_storage_initializers_trouble_is_not_the_servers() -> None:
    status = of(InitFailure(exit_code=2).stage(0))
    (init,), (server,) = status["initContainerStatuses"], status["containerStatuses"]
    assert (init["restartCount"], init["lastState"]["terminated"]["exitCode"]) == (1, 2)
    assert (server["restartCount"], server["lastState"]) == (0, {})
