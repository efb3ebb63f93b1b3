"""Strategic merge patch: how lists and maps of built-in kinds are merged, and what the directives do."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from disvc.testing.memory.builtin import definitions
from disvc.testing.memory.errors import Refused
from disvc.testing.memory.patch import strategic_merge

Value = dict[str, Any]
SCHEMA = definitions.schema("apps", "v1", "Deployment")


def metadata(**fields: Any) -> Value:
    return {"metadata": fields}


def pod(**fields: Any) -> Value:
    return {"spec": {"template": {"spec": fields}}}


def containers(*items: Value) -> Value:
    return pod(containers=list(items))


def merged(obj: Value, patch: object) -> Value:
    before = copy.deepcopy((obj, patch))
    try:
        return strategic_merge(obj, patch, SCHEMA)
    finally:
        assert before == (obj, patch)


A, B, C = ({"name": name, "image": name} for name in "abc")


@pytest.mark.parametrize(
    ("obj", "patch", "result"),
    [
        (
            metadata(labels={"a": "1", "b": "1"}),
            metadata(labels={"a": None, "c": "1"}),
            metadata(labels={"b": "1", "c": "1"}),
        ),
        (containers(A, B), containers(B | {"image": "x"}), containers(A, B | {"image": "x"})),
        (containers(A), containers(B), containers(B, A)),
        (containers(A, B), containers(C, B), containers(C, A, B)),
        (pod(tolerations=[{"key": "a"}]), pod(tolerations=[{"key": "b"}]), pod(tolerations=[{"key": "b"}])),
        (metadata(finalizers=["a", "b"]), metadata(finalizers=["c", "a"]), metadata(finalizers=["c", "a", "b"])),
        (metadata(labels={"a": "1"}), metadata(labels=None), {"metadata": {}}),
        (metadata(), metadata(labels={"a": None, "b": "1"}), metadata(labels={"b": "1"})),
        (metadata(), metadata(labels={"a": {"$patch": "delete"}, "b": "1"}), metadata(labels={"b": "1"})),
        (metadata(labels={"a": "1"}), None, metadata(labels={"a": "1"})),
    ],
)
def test_maps_are_merged_and_lists_as_their_field_says(obj: Value, patch: object, result: Value) -> None:
    assert merged(obj, patch) == result


@pytest.mark.parametrize(
    ("obj", "patch", "result"),
    [
        (metadata(labels={"a": "1"}), metadata(labels={"$patch": "replace", "b": "1"}), metadata(labels={"b": "1"})),
        (metadata(labels={"a": "1"}), metadata(labels={"$patch": "delete"}), metadata(labels={})),
        (containers(A, B), containers({"name": "a", "$patch": "delete"}), containers(B)),
        (containers(A, B), containers({"$patch": "replace"}, C), containers(C)),
        (
            metadata(finalizers=["a", "b"]),
            metadata(**{"$deleteFromPrimitiveList/finalizers": ["a"]}),
            metadata(finalizers=["b"]),
        ),
        (metadata(), metadata(**{"$deleteFromPrimitiveList/finalizers": ["a"]}), metadata()),
        (
            metadata(finalizers=["a", "b", "c"]),
            metadata(**{"$setElementOrder/finalizers": ["c", "a"]}),
            metadata(finalizers=["b", "c", "a"]),
        ),
        (
            containers(A, B, C),
            pod(**{"$setElementOrder/containers": [{"name": "c"}, {"name": "a"}]}, containers=[A | {"image": "x"}]),
            containers(B, C, A | {"image": "x"}),
        ),
        (
            {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}},
            {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}},
            {"spec": {"strategy": {"type": "Recreate"}}},
        ),
    ],
)
def test_a_directive_says_otherwise(obj: Value, patch: Value, result: Value) -> None:
    assert merged(obj, patch) == result


@pytest.mark.parametrize(
    ("patch", "code", "message"),
    [
        ([], 400, "json: cannot unmarshal array into Go value of type map[string]interface {}"),
        ({"$patch": "odd"}, 500, "unknown patch type: odd in map: map[$patch:odd]"),
        (containers({"image": "x"}), 500, "map: map[image:x] does not contain declared merge key: name"),
        (containers({"name": "a", "$patch": "merge"}), 500, "merging lists cannot yet be specified in the patch"),
        (containers({"$patch": "delete"}), 500, "map: map[$patch:delete] does not contain declared merge key: name"),
        (metadata(finalizers=[1]), 500, "list element types are not identical: [[a] [1]]"),
        (metadata(finalizers=[["a"], "a"]), 500, "list element types are not identical: [[a] [[a] a]]"),
        (metadata(**{"$deleteFromPrimitiveList": []}), 400, "invalid patch format of primitive list"),
        (metadata(**{"$setElementOrder": []}), 400, "invalid patch format of setElementOrder list"),
        (metadata(**{"$setElementOrder/finalizers": 1}), 500, "expected a []interface {}, but received a int64"),
        (metadata(**{"$retainKeys": 1}), 400, "invalid patch format of retainKeys"),
        (metadata(**{"$retainKeys": ["name"]}, labels={}), 400, "invalid patch format of retainKeys"),
        (
            metadata(**{"$setElementOrder/finalizers": ["a"]}, finalizers=["b"]),
            500,
            "The order in patch list:\n[b]\n doesn't match $setElementOrder list:\n[a]\n",
        ),
    ],
)
def test_a_patch_that_contradicts_itself_is_refused_in_the_servers_words(
    patch: object, code: int, message: str
) -> None:
    with pytest.raises(Refused) as refused:
        merged(metadata(finalizers=["a"]) | containers(A), patch)
    assert (refused.value.code, refused.value.message) == (code, message)
