"""JSON patch and merge patch, with what the server takes beyond the RFCs."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from disvc.testing.memory.errors import Refused
from disvc.testing.memory.patch import json_patch, merge_patch, unknown_fields

Value = dict[str, Any]
OBJECT: Value = {"data": {"a": "1", "a/b~c": "2"}, "list": ["x", "y"], "none": None}


def patched(*operations: Value) -> Any:
    before = copy.deepcopy(OBJECT)
    try:
        return json_patch(OBJECT, list(operations))
    finally:
        assert before == OBJECT


@pytest.mark.parametrize(
    ("operation", "changed"),
    [
        ({"op": "add", "path": "/data/b", "value": {"c": 1}}, {"data": OBJECT["data"] | {"b": {"c": 1}}}),
        ({"op": "add", "path": "/new"}, {"new": None}),
        ({"op": "add", "path": "/list/-", "value": "z"}, {"list": ["x", "y", "z"]}),
        ({"op": "add", "path": "/list/1", "value": "z"}, {"list": ["x", "z", "y"]}),
        ({"op": "add", "path": "/list/2", "value": "z"}, {"list": ["x", "y", "z"]}),
        ({"op": "add", "path": "/list/-1", "value": "z"}, {"list": ["x", "y", "z"]}),
        ({"op": "remove", "path": "/data/a~1b~0c"}, {"data": {"a": "1"}}),
        ({"op": "remove", "path": "/list/-2"}, {"list": ["y"]}),
        ({"op": "replace", "path": "/data/a", "value": "3"}, {"data": OBJECT["data"] | {"a": "3"}}),
        ({"op": "replace", "path": "/missing", "value": "3"}, {"missing": "3"}),
        ({"op": "replace", "path": "/list/+1", "value": "z"}, {"list": ["x", "z"]}),
        ({"op": "copy", "from": "/list/0", "path": "/first"}, {"first": "x"}),
        ({"op": "copy", "from": "/missing", "path": "/first"}, {"first": None}),
        ({"op": "move", "from": "/list/0", "path": "/list/-"}, {"list": ["y", "x"]}),
        ({"op": "test", "path": "/data/a", "value": "1"}, {}),
        ({"op": "test", "path": "", "value": OBJECT}, {}),
        ({"op": "test", "path": "/missing"}, {}),
        ({"op": "test", "path": "/none", "value": None}, {}),
        ({"op": "replace", "path": "odd/data/a", "value": "3"}, {"data": OBJECT["data"] | {"a": "3"}}),
    ],
)
def test_an_operation_changes_what_its_path_names(operation: Value, changed: Value) -> None:
    assert patched(operation) == OBJECT | changed


@pytest.mark.parametrize("whole", [{"a": 1}, [1]])
def test_the_whole_object_can_be_replaced(whole: Any) -> None:
    assert patched({"op": "replace", "path": "", "value": whole}) == whole


def test_operations_are_carried_out_in_order() -> None:
    added = {"op": "add", "path": "/data/b", "value": []}
    assert patched(added, {"op": "add", "path": "/data/b/0", "value": 1})["data"]["b"] == [1]


@pytest.mark.parametrize(
    "operation",
    [
        {},
        {"op": "odd", "path": "/data"},
        {"op": "add"},
        {"op": "add", "path": "", "value": {}},
        {"op": "add", "path": "data", "value": {}},
        {"op": "add", "path": "/missing/a", "value": {}},
        {"op": "add", "path": "/data/a/b", "value": {}},
        {"op": "add", "path": "/list/3", "value": {}},
        {"op": "add", "path": "/list/a", "value": {}},
        {"op": "add", "path": "/list/-4", "value": {}},
        {"op": "remove", "path": "/missing"},
        {"op": "remove", "path": "/list/-"},
        {"op": "remove", "path": "/list/2"},
        {"op": "replace", "path": "/list/2", "value": 1},
        {"op": "replace", "path": "", "value": 1},
        {"op": "copy", "path": "/a"},
        {"op": "copy", "from": "/list/2", "path": "/a"},
        {"op": "move", "from": "/missing", "path": "/a"},
        {"op": "move", "from": "/data", "path": "/data/a"},
        {"op": "test", "path": "/data/a", "value": "2"},
        {"op": "test", "path": "/data/a"},
        {"op": "test", "path": "/list/2", "value": None},
    ],
)
def test_an_operation_that_does_not_apply_is_refused_without_saying_why(operation: Value) -> None:
    with pytest.raises(Refused) as refused:
        patched(operation)
    assert refused.value.status() == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": "the server rejected our request due to an error in our request",
        "reason": "Invalid",
        "details": {},
        "code": 422,
    }


@pytest.mark.parametrize(
    ("operations", "what"),
    [
        ({}, "object into Go value of type []handlers.jsonPatchOp"),
        ("a", "string into Go value of type []handlers.jsonPatchOp"),
        ([1], "number into Go value of type handlers.jsonPatchOp"),
        ([{"op": "add", "path": 1}], "number into Go struct field jsonPatchOp.path of type string"),
        ([{"op": True}], "bool into Go struct field jsonPatchOp.op of type string"),
    ],
)
def test_what_is_no_json_patch_is_a_bad_request(operations: object, what: str) -> None:
    with pytest.raises(Refused) as refused:
        json_patch(OBJECT, operations)
    message = f"error decoding patch: json: cannot unmarshal {what}"
    assert (refused.value.code, refused.value.message) == (400, message)


def test_ten_thousand_operations_are_the_limit() -> None:
    test = {"op": "test", "path": "/data/a", "value": "1"}
    assert json_patch(OBJECT, [test] * 10_000) == OBJECT
    with pytest.raises(Refused, match="allowed maximum operations in a JSON patch is 10000, got 10001") as refused:
        json_patch(OBJECT, [test] * 10_001)
    assert refused.value.code == 413


def test_nothing_is_no_operation() -> None:
    assert json_patch(OBJECT, None) == OBJECT == json_patch(OBJECT, [])


def test_unknown_fields_of_operations_are_told() -> None:
    operations = [{"op": "add", "path": "/a", "value": 1}, {"op": "add", "path": "/a", "foo": 1}]
    assert unknown_fields(operations) == ['json patch unknown field "[1].foo"']
    assert unknown_fields({}) == unknown_fields([1]) == []


@pytest.mark.parametrize(
    ("patch", "changed"),
    [
        ({"data": {"a": None, "b": "3"}}, {"data": {"a/b~c": "2", "b": "3"}}),
        ({"data": "x"}, {"data": "x"}),
        ({"list": {"a": None, "b": [None, {"c": None}]}}, {"list": {"b": [None, {}]}}),
        ({"data": [{"c": None}]}, {"data": [{"c": None}]}),
        ({"none": {"a": None}}, {"none": {}}),
        ({"new": {"a": None}}, {"new": {}}),
    ],
)
def test_a_merge_patch_sets_what_it_has_and_removes_what_is_null(patch: Value, changed: Value) -> None:
    before = copy.deepcopy(OBJECT)
    assert merge_patch(OBJECT, patch) == OBJECT | changed
    assert before == OBJECT


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        (None, "Invalid JSON Patch"),
        ([], "error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}"),
        (1, "error decoding patch: json: cannot unmarshal number into Go value of type map[string]interface {}"),
    ],
)
def test_what_is_no_merge_patch_is_a_bad_request(patch: object, message: str) -> None:
    with pytest.raises(Refused) as refused:
        merge_patch(OBJECT, patch)
    assert (refused.value.code, refused.value.message) == (400, message)
