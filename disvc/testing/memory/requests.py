"""A request as the server gets it, and what it turns out to ask for.

`Request` is what a transport hands over. `Call` is the same once its resource is known: the rest of the package works
on it, from top to bottom of one request.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from disvc.testing.match import APIRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from disvc.testing.memory.resource import ResourceType

__all__ = ["ADMIN", "Call", "Request", "Target", "User", "target"]


@dataclass(frozen=True, slots=True)
class User:
    """Who asks: an authentication.k8s.io UserInfo."""

    name: str
    groups: tuple[str, ...] = ("system:authenticated",)
    uid: str = ""
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def info(self) -> dict[str, Any]:
        """Return it as reviews say it."""
        info = {"username": self.name, "uid": self.uid, "groups": list(self.groups), "extra": dict(self.extra)}
        return {key: value for key, value in info.items() if value}


ADMIN: Final = User("kubernetes-admin", ("system:masters", "system:authenticated"))


@dataclass(frozen=True, slots=True)
class Request:
    """One request.

    `path` is decoded and has no query. Header names are in lower case.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    user: User = ADMIN


class Target(NamedTuple):
    """What a path and a method address; `resource` is "" where that is no API resource.

    `verb` is get, list, watch, create, update, patch, delete or deletecollection; the method in lower case where there
    is no resource.
    """

    verb: str
    group: str
    version: str
    namespace: str
    resource: str
    name: str
    subresource: str


def target(request: Request) -> Target:
    """Tell what a request addresses, as k8s.io/apiserver's RequestInfo does."""
    path, is_watch = _without_watch(request.path)
    info = APIRequest.parse(request.method, path, request.query, request.headers, b"")
    verb = "watch" if is_watch and info.resource else info.verb
    name = "" if info.verb in ("list", "watch", "deletecollection") else info.name  # that would be of a selector
    return Target(verb, info.group, info.version, info.namespace, info.resource, name, info.subresource)


def _without_watch(path: str) -> tuple[str, bool]:
    """Take the `watch` out of a path like `/api/v1/watch/pods`, which is the old way to ask for a watch."""
    parts = path.split("/")
    at = 3 if parts[1:2] == ["api"] else 4
    if parts[at : at + 1] != ["watch"] or len(parts) <= at + 1:
        return path, False
    return "/".join(parts[:at] + parts[at + 1 :]), True


@dataclass(slots=True)
class Call:
    """One request to a resource that the server serves.

    `namespace` is "" for all of them, and for what has none; `name` is "" for a collection. `warnings` go out with the
    answer.
    """

    request: Request
    resource: ResourceType
    verb: str
    namespace: str
    name: str
    subresource: str
    warnings: list[str] = field(default_factory=list)

    @property
    def user_agent(self) -> str:
        """What the client calls itself."""
        return self.request.headers.get("user-agent", "")

    def key(self, name: str = "") -> str:
        """Return where the store has the object, or one of that name beside it."""
        name = name or self.name
        return f"{self.namespace}/{name}" if self.resource.namespaced else name

    @property
    def key_range(self) -> tuple[str, str]:
        """Return the first key of the namespace, or of all there is, and the first one after it ("": no end)."""
        if not self.namespace or not self.resource.namespaced:
            return "", ""
        return f"{self.namespace}/", f"{self.namespace}0"  # "0" comes after "/"
