"""The Ingress: mission.md's tables of workflows 1 and 2, and what of spec.routing shows in it."""

from __future__ import annotations

from typing import Any

import pytest

from disvc.api.status import Revision
from disvc.api.types import DistributedInferenceService
from disvc.rollout.configuration import RoutingDefaults
from disvc.rollout.inference_service import render
from disvc.rollout.ingress import backend_revision, ingress
from disvc.rollout.revision import Record

REST = {"predictor": {"model": {"modelFormat": {"name": "sklearn"}}}}
GRPC = {"predictor": {"model": {"ports": [{"name": "h2c", "protocol": "TCP", "containerPort": 8081}]}}}
HASH_BY = "nginx.ingress.kubernetes.io/upstream-hash-by"
PROTOCOL = "nginx.ingress.kubernetes.io/backend-protocol"
DEFAULTS = RoutingDefaults()
HOST = "iris-ns.example.com"


def made(
    template: dict[str, Any] = REST, defaults: RoutingDefaults = DEFAULTS, number: int = 1, **routing: Any
) -> dict[str, Any]:
    of = DistributedInferenceService.model_validate(
        {
            "metadata": {"name": "iris", "namespace": "ns", "uid": "an-uid"},
            "spec": {"inferenceService": template, "routing": routing},
        }
    )
    ref = Revision(name=f"iris-v{number}", number=number, hash="x")
    return ingress(of, Record(ref, None, render(of, number)), defaults)


def test_the_ingress_is_as_workflow_1_has_it() -> None:
    value = made()
    owner = value["metadata"].pop("ownerReferences")
    assert [(o["uid"], o["controller"], o["blockOwnerDeletion"]) for o in owner] == [("an-uid", True, True)]
    backend = {"service": {"name": "iris-v1", "port": {"number": 80}}}
    assert value == {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": "iris", "namespace": "ns", "annotations": {HASH_BY: "$binary_remote_addr"}},
        "spec": {
            "rules": [{"host": HOST, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}]
        },
    }


def test_the_ingress_of_workflow_2_is_a_grpc_one_with_tls() -> None:
    rest, grpc = made(), made(GRPC)
    assert grpc["metadata"]["annotations"] == {**rest["metadata"]["annotations"], PROTOCOL: "GRPC"}
    assert grpc["spec"] == {**rest["spec"], "tls": [{"hosts": [HOST], "secretName": "grpc-tls"}]}


@pytest.mark.parametrize(
    ("template", "tls", "default", "secret"),
    [
        (REST, None, "grpc-tls", None),
        (REST, {"secretName": "mine"}, "grpc-tls", "mine"),
        (GRPC, {"secretName": "mine"}, "grpc-tls", "mine"),
        (GRPC, None, "theirs", "theirs"),
        (GRPC, None, "", None),
    ],
)
def test_the_certificate_is_the_users_or_that_for_grpc(
    template: dict[str, Any], tls: Any, default: str, secret: str | None
) -> None:
    spec = made(template, RoutingDefaults(grpc_tls_secret=default), tls=tls)["spec"]
    assert spec.get("tls") == (None if secret is None else [{"hosts": [HOST], "secretName": secret}])


@pytest.mark.parametrize(
    ("class_name", "default", "wanted"), [(None, "", None), (None, "a", "a"), ("b", "a", "b"), ("b", "", "b")]
)
def test_the_class_is_the_users_or_the_operators_or_the_clusters_default(
    class_name: str | None, default: str, wanted: str | None
) -> None:
    spec = made(defaults=RoutingDefaults(ingress_class=default), className=class_name)["spec"]
    assert spec.get("ingressClassName") == wanted
    assert ("ingressClassName" in spec) is (wanted is not None)


def test_without_session_affinity_nginx_spreads_requests() -> None:
    assert made(sessionAffinity={"type": "None"})["metadata"]["annotations"] == {}


def test_annotations_of_the_user_are_added_and_win() -> None:
    annotations = made(GRPC, annotations={HASH_BY: "$host", "a": "b"})["metadata"]["annotations"]
    assert annotations == {HASH_BY: "$host", PROTOCOL: "GRPC", "a": "b"}


def test_the_host_of_the_user_is_the_host_of_rule_and_certificate() -> None:
    spec = made(host="a.b", tls={"secretName": "s"})["spec"]
    assert [rule["host"] for rule in spec["rules"]] == ["a.b"]
    assert [tls["hosts"] for tls in spec["tls"]] == [["a.b"]]


def rule(*services: str) -> dict[str, Any]:
    return {"http": {"paths": [{"path": "/", "backend": {"service": {"name": name}}} for name in services]}}


@pytest.mark.parametrize(
    ("spec", "revision"),
    [
        ({"rules": [rule("iris-v2")]}, "iris-v2"),
        ({"rules": [rule("iris-v2", "iris-v2"), rule("iris-v2")]}, "iris-v2"),
        ({"rules": [rule("iris-v2"), rule("iris-v1")]}, None),
        ({"rules": [rule("iris-v2", "iris-v1")]}, None),
        ({"rules": [rule("other")]}, None),
        ({"rules": [rule("iris")]}, None),
        ({"rules": [rule("iris-v")]}, None),
        ({"rules": [rule("iris-v1-0")]}, None),
        ({"rules": [{"host": "a"}]}, None),
        ({"rules": [{"http": {"paths": [{"backend": {"resource": {"kind": "Bucket", "name": "iris-v1"}}}]}}]}, None),
        ({"rules": [rule("iris-v2")], "defaultBackend": {"service": {"name": "iris-v1"}}}, None),
        ({"rules": [rule("iris-v2")], "defaultBackend": {"service": {"name": "iris-v2"}}}, "iris-v2"),
        ({"defaultBackend": {"service": {"name": "iris-v1"}}}, "iris-v1"),
        ({"rules": []}, None),
        ({"rules": None}, None),
        ({}, None),
    ],
)
def test_only_an_ingress_with_one_revision_as_its_only_backend_points_at_it(
    spec: dict[str, Any], revision: str | None
) -> None:
    assert backend_revision({"spec": spec}, "iris") == revision


def test_what_is_made_is_read_back() -> None:
    assert backend_revision(made(number=12), "iris") == "iris-v12"
