"""Label selectors as texts, read into a predicate; what cannot be read is refused in the words of a kube-apiserver.

https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors; the grammar and the words are
those of k8s.io/apimachinery/pkg/labels.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from disvc.testing.memory import causes, errors, formats

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Matches = Callable[[Mapping[str, str]], bool]

__all__ = ["label_predicate"]

_TOKEN = re.compile(r"\s*(==|!=|=|<|>|!|\(|\)|,|[^\s=!<>(),]+)")
_SPECIAL = frozenset({"", ",", "(", ")", "=", "==", "!=", "<", ">", "!"})
_OPERATORS = "in, notin, =, ==, !=, gt, lt"
_INTEGER = re.compile(r"[+-]?\d+")


def label_predicate(text: str) -> Matches:
    """Return what tells whether labels fit a label selector. Raises `Refused` (400) where it cannot be read."""
    requirements = _Parser(text).requirements()
    return lambda labels: all(requirement(labels) for requirement in requirements)


class _Parser:
    """Reads `key`, `!key`, `key=value`, `key!=value`, `key in (a,b)`, `key notin (a,b)`, `key>1`, comma-separated."""

    def __init__(self, text: str) -> None:
        self._tokens = _TOKEN.findall(text)
        self._at = 0

    def requirements(self) -> list[Matches]:
        found: list[Matches] = []
        while self._peek():
            if self._peek() in _SPECIAL - {"!"}:
                raise errors.bad_request(f"found '{self._peek()}', expected: !, identifier, or 'end of string'")
            found.append(self._requirement())
            end = self._next()
            if end not in ("", ","):
                raise errors.bad_request(f"found '{end}', expected: ',' or 'end of string'")
            if end and self._peek() in _SPECIAL - {"!"}:
                raise errors.bad_request(f"found '{self._peek()}', expected: identifier after ','")
        return found

    def _requirement(self) -> Matches:
        must_be_absent = self._peek() == "!"
        if must_be_absent:
            self._next()
        key = self._word("identifier")
        if problems := formats.label_key(key):
            raise _unreadable(str(causes.invalid("key", key, "; ".join(problems))))
        if must_be_absent:
            return lambda labels: key not in labels
        if self._peek() in ("", ","):
            return lambda labels: key in labels
        match self._next():
            case "in":
                values = self._values(key)
                return lambda labels: labels.get(key) in values
            case "notin":
                values = self._values(key)
                return lambda labels: labels.get(key) not in values
            case "=" | "==":
                value = self._value(key)
                return lambda labels: labels.get(key) == value
            case "!=":
                value = self._value(key)
                return lambda labels: labels.get(key) != value
            case ("<" | ">") as operator:
                return self._comparison(key, operator)
            case other:
                raise _unreadable(f"found '{other}', expected: {_OPERATORS}")

    def _comparison(self, key: str, operator: str) -> Matches:
        word = self._value(key)
        if not _INTEGER.fullmatch(word):
            why = "for 'Gt', 'Lt' operators, the value must be an integer"
            raise _unreadable(str(causes.invalid("values[0]", word, why)))
        bound = int(word)

        def compared(labels: Mapping[str, str]) -> bool:
            found = labels.get(key, "")
            if not _INTEGER.fullmatch(found):
                return False
            return int(found) > bound if operator == ">" else int(found) < bound

        return compared

    def _value(self, key: str) -> str:
        return "" if self._peek() in ("", ",") else self._checked(key, 0, self._word("identifier"))

    def _values(self, key: str) -> frozenset[str]:
        if (token := self._next()) != "(":
            raise _unreadable(f"found '{token}' expected: '('")
        if self._peek() in _SPECIAL - {",", ")"}:
            raise _unreadable(f"found '{self._peek()}', expected: ',', ')' or identifier")
        values = {""} if self._peek() == ")" else self._listed()
        self._next()
        return frozenset(self._checked(key, index, value) for index, value in enumerate(sorted(values)))

    def _listed(self) -> set[str]:
        """Read values up to a closing parenthesis; between two commas is an empty one."""
        values: set[str] = set()
        while True:
            value = "" if self._peek() in (",", ")") else self._word("',', or identifier")
            values.add(value)
            if self._peek() == ")":
                return values
            if self._peek() != ",":
                raise _unreadable(f"found '{self._peek()}', expected: ',' or ')'")
            self._next()

    @staticmethod
    def _checked(key: str, index: int, value: str) -> str:
        if problems := formats.label_value(value):
            raise _unreadable(str(causes.invalid(f"values[{index}][{key}]", value, "; ".join(problems))))
        return value

    def _word(self, expected: str) -> str:
        token = self._next()
        if token in _SPECIAL:
            raise _unreadable(f"found '{token}', expected: {expected}")
        return token

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _next(self) -> str:
        token = self._peek()
        self._at += 1
        return token


def _unreadable(why: str) -> errors.Refused:
    return errors.bad_request(f"unable to parse requirement: {why}")
