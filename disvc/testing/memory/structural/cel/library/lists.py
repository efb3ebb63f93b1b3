"""Lists and regular expressions: k8s.io/apiserver/pkg/cel/library's `lists` and `regex`."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from disvc.testing.memory.structural.cel.library.functions import Function
from disvc.testing.memory.structural.cel.values import duration, timestamp
from disvc.testing.memory.structural.regular_expressions import compile_expression

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["FUNCTIONS"]

_SUMMABLE: Final = ("int", "double", "duration")
_COMPARABLE: Final = ("int", "double", "bool", "duration", "timestamp", "string", "bytes")


def _is_sorted(items: list[Any]) -> bool:
    return all(items[index] <= items[index + 1] for index in range(len(items) - 1))


def _sum(items: list[Any]) -> object:
    return _returned(sum(items, timedelta()) if items and isinstance(items[0], timedelta) else sum(items))


def _least(items: list[Any]) -> object:
    if not items:
        raise ValueError("min called on empty list")
    return _returned(min(items))


def _most(items: list[Any]) -> object:
    if not items:
        raise ValueError("max called on empty list")
    return _returned(max(items))


def _returned(value: object) -> object:
    """Return a value as the evaluator takes it, which gives times to Python as Python has them."""
    match value:
        case timedelta():
            return duration(value // timedelta(microseconds=1) * 1000)
        case datetime():
            return timestamp(value)
        case _:
            return value


def _index_of(items: list[Any], item: object) -> int:
    return next((index for index, each in enumerate(items) if _equals(each, item)), -1)


def _last_index_of(items: list[Any], item: object) -> int:
    return next((index for index in reversed(range(len(items))) if _equals(items[index], item)), -1)


def _equals(one: object, other: object) -> bool:
    return isinstance(one, bool) is isinstance(other, bool) and one == other


def _find(text: str, pattern: str) -> str:
    match = compile_expression(pattern).search(text)
    return match[0] if match else ""


def _find_all(text: str, pattern: str, limit: int = -1) -> list[str]:
    found = [match[0] for match in compile_expression(pattern).finditer(text)]
    return found if limit < 0 else found[:limit]


def _functions() -> Iterator[Function]:
    for item in _COMPARABLE:
        yield Function("isSorted", (f"list<{item}>",), "bool", _is_sorted)
        yield Function("min", (f"list<{item}>",), item, _least)
        yield Function("max", (f"list<{item}>",), item, _most)
    for item in _SUMMABLE:
        yield Function("sum", (f"list<{item}>",), item, _sum)
    yield Function("indexOf", ("list<dyn>", "dyn"), "int", _index_of)
    yield Function("lastIndexOf", ("list<dyn>", "dyn"), "int", _last_index_of)
    yield Function("find", ("string", "string"), "string", _find)
    yield Function("findAll", ("string", "string"), "list<string>", _find_all)
    yield Function("findAll", ("string", "string", "int"), "list<string>", _find_all)


FUNCTIONS: Final = tuple(_functions())
