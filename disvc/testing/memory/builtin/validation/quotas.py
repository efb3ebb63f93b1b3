"""ResourceQuotas and LimitRanges; what of them is enforced is in `disvc.testing.memory.quotas`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from disvc.testing.memory import causes, formats
from disvc.testing.memory.builtin.validation.resources import (
    container_resource,
    quota_name,
    resource,
    resource_quantity,
)
from disvc.testing.memory.causes import item
from disvc.testing.quantity import amount

if TYPE_CHECKING:
    from collections.abc import Iterator

    from disvc.testing.memory.errors import Cause

    Value = dict[str, Any]

__all__ = ["limit_range", "resource_quota"]


class _Order(NamedTuple):
    """That one amount of a LimitRange may not be above another, and how the server says so."""

    small: str
    large: str
    at: str
    """The field that is told to be wrong."""
    shown: str
    """The field whose value is shown."""
    why: str


_ORDERS: Final = (
    _Order("min", "max", "min", "min", "min value {} is greater than max value {}"),
    _Order(
        "min",
        "defaultRequest",
        "defaultRequest",
        "defaultRequest",
        "min value {} is greater than default request value {}",
    ),
    _Order(
        "defaultRequest",
        "max",
        "defaultRequest",
        "defaultRequest",
        "default request value {} is greater than max value {}",
    ),
    _Order(
        "defaultRequest",
        "default",
        "defaultRequest",
        "defaultRequest",
        "default request value {} is greater than default limit value {}",
    ),
    _Order("min", "default", "default", "min", "min value {} is greater than default value {}"),
    _Order("default", "max", "default", "max", "default value {} is greater than max value {}"),
)
_TYPES: Final = frozenset({"Pod", "Container", "PersistentVolumeClaim"})
_DEFAULTS: Final = ("default", "defaultRequest")
_AMOUNTS: Final = ("max", "min", *_DEFAULTS, "maxLimitRequestRatio")


def resource_quota(spec: Value) -> Iterator[Cause]:
    """Check the spec of a ResourceQuota."""
    for name, quantity in spec.get("hard", {}).items():
        path = item("spec.hard", name)
        yield from quota_name(path, name)
        yield from resource_quantity(path, name, quantity)


def limit_range(spec: Value) -> Iterator[Cause]:
    """Check the spec of a LimitRange."""
    seen: set[str] = set()
    for index, limit in enumerate(spec["limits"] or ()):
        path, type_ = item("spec.limits", index), limit["type"]
        yield from _limited_type(f"{path}.type", type_)
        if type_ in seen:
            yield causes.duplicate(f"{path}.type", type_)
        seen.add(type_)
        yield from _names(path, limit)
        for name in sorted({name for field in _AMOUNTS for name in limit.get(field, ())}):
            yield from _order(path, limit, name)


def _limited_type(path: str, type_: str) -> Iterator[Cause]:
    if messages := formats.label_key(type_):
        yield from (causes.invalid(path, type_, message) for message in messages)
    elif "/" not in type_ and type_ not in _TYPES:
        yield causes.invalid(path, type_, "must be a standard limit type or fully qualified")


def _names(path: str, limit: Value) -> Iterator[Cause]:
    check = container_resource if limit["type"] in {"Pod", "Container"} else resource
    for field in _AMOUNTS:
        if limit["type"] == "Pod" and field in _DEFAULTS:
            if field in limit:
                yield causes.forbidden(f"{path}.{field}", "may not be specified when `type` is 'Pod'")
            continue
        for name in limit.get(field, ()):
            yield from check(item(f"{path}.{field}", name), name)


def _order(path: str, limit: Value, name: str) -> Iterator[Cause]:
    for order in _ORDERS:
        low, high = limit.get(order.small, {}).get(name), limit.get(order.large, {}).get(name)
        if low is not None and high is not None and amount(low) > amount(high):
            at = item(f"{path}.{order.at}", name)
            yield causes.invalid(at, limit[order.shown][name], order.why.format(low, high))
