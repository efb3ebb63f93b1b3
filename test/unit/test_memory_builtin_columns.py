"""What `kubectl get` shows of built-in kinds."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from disvc.testing.memory.builtin import TYPES

Value = dict[str, Any]

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
METADATA = {"name": "n", "creationTimestamp": "2026-01-02T03:00:00Z"}


def row(api_version: str, kind: str, value: Value, *, wide: bool = False) -> list[object]:
    type_ = next(each for each in TYPES if (each.api_version, each.kind) == (api_version, kind))
    assert type_.decode is not None
    obj, _ = type_.decode({"metadata": METADATA, **value})
    return [column.cell(obj, NOW) for column in type_.columns if wide or not column.priority]


def status_of(name: str, **status: Any) -> Value:
    return {"name": name, "image": "i", "imageID": "", "ready": False, "restartCount": 0, **status}


def test_every_kind_has_columns_and_a_name_first_or_last() -> None:
    for each in TYPES:
        if each.kind != "Scale":
            assert "name" in {each.columns[0].format, each.columns[-1].format}, each.kind
            assert all(column.description for column in each.columns)


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        ({"phase": "Pending"}, ["0/1", "Pending", "0"]),
        ({"phase": "Failed", "reason": "Evicted"}, ["0/1", "Evicted", "0"]),
        (
            {"phase": "Running", "containerStatuses": [status_of("c", ready=True, state={"running": {}})]},
            ["1/1", "Running", "0"],
        ),
        (
            {
                "phase": "Running",
                "containerStatuses": [
                    status_of(
                        "c",
                        restartCount=3,
                        state={"waiting": {"reason": "CrashLoopBackOff"}},
                        lastState={"terminated": {"exitCode": 1, "finishedAt": "2026-01-02T03:03:05Z"}},
                    )
                ],
            },
            ["0/1", "CrashLoopBackOff", "3 (60s ago)"],
        ),
        (
            {"phase": "Failed", "containerStatuses": [status_of("c", state={"terminated": {"exitCode": 7}})]},
            ["0/1", "ExitCode:7", "0"],
        ),
        (
            {"phase": "Pending", "initContainerStatuses": [status_of("i", state={"running": {}})]},
            ["0/1", "Init:0/1", "0"],
        ),
    ],
)
def test_the_status_of_a_pod_is_what_its_containers_do(status: Value, shown: list[str]) -> None:
    init = [{"name": "i", "image": "i"}] if "initContainerStatuses" in status else []
    spec = {"containers": [{"name": "c", "image": "i"}], "initContainers": init}
    assert row("v1", "Pod", {"spec": spec, "status": status}) == ["n", *shown, "4m5s"]


def test_a_pod_that_is_being_deleted_is_terminating() -> None:
    metadata = {**METADATA, "deletionTimestamp": "2026-01-02T03:04:00Z"}
    pod = {"metadata": metadata, "spec": {"containers": [{"name": "c"}]}, "status": {"phase": "Running"}}
    assert row("v1", "Pod", pod)[2] == "Terminating"


def test_a_deployment_shows_ready_and_wanted_replicas() -> None:
    template = {"metadata": {}, "spec": {"containers": [{"name": "c", "image": "i"}, {"name": "d", "image": "j"}]}}
    selector = {"matchLabels": {"b": "c", "a": "b"}, "matchExpressions": [{"key": "x", "operator": "Exists"}]}
    spec = {"replicas": 3, "selector": selector, "template": template}
    status = {"readyReplicas": 2, "updatedReplicas": 3, "availableReplicas": 2}
    shown = row("apps/v1", "Deployment", {"spec": spec, "status": status}, wide=True)
    assert shown == ["n", "2/3", 3, 2, "4m5s", "c,d", "i,j", "a=b,b=c,x"]


def test_endpoints_beyond_the_third_are_counted() -> None:
    endpoints = [{"addresses": [f"10.0.0.{number}"]} for number in range(5)]
    shown = row("discovery.k8s.io/v1", "EndpointSlice", {"addressType": "IPv4", "endpoints": endpoints})
    assert shown == ["n", "IPv4", "<unset>", "10.0.0.0,10.0.0.1,10.0.0.2 + 2 more...", "4m5s"]


@pytest.mark.parametrize("group", ["v1", "events.k8s.io/v1"])
def test_an_event_of_either_group_is_shown_alike(group: str) -> None:
    core = group == "v1"
    event = {
        "involvedObject" if core else "regarding": {"kind": "Pod", "name": "p"},
        "message" if core else "note": " m ",
        "lastTimestamp" if core else "deprecatedLastTimestamp": "2026-01-02T03:04:00Z",
        "reason": "R",
        "type": "Normal",
    }
    assert row(group, "Event", event) == ["5s", "Normal", "R", "pod/p", "m"]
