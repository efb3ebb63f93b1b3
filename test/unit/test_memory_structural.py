"""Structural schemas of the in-memory API server: what is filled in, what is dropped, what is refused.

That all of it is as on a real server is proved by test/integration/test_memory_structural_on_apiserver.py.
"""

from __future__ import annotations

from typing import Any

import pytest

from disvc.testing.memory.schema import Schema
from disvc.testing.memory.structural import Validator, default, drop_nulls, prune
from disvc.testing.memory.structural.correlation import Correlation
from disvc.testing.memory.structural.durations import parse_duration
from disvc.testing.memory.structural.list_types import duplicates

Value = dict[str, Any]
TEXT: Value = {"type": "string"}
NUMBER: Value = {"type": "integer"}


def fields(**properties: Value) -> Schema:
    return Schema({"type": "object", "properties": properties})


def causes(value: Any, schema: Schema, old: Any = None) -> list[str]:
    correlation = None if old is None else Correlation(value, old, schema)
    return [str(cause) for cause in Validator(schema).validate(value, correlation=correlation)]


def test_a_default_stands_in_for_an_absent_field_and_for_null() -> None:
    schema = fields(a={**TEXT, "default": "x"}, b={**TEXT, "default": "y", "nullable": True})
    obj: Value = {"a": None, "b": None}
    default(obj, schema)
    assert obj == {"a": "x", "b": None}
    empty: Value = {}
    default(empty, schema)
    assert empty == {"a": "x", "b": "y"}


def test_defaults_apply_in_lists_maps_and_in_defaults() -> None:
    inner = {"type": "object", "properties": {"a": {**TEXT, "default": "x"}}}
    schema = fields(
        made={**inner, "default": {}},
        listed={"type": "array", "items": inner},
        mapped={"type": "object", "additionalProperties": inner},
    )
    obj: Value = {"listed": [{}], "mapped": {"k": {}}}
    default(obj, schema)
    assert obj == {"made": {"a": "x"}, "listed": [{"a": "x"}], "mapped": {"k": {"a": "x"}}}


def test_a_default_is_not_shared_among_objects() -> None:
    schema = fields(a={"type": "object", "default": {}, "properties": {"b": TEXT}})
    one: Value = {}
    default(one, schema)
    one["a"]["b"] = "mine"
    other: Value = {}
    default(other, schema)
    assert other == {"a": {}}


def test_null_is_dropped_where_nothing_stands_in_for_it() -> None:
    obj: Value = {"a": None, "b": None, "unknown": None}
    drop_nulls(obj, fields(a=TEXT, b={**TEXT, "nullable": True}))
    assert obj == {"b": None, "unknown": None}


def test_unknown_fields_are_dropped_and_told_of() -> None:
    schema = fields(spec={"type": "object", "properties": {"l": {"type": "array", "items": {"type": "object"}}}})
    obj: Value = {"apiVersion": "v1", "metadata": {"any": 1}, "spec": {"l": [{"x": 1}], "y": {}}, "z": 1}
    assert prune(obj, schema) == ["spec.l[0].x", "spec.y", "z"]
    assert obj == {"apiVersion": "v1", "metadata": {"any": 1}, "spec": {"l": [{}]}}


def test_what_is_declared_inside_a_preserved_object_is_pruned() -> None:
    known = {"type": "object", "properties": {"a": NUMBER}}
    schema = fields(
        spec={"type": "object", "x-kubernetes-preserve-unknown-fields": True, "properties": {"known": known}}
    )
    obj: Value = {"spec": {"known": {"a": 1, "b": 2}, "unknown": {"c": 3}}}
    assert prune(obj, schema) == ["spec.known.b"]
    assert obj["spec"] == {"known": {"a": 1}, "unknown": {"c": 3}}


@pytest.mark.parametrize(
    ("schema", "value", "cause"),
    [
        (NUMBER, "x", 'a: Invalid value: "string": a in body must be of type integer: "string"'),
        (NUMBER, 1.5, 'a: Invalid value: "number": a in body must be of type integer: "number"'),
        ({**NUMBER, "minimum": 0}, -1, "a: Invalid value: -1: a in body should be greater than or equal to 0"),
        ({**NUMBER, "multipleOf": 3}, 4, "a: Invalid value: 4: a in body should be a multiple of 3"),
        ({**TEXT, "enum": ["x", "y"]}, "z", 'a: Unsupported value: "z": supported values: "x", "y"'),
        ({**TEXT, "maxLength": 1}, "éé", "a: Too long: may not be more than 1 byte"),
        ({**TEXT, "minLength": 2}, "é", 'a: Invalid value: "é": a in body should be at least 2 chars long'),
        ({**TEXT, "pattern": "^[a-z]$"}, "A", "a: Invalid value: \"A\": a in body should match '^[a-z]$'"),
        ({**TEXT, "format": "date"}, "x", 'a: Invalid value: "x": a in body must be of type date: "x"'),
        ({"type": "array", "items": TEXT, "maxItems": 1}, ["", ""], "a: Too many: 2: must have at most 1 item"),
        ({"type": "object", "required": ["b"]}, {}, "a.b: Required value"),
        (TEXT, None, 'a: Invalid value: "null": a in body must be of type string: "null"'),
        (
            {"x-kubernetes-int-or-string": True},
            True,
            'a: Invalid value: "boolean": a in body must be of type integer,string: "boolean"',
        ),
    ],
)
def test_a_wrong_value_is_refused_in_the_words_of_the_real_server(schema: Value, value: object, cause: str) -> None:
    assert cause in causes({"a": value}, fields(a=schema))


def test_a_whole_number_with_a_fraction_of_zero_is_an_integer() -> None:
    assert causes({"a": 1.0}, fields(a=NUMBER)) == []


def test_of_alternatives_the_failures_of_the_one_that_fits_best_are_shown() -> None:
    alternatives = [{"required": ["a"]}, {"required": ["b"], "properties": {"b": {"minLength": 2}}}]
    schema = Schema({"type": "object", "properties": {"b": TEXT}, "anyOf": alternatives})
    shown = causes({"b": "x"}, schema)
    assert shown[0] == '<nil>: Invalid value: "": "" must validate at least one schema (anyOf)'
    assert "should be at least 2 chars long" in shown[1]


def test_what_is_wrong_already_and_does_not_change_is_excused() -> None:
    schema = fields(a={**NUMBER, "minimum": 0}, b={**NUMBER, "minimum": 0})
    assert causes({"a": -1, "b": 1}, schema, old={"a": -1, "b": 2}) == []
    assert len(causes({"a": -2, "b": 1}, schema, old={"a": -1, "b": 2})) == 1


def test_items_of_a_map_list_are_excused_one_by_one_and_wherever_they_stand() -> None:
    item = {"type": "object", "properties": {"k": TEXT, "v": {**NUMBER, "minimum": 0}}}
    keyed = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"]}
    schema = fields(l={"type": "array", "items": item, **keyed})
    old = {"l": [{"k": "a", "v": -1}, {"k": "b", "v": -1}]}
    assert causes({"l": [{"k": "b", "v": -1}, {"k": "a", "v": 5}]}, schema, old) == []
    assert [cause.split(":")[0] for cause in causes({"l": [{"k": "b", "v": -2}]}, schema, old)] == ["l[0].v"]


def test_an_item_of_a_set_may_not_stand_twice() -> None:
    schema = fields(l={"type": "array", "items": TEXT, "x-kubernetes-list-type": "set"})
    assert [str(cause) for cause in duplicates({"l": ["a", "b", "a", "a"]}, schema)] == ['l[2]: Duplicate value: "a"']


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [("1h30m", 5400 * 10**9), ("-1.5s", -1_500_000_000), ("22 ns", 22), ("3 days", 3 * 86400 * 10**9), ("x", None)],
)
def test_durations_are_read_as_go_and_as_scala_write_them(text: str, nanoseconds: int | None) -> None:
    assert parse_duration(text) == nanoseconds
