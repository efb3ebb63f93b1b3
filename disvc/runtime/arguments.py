"""What constructors refuse: arguments that Python would take, and that would show as a riddle much later.

Each check raises `TypeError` for a value of the wrong kind and `ValueError` for one that cannot work. Its message names
the argument, the value, and what to give instead.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Collection
from typing import Any


def check_instance(what: str, value: object, kinds: tuple[type, ...]) -> None:
    """Check that a value is of one of these classes."""
    if not isinstance(value, kinds):
        raise TypeError(f"{what} is {value!r}; give a {_names(kinds)}")


def check_listed(what: str, values: object, kinds: tuple[type, ...]) -> None:
    """Check that it is a collection, and that each value in it is of one of these classes."""
    if isinstance(values, (str, *kinds)):
        raise TypeError(f"{what} is {values!r}; give a sequence, also of a single one: [{values!r}]")
    if not isinstance(values, Collection):  # also an iterator, of which the second reader would get nothing
        raise TypeError(f"{what} is {values!r}; give a sequence of {_names(kinds)}")
    for value in values:
        check_instance(f"one of {what}", value, kinds)


def check_function(what: str, value: object) -> None:
    """Check that it can be called and is no coroutine function, whose result is always true and never awaited."""
    if not callable(value):
        raise TypeError(f"{what} is {value!r}; give a function")
    if inspect.iscoroutinefunction(value) or inspect.iscoroutinefunction(type(value).__call__):
        raise TypeError(f"{what} is {value!r}, which is async; give a plain function, as nobody awaits it")


def check_functions(what: str, values: object) -> None:
    """Check that it is a collection of plain functions."""
    if callable(values) or not isinstance(values, Collection):
        raise TypeError(f"{what} is {values!r}; give a sequence of functions, also of a single one: [...]")
    for value in values:
        check_function(f"one of {what}", value)


def check_count(what: str, value: object) -> None:
    """Check that it is a whole number of 1 or more."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{what} is {value!r}; give a whole number")
    if value < 1:
        raise ValueError(f"{what} must be at least 1, not {value}")


def check_seconds(what: str, value: Any, *, or_zero: bool = False) -> None:
    """Check that it is a finite number of seconds, more than 0 or also 0."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{what} is {value!r}; give seconds as a number")
    if not (0 <= value < math.inf) or (value == 0 and not or_zero):
        raise ValueError(f"{what} must be {'0 s or more' if or_zero else 'more than 0 s'}, not {value}")


def _names(kinds: tuple[type, ...]) -> str:
    return " or ".join(kind.__name__ for kind in kinds)
