"""Paths to declared fields, `.spec.ports['http'].name`: a rule's `fieldPath`, a version's `selectableFields`.

As `ValidFieldPath` of k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel reads them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from disvc.testing.memory import causes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from disvc.testing.memory.schema import Schema

__all__ = ["find_field"]

_TOKEN = re.compile(r"'(?:[^'\\]|\\.)*'|[.\[\]]|[^.\[\]]+")
_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "'": "'", "\\": "\\"}


def find_field(path: str, schema: Schema, *, brackets: bool = True) -> tuple[str, Schema]:
    """Return a path in its normal form, `spec.ports[http].name`, and the schema of the field.

    Args:
        path: as it is written.
        schema: of the value where the path begins.
        brackets: whether `['name']` may stand in it.

    Raises:
        ValueError: there is no such path; the message says why as the real server does.

    """
    normal, found = "", schema
    tokens = iter(_TOKEN.findall(path))
    for piece in tokens:
        if piece == "[":
            if not brackets:
                raise ValueError("array notation is not allowed")
            name = _in_brackets(tokens)
        elif piece == ".":
            name = _next(tokens)
        else:
            raise ValueError(f"expected [ or . but got: {piece}")
        if found.properties:
            if name not in found.properties:
                raise ValueError("does not refer to a valid field")
            normal, found = causes.child(normal, name), found.properties[name]
        elif found.additional is not None:
            normal, found = causes.item(normal, name), found.additional
        else:
            raise ValueError("does not refer to a valid field")
    return normal, found


def _in_brackets(tokens: Iterator[str]) -> str:
    quoted = _next(tokens)
    if len(quoted) < len("''") or not (quoted.startswith("'") and quoted.endswith("'")):
        raise ValueError(f"expected single quoted string but got {quoted}")
    name = re.sub(r"\\(.)", _unescaped, quoted[1:-1])
    if (end := _next(tokens)) != "]":
        raise ValueError(f"expected ] but got {end}")
    return name


def _unescaped(match: re.Match[str]) -> str:
    if match[1] not in _ESCAPES:
        raise ValueError(f"invalid string literal: invalid escape char {match[0]}")
    return _ESCAPES[match[1]]


def _next(tokens: Iterator[str]) -> str:
    token = next(tokens, None)
    if token is None:
        raise ValueError("unexpected end of JSON path")
    return token
