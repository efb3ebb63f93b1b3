"""What is refused, in which words; discovery and other paths."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from suite.api import APPLY, JSON, MERGE, config_map

STRATEGIC = "application/strategic-merge-patch+json"

if TYPE_CHECKING:
    from suite.api import Api


async def test_a_path_that_leads_nowhere_is_not_found(api: Api) -> None:
    reply = await api.get("/apis/none.example/v1/things")
    assert reply.status == 404
    assert reply["text"] == "404 page not found\n"


async def test_a_method_that_a_path_does_not_take_is_refused(api: Api) -> None:
    reply = await api.send("POST", f"{api.config_maps}/a", config_map("a"))
    assert reply.refusal == (405, "MethodNotAllowed")


async def test_a_collection_cannot_be_created_in_a_namespace_that_is_not_there(api: Api) -> None:
    reply = await api.send("POST", "/api/v1/namespaces/not-there/configmaps", config_map("a"))
    assert reply.refusal == (404, "NotFound")
    assert reply["message"] == 'namespaces "not-there" not found'


async def test_a_stale_update_is_a_conflict(api: Api) -> None:
    created = await api.create(api.config_maps, config_map("a"))
    await api.patch(f"{api.config_maps}/a", {"data": {"k": "v"}})
    reply = await api.send("PUT", f"{api.config_maps}/a", dict(created))
    assert reply.refusal == (409, "Conflict")
    assert reply["message"] == (
        'Operation cannot be fulfilled on configmaps "a": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )


async def test_a_test_of_a_json_patch_that_fails_changes_nothing(api: Api) -> None:
    await api.create(api.config_maps, config_map("a", {"k": "v"}))
    patch = [{"op": "test", "path": "/data/k", "value": "w"}, {"op": "remove", "path": "/data/k"}]
    reply = await api.patch(f"{api.config_maps}/a", patch, JSON)
    assert reply.refusal == (422, "Invalid")
    assert (await api.get(f"{api.config_maps}/a"))["data"] == {"k": "v"}


@pytest.mark.parametrize("validation", ["Strict", "Warn", "Ignore"])
async def test_an_unknown_field_is_refused_warned_of_or_ignored(api: Api, validation: str) -> None:
    body = config_map("a") | {"unknown": 1}
    reply = await api.send("POST", api.config_maps, body, fieldValidation=validation)
    assert reply.status == (400 if validation == "Strict" else 201)
    assert reply.headers.get("warning") == ('299 - "unknown field \\"unknown\\""' if validation == "Warn" else None)
    assert "unknown" not in reply


async def test_an_immutable_config_map_stays_as_it_is(api: Api) -> None:
    await api.create(api.config_maps, config_map("a", {"k": "v"}) | {"immutable": True})
    reply = await api.patch(f"{api.config_maps}/a", {"data": {"k": "w"}})
    assert reply.refusal == (422, "Invalid")
    assert reply.fields == ["data"]
    assert (await api.patch(f"{api.config_maps}/a", {"immutable": None})).refusal == (422, "Invalid")


async def test_a_dry_run_stores_nothing(api: Api) -> None:
    reply = await api.send("POST", api.config_maps, config_map("a"), dryRun="All")
    assert reply.status == 201
    assert reply["metadata"]["uid"]
    assert "resourceVersion" not in reply["metadata"]
    assert (await api.get(f"{api.config_maps}/a")).refusal == (404, "NotFound")


async def test_a_generated_name_has_five_characters_more(api: Api) -> None:
    reply = await api.create(api.config_maps, {"metadata": {"generateName": "x-"}})
    assert reply["metadata"]["generateName"] == "x-"
    assert len(reply["metadata"]["name"]) == 7


async def test_the_version_is_that_of_kubernetes(api: Api) -> None:
    reply = await api.get("/version")
    assert (reply["major"], reply["minor"]) == ("1", "36")


async def test_discovery_lists_groups_and_their_preferred_versions(api: Api) -> None:
    reply = await api.get("/apis")
    groups = {group["name"]: group["preferredVersion"]["version"] for group in reply["groups"]}
    assert groups["apps"] == "v1"
    assert groups["autoscaling"] == "v2"
    assert groups["apiextensions.k8s.io"] == "v1"


async def test_the_core_group_lists_config_maps_with_their_verbs(api: Api) -> None:
    resources = (await api.get("/api/v1"))["resources"]
    [found] = [resource for resource in resources if resource["name"] == "configmaps"]
    assert found["shortNames"] == ["cm"]
    assert found["verbs"] == ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]


async def test_a_table_has_the_columns_of_its_kind(api: Api) -> None:
    await api.create(api.config_maps, config_map("a", {"k": "v", "l": "w"}))
    table = await api.send("GET", api.config_maps, accept="application/json;as=Table;g=meta.k8s.io;v=v1")
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Data", "Age"]
    assert table["rows"][0]["cells"][:2] == ["a", 2]


_DEEP = 20_000
_JSON_LISTS = '{"apiVersion":"v1","kind":"ConfigMap","data":' + "[" * _DEEP + "]" * _DEEP + "}"
_JSON_MAPS = '{"a":' * _DEEP + "1" + "}" * _DEEP
_YAML_MAPS = "{a: " * _DEEP + "1" + "}" * _DEEP
_CREATED = "the object provided is unrecognized (must be of type ConfigMap): "
_JSON_CREATED = f"{_CREATED}couldn't get version/kind; json parse error: "


@pytest.mark.parametrize(
    ("method", "kind", "body", "message"),
    [
        (
            "POST",
            "application/json",
            _JSON_LISTS,
            _JSON_CREATED + """invalid character '[' exceeded max depth ({"apiVersion":"v1","kind":"Con ...)""",
        ),
        (
            "POST",
            "application/json",
            _JSON_MAPS,
            _JSON_CREATED + """invalid character '{' exceeded max depth ({"a":{"a":{"a":{"a":{"a":{"a": ...)""",
        ),
        ("POST", "application/yaml", "[" * _DEEP, f"{_CREATED}yaml: exceeded max depth of N ({'5b' * 30} ...)"),
        ("POST", "application/yaml", "- " * _DEEP, f"{_CREATED}yaml: exceeded max depth of N ({'2d20' * 15} ...)"),
        (
            "POST",
            "application/yaml",
            _YAML_MAPS,
            _CREATED + "yaml: exceeded max depth of N ({a: {a: {a: {a: {a: {a: {a: {a ...)",
        ),
        (
            "PATCH",
            APPLY,
            _YAML_MAPS,
            "error decoding YAML: error converting YAML to JSON: yaml: exceeded max depth of N",
        ),
        (
            "PATCH",
            APPLY,
            _JSON_MAPS,
            "error decoding YAML: error converting YAML to JSON: yaml: exceeded max depth of N",
        ),
        ("PATCH", MERGE, _JSON_MAPS, "error decoding patch: invalid character '{' exceeded max depth"),
        ("PATCH", JSON, f"[{_JSON_MAPS}]", "error decoding patch: invalid character '{' exceeded max depth"),
        ("PATCH", STRATEGIC, _JSON_MAPS, "invalid character '{' exceeded max depth"),
        (
            "DELETE",
            "application/json",
            _JSON_MAPS,
            "couldn't get version/kind; json parse error: invalid character '{' exceeded max depth",
        ),
        ("DELETE", "application/yaml", _YAML_MAPS, "yaml: exceeded max depth of N"),
    ],
    ids=lambda value: value if len(str(value)) < 40 else "",
)
async def test_a_body_nested_too_deep_is_refused(api: Api, method: str, kind: str, body: str, message: str) -> None:
    await api.create(api.config_maps, config_map("a"))
    path = api.config_maps if method == "POST" else f"{api.config_maps}/a"
    query = {"fieldManager": "m"} if kind == APPLY else {}
    reply = await api.send(method, path, body.encode(), kind=kind, **query)
    assert reply.refusal == (400, "BadRequest")
    assert re.sub(r"depth of \d+", "depth of N", reply["message"]) == message
