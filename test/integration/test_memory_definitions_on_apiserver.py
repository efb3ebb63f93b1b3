"""What a real kube-apiserver finds wrong with a CustomResourceDefinition, the in-memory one finds wrong, too."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from disvc.testing.memory.builtin import TYPES
from disvc.testing.memory.metadata import new_problems

if TYPE_CHECKING:
    from disvc.testing.controlplane import ControlPlane

Value = dict[str, Any]
PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions?dryRun=All"
DEFINITION = next(each for each in TYPES if each.kind == "CustomResourceDefinition")
TEXT: Value = {"type": "string"}
LIST, KEYS, MAP = "x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-map-type"
EMBEDDED, PRESERVE = "x-kubernetes-embedded-resource", "x-kubernetes-preserve-unknown-fields"
EITHER, RULES = "x-kubernetes-int-or-string", "x-kubernetes-validations"
INT_OR_STRING = [{"type": "integer"}, {"type": "string"}]
VERSION: Value = {
    "name": "v1",
    "served": True,
    "storage": True,
    "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": {"type": "object"}}}},
}


def definition(*versions: Value, **spec: Any) -> Value:
    """Return a CRD with one version, or with versions that differ from it in what is given."""
    names = {"plural": "probes", "kind": "Probe"} | spec.pop("names", {})
    made = [VERSION | version for version in versions or ({},)]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": spec.pop("name", "probes.diff.example.com")},
        "spec": {
            "group": "diff.example.com",
            "scope": "Namespaced",
            "names": names,
            "versions": made,
        }
        | spec,
    }


def root(schema: Value, **version: Any) -> Value:
    return definition({"schema": {"openAPIV3Schema": schema}, **version})


def field(**schema: Any) -> Value:
    return root({"type": "object", "properties": {"spec": {"type": "object", "properties": {"x": schema}}}})


def items(schema: Value, **array: Any) -> Value:
    return field(type="array", maxItems=3, items=schema, **array)


def rule(rule: str, **more: Any) -> Value:
    return field(type="string", maxLength=9, **{RULES: [{"rule": rule, **more}]})


NAMED: Value = TEXT | {"default": "x"}
KEYED: Value = {"type": "object", "properties": {"k": TEXT}}
EACH_IS_JUDGED_THE_SAME = [
    definition(),
    definition(name="foo"),
    definition(name="probes.other.example.com"),
    definition(group="nodots"),
    definition(group=""),
    definition(scope="Foo"),
    definition(scope=""),
    definition(names={"plural": "Probes"}),
    definition(names={"kind": "probe kind"}),
    definition(names={"kind": ""}),
    definition(names={"plural": ""}),
    definition(names={"listKind": "Probe"}),
    definition(names={"shortNames": ["A", "ok", ""], "categories": ["a b"], "singular": "X"}),
    definition(versions=[]),
    definition({"storage": False}),
    definition({}, {}),
    definition({}, {"name": "v2"}),
    definition({}, {"name": "v2", "storage": False}),
    definition({"name": "V1"}),
    definition({"deprecationWarning": "x"}),
    definition({"deprecated": True, "deprecationWarning": ""}),
    definition({"deprecated": True, "deprecationWarning": "a\nb"}),
    definition(conversion={"strategy": "Foo"}),
    definition(conversion={"strategy": "None", "webhook": {"conversionReviewVersions": ["v1"]}}),
    definition(preserveUnknownFields=True),
    definition({"schema": None}),
    definition({"schema": {}}),
    definition({}, {"name": "v2", "storage": False, "schema": {"openAPIV3Schema": {"type": "array"}}}),
    definition({"subresources": {"scale": {"specReplicasPath": "", "statusReplicasPath": ""}}}),
    definition({"subresources": {"scale": {"specReplicasPath": "spec.x", "statusReplicasPath": ".spec.x"}}}),
    definition(
        {
            "subresources": {
                "scale": {"specReplicasPath": ".spec.x", "statusReplicasPath": ".status.x", "labelSelectorPath": "x"}
            }
        }
    ),
    definition(
        {
            "additionalPrinterColumns": [
                {"name": "", "type": "", "jsonPath": ""},
                {"name": "a", "type": "foo", "jsonPath": "x", "format": "bar"},
                {"name": "ok", "type": "date", "jsonPath": ".a"},
            ]
        }
    ),
    root(
        {"type": "object", "properties": {"spec": {"type": "object", "properties": {"a": TEXT}}}},
        selectableFields=[
            {"jsonPath": path}
            for path in (".spec.a", ".spec.a", ".spec", ".spec.z", "spec.a", ".spec['a']", "", ".metadata.name")
        ],
    ),
    root({"type": "string"}),
    root({}),
    root({"type": "object", "additionalProperties": TEXT}),
    root({"type": "object", "nullable": True}),
    root({"type": "object", "properties": {"metadata": {"type": "object", "properties": {"labels": KEYED}}}}),
    root({"type": "object", "properties": {"metadata": {"type": "object", "properties": {"name": NAMED}}}}),
    root({"type": "object", "properties": {"kind": {"type": "integer"}, "metadata": TEXT}}),
    root({"type": "string"}, subresources={"status": {}}),
    field(),
    field(type="array"),
    field(type="foo"),
    field(type="null"),
    field(type="object", properties={"a": {}}),
    field(type="array", items={}),
    field(type="string", pattern="("),
    field(type="string", format="foo"),
    field(type="object", properties={"a": TEXT}, additionalProperties=TEXT),
    field(type="object", properties={"a": TEXT}, additionalProperties=False),
    field(type="object", additionalProperties=False),
    field(type="array", uniqueItems=True, items=TEXT),
    field(type="object", **{PRESERVE: False}),
    field(**{"$ref": "#/foo"}),
    field(type="object", patternProperties={"a": TEXT}),
    field(type="object", dependencies={"a": ["b"]}),
    field(type="object", definitions={"a": TEXT}),
    field(type="array", items=[TEXT]),
    field(type="array", items=TEXT, additionalItems=True),
    field(type="string", id="x"),
    field(type="string", anyOf=[TEXT]),
    field(type="string", allOf=[{"description": "x", "title": "y", "default": "z", "nullable": True}]),
    field(type="object", anyOf=[{"properties": {"q": {"minLength": 1}}}]),
    field(type="array", items=TEXT, **{"not": {"items": {"properties": {"q": {}}}}}),
    field(type="object", oneOf=[{"additionalProperties": {"minLength": 2}}]),
    field(type="object", properties={"metadata": {"type": "object"}}, anyOf=[{"properties": {"metadata": {}}}]),
    field(**{EITHER: True}, anyOf=INT_OR_STRING),
    field(**{EITHER: True}, allOf=[{"anyOf": INT_OR_STRING}, {"pattern": "x"}]),
    field(**{EITHER: True, PRESERVE: True}),
    field(type="string", anyOf=INT_OR_STRING),
    field(type="string", **{EMBEDDED: True}),
    field(**{EMBEDDED: True}),
    field(type="object", **{EMBEDDED: True}),
    field(type="object", additionalProperties=TEXT, **{EMBEDDED: True}),
    field(type="object", properties={"metadata": TEXT, "kind": {"type": "integer"}}, **{EMBEDDED: True}),
    items(TEXT, **{LIST: "foo"}),
    field(type="string", **{LIST: "set"}),
    field(**{LIST: "set"}),
    items({"type": "object"}, **{LIST: "set"}),
    items({"type": "array", "items": TEXT, LIST: "set"}, **{LIST: "set"}),
    items(TEXT | {"nullable": True}, **{LIST: "set"}),
    items(TEXT, **{LIST: "map"}),
    items({"type": "object"}, **{LIST: "map"}),
    items(KEYED, **{LIST: "map", KEYS: ["k", "k", "z"]}),
    items(
        {"type": "object", "properties": {"k": KEYED, "n": TEXT | {"nullable": True}}, "required": ["k", "n"]},
        **{LIST: "map", KEYS: ["k", "n"]},
    ),
    items({"type": "object"}, **{KEYS: ["k"]}),
    items({"type": "object"}, **{LIST: "set", KEYS: ["k"]}),
    field(type="array", **{LIST: "map", KEYS: ["k"]}),
    items(TEXT, **{MAP: "atomic"}),
    field(type="object", **{MAP: "foo"}),
    field(**{MAP: "atomic"}),
    field(type="string", default=1),
    field(type="string", nullable=True, default=None),
    field(type="string", enum=["a"], default="b"),
    field(type="integer", default=5, maximum=3),
    field(type="object", properties={"a": TEXT}, default={"b": 1}),
    field(type="object", properties={"a": TEXT | {"default": 3}}, default={}),
    field(type="object", additionalProperties=TEXT | {"default": 1}),
    field(type="object", default={"kind": "x"}, **{EMBEDDED: True, PRESERVE: True}),
    items(TEXT | {"default": 1}),
    items(TEXT, default=["a", "a"], **{LIST: "set"}),
    field(type="string", default="x", **{RULES: [{"rule": "self == 'y'"}]}),
    field(type="string", default="x", **{RULES: [{"rule": "oldSelf.hasValue()", "optionalOldSelf": True}]}),
    rule(""),
    rule("self.foo == 1"),
    rule("self"),
    rule("self == 'a'", message=" "),
    rule("self == 'a'", message="a\nb"),
    rule("self ==\n'a'"),
    rule("self == 'a'", messageExpression=" "),
    rule("self == 'a'", messageExpression="1"),
    rule("self == 'a'", messageExpression="foo"),
    rule("self == 'a'", reason="Foo"),
    rule("self == 'a'", optionalOldSelf=True),
    rule("self == 1.5"),
    field(type="object", properties={"a": TEXT}, **{RULES: [{"rule": "self.b == 'a'", "fieldPath": " "}]}),
    field(type="object", properties={"a": TEXT}, **{RULES: [{"rule": "self.a == 'a'", "fieldPath": ".b"}]}),
    field(type="object", properties={"a": TEXT}, **{RULES: [{"rule": "self.b == 'a'"}]}),
    field(type="object", **{PRESERVE: True, RULES: [{"rule": "self.foo == 1"}]}),
    field(**{PRESERVE: True, RULES: [{"rule": "true"}]}),
    field(type="string", anyOf=[{RULES: [{"rule": "true"}]}]),
    items(TEXT | {RULES: [{"rule": "self == oldSelf"}]}),
    items({"type": "object", "properties": {"q": TEXT | {RULES: [{"rule": "self == oldSelf"}]}}}),
]


@pytest.mark.parametrize("crd", EACH_IS_JUDGED_THE_SAME)
def test_a_definition_is_judged_the_same_on_both_servers(control_plane: ControlPlane, crd: Value) -> None:
    answer = control_plane.admin.request("POST", PATH, crd)
    assert in_memory(crd) == reading(answer.status, answer.json())


def reading(code: int, body: Value) -> tuple[int, object]:
    """Return the code of an answer with the causes of a refusal, or with what would have been stored."""
    if code == 422:
        return code, {(cause["reason"], cause["field"], cause["message"]) for cause in body["details"]["causes"]}
    return code, {name: part for name, part in body.items() if name != "metadata"}


def in_memory(crd: Value) -> tuple[int, object]:
    assert DEFINITION.decode is not None
    obj, _ = DEFINITION.decode(json.loads(json.dumps(crd)))
    strategy = DEFINITION.strategy
    strategy.default(obj)
    strategy.prepare_for_create(obj)
    causes = [
        *new_problems(DEFINITION, obj["metadata"]),
        *strategy.validate(obj, None, ""),
    ]
    if causes:
        return 422, {(cause.reason, cause.field, cause.message) for cause in causes}
    return 201, {name: part for name, part in obj.items() if name != "metadata"}
