"""Label and field selectors, read once into a predicate.

https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors,
https://kubernetes.io/docs/concepts/overview/working-with-objects/field-selectors/
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from disvc.testing.memory import errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from disvc.testing.memory.resource import ResourceType

    Value = dict[str, Any]
    Predicate = Callable[[Value], bool]

__all__ = ["Selector", "label_predicate", "selector", "selects"]

_TOKEN = re.compile(r"\s*(==|!=|=|<|>|!|\(|\)|,|[^\s=!<>(),]+|$)")
_FIELD = re.compile(r"(?P<path>[^=!,]*)(?P<operator>==|!=|=)(?P<value>(?:[^\\,=]|\\[\\,=])*)(?:,|$)")
_ESCAPED = re.compile(r"\\([\\,=])")


class Selector(NamedTuple):
    """What a list or a watch asks for. `matches` is None where it asks for everything."""

    matches: Predicate | None
    name: str = ""
    """The one name that can match, "" for any."""
    namespace: str = ""
    """The one namespace that can match, "" for any."""


def selector(resource: ResourceType, labels: str, fields: str) -> Selector:
    """Read a labelSelector and a fieldSelector. Raises `Refused` (400) where one cannot be read."""
    predicates: list[Predicate] = []
    if labels.strip():
        predicates.append(_of_labels(label_predicate(labels)))
    names = {"metadata.name": "", "metadata.namespace": ""}
    for path, value, wanted in _field_terms(fields):
        get = _field_getter(resource, path)
        if wanted and path in names:
            names[path] = value
        predicates.append(_of_field(get, value, wanted=wanted))
    if not predicates:
        return Selector(None)
    return Selector(_all(predicates), names["metadata.name"], names["metadata.namespace"])


def label_predicate(text: str) -> Callable[[Mapping[str, str]], bool]:
    """Return what tells whether labels fit a label selector. Raises `Refused` (400) where it cannot be read."""
    requirements = list(_Requirements(text).read())
    return lambda labels: all(requirement(labels) for requirement in requirements)


def selects(selector: Value, labels: Mapping[str, str]) -> bool:
    """Return whether labels fit a metav1.LabelSelector, as objects have them; an empty one fits all."""
    return all(labels.get(key) == value for key, value in (selector.get("matchLabels") or {}).items()) and all(
        _expression_fits(expression, labels) for expression in selector.get("matchExpressions") or ()
    )


def _expression_fits(expression: Value, labels: Mapping[str, str]) -> bool:
    value = labels.get(expression["key"])
    values = expression.get("values") or ()
    match expression["operator"]:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case _:
            return value is None


def _all(predicates: list[Predicate]) -> Predicate:
    if len(predicates) == 1:
        return predicates[0]
    return lambda value: all(predicate(value) for predicate in predicates)


def _of_labels(matches: Callable[[Mapping[str, str]], bool]) -> Predicate:
    return lambda value: matches(value["metadata"].get("labels") or {})


def _of_field(get: Callable[[Value], str], wanted_value: str, *, wanted: bool) -> Predicate:
    return lambda value: (get(value) == wanted_value) == wanted


def _field_getter(resource: ResourceType, path: str) -> Callable[[Value], str]:
    if path == "metadata.name":
        return lambda value: str(value["metadata"]["name"])
    if path == "metadata.namespace" and resource.namespaced:
        return lambda value: str(value["metadata"].get("namespace", ""))
    get = resource.selectable_fields.get(path)
    if get is None:
        raise errors.bad_request(
            f"field label not supported: {path}"
            if resource.is_custom or not resource.selectable_fields
            else f'field label "{path}" not supported for {resource.kind}'
        )
    return get


def _field_terms(text: str) -> Iterable[tuple[str, str, bool]]:
    position = 0
    while position < len(text):
        match = _FIELD.match(text, position)
        if match is None:
            term = text[position:].split(",", maxsplit=1)[0]
            raise errors.bad_request(f"invalid selector: '{text}'; can't understand '{term}'")
        yield match["path"], _ESCAPED.sub(r"\1", match["value"]), match["operator"] != "!="
        position = match.end()


class _Requirements:
    """Reads `key`, `!key`, `key=value`, `key!=value`, `key in (a,b)`, `key notin (a,b)`, `key>1`, comma-separated."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = [token for token in _TOKEN.findall(text) if token]
        self._at = 0

    def read(self) -> Iterable[Callable[[Mapping[str, str]], bool]]:
        while self._at < len(self._tokens):
            yield self._requirement()
            if self._peek() == ",":
                self._at += 1
                if self._peek() == "":
                    self._refuse(f"found '{self._peek()}', expected: identifier after ','")
            elif self._peek():
                self._refuse(f"found '{self._peek()}', expected: ',' or 'end of string'")

    def _requirement(self) -> Callable[[Mapping[str, str]], bool]:
        if self._peek() == "!":
            self._at += 1
            absent = self._word()
            return lambda labels: absent not in labels
        key, operator = self._word(), self._peek()
        if operator in ("", ","):
            return lambda labels: key in labels
        self._at += 1
        if operator in ("in", "notin"):
            values = self._values()
            return lambda labels: (labels.get(key) in values) == (operator == "in")
        if operator in ("=", "==", "!="):
            value = self._word() if self._peek() not in ("", ",") else ""
            return lambda labels: (labels.get(key) == value) == (operator != "!=")
        if operator not in ("<", ">"):
            self._refuse(f"found '{operator}', expected: in, notin, =, ==, !=, gt, lt")
        return self._comparison(key, operator)

    def _comparison(self, key: str, operator: str) -> Callable[[Mapping[str, str]], bool]:
        word = self._word()
        if not re.fullmatch(r"-?\d+", word):
            self._refuse(f"for 'Gt', 'Lt' operators, the value must be an integer: {word}")
        bound = int(word)

        def compared(labels: Mapping[str, str]) -> bool:
            found = labels.get(key, "")
            if not re.fullmatch(r"-?\d+", found):
                return False
            return int(found) > bound if operator == ">" else int(found) < bound

        return compared

    def _values(self) -> frozenset[str]:
        if self._next() != "(":
            self._refuse("found '', expected: '('")
        end = next((at for at in range(self._at, len(self._tokens)) if self._tokens[at] == ")"), None)
        if end is None:
            self._refuse("found '', expected: ',', or ')'")
        listed = "".join(self._tokens[self._at : end])
        self._at = end + 1
        return frozenset(listed.split(","))

    def _word(self) -> str:
        token = self._next()
        if token in ("", ",", "(", ")", "=", "==", "!=", "<", ">", "!"):
            self._refuse(f"found '{token}', expected: identifier")
        return token

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _next(self) -> str:
        token = self._peek()
        self._at += 1
        return token

    def _refuse(self, why: str) -> NoReturn:
        raise errors.bad_request(f"unable to parse requirement: {why}")
