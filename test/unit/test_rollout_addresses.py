"""The addresses that status shows, and the names that would be too long."""

from __future__ import annotations

from typing import Any

import pytest

from disvc.api.types import DistributedInferenceService
from disvc.rollout.addresses import address, exposed, host, name_problem, url
from disvc.rollout.configuration import RoutingDefaults

DEFAULTS = RoutingDefaults()
LOCAL = {"networking.kserve.io/visibility": "cluster-local"}


def disvc(
    name: str = "iris",
    namespace: str = "ns",
    labels: dict[str, str] | None = None,
    *,
    components: tuple[str, ...] = (),
    replicas: int = 1,
    **routing: Any,
) -> DistributedInferenceService:
    template = {"predictor": {"model": {}}, **{component: {"containers": [{}]} for component in components}}
    return DistributedInferenceService.model_validate(
        {
            "metadata": {"name": name, "namespace": namespace, "labels": labels or {}},
            "spec": {"inferenceService": template, "replicas": replicas, "routing": routing},
        }
    )


@pytest.mark.parametrize(
    ("of", "defaults", "wanted_host", "wanted_url"),
    [
        (disvc(), DEFAULTS, "iris-ns.example.com", "http://iris-ns.example.com"),
        (disvc(tls={"secretName": "s"}), DEFAULTS, "iris-ns.example.com", "https://iris-ns.example.com"),
        (disvc(), RoutingDefaults(url_scheme="https"), "iris-ns.example.com", "https://iris-ns.example.com"),
        (disvc(), RoutingDefaults(domain="a.b"), "iris-ns.a.b", "http://iris-ns.a.b"),
        (disvc(domain="c.d"), RoutingDefaults(domain="a.b"), "iris-ns.c.d", "http://iris-ns.c.d"),
        (disvc(host="x.y", domain="c.d"), DEFAULTS, "x.y", "http://x.y"),
        (
            disvc(),
            RoutingDefaults(domain_template="{name}.{namespace}.{domain}"),
            "iris.ns.example.com",
            "http://iris.ns.example.com",
        ),
        (disvc(labels=LOCAL), DEFAULTS, None, "http://iris.ns.svc.cluster.local"),
        (disvc(labels=LOCAL, tls={"secretName": "s"}), DEFAULTS, None, "http://iris.ns.svc.cluster.local"),
        (disvc(type="None", host="x.y"), DEFAULTS, None, "http://iris.ns.svc.cluster.local"),
        (
            disvc(labels={"networking.kserve.io/visibility": "exposed"}),
            DEFAULTS,
            "iris-ns.example.com",
            "http://iris-ns.example.com",
        ),
        (
            disvc(labels={"networking.knative.dev/visibility": "cluster-local"}),
            DEFAULTS,
            "iris-ns.example.com",
            "http://iris-ns.example.com",
        ),
    ],
)
def test_the_url_leads_to_the_host_and_stays_in_the_cluster_without_one(
    of: DistributedInferenceService, defaults: RoutingDefaults, wanted_host: str | None, wanted_url: str
) -> None:
    assert host(of, defaults) == wanted_host
    assert exposed(of) is (wanted_host is not None)
    assert url(of, defaults) == wanted_url


def test_the_address_is_that_of_the_revisions_service() -> None:
    assert address(disvc(), "iris-v2") == "http://iris-v2.ns.svc.cluster.local"


@pytest.mark.parametrize(
    ("of", "number", "problem"),
    [
        # the host's label: name-namespace
        (disvc("n" * 31, "s" * 13), 1, None),
        (disvc("a", "s" * 61, host="x.y", type="Ingress"), 1, "InferenceService a-v1-0 the host"),
        (disvc("n" * 30, "s" * 33), 1, "host n"),
        (disvc("n" * 30, "s" * 33, labels=LOCAL), 1, "InferenceService"),
        # KServe's host of a member: ISVC-predictor-namespace, at most 63: ISVC + namespace at most 52
        (disvc("n" * 30, "s" * 17), 1, None),
        (disvc("n" * 30, "s" * 18), 1, "has 64 characters, and the limit is 63"),
        (disvc("n" * 30, "s" * 17), 10, "has 64 characters, and the limit is 63"),
        (disvc("n" * 30, "s" * 17, replicas=10), 1, None),
        (disvc("n" * 30, "s" * 17, replicas=11), 1, "has 64 characters, and the limit is 63"),
        (disvc("n" * 30, "s" * 17, replicas=0), 1, None),
        (disvc("n" * 30, "s" * 18, labels=LOCAL), 1, "has 64 characters, and the limit is 63"),
        (disvc("n" * 30, "s" * 15, components=("transformer",)), 1, None),
        (disvc("n" * 30, "s" * 16, components=("transformer",)), 1, "-transformer-"),
        (disvc("n" * 30, "s" * 17, components=("explainer",)), 1, None),
        # the label app of the pods: isvc.ISVC-predictor, at most 63: ISVC at most 48
        (disvc("n" * 43, "s" * 4), 1, None),
        (disvc("n" * 44, "s" * 2), 1, "label app of the pods isvc.n"),
        (disvc("n" * 41, "s" * 2, components=("transformer",)), 1, None),
        (disvc("n" * 42, "s" * 2, components=("transformer",)), 1, "label app of the pods isvc.n"),
    ],
)
def test_a_name_past_a_limit_is_told_with_limit_and_length(
    of: DistributedInferenceService, number: int, problem: str | None
) -> None:
    found = name_problem(of, DEFAULTS, number)
    if problem is None:
        assert found is None
    else:
        assert problem in (found or "")
        assert "the limit is 63" in (found or "")


def test_a_host_past_the_limit_is_told_with_limit_and_length() -> None:
    domain = ".".join(["d" * 60] * 4)  # 243 characters
    assert name_problem(disvc("aaaa", "bbbb", domain=domain), DEFAULTS, 1) is None
    found = name_problem(disvc("aaaa", "bbbbb", domain=domain), DEFAULTS, 1) or ""
    assert "has 254 characters, and the limit is 253" in found
