"""Objects as bytes: their metadata, their addresses, and their way into models and back."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, TypedDict, cast

import msgspec
import pydantic
import pytest

from disvc.runtime.errors import DecodeError, TerminalError
from disvc.runtime.objects import Key, Object, OwnerReference, Resource

CONFIG_MAPS = Resource("v1", "ConfigMap", "configmaps")
DEPLOYMENTS = Resource("apps/v1", "Deployment", "deployments")
NODES = Resource("v1", "Node", "nodes", namespaced=False)
ROLES = Resource("rbac.authorization.k8s.io/v1", "ClusterRole", "clusterroles", namespaced=False)


def raw(**metadata: Any) -> bytes:
    return json.dumps({"metadata": {"name": "a", "namespace": "default", **metadata}, "data": {"k": "v"}}).encode()


@pytest.mark.parametrize(
    ("resource", "arguments", "path"),
    [
        (CONFIG_MAPS, (), "/api/v1/configmaps"),
        (CONFIG_MAPS, ("default",), "/api/v1/namespaces/default/configmaps"),
        (CONFIG_MAPS, ("default", "a"), "/api/v1/namespaces/default/configmaps/a"),
        (DEPLOYMENTS, ("d", "a", "status"), "/apis/apps/v1/namespaces/d/deployments/a/status"),
        (NODES, ("", "n"), "/api/v1/nodes/n"),
        (NODES, ("ignored", "n"), "/api/v1/nodes/n"),
        (ROLES, ("", "system:node"), "/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Anode"),
    ],
)
def test_an_address_is_the_one_of_the_api_concepts(
    resource: Resource[Any], arguments: tuple[str, ...], path: str
) -> None:
    assert resource.path(*arguments) == path


@pytest.mark.parametrize("evil", ["a/exec", "a?b=c", "a#b", "a%2Fb", "ä"])
def test_no_name_or_namespace_reaches_another_address(evil: str) -> None:
    for path in (CONFIG_MAPS.path("default", evil), CONFIG_MAPS.path(evil, "a")):
        assert path.count("/") == len(["", "api", "v1", "namespaces", "n", "configmaps", "a"]) - 1
        assert not set(path) & set("?#ä")


def test_a_resource_is_called_as_rbac_calls_it() -> None:
    assert [str(CONFIG_MAPS), str(DEPLOYMENTS)] == ["configmaps", "deployments.apps"]
    assert [CONFIG_MAPS.group, DEPLOYMENTS.group] == ["", "apps"]


def test_a_key_reads_as_kubectl_writes_it() -> None:
    assert [str(Key("default", "a")), str(Key("", "node"))] == ["default/a", "node"]


def test_metadata_is_decoded_and_the_rest_kept_as_it_came() -> None:
    owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d", "uid": "u1"}
    body = raw(
        uid="u",
        resourceVersion="7",
        generation=3,
        labels={"app": "x"},
        annotations={"note": "y"},
        finalizers=["f"],
        ownerReferences=[{**owner, "uid": "u0"}, {**owner, "controller": True, "blockOwnerDeletion": True}],
        creationTimestamp="2026-01-01T00:00:00Z",
        deletionTimestamp="2026-01-02T00:00:00Z",
        deletionGracePeriodSeconds=0,
        managedFields=[{"manager": "kubectl", "fieldsV1": {"f:data": {}}}],
    )
    obj = CONFIG_MAPS.read(body)
    metadata = obj.metadata
    assert (obj.key, obj.version, obj.raw) == (Key("default", "a"), 7, body)
    assert (metadata.uid, metadata.resource_version, metadata.generation) == ("u", "7", 3)
    assert (dict(metadata.labels), dict(metadata.annotations)) == ({"app": "x"}, {"note": "y"})
    assert metadata.finalizers == ("f",)
    assert metadata.creation_timestamp == "2026-01-01T00:00:00Z"
    assert metadata.deletion_timestamp == "2026-01-02T00:00:00Z"
    assert metadata.deletion_grace_period_seconds == 0
    controller = OwnerReference("apps/v1", "Deployment", "d", "u1", controller=True, block_owner_deletion=True)
    assert metadata.controller == controller
    assert [owner.uid for owner in metadata.owner_references] == ["u0", "u1"]
    assert controller.group == "apps"
    assert repr(obj) == "<configmaps default/a 7>"


@pytest.mark.parametrize("nothing", [{}, {"labels": None, "annotations": None, "ownerReferences": None}])
def test_what_metadata_does_not_have_reads_as_empty(nothing: dict[str, Any]) -> None:
    metadata = CONFIG_MAPS.read(raw(**nothing)).metadata
    assert (dict(metadata.labels), dict(metadata.annotations)) == ({}, {})
    assert (metadata.owner_references, metadata.controller, metadata.finalizers) == ((), None, ())


def test_an_object_cannot_be_changed_by_accident() -> None:
    obj = CONFIG_MAPS.read(raw(labels={"app": "x"}))
    with pytest.raises(AttributeError):
        obj.raw = b""  # type: ignore[misc]
    with pytest.raises(AttributeError):
        obj.metadata.name = "b"  # type: ignore[misc]
    with pytest.raises(TypeError):
        cast("dict[str, str]", obj.metadata.labels)["app"] = "y"
    obj.decode()["data"]["k"] = "changed"
    assert obj.decode()["data"] == {"k": "v"}


def test_an_object_keeps_no_more_than_its_own_bytes_of_a_list() -> None:
    items = msgspec.json.decode(b"[" + raw() + b"," + raw() + b"]", type=list[msgspec.Raw])
    obj = CONFIG_MAPS.read(items[1])
    assert type(obj.raw) is bytes
    assert obj.raw == raw()


@pytest.mark.parametrize(("version", "number"), [("12", 12), ("", 0), ("abc", 0), ("-1", 0)])
def test_versions_are_ordered_as_numbers_and_0_where_they_are_none(version: str, number: int) -> None:
    assert CONFIG_MAPS.read(raw(resourceVersion=version)).version == number


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"{}",
        b'{"metadata": []}',
        b'{"metadata": {"name": 1}}',
        b'{"metadata": {"name": "\xff"}}',
    ],
)
def test_what_is_no_object_says_so_with_the_resource_and_the_bytes(body: bytes) -> None:
    with pytest.raises(DecodeError) as caught:
        DEPLOYMENTS.read(body)
    assert str(caught.value).startswith("deployments.apps: metadata does not decode: ")
    assert repr(body) in str(caught.value)
    assert isinstance(caught.value, TerminalError)


def test_what_is_no_object_in_a_list_says_so_too() -> None:
    [item] = msgspec.json.decode(b'[{"metadata": 1}]', type=list[msgspec.Raw])
    with pytest.raises(DecodeError, match="configmaps: metadata does not decode"):
        CONFIG_MAPS.read(item)


class Data(msgspec.Struct):
    metadata: dict[str, Any]
    data: dict[str, str]


@dataclass
class DataClass:
    metadata: dict[str, Any]
    data: dict[str, str]


class DataDict(TypedDict):
    metadata: dict[str, Any]
    data: dict[str, str]


class DataModel(pydantic.BaseModel):
    metadata: dict[str, Any]
    data: dict[str, str]
    binary_data: dict[str, str] | None = pydantic.Field(default=None, alias="binaryData")


MODELS = [dict, Data, DataClass, DataDict, DataModel]


@pytest.mark.parametrize("model", MODELS)
def test_an_object_goes_into_a_model_of_any_kind_and_back(model: type[Any]) -> None:
    resource: Resource[Any] = Resource("v1", "ConfigMap", "configmaps", model=model)
    obj: Object[Any] = resource.read(raw())
    value = obj.decode()
    data = value["data"] if isinstance(value, dict) else value.data
    data["more"] = "x"
    assert resource.write(value) == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "a", "namespace": "default"},
        "data": {"k": "v", "more": "x"},
    }


@pytest.mark.parametrize("model", MODELS[1:])
def test_an_object_that_does_not_fit_its_model_says_which_and_where(model: type[Any]) -> None:
    resource: Resource[Any] = Resource("v1", "ConfigMap", "configmaps", model=model)
    obj = resource.read(b'{"metadata": {"name": "a", "namespace": "default"}, "data": {"k": 1}}')
    with pytest.raises(DecodeError, match=rf"configmaps default/a does not decode as {model.__name__}: [\s\S]*data"):
        obj.decode()


def test_what_is_written_is_a_copy() -> None:
    value = {"metadata": {"name": "a"}, "data": {"k": "v"}}
    written = CONFIG_MAPS.write(value)
    written["metadata"]["name"] = "b"
    assert value["metadata"]["name"] == "a"


def test_a_value_may_say_its_own_kind() -> None:
    written = CONFIG_MAPS.write({"kind": "Other", "apiVersion": "v2", "metadata": {}})
    assert (written["kind"], written["apiVersion"]) == ("Other", "v2")


def test_a_child_with_the_controller_reference_of_its_owner_leads_back_to_it() -> None:
    owners = Resource("example.com/v1", "Owner", "owners")
    owner = owners.read(json.dumps({"metadata": {"name": "a", "namespace": "n", "uid": "u1"}}).encode())
    child = CONFIG_MAPS.write({"metadata": {"name": "c", "ownerReferences": [owner.controller_reference()]}})
    assert child["metadata"]["ownerReferences"] == [
        {
            "apiVersion": "example.com/v1",
            "kind": "Owner",
            "name": "a",
            "uid": "u1",
            "controller": True,
            "blockOwnerDeletion": True,
        }
    ]
    assert CONFIG_MAPS.read(json.dumps(child).encode()).metadata.controller == owner.controller_reference()
