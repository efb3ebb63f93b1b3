"""Choosing requests and watch events by what the Kubernetes API means by them.

`APIRequest.parse` tells verb, resource, namespace and name from an HTTP request as a kube-apiserver's
RequestInfo does (k8s.io/apiserver, pkg/endpoints/request), so that a test says `verb="watch"` instead of
spelling paths. `Match` is a pure predicate on that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})
"""The verbs that change something."""

READS = frozenset({"get", "list", "watch"})
"""The verbs that do not."""

_VERBS = {
    "POST": "create",
    "PUT": "update",
    "PATCH": "patch",
    "DELETE": "delete",
    "GET": "get",
    "HEAD": "get",
}


class _Metadata(msgspec.Struct):
    name: str = ""
    namespace: str = ""


class _Object(msgspec.Struct):
    metadata: _Metadata = msgspec.field(default_factory=_Metadata)


class _Event(msgspec.Struct):
    type: str
    object: _Object


_decode_object = msgspec.json.Decoder(_Object).decode
_decode_event = msgspec.json.Decoder(_Event).decode


@dataclass(frozen=True, slots=True)
class APIRequest:
    """One request to the API server.

    `verb` is get, list, watch, create, update, patch, delete or deletecollection; on a path that names no
    resource (`/healthz`) it is the method in lower case and `resource` is empty. `resource` is the plural,
    `group` is empty for the core group. `name` of a create is that of the object in the body.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    verb: str
    group: str
    version: str
    namespace: str
    resource: str
    subresource: str
    name: str

    @classmethod
    def parse(
        cls, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], body: bytes
    ) -> APIRequest:
        """Tell what a request means from its method, decoded path and query."""
        parts = [part for part in path.split("/") if part]
        match parts:
            case ["api", version, _, *_]:
                group, rest = "", parts[2:]
            case ["apis", group, version, _, *_]:
                rest = parts[3:]
            case _:
                return cls(method, path, query, headers, body, method.lower(), "", "", "", "", "", "")
        namespace = ""
        if rest[0] == "namespaces" and len(rest) > 1:
            namespace = rest[1]
            # .../namespaces/x/pods is in a namespace; .../namespaces/x and its two subresources are one.
            if len(rest) > 2 and rest[2] not in ("status", "finalize"):
                rest = rest[2:]
        resource, name, subresource = (*rest, "", "")[:3]
        verb = _VERBS.get(method, method.lower())
        if not name:
            verb = _collection_verb(verb, query)
            name = _name_of(body) if verb == "create" else _name_selected(query)
        return cls(method, path, query, headers, body, verb, group, version, namespace, resource, subresource, name)


def _collection_verb(verb: str, query: Mapping[str, str]) -> str:
    if verb == "delete":
        return "deletecollection"
    if verb != "get":
        return verb
    # Whatever is there and is neither "0" nor "false" is true: Convert_Slice_string_To_bool of apimachinery.
    watch = query.get("watch")
    return "list" if watch is None or watch == "0" or watch.lower() == "false" else "watch"


def _name_of(body: bytes) -> str:
    try:
        return _decode_object(body).metadata.name
    except msgspec.DecodeError:
        return ""  # protobuf, or what the server is about to refuse


def _name_selected(query: Mapping[str, str]) -> str:
    for term in query.get("fieldSelector", "").split(","):
        field, _, value = term.partition("=")
        if field == "metadata.name":
            return value.removeprefix("=")
    return ""


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One event of a watch: its type (ADDED, MODIFIED, DELETED, BOOKMARK, ERROR) and the object's name.

    `raw` is the whole line as it came from the server, the newline included.
    """

    type: str
    namespace: str
    name: str
    raw: bytes

    @classmethod
    def parse(cls, line: bytes) -> WatchEvent:
        """Read a line of a JSON watch.

        Raises:
            msgspec.DecodeError: the line is not a watch event.

        """
        event = _decode_event(line)
        metadata = event.object.metadata
        return cls(event.type, metadata.namespace, metadata.name, line)


def any_event(event: WatchEvent) -> bool:
    """Choose every event: `Match(verb="watch", event=any_event)`."""
    return True


@dataclass(frozen=True, slots=True)
class Match:
    """Chooses requests, or single events of the watches among them. What is None is not asked for.

    `verb` is one verb or a set of them (`WRITES`, `READS`). `group` and `subresource` are "" for the core
    group and for the object itself. `where` gets the whole request.

    With `event`, it is not the request that is chosen but each event of it for which the predicate is true;
    only watches have events.
    """

    method: str | None = None
    verb: str | frozenset[str] | None = None
    resource: str | None = None
    group: str | None = None
    subresource: str | None = None
    namespace: str | None = None
    name: str | None = None
    where: Callable[[APIRequest], bool] | None = None
    event: Callable[[WatchEvent], bool] | None = None

    def matches(self, request: APIRequest) -> bool:
        """Whether the request is chosen, or, with `event`, whether its events are to be looked at."""
        return (
            self.method in (None, request.method)
            and self._has_verb(request.verb)
            and self.resource in (None, request.resource)
            and self.group in (None, request.group)
            and self.subresource in (None, request.subresource)
            and self.namespace in (None, request.namespace)
            and self.name in (None, request.name)
            and (self.where is None or self.where(request))
        )

    def _has_verb(self, verb: str) -> bool:
        if isinstance(self.verb, frozenset):
            return verb in self.verb
        return self.verb in (None, verb)
