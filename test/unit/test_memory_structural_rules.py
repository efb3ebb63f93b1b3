"""Validation rules in CEL, as CRDs have them, in the in-memory API server."""

from __future__ import annotations

from typing import Any

import pytest

from disvc.testing.memory.schema import Schema
from disvc.testing.memory.structural.cel import check_rules, compile_rules
from disvc.testing.memory.structural.cel.names import escape
from disvc.testing.memory.structural.correlation import Correlation

Value = dict[str, Any]
TEXT: Value = {"type": "string"}
NUMBER: Value = {"type": "integer"}


def ruled(rule: str, schema: Value = TEXT, **more: object) -> Schema:
    return Schema({**schema, "x-kubernetes-validations": [{"rule": rule, **more}]})


def broken(schema: Schema, new: Any, old: Any = None) -> list[str]:
    rules = compile_rules(schema)
    assert rules is not None
    correlation = None if old is None else Correlation(new, old, schema)
    return [str(cause) for cause in rules.broken(new, old, correlation)]


def problem(schema: Schema) -> str:
    problems = check_rules(schema, is_resource=False)
    assert problems is not None
    return problems[0].text if problems[0] else ""


@pytest.mark.parametrize(
    ("rule", "schema", "value"),
    [
        ("self == 'x'", TEXT, "x"),
        ("self.lowerAscii().split('-').all(part, part.matches('^[a-z]+$'))", TEXT, "A-b"),
        ("self > 1.5", NUMBER, 2),
        ("self > duration('1m')", {**TEXT, "format": "duration"}, "1h"),
        ("self.getFullYear() == 2021", {**TEXT, "format": "date-time"}, "2021-05-05T00:00:00Z"),
        ("self == b'hi'", {**TEXT, "format": "byte"}, "aGk="),
        ("type(self) == int ? self < 5 : self.endsWith('%')", {"x-kubernetes-int-or-string": True}, "5%"),
        ("self.isSorted() && self.sum() == 6 && self.max() == 3", {"type": "array", "items": NUMBER}, [1, 2, 3]),
        ("self.all(i, x, x > i)", {"type": "array", "items": NUMBER}, [1, 2]),
        ("self.distinct().size() == 1 && sets.equivalent(self, [1])", {"type": "array", "items": NUMBER}, [1, 1]),
        ("self.find('[0-9]+') == '12'", TEXT, "a12b"),
        ("self.substring(1) == 'bc' && self.substring(1, 3) == 'bc' && 'x.substring(' != self", TEXT, "abc"),
        ("self.transformMap(k, v, v + 1)['a'] == 2", {"type": "object", "additionalProperties": NUMBER}, {"a": 1}),
        ("url(self).getHostname() == '::1' && url(self).getPort() == '80'", TEXT, "http://[::1]:80/x"),
        ("cidr('10.0.0.0/8').containsIP(ip(self)) && ip(self).family() == 4", TEXT, "10.1.2.3"),
        (
            "quantity(self).isGreaterThan(quantity('1Mi')) && quantity(self).add(1).asInteger() == 1073741825",
            TEXT,
            "1Gi",
        ),
        ("semver(self).isLessThan(semver('1.2.0')) && semver(self).major() == 1", TEXT, "1.2.0-rc.1"),
        ("!format.dns1123Label().validate(self).hasValue()", TEXT, "a-b"),
        ("self.?a.orValue(1) == 1 && !has(self.a)", {"type": "object", "properties": {"a": NUMBER}}, {}),
        ("self.a__dash__b == 1 && self.__namespace__ == 2", {"type": "object"}, {"a-b": 1, "namespace": 2}),
    ],
)
def test_a_rule_that_holds_is_checked_and_finds_nothing(rule: str, schema: Value, value: Any) -> None:
    if isinstance(value, dict) and "additionalProperties" not in schema:
        schema = {"type": "object", "properties": {"a": NUMBER, "a-b": NUMBER, "namespace": NUMBER}}
    assert problem(ruled(rule, schema)) == ""
    assert broken(ruled(rule, schema), value) == []
    assert len(broken(ruled(f"!({rule})", schema), value)) == 1


@pytest.mark.parametrize(
    ("rule", "schema", "text"),
    [
        ("self.b == 1", {"type": "object", "properties": {"a": NUMBER}}, "undefined field 'b'"),
        ("self == 1.5", NUMBER, "no matching overload for '_==_'"),
        ("self.mystery()", TEXT, "undeclared reference to 'mystery'"),
        ("self", TEXT, "cel expression must evaluate to a bool"),
        ("self.a == 1", {"type": "object", "x-kubernetes-preserve-unknown-fields": True}, "undefined field 'a'"),
        ("quantity(self) == semver(self)", TEXT, "no matching overload for '_==_'"),
    ],
)
def test_a_rule_that_cannot_be_evaluated_is_refused(rule: str, schema: Value, text: str) -> None:
    assert text in problem(ruled(rule, schema))


def test_no_rule_can_be_about_a_value_of_which_nothing_is_known() -> None:
    schema = ruled("true", {"x-kubernetes-preserve-unknown-fields": True})
    assert check_rules(schema, is_resource=False) is None


def test_a_broken_rule_is_told_as_it_asks_for() -> None:
    assert broken(ruled("self == 'x'"), "y") == ["<nil>: Invalid value: \"y\": failed rule: self == 'x'"]
    assert broken(ruled("self == 'x'", message=" be x "), "y") == ['<nil>: Invalid value: "y": be x']
    assert broken(ruled("false", message="no", reason="FieldValueForbidden"), "y") == ["<nil>: Forbidden: no"]
    schema = ruled("false", {"type": "object", "properties": {"a": TEXT}}, message="no", fieldPath=".a")
    assert broken(schema, {}) == ["a: Invalid value: no"]


def test_a_message_can_be_an_expression_and_falls_back_when_that_fails() -> None:
    assert broken(ruled("false", messageExpression="'not ' + self"), "x") == ['<nil>: Invalid value: "x": not x']
    failing = ruled("false", messageExpression="string(1 / self.size())", message="plain")
    assert broken(failing, "") == ['<nil>: Invalid value: "": plain']


def test_an_error_while_a_rule_runs_breaks_it() -> None:
    schema = ruled("self['k'] == 'x'", {"type": "object", "additionalProperties": TEXT})
    assert broken(schema, {}) == ["<nil>: Invalid value: \"object\": no such key: k evaluating rule: self['k'] == 'x'"]


def test_a_transition_rule_needs_an_old_value() -> None:
    schema = Schema({"type": "object", "properties": {"a": ruled("self == oldSelf", message="fixed").raw}})
    assert broken(schema, {"a": "x"}) == []
    assert broken(schema, {"a": "x"}, {}) == []
    assert broken(schema, {"a": "x"}, {"a": "x"}) == []
    assert broken(schema, {"a": "y"}, {"a": "x"}) == ['a: Invalid value: "y": fixed']


def test_a_transition_rule_with_an_optional_old_value_runs_always() -> None:
    schema = ruled("oldSelf.orValue('new') == self", optionalOldSelf=True)
    assert problem(schema) == ""
    assert broken(schema, "new") == []
    assert len(broken(schema, "old")) == 1
    assert broken(schema, "old", "old") == []


def test_old_items_of_a_map_list_are_found_by_their_keys() -> None:
    item = {"type": "object", "properties": {"k": TEXT, "v": ruled("self >= oldSelf", NUMBER).raw}}
    keyed = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"]}
    schema = Schema({"type": "array", "items": item, **keyed})
    old = [{"k": "a", "v": 1}, {"k": "b", "v": 5}]
    assert broken(schema, [{"k": "b", "v": 5}, {"k": "a", "v": 2}], old) == []
    assert len(broken(schema, [{"k": "b", "v": 4}, {"k": "new", "v": 0}], old)) == 1


def test_sets_are_equal_whatever_their_order() -> None:
    schema = ruled("self == oldSelf", {"type": "array", "items": TEXT, "x-kubernetes-list-type": "set"})
    assert broken(schema, ["a", "b"], ["b", "a"]) == []
    assert len(broken(schema, ["a", "b"], ["b", "c"])) == 1


def test_an_unchanged_value_may_break_a_rule_but_not_one_that_comes_to_no_answer() -> None:
    schema = Schema({"type": "object", "properties": {"a": ruled("self == 'x'").raw, "b": TEXT}})
    assert broken(schema, {"a": "y", "b": "new"}, {"a": "y", "b": "old"}) == []
    failing = Schema({"type": "object", "properties": {"a": ruled("1 / self.size() == 1").raw, "b": TEXT}})
    assert len(broken(failing, {"a": "", "b": "new"}, {"a": "", "b": "old"})) == 1


@pytest.mark.parametrize(
    ("name", "escaped"),
    [
        ("a", "a"),
        ("a-b", "a__dash__b"),
        ("x.y/z", "x__dot__y__slash__z"),
        ("a__b", "a__underscores__b"),
        ("in", "__in__"),
    ],
)
def test_names_are_escaped_as_cel_needs_it(name: str, escaped: str) -> None:
    assert escape(name) == escaped


def test_a_name_that_cannot_be_escaped_is_out_of_reach() -> None:
    assert escape("1a") is None
    assert escape("a b") is None
