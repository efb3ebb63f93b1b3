"""The status of a Deployment: its conditions and their times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from disvc.testing.controllers.deployment_status import deployment_status

Value = dict[str, Any]

START = datetime(2026, 1, 1, tzinfo=UTC)


def deployment(status: Value | None = None) -> Value:
    rolling = {"maxSurge": 1, "maxUnavailable": 0}
    strategy = {"type": "RollingUpdate", "rollingUpdate": rolling}
    spec = {"replicas": 2, "strategy": strategy, "progressDeadlineSeconds": 60}
    return {"metadata": {"name": "d", "generation": 1}, "spec": spec, "status": status or {}}


def replica_set(ready: int) -> Value:
    status = {"replicas": 2, "readyReplicas": ready, "availableReplicas": ready}
    return {"metadata": {"name": "d-1"}, "spec": {"replicas": 2}, "status": status}


def progressing(status: Value) -> tuple[str, str, str, str]:
    found = next(c for c in status["conditions"] if c["type"] == "Progressing")
    return found["status"], found["reason"], found["lastUpdateTime"][14:19], found["lastTransitionTime"][14:19]


def after(seconds: int, ready: int, before: Value | None = None) -> tuple[Value, float | None]:
    return deployment_status(deployment(before), replica_set(ready), [], START + timedelta(seconds=seconds))


def test_progress_begins_the_deadline_anew_and_the_transition_keeps_its_time() -> None:
    begun, wait = after(0, 0)
    assert (progressing(begun), wait) == (("True", "ReplicaSetUpdated", "00:00", "00:00"), 60)
    waiting, wait = after(20, 0, begun)
    assert (progressing(waiting), wait) == (("True", "ReplicaSetUpdated", "00:00", "00:00"), 40)
    one, wait = after(50, 1, waiting)
    assert (progressing(one), wait) == (("True", "ReplicaSetUpdated", "00:50", "00:00"), 60)
    done, wait = after(70, 2, one)
    assert (progressing(done), wait) == (("True", "NewReplicaSetAvailable", "01:10", "00:00"), None)
    later, wait = after(500, 2, done)
    assert (later, wait) == (done, None)


def test_no_progress_until_the_deadline_is_too_late() -> None:
    begun, _ = after(0, 1)
    late, wait = after(60, 1, begun)
    assert (progressing(late), wait) == (("False", "ProgressDeadlineExceeded", "01:00", "01:00"), None)
    assert after(90, 1, late) == (late, None)
