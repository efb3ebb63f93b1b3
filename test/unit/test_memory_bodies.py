"""How the in-memory API server reads JSON and YAML."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from disvc.testing.memory.json_reading import read_json
from disvc.testing.memory.nesting import DEEPEST
from disvc.testing.memory.yaml_reading import read_yaml


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"a":1,"b":[{"c":2}]}', []),
        (b'{"a":1,"a" :2}', ["a"]),
        (b'{"a":[{"b":1},{"b":1,"b":2,"b":3}],"c":{"d":1,"d":1}}', ["a[1].b", "a[1].b", "c.d"]),
        (rb'{"a":"a\":b","b":"\":\":"}', []),
        (rb'{"a":"\":","a":1}', ["a"]),
        (b"[]", []),
    ],
)
def test_json_tells_of_fields_that_come_twice(body: bytes, expected: list[str]) -> None:
    assert read_json(body)[1] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-01", "2026-01-01"),
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
        ("22:22", "22:22"),
        ("12:30:45", "12:30:45"),
        ("1e3", 1000.0),
        ("0x10", 16),
        ("010", 8),
        ("-1", -1),
        (".5", 0.5),
        ("yes", True),
        ("off", False),
        ("~", None),
        ("1.2.3", "1.2.3"),
        ('"1"', "1"),
    ],
)
def test_yaml_has_the_scalars_of_go(text: str, expected: Any) -> None:
    value, twice = read_yaml(f"a: {text}".encode())
    assert value == {"a": expected}
    assert type(value["a"]) is type(expected)
    assert twice == []


def test_yaml_tells_where_a_key_comes_twice() -> None:
    assert read_yaml(b"a:\n  b: 1\n  b: 2\nc: 1\nc: 2\n") == (
        {"a": {"b": 2}, "c": 2},
        ['line 3: key "b" already set in map', 'line 5: key "c" already set in map'],
    )


def test_json_is_yaml_with_its_own_escapes() -> None:
    assert read_yaml(rb'{"a": "\ud83d\ude00\/"}') == ({"a": "\U0001f600/"}, [])


def test_json_that_says_a_key_twice_is_told_of_as_yaml() -> None:
    assert read_yaml(b'{"a": 1,\n "a": 2}') == ({"a": 2}, ['line 2: key "a" already set in map'])


_DEEPEST_JSON = b'{"a":' * DEEPEST + b'"' + rb"[\"{" * DEEPEST + b'"' + b"}" * DEEPEST


def test_json_may_be_nested_so_deep_and_no_deeper_whatever_its_texts_hold() -> None:
    read_json(_DEEPEST_JSON)
    read_json(b"[" + b'{"a":[]},' * DEEPEST + b"[]]")
    with pytest.raises(ValueError, match=r"^invalid character '\{' exceeded max depth$"):
        read_json(b"[" + _DEEPEST_JSON + b"]")


def test_yaml_may_be_nested_so_deep_and_no_deeper() -> None:
    read_yaml(b"- " * DEEPEST + b"1")
    read_yaml(b"- a: {b: c}\n" * DEEPEST)
    with pytest.raises(yaml.YAMLError, match=f"^yaml: exceeded max depth of {DEEPEST}$"):
        read_yaml(b"- " * DEEPEST + b"a: 1")
