"""Makes a good body bad in one place, as people and programs do."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

    Value = dict[str, Any]

__all__ = ["part", "spoiled", "with_unknown_field"]

_LEFT_ALONE = ("apiVersion", "kind", "image")
_KEYS = frozenset({"name", "port", "type", "protocol", "containerPort", "id", "ip", "mountPath", "addresses", "key"})
"""Fields that tell the items of a list apart, which `part` keeps."""


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each container in a value with each of its keys."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, field in entries:
        yield value, key
        yield from _places(field)


def spoiled(random: Random, value: Value) -> Value:
    """Return a copy in which one value is gone, null, or of another type."""
    result = deepcopy(value)
    if places := [place for place in _places(result) if place[1] not in _LEFT_ALONE]:
        container, key = random.choice(places)
        match random.choice(("gone", "null", "type", "type", "long", "twice")):
            case "gone":
                del container[key]
            case "null":
                container[key] = None
            case "long":
                container[key] = "x" * 300
            case "twice" if isinstance(container[key], list):
                container[key] += deepcopy(container[key])
            case _:
                others: tuple[Any, ...] = (7, "text", True, 1.5, [], {}, {"x": 1}, ["x"], -1, "")
                container[key] = random.choice(others)
    return result


def with_unknown_field(random: Random, value: Value) -> Value:
    """Return a copy with a field somewhere that no schema knows."""
    result = deepcopy(value)
    places = [result, *(field for container, key in _places(result) if isinstance(field := container[key], dict))]
    random.choice(places)["unknownField"] = random.choice((1, "x", {"a": 1}, None))
    return result


def part(random: Random, value: Any, keep: float = 0.7) -> Any:
    """Return a copy without some of the fields, at any depth; what tells list items apart stays."""
    if isinstance(value, dict):
        return {
            key: part(random, field, keep) for key, field in value.items() if key in _KEYS or random.random() < keep
        }
    if isinstance(value, list):
        kept = [part(random, item, keep) for item in value if random.random() < keep]
        return kept or value[:1]  # to Go, an empty list is not the same as none; here it is
    return value
