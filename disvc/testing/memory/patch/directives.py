"""What in a strategic merge patch is said about it, and the ways in which it can be wrong.

Rules and words: k8s.io/apimachinery/pkg/util/strategicpatch and pkg/util/mergepatch.
"""

from __future__ import annotations

from typing import Any, Final

from disvc.testing.memory.errors import Refused
from disvc.testing.memory.go_text import plain, type_name

__all__ = [
    "DELETE",
    "DELETE_FROM",
    "MARKER",
    "REPLACE",
    "RETAIN_KEYS",
    "SET_ORDER",
    "as_list",
    "as_map",
    "bad_format",
    "broken",
    "merge_key_of",
    "unknown_directive",
    "without_directives",
    "without_nulls",
]

Value = dict[str, Any]

MARKER: Final = "$patch"
DELETE: Final = "delete"
REPLACE: Final = "replace"
RETAIN_KEYS: Final = "$retainKeys"
DELETE_FROM: Final = "$deleteFromPrimitiveList"
SET_ORDER: Final = "$setElementOrder"


def broken(message: str) -> Refused:
    """Return the 500 of a patch that cannot be carried out."""
    return Refused(500, "", message)


def bad_format(of: str) -> Refused:
    """Return the 400 of a directive that is not as it must be."""
    return Refused(400, "BadRequest", f"invalid patch format of {of}")


def unknown_directive(directive: object, patch: Value) -> Refused:
    """Return the 500 of a `$patch` that is not known where it stands."""
    return broken(f"unknown patch type: {plain(directive)} in map: {plain(patch)}")


def as_list(value: object) -> list[Any]:
    """Return a list. Raises Refused: it is none."""
    if isinstance(value, list):
        return value
    raise broken(f"expected a []interface {{}}, but received a {type_name(value)}")


def as_map(value: object) -> Value:
    """Return a map. Raises Refused: it is none."""
    if isinstance(value, dict):
        return value
    raise broken(f"expected a map[string]interface {{}}, but received a {type_name(value)}")


def merge_key_of(item: object, merge_key: str) -> Any:
    """Return what tells an item of a list apart: itself, or its merge key. Raises Refused: it has none."""
    if not merge_key:
        return item
    fields = as_map(item)
    if merge_key not in fields:
        raise broken(f"map: {plain(fields)} does not contain declared merge key: {merge_key}")
    return fields[merge_key]


def without_nulls(value: Any) -> Any:
    """Return a value without fields that are null, also in lists; nulls in lists stay."""
    if isinstance(value, dict):
        return {name: without_nulls(given) for name, given in value.items() if given is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


def without_directives(value: Any) -> Any:
    """Return a value without the maps in it that have a directive; a map with one itself is taken out by the caller."""
    if isinstance(value, dict):
        return {name: without_directives(given) for name, given in value.items() if not _has_directive(given)}
    if isinstance(value, list):
        return [without_directives(item) for item in value if not _has_directive(item)]
    return value


def _has_directive(value: object) -> bool:
    return isinstance(value, dict) and MARKER in value
