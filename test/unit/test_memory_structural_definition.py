"""What a CustomResourceDefinition makes of the in-memory API server, and what it refuses to be."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from disvc.api.crd import crd as disvc_crd
from disvc.runtime.environment import Environment
from disvc.runtime.transport import Answer
from disvc.testing.kserve.crd import definition as isvc_crd
from disvc.testing.memory import APIServer
from disvc.testing.memory.builtin import TYPES
from disvc.testing.memory.errors import Refused
from disvc.testing.memory.requests import Request
from disvc.testing.memory.resource import ResourceType, Scale
from disvc.testing.memory.structural.definition import resource_types, validate
from disvc.testing.memory.structural.json_paths import compile_path

Value = dict[str, Any]
DEFINITION = next(each for each in TYPES if each.kind == "CustomResourceDefinition")
NOW = datetime(2026, 1, 2, tzinfo=UTC)
SCHEMA: Value = {
    "type": "object",
    "properties": {
        "spec": {"type": "object", "properties": {"a": {"type": "string", "default": "x"}, "n": {"type": "integer"}}},
        "status": {"type": "object", "properties": {"ready": {"type": "boolean"}}},
    },
}
VERSION: Value = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": SCHEMA}}


def definition(*versions: Value, **spec: Any) -> Value:
    """Return a definition with one version, or with versions that differ from it in what is given."""
    names = {"plural": "foos", "kind": "Foo", "shortNames": ["f"], "categories": ["all"]}
    made = [copy.deepcopy(VERSION | version) for version in versions or ({},)]
    crd = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "foos.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": names, "versions": made} | spec,
    }
    return created(crd)


def created(crd: Value) -> Value:
    assert DEFINITION.decode is not None
    obj, unknown = DEFINITION.decode(crd)
    assert unknown == []
    DEFINITION.strategy.default(obj)
    DEFINITION.strategy.prepare_for_create(obj)
    return obj


def kind(**version: Any) -> ResourceType:
    crd = definition(version)
    assert validate(crd) == []
    return resource_types(crd)[0]


def cells(resource: ResourceType, **parts: Any) -> list[object]:
    obj = {"metadata": {"name": "a", "creationTimestamp": "2026-01-01T00:00:00Z"}, **parts}
    return [column.cell(obj, NOW) for column in resource.columns]


def test_names_and_conversion_are_filled_in() -> None:
    crd = definition()
    assert crd["spec"]["names"] | {"singular": "foo", "listKind": "FooList"} == crd["spec"]["names"]
    assert crd["spec"]["conversion"] == {"strategy": "None"}
    assert crd["status"]["storedVersions"] == ["v1"]


@pytest.mark.parametrize("crd", [disvc_crd(), isvc_crd()], ids=["DistributedInferenceService", "InferenceService"])
def test_the_definitions_that_the_operator_needs_are_valid(crd: Value) -> None:
    assert validate(created(crd)) == []


def test_a_kind_is_served_under_its_names() -> None:
    resource = kind()
    assert (resource.api_version, resource.kind, resource.plural) == ("example.com/v1", "Foo", "foos")
    assert (resource.short_names, resource.categories, resource.namespaced) == (("f",), ("all",), True)


def test_an_object_is_read_without_what_the_schema_does_not_know() -> None:
    resource = kind()
    assert resource.decode is not None
    given = {"metadata": {"name": "a", "labels": {}, "odd": 1}, "spec": {"n": None, "b": 1}}
    obj, unknown = resource.decode(given)
    assert unknown == ["metadata.odd", "spec.b"]
    assert obj == {"metadata": {"name": "a"}, "spec": {}}
    assert given["spec"] == {"n": None, "b": 1}


def test_metadata_of_a_wrong_type_cannot_be_read() -> None:
    resource = kind()
    assert resource.decode is not None
    with pytest.raises(Refused, match='Foo in version "v1" cannot be handled as a Foo: json: cannot unmarshal number'):
        resource.decode({"metadata": {"labels": {"a": 1}}})


def test_the_status_has_a_way_of_its_own_where_there_is_a_subresource() -> None:
    strategy = kind(subresources={"status": {}}).strategy
    created: Value = {"spec": {}, "status": {"ready": True}}
    strategy.prepare_for_create(created)
    assert created == {"spec": {}}
    updated: Value = {"spec": {"n": 1}, "status": {"ready": False}}
    strategy.prepare_for_update(updated, {"spec": {}, "status": {"ready": True}})
    assert updated == {"spec": {"n": 1}, "status": {"ready": True}}
    wrong = {"spec": {"n": "x"}, "status": {"ready": "x"}}
    causes = strategy.validate(wrong, {"spec": {}, "status": {}}, "status")
    assert [cause.field for cause in causes] == ["status.ready"]


def test_the_scale_subresource_reads_and_writes_where_the_definition_says() -> None:
    scale = {"specReplicasPath": ".spec.n", "statusReplicasPath": ".status.n"}
    resource = kind(subresources={"scale": scale})
    assert resource.scale == Scale("spec.n", "status.n")
    causes = resource.strategy.validate({"spec": {"n": -1}}, None, "")
    assert [str(cause) for cause in causes] == [".spec.n: Invalid value: -1: should be a non-negative integer"]


def test_columns_show_what_the_paths_lead_to() -> None:
    columns = [
        {"name": "A", "type": "string", "jsonPath": ".spec.a"},
        {"name": "N", "type": "integer", "jsonPath": ".spec.n"},
        {"name": "Ready", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].status'},
        {"name": "Label", "type": "string", "jsonPath": r".metadata.labels.app\.kubernetes\.io/name"},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp", "priority": 1},
    ]
    resource = kind(additionalPrinterColumns=columns)
    assert [column.name for column in resource.columns] == ["Name", "A", "N", "Ready", "Label", "Age"]
    conditions = [{"type": "Other", "status": "False"}, {"type": "Ready", "status": "True"}]
    assert cells(resource, spec={"a": {"b": 1}, "n": "x"}, status={"conditions": conditions}) == [
        "a",
        '{"b":1}',
        None,
        "True",
        None,
        "24h",
    ]


def test_without_columns_the_age_is_shown() -> None:
    assert cells(kind()) == ["a", "24h"]


def test_selectable_fields_are_read_as_text() -> None:
    resource = kind(selectableFields=[{"jsonPath": ".spec.n"}])
    assert resource.selectable_fields["spec.n"]({"spec": {"n": 3}}) == "3"
    assert resource.selectable_fields["spec.n"]({"spec": {}}) == ""


def test_every_served_version_is_kept_as_the_stored_one() -> None:
    crd = definition({}, {"name": "v2", "storage": False})
    first, second = resource_types(crd)
    assert first.stored_as is None
    assert second.stored_as is not None
    stored = second.stored_as.to_stored({"apiVersion": "example.com/v2", "kind": "Foo", "spec": {}})
    assert stored["apiVersion"] == "example.com/v1"
    assert second.stored_as.from_stored(stored) == {"apiVersion": "example.com/v2", "kind": "Foo", "spec": {"a": "x"}}


def test_what_was_stored_before_the_definition_changed_is_brought_into_shape() -> None:
    crd = definition()
    crd["metadata"]["generation"] = 2
    (resource,) = resource_types(crd)
    assert resource.stored_as is not None
    old = {"apiVersion": "example.com/v1", "kind": "Foo", "spec": {"gone": 1}}
    assert resource.stored_as.from_stored(old)["spec"] == {"a": "x"}


def test_a_deprecated_version_warns_and_names_a_better_one() -> None:
    newer = {"name": "v2", "storage": False}
    old, new = resource_types(definition({"deprecated": True}, newer))
    assert (old.deprecation, new.deprecation) == ("example.com/v1 Foo is deprecated; use example.com/v2 Foo", "")
    (own,) = resource_types(definition({"deprecated": True, "deprecationWarning": "go away"}))
    assert own.deprecation == "go away"


def test_conversion_by_a_webhook_is_refused_with_what_to_do_instead() -> None:
    webhook = {"conversionReviewVersions": ["v1"], "clientConfig": {"url": "https://x"}}
    (cause,) = validate(definition(conversion={"strategy": "Webhook", "webhook": webhook}))
    assert "use None, or a real kube-apiserver" in cause.message


def test_a_rule_that_cannot_be_evaluated_is_refused_with_its_text() -> None:
    schema = copy.deepcopy(SCHEMA)
    schema["properties"]["spec"]["x-kubernetes-validations"] = [{"rule": "self.a.mystery() == 1"}]
    (cause,) = validate(definition({"schema": {"openAPIV3Schema": schema}}))
    assert cause.field == "spec.validation.openAPIV3Schema.properties[spec].x-kubernetes-validations[0].rule"
    assert "self.a.mystery() == 1" in cause.message
    assert "undeclared reference to 'mystery'" in cause.message


def test_the_scope_of_an_established_definition_is_immutable() -> None:
    old = definition()
    old["status"]["conditions"] = [{"type": "Established", "status": "True"}]
    (cause,) = validate(definition(scope="Cluster"), old)
    assert str(cause) == 'spec.scope: Invalid value: "Cluster": field is immutable'


def test_a_version_that_was_stored_must_stay() -> None:
    old = definition()
    new = definition({"name": "v2"})
    DEFINITION.strategy.prepare_for_update(new, old)
    assert new["status"]["storedVersions"] == ["v1", "v2"]
    (cause,) = validate(new, old)
    assert cause.field == "status.storedVersions[0]"


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".a.b", [1]),
        (r".a.x\.y", [2]),
        (".a['b']", [1]),
        (".l[0]", [1]),
        (".l[-1]", [3]),
        (".l[*]", [1, 2, 3]),
        (".l[0:2]", [1, 2]),
        (".o[?(@.k=='b')].v", [2]),
        (".missing.b", []),
        ("..v", [1, 2]),
    ],
)
def test_paths_are_those_of_kubectl(path: str, found: list[object]) -> None:
    obj = {"a": {"b": 1, "x.y": 2}, "l": [1, 2, 3], "o": [{"k": "a", "v": 1}, {"k": "b", "v": 2}]}
    assert compile_path(path)(obj) == found


@pytest.mark.parametrize("path", ["a", ".a[", "."])
def test_what_is_no_path_is_told(path: str) -> None:
    with pytest.raises(ValueError, match="is no JSONPath"):
        compile_path(path)


async def test_every_answer_about_a_deprecated_version_warns() -> None:
    server = APIServer(Environment(), TYPES)
    crd = definition({"deprecated": True})
    body = msgspec.json.encode({name: crd[name] for name in ("apiVersion", "kind", "metadata", "spec")})
    json = {"content-type": "application/json"}
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    await server.handle(Request("POST", definitions, headers=json, body=body))
    for path in ("/apis/example.com/v1/foos", "/apis/example.com/v1/namespaces/default/foos/missing"):
        answer = await server.handle(Request("GET", path))
        assert isinstance(answer, Answer)
        assert answer.headers["warning"] == '299 - "example.com/v1 Foo is deprecated"'
