"""One step of a path into an object: a field, an item of a list by its keys, its value or its place.

An element is a tuple that sorts as the server sorts: fields, then keys, then values, then places. It is written in
two ways: in fieldsV1 (`f:spec`, `k:{"port":80}`, `v:"a"`, `i:0`) and for people (`.spec`, `[port=80]`, `[="a"]`,
`[0]`). Rules: sigs.k8s.io/structured-merge-diff, fieldpath/element.go and serialize-pe.go.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from disvc.testing.memory.go_text import json_text, plain, quote

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Element", "Path", "dump", "field", "index", "is_field", "is_keys", "keys", "load", "text", "value"]

Element = tuple[int, Any]
Path = tuple[Element, ...]

_CACHED: Final = 4096
_FIELD: Final = 0
_KEYS: Final = 1
_VALUE: Final = 2
_INDEX: Final = 3

_NUMBER: Final = 0
_STRING: Final = 1
_BOOLEAN: Final = 2
_NULL: Final = 3


def field(name: str) -> Element:
    """Return the element of a field of an object, or of a key of a map."""
    return (_FIELD, name)


def keys(pairs: Iterable[tuple[str, object]]) -> Element:
    """Return the element of a list's item that is told apart by these fields."""
    return (_KEYS, tuple(sorted((name, _ordered(value)) for name, value in pairs)))


def value(scalar: object) -> Element:
    """Return the element of a set's item."""
    return (_VALUE, _ordered(scalar))


def index(place: int) -> Element:
    """Return the element of an item of an atomic list."""
    return (_INDEX, place)


def is_field(element: Element) -> bool:
    """Tell whether it names a field."""
    return element[0] == _FIELD


def is_keys(element: Element) -> bool:
    """Tell whether it names an item of a list by keys."""
    return element[0] == _KEYS


@lru_cache(maxsize=_CACHED)
def dump(element: Element) -> str:
    """Write an element as a name in fieldsV1."""
    kind, content = element
    if kind == _FIELD:
        return f"f:{content}"
    if kind == _KEYS:
        return f"k:{json_text({name: scalar for name, (_, scalar) in content})}"
    if kind == _VALUE:
        return f"v:{json_text(content[1])}"
    return f"i:{content}"


@lru_cache(maxsize=_CACHED)
def load(name: str) -> Element | None:
    """Read an element from a name in fieldsV1; None for a kind that is unknown.

    Raises:
        ValueError: it is of a known kind, and malformed.

    """
    kind, content = name[:2], name[2:]
    if len(kind) < len("f:") or kind[1] != ":":
        msg = f"missing colon: {name}" if len(kind) > 1 else "key must be 2 characters long:"
        raise ValueError(msg)
    match kind:
        case "f:":
            return field(content)
        case "k:":
            return keys(json.loads(content).items())
        case "v:":
            return value(json.loads(content))
        case "i:":
            return index(int(content))
    return None


def text(path: Iterable[Element]) -> str:
    """Write a path for people, as causes and messages do: `.spec.ports[port=80,protocol="TCP"].name`."""
    return "".join(map(_text, path))


def _text(element: Element) -> str:
    kind, content = element
    if kind == _FIELD:
        return f".{content}"
    if kind == _KEYS:
        return f"[{','.join(f'{name}={_shown(scalar)}' for name, (_, scalar) in content)}]"
    if kind == _VALUE:
        return f"[={_shown(content[1])}]"
    return f"[{content}]"


def _shown(scalar: object) -> str:
    return quote(scalar) if isinstance(scalar, str) else "null" if scalar is None else plain(scalar)


def _ordered(scalar: object) -> tuple[int, Any]:
    """Make a scalar comparable with any other: numbers, then strings, then booleans, and null."""
    if isinstance(scalar, bool):
        return (_BOOLEAN, scalar)
    if isinstance(scalar, int | float):
        return (_NUMBER, scalar)
    if isinstance(scalar, str):
        return (_STRING, scalar)
    return (_NULL, None)
