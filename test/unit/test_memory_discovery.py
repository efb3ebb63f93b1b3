"""What the server says that it serves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from disvc.testing.memory import discovery
from disvc.testing.memory.builtin import TYPES
from disvc.testing.memory.resource import ResourceType, Scale

if TYPE_CHECKING:
    from disvc.runtime.transport import Answer

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


def custom(version: str, plural: str = "tests", group: str = "b.example.com", **particular: Any) -> ResourceType:
    (config_maps,) = (each for each in TYPES if each.kind == "ConfigMap")
    return ResourceType(group, version, plural.title(), plural, config_maps.strategy, is_custom=True, **particular)


SERVED = (*TYPES, custom("v1", has_status=True, scale=Scale("spec.replicas", "status.replicas"), short_names=("t",)))


def ask(path: str, *types: ResourceType, accept: str = "", if_none_match: str = "") -> Answer | None:
    return discovery.answer(path, accept, if_none_match, types or SERVED, "127.0.0.1:6443")


def document(path: str, *types: ResourceType, accept: str = "") -> Any:
    answer = ask(path, *types, accept=accept)
    assert answer is not None
    assert answer.status == 200
    return msgspec.json.decode(answer.body)


@pytest.mark.parametrize("path", ["/healthz", "/livez", "/readyz", "/readyz/ping"])
def test_it_is_healthy(path: str) -> None:
    answer = ask(path)
    assert answer is not None
    assert answer.body == b"ok"


def test_the_root_tells_what_is_served() -> None:
    paths = document("/")["paths"]
    assert {"/api/v1", "/apis/apps", "/apis/b.example.com/v1", "/healthz", "/openapi/v3", "/version"} <= {*paths}
    assert paths == sorted(paths)


@pytest.mark.parametrize("path", ["", "*", "example.com:443", "//", "/nothing"])
def test_nothing_is_found_at_other_paths(path: str) -> None:
    assert ask(path) is None


def test_the_version_is_that_of_the_api_that_it_is_like() -> None:
    assert document("/version")["gitVersion"].startswith("v1.36.")


def test_the_groups_are_listed_with_the_version_that_clients_should_use() -> None:
    groups = {group["name"]: group for group in document("/apis")["groups"]}
    assert {"apps", "batch", "b.example.com"} <= groups.keys()
    assert document("/apis/autoscaling")["preferredVersion"] == groups["autoscaling"]["preferredVersion"]
    assert [version["version"] for version in groups["autoscaling"]["versions"]] == ["v2", "v1"]
    assert document("/api")["versions"] == ["v1"]


def test_versions_are_in_the_order_of_their_stability() -> None:
    names = ["v1alpha1", "foo", "v10", "v2beta1", "v2", "v1beta2"]
    shuffled = document("/apis/b.example.com", *(custom(name) for name in names))
    assert [each["version"] for each in shuffled["versions"]] == [
        "v10",
        "v2",
        "v2beta1",
        "v1beta2",
        "v1alpha1",
        "foo",
    ]


def test_custom_groups_come_after_the_built_in_ones_by_name() -> None:
    groups = [group["name"] for group in document("/apis", custom("v1"), custom("v1", group="a.io"), *TYPES)["groups"]]
    assert groups[-2:] == ["a.io", "b.example.com"]


def test_a_resource_is_listed_with_its_subresources() -> None:
    listed = document("/apis/b.example.com/v1")["resources"]
    assert [each["name"] for each in listed] == ["tests", "tests/scale", "tests/status"]
    assert listed[0]["shortNames"] == ["t"]
    assert listed[1]["kind"] == "Scale"
    assert (listed[1]["group"], listed[1]["version"]) == ("autoscaling", "v1")
    assert listed[2]["verbs"] == ["get", "patch", "update"]


def test_a_namespace_cannot_be_deleted_by_the_collection() -> None:
    (namespaces,) = (each for each in document("/api/v1")["resources"] if each["name"] == "namespaces")
    assert "deletecollection" not in namespaces["verbs"]


def test_the_aggregated_form_says_the_same_at_once() -> None:
    for path in ("/api", "/apis"):
        for group in document(path, accept=AGGREGATED)["items"]:
            name = group["metadata"].get("name", "")
            for version in group["versions"]:
                prefix = f"/apis/{name}" if name else "/api"
                legacy = {each["name"] for each in document(f"{prefix}/{version['version']}")["resources"]}
                aggregated = {each["resource"] for each in version["resources"]}
                aggregated |= {
                    f"{each['resource']}/{below['subresource']}"
                    for each in version["resources"]
                    for below in each.get("subresources", ())
                }
                assert aggregated == legacy


def test_who_has_the_aggregated_form_is_not_sent_it_again_until_it_changes() -> None:
    first = ask("/apis", accept=AGGREGATED)
    assert first is not None
    etag = first.headers["etag"]
    again = ask("/apis", accept=AGGREGATED, if_none_match=etag)
    changed = ask("/apis", *SERVED, custom("v2"), accept=AGGREGATED, if_none_match=etag)
    assert again is not None
    assert (again.status, again.body) == (304, b"")
    assert changed is not None
    assert changed.status == 200


@pytest.mark.parametrize("path", ["/apis/none", "/apis/apps/v9", "/api/v2", "/metrics", "/apis/apps/v1/none/more"])
def test_what_is_not_served_is_not_there(path: str) -> None:
    assert ask(path) is None
