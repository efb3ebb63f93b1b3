"""Lists of type set and map: no item, or no combination of map keys, may stand twice.

As k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype checks it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from disvc.testing.memory import causes
from disvc.testing.memory.go_text import json_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from disvc.testing.memory.errors import Cause
    from disvc.testing.memory.schema import Schema

__all__ = ["duplicates"]


def duplicates(value: Any, schema: Schema, path: str = "") -> Iterator[Cause]:
    """Yield what stands twice in lists of type set and map, at any depth."""
    match value:
        case dict():
            for name, part in value.items():
                if (field := schema.properties.get(name)) is not None:
                    yield from duplicates(part, field, causes.child(path, name))
                elif schema.additional is not None:
                    yield from duplicates(part, schema.additional, causes.item(path, name))
        case list():
            yield from _of_list(value, schema, path)
            if schema.items is not None:
                for index, part in enumerate(value):
                    yield from duplicates(part, schema.items, causes.item(path, index))


def _of_list(items: list[Any], schema: Schema, path: str) -> Iterator[Cause]:
    match schema.list_type:
        case "set":
            for index in _repeated(items):
                yield causes.duplicate(causes.item(path, index), items[index])
        case "map":
            yield from _of_map_list(items, schema.list_map_keys, path)


def _of_map_list(items: list[Any], keys: Sequence[str], path: str) -> Iterator[Cause]:
    for index, item in enumerate(items):
        if item is not None and not isinstance(item, dict):
            detail = "must be an object for an array of list-type map"
            yield causes.invalid(causes.item(path, index), item, detail)
            return
    found = [{key: item[key] for key in keys if key in item} if item else {} for item in items]
    for index in _repeated(found):
        yield causes.duplicate(causes.item(path, index), found[index])


def _repeated(items: Sequence[Any]) -> Iterator[int]:
    """Yield where an item stands for the second time; it is not told of again."""
    times: dict[str, int] = {}
    for index, item in enumerate(items):
        text = f"{type(item).__name__} {json_text(item)}"
        times[text] = times.get(text, 0) + 1
        if times[text] == 2:
            yield index
