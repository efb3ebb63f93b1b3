"""What a schema says of numbers, checked as k8s.io/kube-openapi/pkg/validation/validate does.

Go's types shine through there, and so they do here: an integer is compared with a bound that was cut to an integer, and
a bound that the type of the schema cannot hold is itself reported.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from disvc.testing.memory import causes
from disvc.testing.memory.go_text import plain
from disvc.testing.memory.structural.findings import Findings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["NumberRules", "is_whole"]

_LARGEST_EXACT = 2**53 - 1
_LARGEST_FLOAT32 = 3.40282346638528859811704183484516925440e38
_BITS = {"int32": 32}
_EPSILON = 1e-9


class NumberRules:
    """`multipleOf`, `minimum` and `maximum` of one node of a schema, and the range of its type and format."""

    def __init__(self, raw: Mapping[str, Any], types: Sequence[str], format_: str) -> None:
        self._type = types[0] if len(types) == 1 and types[0] in {"integer", "number"} else ""
        self._format = format_ if self._type else ""
        self._multiple: float | None = raw.get("multipleOf")
        self._least: float | None = raw.get("minimum")
        self._most: float | None = raw.get("maximum")
        self._excludes_least = bool(raw.get("exclusiveMinimum"))
        self._excludes_most = bool(raw.get("exclusiveMaximum"))

    def check(self, value: float, name: str) -> Findings:
        """Return what is found of a number that is called `name` in messages."""
        findings = Findings(matches=1)
        self._is_in_range(value, "Checked", name, findings)
        if self._multiple is not None:
            number, multiple = self._comparable(value, self._multiple, "MultipleOf", name, findings)
            if multiple <= 0:
                message = f"factor MultipleOf declared for {name} must be positive: {plain(multiple)}"
                findings.add(message, lambda path: causes.invalid(_field(path, name), multiple, message))
            elif not _is_multiple(number, multiple):
                _add(findings, name, number, f"should be a multiple of {plain(multiple)}")
        if self._least is not None:
            number, least = self._comparable(value, self._least, "Minimum boundary", name, findings)
            if number < least or (self._excludes_least and number == least):
                than = "greater than" if self._excludes_least else "greater than or equal to"
                _add(findings, name, number, f"should be {than} {plain(least)}")
        if self._most is not None:
            number, most = self._comparable(value, self._most, "Maximum boundary", name, findings)
            if number > most or (self._excludes_most and number == most):
                than = "less than" if self._excludes_most else "less than or equal to"
                _add(findings, name, number, f"should be {than} {plain(most)}")
        return findings

    def _comparable(self, value: float, bound: float, what: str, name: str, findings: Findings) -> tuple[float, float]:
        """Return a value and a bound as numbers of one Go type, which the value's type decides."""
        if self._is_in_range(float(bound), what, name, findings) and isinstance(value, int):
            return value, int(bound)
        return float(value), float(bound)

    def _is_in_range(self, number: float, what: str, name: str, findings: Findings) -> bool:
        """Return whether the type and the format can hold a number; if not, that is found."""
        if self._type == "integer":
            limit = 2 ** (_BITS.get(self._format, 64) - 1)
            holds = float(number).is_integer() and -limit <= number < limit
        else:
            holds = self._format != "float" or abs(number) <= _LARGEST_FLOAT32
        if not holds:
            form = f"with format {self._format}" if self._format else "(default format)"
            findings.add(f"{what} value must be of type {self._type} {form} in {name}")
        return holds


def is_whole(number: float) -> bool:
    """Return whether JSON can take a float for an integer: go-openapi/swag's IsFloat64AJSONInteger."""
    if not math.isfinite(number) or abs(number) > _LARGEST_EXACT:
        return False
    if number < 0 or number == math.trunc(number):
        return number == math.trunc(number)
    difference = number - math.trunc(number)
    return math.trunc(number) != 0 and difference / (number + math.trunc(number)) < _EPSILON


def _is_multiple(number: float, factor: float) -> bool:
    if isinstance(number, int):
        return number % factor == 0
    return is_whole(1 / factor * number if factor < 1 else number / factor)


def _field(path: str, name: str) -> str:
    return causes.child(path, name.removeprefix(".")) if name else path


def _add(findings: Findings, name: str, value: float, what: str) -> None:
    message = f"{name} in body {what}"
    findings.add(message, lambda path: causes.invalid(_field(path, name), value, message))
