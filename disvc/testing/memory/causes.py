"""What can be wrong with a field: one constructor for each type of k8s.io/apimachinery/pkg/util/validation/field.Error.

A path is written as in messages: `spec.ports[0].name`, `metadata.labels`, and "" for the object itself; `child` and
`item` make longer ones. A value is shown as Go shows it: a string in quotes, an object or a list as compact JSON.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from disvc.testing.memory.errors import Cause
from disvc.testing.memory.go_text import json_text, plain, quote

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "OMITTED",
    "child",
    "duplicate",
    "forbidden",
    "invalid",
    "item",
    "not_found",
    "not_supported",
    "required",
    "too_long",
    "too_many",
    "type_invalid",
]

OMITTED = object()
"""Given for a value that is not to be shown."""


def child(path: str, name: str) -> str:
    """Return the path of a field of the object at `path`."""
    return f"{path}.{name}" if path else name


def item(path: str, key: int | str) -> str:
    """Return the path of an item of the list, or of a value of the map, at `path`."""
    return f"{path}[{key}]"


def required(path: str, detail: str = "") -> Cause:
    """Return that a value is missing."""
    return _cause("FieldValueRequired", "Required value", detail, path)


def invalid(path: str, value: object, detail: str) -> Cause:
    """Return that a value is malformed or out of range."""
    return _cause("FieldValueInvalid", f"Invalid value{_shown(value)}", detail, path)


def type_invalid(path: str, value: object, detail: str) -> Cause:
    """Return that a value is not of the type that a schema gives."""
    return _cause("FieldValueTypeInvalid", f"Invalid value{_shown(value)}", detail, path)


def not_supported(path: str, value: object, supported: Iterable[str]) -> Cause:
    """Return that a value is none of an enumeration; `supported` is listed in its order."""
    listed = ", ".join(map(quote, supported))
    detail = f"supported values: {listed}" if listed else ""
    return _cause("FieldValueNotSupported", f"Unsupported value{_shown(value)}", detail, path)


def duplicate(path: str, value: object) -> Cause:
    """Return that a value must be unique and is not."""
    return _cause("FieldValueDuplicate", f"Duplicate value{_shown(value)}", "", path)


def not_found(path: str, value: object) -> Cause:
    """Return that a value refers to nothing."""
    return _cause("FieldValueNotFound", f"Not found{_shown(value)}", "", path)


def forbidden(path: str, detail: str) -> Cause:
    """Return that a value is well formed, and not allowed as things stand."""
    return _cause("FieldValueForbidden", "Forbidden", detail, path)


def too_long(path: str, limit: int, unit: str = "bytes") -> Cause:
    """Return that a value is longer than `limit` bytes or characters."""
    unit = unit.removesuffix("s") if limit == 1 else unit
    return _cause("FieldValueTooLong", "Too long", f"may not be more than {limit} {unit}", path)


def too_many(path: str, actual: int, limit: int) -> Cause:
    """Return that a list or a map has more than `limit` items."""
    items = "item" if limit == 1 else "items"
    return _cause("FieldValueTooMany", f"Too many: {actual}", f"must have at most {limit} {items}", path)


def _cause(reason: str, what: str, detail: str, path: str) -> Cause:
    return Cause(reason, f"{what}: {detail}" if detail else what, path or "<nil>")


def _shown(value: object) -> str:
    match value:
        case _ if value is OMITTED:
            return ""
        case str():
            return f": {quote(value)}"
        case bool() | int() | float():
            return f": {plain(value)}"
        case _:
            return f": {json_text(value)}"
