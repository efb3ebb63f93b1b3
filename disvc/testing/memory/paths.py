"""What is served beside resources: discovery, OpenAPI, health, the version, and a page for paths that lead nowhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from disvc.runtime.transport import Answer
from disvc.testing.memory import discovery, errors, openapi
from disvc.testing.memory.answers import refusal

if TYPE_CHECKING:
    from collections.abc import Collection

    from disvc.testing.memory.requests import Request
    from disvc.testing.memory.resource import ResourceType

__all__ = ["answer", "missing"]

_PAGE = Answer(404, {"content-type": "text/plain; charset=utf-8"}, b"404 page not found\n")


def answer(request: Request, types: Collection[ResourceType]) -> Answer:
    """Answer a request that is to no resource. Raises `Refused` (405, 406)."""
    headers = request.headers
    if request.path.startswith("/openapi/"):
        found = openapi.answer(request.path, request.query.get("hash", ""), types)
    else:
        accept, if_none_match = headers.get("accept", ""), headers.get("if-none-match", "")
        found = discovery.answer(request.path, accept, if_none_match, types, headers.get("host", ""))
    if found is None:
        return missing(request.path, types)
    if request.method != "GET":
        raise errors.method_not_allowed()
    return found


def missing(path: str, types: Collection[ResourceType]) -> Answer:
    """Return the answer of a path that is not served: a Status within a built-in group, else a page."""
    match path.split("/"):
        case ["", "api", _, *_]:
            return _status()
        case ["", "apis", group, _, *_] if any(group == each.group and not each.is_custom for each in types):
            return _status()
    return _PAGE


def _status() -> Answer:
    return refusal(errors.unknown_path())
