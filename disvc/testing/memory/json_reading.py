"""Reads JSON, and tells of the fields that it says twice."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

import msgspec

from disvc.testing.memory.nesting import check_json

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["read_json"]

_KEY_END: Final = re.compile(rb'"\s*:')


def read_json(body: bytes) -> tuple[Any, list[str]]:
    """Return what JSON says, and the paths of the fields that it says twice. Raises `ValueError`."""
    check_json(body)
    value = msgspec.json.decode(body)
    return value, _twice(body, value)


def _twice(body: bytes, value: Any) -> list[str]:
    """Return the paths of the fields that JSON says twice, given what it decodes to.

    Every key in the text ends in a quote and a colon. Where there are no more of these than keys in the value, which
    is told in no time, none of them can have come twice.
    """
    if len(_KEY_END.findall(body)) == _count_keys(value):
        return []
    return list(_duplicates(json.loads(body, object_pairs_hook=_Pairs), ""))


class _Pairs(list[tuple[str, Any]]):
    """An object as it is written, with keys that come twice."""


def _count_keys(value: Any) -> int:
    if isinstance(value, dict):
        return len(value) + sum(map(_count_keys, value.values()))
    return sum(map(_count_keys, value)) if isinstance(value, list) else 0


def _duplicates(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, _Pairs):
        seen: set[str] = set()
        for name, item in value:
            at = f"{path}.{name}" if path else name
            if name in seen:
                yield at
            seen.add(name)
            yield from _duplicates(item, at)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _duplicates(item, f"{path}[{index}]")
