"""How the endpoints of a Service are laid out in EndpointSlices."""

from __future__ import annotations

from typing import Any

import pytest

from disvc.runtime.objects import OwnerReference
from disvc.testing.controllers.endpoints import plan

Value = dict[str, Any]

OWNER = OwnerReference("v1", "Service", "s", "service-uid", controller=True, block_owner_deletion=True)


def service(**spec: Any) -> Value:
    ports = [{"port": 80, "targetPort": 8080, "protocol": "TCP"}]
    return {"metadata": {"name": "s", "namespace": "n", "labels": {"a": "b"}}, "spec": {"ports": ports, **spec}}


def pod(number: int, *, ready: bool = True, **status: Any) -> Value:
    conditions = [{"type": "Ready", "status": str(ready)}]
    return {
        "metadata": {"name": f"p-{number}", "namespace": "n", "uid": f"uid-{number}"},
        "spec": {"containers": [{"name": "c"}], "nodeName": "node"},
        "status": {"podIPs": [{"ip": f"10.0.{number // 250}.{number % 250}"}], "conditions": conditions, **status},
    }


def stored(new: Value, name: str) -> Value:
    """Return a slice as the server keeps it."""
    metadata = {k: v for k, v in new["metadata"].items() if k != "generateName"}
    return {**new, "metadata": {**metadata, "name": name, "uid": name}, "endpoints": new["endpoints"] or None}


def addresses(one: Value) -> list[str]:
    return [address for endpoint in one["endpoints"] or () for address in endpoint["addresses"]]


def test_a_pod_becomes_an_endpoint_with_the_ports_of_the_service() -> None:
    changes = plan(service(), OWNER, [pod(1)], [])
    (one,) = changes.create
    assert one["metadata"]["labels"] == {
        "a": "b",
        "kubernetes.io/service-name": "s",
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
    }
    assert one["ports"] == [{"name": "", "port": 8080, "protocol": "TCP"}]
    assert one["endpoints"] == [
        {
            "addresses": ["10.0.0.1"],
            "conditions": {"ready": True, "serving": True, "terminating": False},
            "targetRef": {"kind": "Pod", "namespace": "n", "name": "p-1", "uid": "uid-1"},
            "nodeName": "node",
        }
    ]
    assert (changes.update, changes.delete) == ([], [])


def test_a_pod_that_is_being_deleted_serves_and_is_not_ready() -> None:
    ending = pod(1)
    ending["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    (one,) = plan(service(), OWNER, [ending], []).create
    assert one["endpoints"][0]["conditions"] == {"ready": False, "serving": True, "terminating": True}


@pytest.mark.parametrize("absent", [{"podIPs": None}, {"phase": "Failed"}, {"phase": "Succeeded"}])
def test_a_pod_without_an_address_or_that_has_ended_is_no_endpoint(absent: Value) -> None:
    (one,) = plan(service(), OWNER, [pod(1, **absent)], []).create
    assert (one["endpoints"], one["ports"]) == ([], [])


def test_pods_that_are_not_ready_are_published_where_the_service_asks_for_it() -> None:
    (one,) = plan(service(publishNotReadyAddresses=True), OWNER, [pod(1, ready=False)], []).create
    assert one["endpoints"][0]["conditions"] == {"ready": True, "serving": False, "terminating": False}


def test_a_named_target_port_is_that_of_each_pod() -> None:
    named = service(ports=[{"port": 80, "targetPort": "http", "protocol": "TCP"}])
    one, other, without = pod(1), pod(2), pod(3)
    one["spec"]["containers"][0]["ports"] = [{"name": "http", "containerPort": 1000}]
    other["spec"]["containers"][0]["ports"] = [{"name": "http", "containerPort": 2000}]
    slices = plan(named, OWNER, [one, other, without], []).create
    assert [[port["port"] for port in s["ports"]] for s in slices] == [[1000], [2000], []]


def test_nothing_is_written_where_nothing_has_changed() -> None:
    (new,) = plan(service(), OWNER, [pod(1), pod(2)], []).create
    assert plan(service(), OWNER, [pod(2), pod(1)], [stored(new, "one")]) == ([], [], [])


def test_250_pods_fill_three_slices_and_a_pod_that_goes_changes_one() -> None:
    pods = [pod(number) for number in range(250)]
    created = plan(service(), OWNER, pods, []).create
    assert [len(one["endpoints"]) for one in created] == [100, 100, 50]
    existing = [stored(one, str(index)) for index, one in enumerate(created)]
    gone = addresses(existing[1])[7]
    changes = plan(service(), OWNER, [p for p in pods if p["status"]["podIPs"][0]["ip"] != gone], existing)
    assert (changes.create, changes.delete) == ([], [])
    assert [one["metadata"]["name"] for one in changes.update] == ["1"]
    assert gone not in addresses(changes.update[0])
    refilled = plan(service(), OWNER, pods, [existing[0], stored(changes.update[0], "1"), existing[2]])
    assert [one["metadata"]["name"] for one in refilled.update] == ["1"]


def test_one_slice_without_ports_tells_that_there_is_nothing() -> None:
    (empty,) = plan(service(), OWNER, [], []).create
    assert (empty["endpoints"], empty["ports"]) == ([], [])
    assert plan(service(), OWNER, [], [stored(empty, "empty")]) == ([], [], [])
    (full,) = plan(service(), OWNER, [pod(1)], []).create
    emptied = plan(service(), OWNER, [], [stored(full, "full"), stored(empty, "empty")])
    assert (emptied.create, emptied.update) == ([], [])
    assert [one["metadata"]["name"] for one in emptied.delete] == ["full"]
