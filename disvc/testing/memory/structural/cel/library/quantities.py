"""Quantities, `500Mi`, and versions, `1.2.3-rc.1`: k8s.io/apiserver/pkg/cel/library's `quantity` and `semverlib`."""

from __future__ import annotations

import re
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from disvc.testing.memory.structural.cel.library.functions import Function, opaque, succeeds
from disvc.testing.quantity import amount

if TYPE_CHECKING:
    from collections.abc import Callable

    Opaque = dict[str, Any]

__all__ = ["FUNCTIONS"]

_NUMBER: Final = r"(?:0|[1-9]\d*)"
_LABEL: Final = r"[0-9A-Za-z-]+"
_SEMVER: Final = re.compile(
    rf"({_NUMBER})\.({_NUMBER})\.({_NUMBER})(?:-({_LABEL}(?:\.{_LABEL})*))?(?:\+{_LABEL}(?:\.{_LABEL})*)?", re.ASCII
)


def _quantity(text: str) -> Opaque:
    try:
        return _of(amount(text))
    except ValueError:
        expected = "^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$"
        raise ValueError(f"quantities must match the regular expression '{expected}'") from None


def _of(value: Decimal) -> Opaque:
    return opaque("Quantity", f"{value.normalize():f}")


def _number(quantity: Opaque | int) -> Decimal:
    return Decimal(quantity if isinstance(quantity, int) else quantity["Quantity"])


def _is_integer(quantity: Opaque) -> bool:
    value = _number(quantity)
    return value == value.to_integral_value() and -(2**63) <= value < 2**63


def _integer(quantity: Opaque) -> int:
    if not _is_integer(quantity):
        raise ValueError("cannot convert value to integer")
    return int(_number(quantity))


def _sign(value: Decimal) -> int:
    return (value > 0) - (value < 0)


def _compare_quantities(one: Opaque, other: Opaque) -> int:
    return _sign(_number(one) - _number(other))


def _normalized(text: str) -> str:
    """Return a version that is written loosely, `v1.02`, in full."""
    parts = text.removeprefix("v").split(".", 2)
    parts = [re.sub(r"^0+(?=\d)", "", part) for part in parts]
    if len(parts) < len(("major", "minor", "patch")) and re.search("[+-]", parts[-1]):
        raise ValueError("short version cannot contain PreRelease/Build meta data")
    return ".".join([*parts, "0", "0"][:3])


def _semver(text: str, normalize: bool = False) -> Opaque:
    match = _SEMVER.fullmatch(_normalized(text) if normalize else text)
    labels = (match[4] or "").split(".") if match else []
    if match is None or any(re.fullmatch(r"0\d+", label, re.ASCII) for label in labels):
        raise ValueError(f"invalid semantic version: {text}")
    return opaque("Semver", match[0].partition("+")[0])


def _precedence(version: Opaque) -> tuple[object, ...]:
    """Return what two versions are ordered by, as in https://semver.org#spec-item-11."""
    core, dash, labels = version["Semver"].partition("-")
    numbers = tuple(map(int, core.split(".")))
    ranks = tuple((0, int(label), "") if label.isdecimal() else (1, 0, label) for label in labels.split(".") if dash)
    return numbers, not dash, ranks


def _compare_versions(one: Opaque, other: Opaque) -> int:
    first, second = _precedence(one), _precedence(other)
    return (first > second) - (first < second)


def _part(index: int) -> Callable[[Opaque], int]:
    return lambda version: int(version["Semver"].partition("-")[0].split(".")[index])


def _compare(one: Opaque, other: Opaque) -> int:
    """Compare two quantities or two versions: the evaluator has one function for both."""
    return _compare_versions(one, other) if "Semver" in one else _compare_quantities(one, other)


_COMPARISONS: Final = tuple(
    function
    for type_ in ("Quantity", "Semver")
    for function in (
        Function("compareTo", (type_, type_), "int", _compare),
        Function("isGreaterThan", (type_, type_), "bool", lambda one, other: _compare(one, other) > 0),
        Function("isLessThan", (type_, type_), "bool", lambda one, other: _compare(one, other) < 0),
    )
)

FUNCTIONS: Final = (
    *_COMPARISONS,
    Function("quantity", ("string",), "Quantity", _quantity, is_member=False),
    Function("isQuantity", ("string",), "bool", partial(succeeds, amount), is_member=False),
    Function("sign", ("Quantity",), "int", lambda quantity: _sign(_number(quantity)), is_member=False),
    Function("asApproximateFloat", ("Quantity",), "double", lambda quantity: float(_number(quantity))),
    Function("asInteger", ("Quantity",), "int", _integer),
    Function("isInteger", ("Quantity",), "bool", _is_integer),
    Function("add", ("Quantity", "Quantity"), "Quantity", lambda one, other: _of(_number(one) + _number(other))),
    Function("add", ("Quantity", "int"), "Quantity", lambda one, other: _of(_number(one) + _number(other))),
    Function("sub", ("Quantity", "Quantity"), "Quantity", lambda one, other: _of(_number(one) - _number(other))),
    Function("sub", ("Quantity", "int"), "Quantity", lambda one, other: _of(_number(one) - _number(other))),
    Function("semver", ("string",), "Semver", _semver, is_member=False),
    Function("semver", ("string", "bool"), "Semver", _semver, is_member=False),
    Function("isSemver", ("string",), "bool", partial(succeeds, _semver), is_member=False),
    Function("isSemver", ("string", "bool"), "bool", partial(succeeds, _semver), is_member=False),
    Function("major", ("Semver",), "int", _part(0)),
    Function("minor", ("Semver",), "int", _part(1)),
    Function("patch", ("Semver",), "int", _part(2)),
)
