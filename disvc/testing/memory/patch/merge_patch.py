"""JSON merge patch: RFC 7386, as the server's library (evanphx/json-patch v4) has it."""

from __future__ import annotations

from typing import Any

from disvc.testing.memory.errors import Refused
from disvc.testing.memory.go_text import json_kind

__all__ = ["merge_patch"]

Value = dict[str, Any]


def merge_patch(obj: Value, patch: object) -> Value:
    """Return the patched object, which may share parts with both.

    Raises:
        Refused: 400 for a patch that is no object.

    """
    if patch is None:
        raise Refused(400, "BadRequest", "Invalid JSON Patch")
    if not isinstance(patch, dict):
        kind = f"json: cannot unmarshal {json_kind(patch)} into Go value of type map[string]interface {{}}"
        raise Refused(400, "BadRequest", f"error decoding patch: {kind}")
    return _merged(obj, patch)


def _merged(value: Value, patch: Value) -> Value:
    merged = dict(value)
    for name, given in patch.items():
        old = value.get(name)
        if given is None:
            merged.pop(name, None)
        elif isinstance(old, dict):
            merged[name] = _merged(old, given) if isinstance(given, dict) else given
        else:
            merged[name] = _without_nulls(given)
    return merged


def _without_nulls(value: Any) -> Any:
    """Return a value without fields that are null, also in lists; nulls in lists stay."""
    if isinstance(value, dict):
        return {name: _without_nulls(given) for name, given in value.items() if given is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value
