"""JSON patch as the server has it: RFC 6902, and what its library (evanphx/json-patch v4) takes beyond that.

That library replaces members that are not there, copies null from where nothing is, adds null where no value is
given, compares nothing with null as equal, counts negative indices from the end, and does not need a path to begin
with a slash. Such operations are put in the RFC's terms, which `jsonpatch` carries out.
"""

from __future__ import annotations

import copy
import re
from typing import TYPE_CHECKING, Any, Final

import jsonpatch
from jsonpointer import JsonPointer, JsonPointerException

from disvc.testing.memory.apply.values import ABSENT, equal
from disvc.testing.memory.errors import Refused
from disvc.testing.memory.go_text import json_kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    Value = dict[str, Any]
    Operation = dict[str, Any]

__all__ = ["json_patch", "unknown_fields"]

_MAX_OPERATIONS: Final = 10_000
_TEXTS: Final = ("op", "path", "from")
_INDEX: Final = re.compile(r"[+-]?[0-9]+")


class _ImpossibleError(Exception):
    """An operation does not apply to the object."""


def unknown_fields(operations: object) -> list[str]:
    """Return the mistakes that strict decoding tells of: fields of operations that no operation has."""
    return [
        f'json patch unknown field "[{place}].{name}"'
        for place, operation in enumerate(operations if isinstance(operations, list) else ())
        for name in (operation if isinstance(operation, dict) else ())
        if name not in (*_TEXTS, "value")
    ]


def json_patch(obj: Value, operations: object) -> Any:
    """Return the patched object, which may be no object any more.

    Raises:
        Refused: 400 for what is no patch, 413 for too many operations, 422 for an operation that does not apply.

    """
    given = _checked(operations)
    patched: Any = copy.deepcopy(obj)
    try:
        for operation in given:
            patched = jsonpatch.apply_patch(patched, list(_in_terms_of_the_rfc(patched, operation)), in_place=True)
    except (_ImpossibleError, jsonpatch.JsonPatchException, JsonPointerException) as error:
        message = "the server rejected our request due to an error in our request"
        raise Refused(422, "Invalid", message, details={}) from error
    return patched


def _checked(operations: object) -> list[Operation]:
    if operations is None:
        return []
    if not isinstance(operations, list):
        raise _undecodable(operations, "value of type []handlers.jsonPatchOp")
    for operation in operations:
        if not isinstance(operation, dict | None):
            raise _undecodable(operation, "value of type handlers.jsonPatchOp")
        for name in _TEXTS:
            if not isinstance(text := (operation or {}).get(name), str | None):
                raise _undecodable(text, f"struct field jsonPatchOp.{name} of type string")
    if len(operations) > _MAX_OPERATIONS:
        limit = f"The allowed maximum operations in a JSON patch is {_MAX_OPERATIONS}, got {len(operations)}"
        raise Refused(413, "RequestEntityTooLarge", f"Request entity too large: {limit}")
    return [operation or {} for operation in operations]


def _undecodable(value: object, what: str) -> Refused:
    message = f"error decoding patch: json: cannot unmarshal {json_kind(value)} into Go {what}"
    return Refused(400, "BadRequest", message)


def _in_terms_of_the_rfc(document: Any, operation: Operation) -> Iterator[Operation]:
    """Yield the operations that do to a document what the server does for one; each is carried out before the next.

    Raises:
        _ImpossibleError: it does not apply.

    """
    kind, path, value = operation.get("op"), operation.get("path"), operation.get("value")
    match kind:
        case "add":
            yield {"op": "add", "path": _place(document, path, adding=True), "value": value}
        case "remove":
            yield {"op": "remove", "path": _place(document, path)}
        case "replace" if path == "" and isinstance(value, dict | list):
            yield {"op": "replace", "path": "", "value": value}
        case "replace":
            place = _place(document, path)
            yield {"op": "add" if _at(document, place) is ABSENT else "replace", "path": place, "value": value}
        case "test":
            found = document if path == "" else _at(document, _place(document, path))
            if not equal(None if found is ABSENT else found, value):
                raise _ImpossibleError
        case "copy" | "move":
            place = _place(document, operation.get("from"))
            found = _at(document, place)
            if kind == "move":
                yield {"op": "remove", "path": place}
            moved = None if found is ABSENT else found
            yield {"op": "add", "path": _place(document, path, adding=True), "value": moved}
        case _:
            raise _ImpossibleError


def _at(document: Any, place: str) -> Any:
    return JsonPointer(place).resolve(document, ABSENT)


def _place(document: Any, path: object, *, adding: bool = False) -> str:
    """Return the RFC's pointer for a path: of a member of an object, or an item of a list.

    Args:
        document: what it points into.
        path: the operation's.
        adding: whether it is the place of a new item.

    Raises:
        _ImpossibleError: there is nothing that the path could be in, or no such item.

    """
    if not isinstance(path, str) or "/" not in path:
        raise _ImpossibleError
    parts: list[str | int] = []
    steps = [step.replace("~1", "/").replace("~0", "~") for step in path.split("/")[1:]]
    node = document
    for depth, step in enumerate(steps, 1):
        is_last = depth == len(steps)
        if isinstance(node, list):
            parts.append(_index(node, step, adding=adding and is_last))
        elif isinstance(node, dict):
            parts.append(step)
        else:
            raise _ImpossibleError
        if not is_last:
            node = _at(node, jsonpatch.path_join(parts[-1:]))
    return jsonpatch.path_join(parts)


def _index(items: list[Any], step: str, *, adding: bool) -> str | int:
    if adding and step == "-":
        return step
    if not _INDEX.fullmatch(step):
        raise _ImpossibleError
    index, size = int(step), len(items) + adding
    if not -size <= index < size:
        raise _ImpossibleError
    return index % size
