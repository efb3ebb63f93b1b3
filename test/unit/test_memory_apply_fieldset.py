"""Sets of fields, their algebra and their form in managedFields."""

from __future__ import annotations

from typing import Any

import pytest

from disvc.testing.memory.apply import elements
from disvc.testing.memory.apply.fieldset import FieldSet

FIELDS_V1: dict[str, Any] = {
    "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
    "f:spec": {
        "f:ports": {'k:{"port":80,"protocol":"TCP"}': {".": {}, "f:port": {}}},
        "f:set": {"v:1.5": {}, 'v:"a<b"': {}, "v:true": {}},
        "f:list": {"i:0": {}},
    },
}


def paths(fields: FieldSet) -> list[str]:
    return [elements.text(path) for path in fields]


def of(**fields: Any) -> FieldSet:
    """Make a set from the form of managedFields, without the `f:`."""

    def named(below: dict[str, Any]) -> dict[str, Any]:
        return {name if name == "." else f"f:{name}": named(inner) for name, inner in below.items()}

    return FieldSet.load(named(fields))


def test_a_set_is_written_as_it_was_read() -> None:
    read = FieldSet.load(FIELDS_V1)
    assert read.dump()["f:metadata"] == FIELDS_V1["f:metadata"]
    assert FieldSet.load(read.dump()) == read
    assert list(read.dump()["f:spec"]["f:set"]) == ["v:1.5", 'v:"a\\u003cb"', "v:true"]


def test_paths_are_shown_as_in_messages_members_before_what_is_below_others() -> None:
    assert paths(FieldSet.load(FIELDS_V1)) == [
        ".metadata.labels",
        ".metadata.labels.app",
        ".spec.list[0]",
        '.spec.ports[port=80,protocol="TCP"]',
        '.spec.ports[port=80,protocol="TCP"].port',
        ".spec.set[=1.5]",
        '.spec.set[="a<b"]',
        ".spec.set[=true]",
    ]


def test_an_entry_of_an_unknown_kind_is_dropped_and_a_malformed_one_is_an_error() -> None:
    assert paths(FieldSet.load({"x:new": {}, "f:a": {}})) == [".a"]
    for name in ("f", "spec", "k:{", "v:", "i:x"):
        with pytest.raises(ValueError):  # noqa: PT011 - the message is json's or int's
            FieldSet.load({name: {}})


def test_true_is_not_one_and_one_is_one_point_zero() -> None:
    assert elements.value(True) != elements.value(1)
    assert elements.value(1) == elements.value(1.0)
    assert sorted([elements.value(value) for value in (True, "a", 2, 1.5)]) == [
        elements.value(value) for value in (1.5, 2, "a", True)
    ]


def test_keys_are_in_order_whatever_order_they_came_in() -> None:
    element = elements.keys([("protocol", "TCP"), ("port", 80)])
    assert elements.dump(element) == 'k:{"port":80,"protocol":"TCP"}'
    assert elements.load('k:{"protocol":"TCP","port":80}') == element


def test_a_difference_takes_away_paths_and_leaves_what_is_below_them() -> None:
    left = of(a={".": {}, "b": {}, "c": {}}) - of(a={".": {}, "b": {}})
    assert paths(left) == [".a.c"]
    assert paths(of(a={"b": {}}) - of(a={})) == [".a.b"]


def test_without_takes_away_paths_and_all_below_them() -> None:
    assert paths(of(a={".": {}, "b": {}}, c={}).without(of(a={}))) == [".c"]
    assert paths(of(a={"b": {"x": {}}, "c": {}}).without(of(a={"b": {}}))) == [".a.c"]


def test_unions_and_intersections_go_by_path() -> None:
    one, other = of(a={".": {}, "b": {}}), of(a={"b": {}, "c": {}})
    assert paths(one | other) == [".a", ".a.b", ".a.c"]
    assert paths(one & other) == [".a.b"]
    assert not one & of(b={})


def test_a_set_knows_its_members_but_never_the_whole_object() -> None:
    fields = of(a={"b": {}})
    assert (elements.field("a"), elements.field("b")) in fields
    assert (elements.field("a"),) not in fields
    assert () not in fields
    fields.insert(())
    assert paths(fields) == [".a.b"]
