"""The OpenAPI documents that kubectl reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from disvc.testing.memory import openapi
from disvc.testing.memory.builtin import TYPES
from disvc.testing.memory.resource import ResourceType
from disvc.testing.memory.schema import Schema

if TYPE_CHECKING:
    from collections.abc import Iterator

REFERENCE = "#/components/schemas/"


def custom(**properties: Any) -> ResourceType:
    (config_maps,) = (each for each in TYPES if each.kind == "ConfigMap")
    schema = Schema({"type": "object", "description": "A test.", "properties": {"spec": properties}})
    return ResourceType(
        "b.example.com", "v1", "Test", "tests", config_maps.strategy, schema=schema, is_custom=True, has_status=True
    )


def index(*types: ResourceType) -> dict[str, str]:
    answer = openapi.answer("/openapi/v3", "", types)
    assert answer is not None
    return {path: each["serverRelativeURL"] for path, each in msgspec.json.decode(answer.body)["paths"].items()}


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        node = list(node.values())
    if isinstance(node, list):
        for item in node:
            yield from references(item)


def versions() -> list[tuple[str, str]]:
    return list(dict.fromkeys((each.group, each.version) for each in TYPES))


def test_every_document_of_the_index_is_there_and_may_be_kept() -> None:
    types = (*TYPES, custom())
    urls = index(*types)
    assert {"api/v1", "apis/apps/v1", "apis/b.example.com/v1"} <= urls.keys()
    for url in urls.values():
        path, _, known = url.partition("?hash=")
        answer = openapi.answer(path, known, types)
        assert answer is not None
        assert (answer.status, answer.headers["cache-control"]) == (200, "public, immutable")


def test_the_hash_of_a_custom_kind_changes_with_its_schema_and_leads_on() -> None:
    before, after = custom(), custom(type="object")
    old, new = (index(each)["apis/b.example.com/v1"] for each in (before, after))
    assert old != new
    assert index(*TYPES, before)["api/v1"] == index(*TYPES, after)["api/v1"]
    answer = openapi.answer("/openapi/v3/apis/b.example.com/v1", old.partition("=")[2], [after])
    assert answer is not None
    assert (answer.status, answer.headers["location"]) == (301, new)


@pytest.mark.parametrize(("group", "version"), versions())
def test_a_document_has_all_that_it_refers_to(group: str, version: str) -> None:
    document = openapi.document(group, version, TYPES)
    schemas = document["components"]["schemas"]
    assert {reference.removeprefix(REFERENCE) for reference in references(document)} <= schemas.keys()
    types = {node for schema in schemas.values() for node in types_in(schema)}
    assert types <= {"object", "array", "string", "integer", "number", "boolean"}


def types_in(schema: dict[str, Any]) -> Iterator[str]:
    if "type" in schema:
        yield schema["type"]
    for each in (schema.get("properties") or {}).values():
        yield from types_in(each)


def test_beside_a_reference_stands_nothing() -> None:
    spec = openapi.document("apps", "v1", TYPES)["components"]["schemas"]["io.k8s.api.apps.v1.DeploymentSpec"]
    assert spec["properties"]["template"].keys() == {"allOf", "description"}
    assert spec["properties"]["strategy"]["x-kubernetes-patch-strategy"] == "retainKeys"


def test_a_custom_kind_has_its_schema_and_what_every_kind_has() -> None:
    document = openapi.document("b.example.com", "v1", [custom(type="object", description="What is wanted.")])
    schema = document["components"]["schemas"]["com.example.b.v1.Test"]
    assert schema["description"] == "A test."
    assert schema["properties"]["spec"]["description"] == "What is wanted."
    assert schema["properties"]["kind"]["type"] == "string"
    assert "enum" not in schema["properties"]["kind"]
    assert schema["x-kubernetes-group-version-kind"] == [{"group": "b.example.com", "kind": "Test", "version": "v1"}]


def test_a_patch_says_that_fields_are_validated_and_that_it_can_be_tried() -> None:
    paths = openapi.document("b.example.com", "v1", [custom()])["paths"]
    patch = paths["/apis/b.example.com/v1/namespaces/{namespace}/tests/{name}"]["patch"]
    assert {"fieldValidation", "dryRun"} <= {each["name"] for each in patch["parameters"]}
    assert patch["x-kubernetes-group-version-kind"]["kind"] == "Test"
    assert "/apis/b.example.com/v1/namespaces/{namespace}/tests/{name}/status" in paths
    assert paths["/apis/b.example.com/v1/tests"].keys() == {"get"}


def test_there_is_no_document_of_what_is_not_served() -> None:
    assert openapi.answer("/openapi/v3/apis/none.example.com/v1", "", TYPES) is None
