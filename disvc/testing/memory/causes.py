"""What can be wrong with a field: one constructor for each type of k8s.io/apimachinery/pkg/util/validation/field.Error.

A path is written as in messages: `spec.ports[0].name`, `metadata.labels`. A value is shown as Go shows it: a string in
quotes, anything else as compact JSON.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from disvc.testing.memory.errors import Cause

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["duplicate", "forbidden", "invalid", "not_found", "not_supported", "required", "too_long", "too_many"]

_HTML = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


def required(path: str, detail: str = "") -> Cause:
    """Return that a value is missing."""
    return Cause("FieldValueRequired", _body("Required value", detail), path)


def invalid(path: str, value: object, detail: str) -> Cause:
    """Return that a value is malformed or out of range."""
    return Cause("FieldValueInvalid", _body(f"Invalid value: {_shown(value)}", detail), path)


def not_supported(path: str, value: object, supported: Iterable[str]) -> Cause:
    """Return that a value is none of an enumeration; `supported` is listed in its order."""
    listed = ", ".join(_shown(each) for each in supported)
    return Cause(
        "FieldValueNotSupported",
        _body(f"Unsupported value: {_shown(value)}", f"supported values: {listed}" if listed else ""),
        path,
    )


def duplicate(path: str, value: object) -> Cause:
    """Return that a value must be unique and is not."""
    return Cause("FieldValueDuplicate", f"Duplicate value: {_shown(value)}", path)


def not_found(path: str, value: object) -> Cause:
    """Return that a value refers to nothing."""
    return Cause("FieldValueNotFound", f"Not found: {_shown(value)}", path)


def forbidden(path: str, detail: str) -> Cause:
    """Return that a value is well formed, and not allowed as things stand."""
    return Cause("FieldValueForbidden", _body("Forbidden", detail), path)


def too_long(path: str, limit: int, unit: str = "bytes") -> Cause:
    """Return that a value is longer than `limit` bytes or characters."""
    return Cause("FieldValueTooLong", f"Too long: may not be more than {limit} {unit}", path)


def too_many(path: str, actual: int, limit: int) -> Cause:
    """Return that a list has more than `limit` items."""
    items = "item" if limit == 1 else "items"
    return Cause("FieldValueTooMany", f"Too many: {actual}: must have at most {limit} {items}", path)


def _body(what: str, detail: str) -> str:
    return f"{what}: {detail}" if detail else what


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    # encoding/json escapes what could be HTML; strconv.Quote, used for strings, does not.
    return text if isinstance(value, str) else text.translate(_HTML)
