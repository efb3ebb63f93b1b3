"""Checks that many kinds have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from disvc.testing.memory import causes, formats
from disvc.testing.memory.builtin import gotypes
from disvc.testing.memory.causes import child, item

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from disvc.testing.memory.errors import Cause

    Value = dict[str, Any]

__all__ = [
    "IMMUTABLE",
    "among",
    "annotation_keys",
    "formatted",
    "immutable",
    "int_or_percent",
    "label_selector",
    "labels",
    "nonnegative",
    "not_more_than_100_percent",
    "one_of",
    "percent_or_int",
    "port",
    "required",
    "selects",
    "shown_selector",
]

NOT_NEGATIVE: Final = "must be greater than or equal to 0"
IMMUTABLE: Final = "field is immutable"


def formatted(path: str, value: Any, check: Callable[[Any], Iterable[str]]) -> Iterator[Cause]:
    """Check the format of a text or a number by one of `formats`."""
    for message in check(value):
        yield causes.invalid(path, value, message)


def required(path: str, value: str | None, check: Callable[[str], Iterable[str]]) -> Iterator[Cause]:
    """Check that a text is there and has a format."""
    if value:
        yield from formatted(path, value, check)
    else:
        yield causes.required(path)


def nonnegative(path: str, obj: Value, *names: str) -> Iterator[Cause]:
    """Check that numbers of the object at `path` are not negative, where they are there."""
    for name in names:
        if obj.get(name, 0) < 0:
            yield causes.invalid(child(path, name), obj[name], NOT_NEGATIVE)


def one_of(path: str, value: str | None, supported: Collection[str]) -> Iterator[Cause]:
    """Check that a text is one of some."""
    if not value:
        yield causes.required(path)
    elif value not in supported:
        yield causes.not_supported(path, value, supported)


def among(path: str, value: str | None, supported: Collection[str]) -> Iterator[Cause]:
    """Check that a text is one of some where it is there at all; the empty one is, for Go's pointers to texts."""
    if value is not None and value not in supported:
        yield causes.not_supported(path, value, supported)


def immutable(path: str, new: object, old: object) -> Iterator[Cause]:
    """Check that a value has not changed."""
    if new != old:
        yield causes.invalid(path, new, IMMUTABLE)


def port(path: str, value: int | str) -> Iterator[Cause]:
    """Check a port by its number or by its name."""
    yield from formatted(path, value, formats.port_number if isinstance(value, int) else formats.port_name)


def labels(path: str, given: Mapping[str, str] | None) -> Iterator[Cause]:
    """Check labels; messages are about the map."""
    for key, value in sorted((given or {}).items()):
        yield from formatted(path, key, formats.label_key)
        yield from formatted(path, value, formats.label_value)


def annotation_keys(path: str, given: Mapping[str, str] | None) -> Iterator[Cause]:
    """Check the keys of annotations; messages are about the map."""
    for key in given or {}:
        for message in formats.label_key(key.lower()):
            yield causes.invalid(path, key, message)


def label_selector(path: str, selector: Value | None) -> Iterator[Cause]:
    """Check a metav1.LabelSelector."""
    if selector is None:
        return
    yield from labels(child(path, "matchLabels"), selector.get("matchLabels"))
    for index, requirement in enumerate(selector.get("matchExpressions", ())):
        yield from _requirement(item(child(path, "matchExpressions"), index), requirement)


def _requirement(path: str, requirement: Value) -> Iterator[Cause]:
    values = requirement.get("values", ())
    match requirement["operator"]:
        case "In" | "NotIn":
            if not values:
                yield causes.required(child(path, "values"), "must be specified when `operator` is 'In' or 'NotIn'")
        case "Exists" | "DoesNotExist":
            if values:
                why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
                yield causes.forbidden(child(path, "values"), why)
        case operator:
            yield causes.invalid(child(path, "operator"), operator, "not a valid selector operator")
    yield from formatted(child(path, "key"), requirement["key"], formats.label_key)
    for index, value in enumerate(values):
        yield from formatted(item(child(path, "values"), index), value, formats.label_value)


def shown_selector(selector: Value | None) -> Value | None:
    """Return a metav1.LabelSelector as messages show it."""
    shown: Value | None = gotypes.shown("io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector", selector)
    return shown


def selects(selector: Value, given: Mapping[str, str]) -> bool:
    """Return whether a valid metav1.LabelSelector selects labels."""
    if any(given.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    return all(_holds(requirement, given) for requirement in selector.get("matchExpressions", ()))


def _holds(requirement: Value, given: Mapping[str, str]) -> bool:
    key, values = requirement["key"], requirement.get("values", ())
    match requirement["operator"]:
        case "In":
            return given.get(key) in values
        case "NotIn":
            return given.get(key) not in values
        case "Exists":
            return key in given
        case _:
            return key not in given


def int_or_percent(path: str, value: int | str) -> Iterator[Cause]:
    """Check that a value is a number that is not negative, or a percentage."""
    if isinstance(value, str):
        yield from formatted(path, value, formats.percent)
    elif value < 0:
        yield causes.invalid(path, value, NOT_NEGATIVE)


def percent_or_int(value: int | str) -> int:
    """Return the number of an int-or-percent, of a percentage the number before the sign, 0 where there is none."""
    if isinstance(value, int):
        return value
    number = value.removesuffix("%")
    return int(number) if number.isdecimal() else 0


def not_more_than_100_percent(path: str, value: int | str) -> Iterator[Cause]:
    """Check that a percentage is not above 100 %."""
    if isinstance(value, str) and not formats.percent(value) and percent_or_int(value) > 100:
        yield causes.invalid(path, value, "must not be greater than 100%")
