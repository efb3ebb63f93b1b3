from typing import Any

import pytest

from disvc.rollout.endpoints import ready_addresses


def endpoint(address: str, **conditions: bool | None) -> dict[str, Any]:
    return {"addresses": [address], "conditions": conditions, "targetRef": {"kind": "Pod", "name": f"m-{address}"}}


def slice_of(*endpoints: dict[str, Any], family: str = "IPv4") -> dict[str, Any]:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "m-v1-abcde", "labels": {"kubernetes.io/service-name": "m-v1"}},
        "addressType": family,
        "endpoints": list(endpoints),
    }


READY = {"ready": True, "serving": True, "terminating": False}
UNREADY = {"ready": False, "serving": False, "terminating": False}


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        (READY, 1),
        ({}, 1),
        ({"ready": None}, 1),
        ({"ready": True, "serving": True}, 1),
        (UNREADY, 0),
        ({"ready": False}, 0),
        ({"ready": False, "serving": True, "terminating": True}, 0),
        ({"ready": True, "serving": True, "terminating": True}, 0),  # with publishNotReadyAddresses
    ],
)
def test_an_address_counts_unless_it_is_unready_or_terminating(
    conditions: dict[str, bool | None], expected: int
) -> None:
    assert ready_addresses([slice_of(endpoint("10.0.0.1", **conditions))]) == expected


def test_a_service_without_slices_or_with_empty_ones_has_no_addresses() -> None:
    assert ready_addresses([]) == 0
    assert ready_addresses([slice_of(), {**slice_of(), "endpoints": None}]) == 0


def test_an_endpoint_without_conditions_is_ready() -> None:
    assert ready_addresses([slice_of({"addresses": ["10.0.0.1"]})]) == 1


def test_addresses_are_counted_over_all_slices() -> None:
    first, second = (endpoint(f"10.0.0.{i}", **READY) for i in (1, 2))
    assert ready_addresses([slice_of(first), slice_of(second)]) == 2


def test_an_address_in_two_slices_is_one_address() -> None:
    one = endpoint("10.0.0.1", **READY)
    assert ready_addresses([slice_of(one), slice_of(one, endpoint("10.0.0.2", **READY))]) == 2


def test_a_dual_stack_service_counts_each_pod_once() -> None:
    four = slice_of(endpoint("10.0.0.1", **READY), endpoint("10.0.0.2", **READY))
    six = slice_of(endpoint("fd00::1", **READY), endpoint("fd00::2", **READY), family="IPv6")
    assert ready_addresses([four, six]) == 2


@pytest.mark.parametrize("empty", ["IPv4", "IPv6"])
def test_a_family_that_the_pods_do_not_have_takes_nothing_away(empty: str) -> None:
    full = slice_of(endpoint("x", **READY), family="IPv6" if empty == "IPv4" else "IPv4")
    assert ready_addresses([slice_of(family=empty), full]) == 1
