"""The Services: mission.md's tables of workflows 1 and 2, api.md's rules of ports and selectors."""

from __future__ import annotations

from typing import Any

import pytest

from disvc.api.status import Revision
from disvc.api.types import DistributedInferenceService
from disvc.rollout.inference_service import render
from disvc.rollout.ports import is_grpc, service_ports
from disvc.rollout.revision import Record
from disvc.rollout.service import revision_service, selected_revision, stable

REST = {"predictor": {"model": {"modelFormat": {"name": "sklearn"}}}}
GRPC = {"predictor": {"model": {"ports": [{"name": "h2c", "protocol": "TCP", "containerPort": 8081}]}}}
TRANSFORMER = {"containers": [{"name": "kserve-container", "image": "a"}]}
H2C = "kubernetes.io/h2c"


def disvc(template: dict[str, Any] = REST, **spec: Any) -> DistributedInferenceService:
    return DistributedInferenceService.model_validate(
        {
            "metadata": {"name": "iris", "namespace": "ns", "uid": "an-uid"},
            "spec": {"inferenceService": template, **spec},
        }
    )


def record(of: DistributedInferenceService, number: int = 1) -> Record:
    return Record(Revision(name=f"iris-v{number}", number=number, hash="x"), None, render(of, number))


def test_the_stable_service_is_as_workflow_1_has_it_and_selects_the_revision_too() -> None:
    of = disvc()
    assert stable(of, record(of)) == {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "iris",
            "namespace": "ns",
            "labels": {"disvc": "iris", "group": "iris"},
            "ownerReferences": [of.owner_reference],
        },
        "spec": {
            "type": "ClusterIP",
            "selector": {"disvc": "iris", "disvc.group": "iris-v1"},
            "ports": [{"port": 80, "targetPort": 8080, "protocol": "TCP"}],
            "sessionAffinity": "ClientIP",
            "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 10800}},
        },
    }


def test_the_service_of_a_revision_is_as_workflow_1_has_it() -> None:
    of = disvc()
    service = revision_service(of, record(of, 2))
    assert service["metadata"] == {
        "name": "iris-v2",
        "namespace": "ns",
        "labels": {"group": "iris-v2"},
        "ownerReferences": [of.owner_reference],
    }
    assert service["spec"] == {**stable(of, record(of))["spec"], "selector": {"disvc.group": "iris-v2"}}


@pytest.mark.parametrize("make", [stable, revision_service])
def test_both_services_of_workflow_2_go_to_the_grpc_port(make: Any) -> None:
    of = disvc(GRPC, replicas=1)
    ports = [{"port": 80, "targetPort": 8081, "protocol": "TCP", "name": "h2c", "appProtocol": H2C}]
    assert make(of, record(of))["spec"]["ports"] == ports


@pytest.mark.parametrize("make", [stable, revision_service])
@pytest.mark.parametrize(
    ("affinity", "fields"),
    [
        ({"type": "None"}, {"sessionAffinity": "None"}),
        ({"type": "None", "timeoutSeconds": 60}, {"sessionAffinity": "None"}),
        (
            {"timeoutSeconds": 60},
            {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 60}}},
        ),
    ],
)
def test_session_affinity_is_as_asked_for(make: Any, affinity: dict[str, Any], fields: dict[str, Any]) -> None:
    of = disvc(routing={"sessionAffinity": affinity})
    spec = make(of, record(of))["spec"]
    assert {name: value for name, value in spec.items() if name.startswith("sessionAffinity")} == fields
    assert type(spec["sessionAffinity"]) is str


@pytest.mark.parametrize("make", [stable, revision_service])
@pytest.mark.parametrize(
    ("more", "component"),
    [
        ({}, None),
        ({"transformer": TRANSFORMER}, "transformer"),
        ({"explainer": {"art": {"type": "SquareAttack"}}}, "predictor"),
        ({"transformer": TRANSFORMER, "explainer": {"art": {}}}, "transformer"),
        ({"transformer": None}, None),
    ],
)
def test_only_the_entry_points_pods_are_selected_where_there_are_others(
    make: Any, more: dict[str, Any], component: str | None
) -> None:
    of = disvc({**REST, **more})
    assert make(of, record(of))["spec"]["selector"].get("component") == component


@pytest.mark.parametrize("template", [REST, {**REST, "transformer": TRANSFORMER}])
def test_no_service_has_the_labels_by_which_kserve_would_delete_it(template: dict[str, Any]) -> None:
    of = disvc(template, labels={"team": "a"})
    for service in (stable(of, record(of)), revision_service(of, record(of))):
        assert set(service["metadata"]["labels"]) <= {"disvc", "group"}


@pytest.mark.parametrize(
    ("spec", "ports"),
    [
        (REST, [(80, 8080, None, None)]),
        ({"predictor": {"model": {"ports": []}}}, [(80, 8080, None, None)]),
        ({"predictor": {"model": {"ports": [{"containerPort": 9000}]}}}, [(80, 9000, None, None)]),
        (
            {"predictor": {"model": {"ports": [{"containerPort": 9000, "name": "grpc-port"}]}}},
            [(80, 9000, "grpc-port", H2C)],
        ),
        (
            {"predictor": {"model": {"ports": [{"containerPort": 8080, "name": "http1"}, {"containerPort": 8081}]}}},
            [(80, 8080, "http1", None), (8081, 8081, None, None)],
        ),
        (
            {
                "predictor": {
                    "model": {"ports": [{"containerPort": 8081, "name": "h2c"}, {"containerPort": 8080, "name": "a"}]}
                }
            },
            [(80, 8081, "h2c", H2C), (8080, 8080, "a", None)],
        ),
        ({"predictor": {"sklearn": {"ports": [{"containerPort": 9000}]}}}, [(80, 9000, None, None)]),
        (
            {"predictor": {"containers": [{"name": "a", "ports": [{"containerPort": 5000}]}, {"name": "b"}]}},
            [(80, 5000, None, None)],
        ),
        (
            {
                "predictor": {
                    "model": {"ports": [{"containerPort": 1}]},
                    "containers": [{"name": "side", "ports": [{"containerPort": 2}]}],
                }
            },
            [(80, 1, None, None)],
        ),
        (
            {
                "predictor": {
                    "model": {"ports": [{"containerPort": 1}]},
                    "containers": [{"name": "transformer-container", "ports": [{"containerPort": 2}]}],
                }
            },
            [(80, 2, None, None)],
        ),
        ({**GRPC, "transformer": TRANSFORMER}, [(80, 8080, None, None)]),
        (
            {**REST, "transformer": {"containers": [{"name": "t", "ports": [{"containerPort": 7, "name": "h2c"}]}]}},
            [(80, 7, "h2c", H2C)],
        ),
        ({"predictor": {"model": {}, "logger": {"mode": "all"}}}, [(80, 9081, None, None)]),
        ({"predictor": {"model": {}, "batcher": {"maxBatchSize": 8}}}, [(80, 9081, None, None)]),
        (
            {"predictor": {"model": {}, "logger": {"mode": "all"}}, "transformer": TRANSFORMER},
            [(80, 8080, None, None)],
        ),
    ],
)
def test_ports_are_those_that_kserves_own_service_would_have(spec: dict[str, Any], ports: list[Any]) -> None:
    found = service_ports(spec)
    assert [(p["port"], p["targetPort"], p.get("name"), p.get("appProtocol")) for p in found] == ports
    assert {p["protocol"] for p in found} == {"TCP"}
    assert is_grpc(spec) is (ports[0][3] is not None)


@pytest.mark.parametrize(
    ("service", "revision"),
    [
        ({"spec": {"selector": {"disvc": "iris", "disvc.group": "iris-v3"}}}, "iris-v3"),
        ({"spec": {"selector": {"disvc": "iris"}}}, None),
        ({"spec": {"selector": None}}, None),
        ({"spec": {}}, None),
        ({}, None),
    ],
)
def test_the_revision_that_a_service_selects_is_read_from_it(service: dict[str, Any], revision: str | None) -> None:
    assert selected_revision(service) == revision


def test_what_is_made_is_read_back() -> None:
    of = disvc()
    assert selected_revision(stable(of, record(of, 7))) == "iris-v7"
    assert selected_revision(revision_service(of, record(of, 7))) == "iris-v7"
