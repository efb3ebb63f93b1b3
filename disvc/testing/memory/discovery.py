"""Discovery: what the server serves, as documents that clients ask for before anything else.

`answer` gives `/`, `/version`, `/healthz` and its like, `/api`, `/apis`, one API group, and the resources of one of its
versions; `/api` and `/apis` also in the aggregated form (apidiscovery.k8s.io/v2), which says all at once. Everything
is told from the resource types that are served at the moment.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

import msgspec
import yaml

from disvc.runtime.transport import Answer
from disvc.testing.memory.negotiation import DISCOVERY, JSON, PLAIN, YAML, MediaType, negotiate
from disvc.testing.memory.routing import subresources
from disvc.testing.memory.version_order import preference

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from disvc.testing.memory.resource import ResourceType

    Value = dict[str, Any]

__all__ = ["APIResource", "answer", "served"]

VERSION: Final = {
    "major": "1",
    "minor": "36",
    "gitVersion": "v1.36.3+disvc.memory",
    "gitCommit": "",
    "gitTreeState": "",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "",
    "compiler": "",
    "platform": "",
}
"""What `/version` says: the release of Kubernetes whose API this is."""

_HEALTH: Final = frozenset({"healthz", "livez", "readyz"})
_VERBS: Final = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
_CUSTOM_VERBS: Final = ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch")


@dataclass(frozen=True)
class APIResource:
    """A path under a group and version: a metav1.APIResource."""

    group: str
    version: str
    name: str
    """The plural, or `plural/subresource`."""
    kind: str
    verbs: tuple[str, ...]
    namespaced: bool
    singular: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    kind_group: str = ""
    """The kind's group and version, where they are not those of the path."""
    kind_version: str = ""
    is_custom: bool = False

    def legacy(self) -> Value:
        """Return it as an entry of an APIResourceList."""
        value: Value = {"name": self.name, "singularName": self.singular, "namespaced": self.namespaced}
        if self.kind_version:
            value |= {"group": self.kind_group, "version": self.kind_version}
        return value | {"kind": self.kind, "verbs": self.verbs} | self._names()

    def aggregated(self, subresources: Iterable[APIResource]) -> Value:
        """Return it as an APIResourceDiscovery."""
        value: Value = {
            "resource": self.name,
            "responseKind": self._response_kind(),
            "scope": "Namespaced" if self.namespaced else "Cluster",
            "singularResource": self.singular,
            "verbs": self.verbs,
            **self._names(),
        }
        below = [
            {
                "subresource": each.name.partition("/")[2],
                "responseKind": each._response_kind(),
                "verbs": each.verbs,
            }
            for each in subresources
        ]
        return value | {"subresources": below} if below else value

    def _names(self) -> Value:
        names = {"shortNames": self.short_names, "categories": self.categories}
        return {key: value for key, value in names.items() if value}

    def _response_kind(self) -> Value:
        # The real server leaves group and version of a built-in kind to be those of the path.
        group, version = (self.group, self.version) if self.is_custom else ("", "")
        if self.kind_version:
            group, version = self.kind_group, self.kind_version
        return {"group": group, "version": version, "kind": self.kind}


_KINDS_OF_SUBRESOURCES: Final = {
    "binding": ("", "", "Binding"),
    "eviction": ("policy", "v1", "Eviction"),
    "scale": ("autoscaling", "v1", "Scale"),
    "token": ("authentication.k8s.io", "v1", "TokenRequest"),
}
"""Group, version ("" for those of the path) and kind, where that is not the resource's."""


def served(types: Iterable[ResourceType]) -> list[APIResource]:
    """Return all that is served, groups together: the core group first, then built-in ones, then custom ones by name.

    The versions of a group stand in the order in which clients prefer them, resources by name.
    """
    resources = [each for resource in types for each in _of_type(resource)]
    custom = {each.group for each in resources if each.is_custom}
    built_in = list(dict.fromkeys(each.group for each in resources if each.group and each.group not in custom))
    groups = ["", *built_in, *sorted(custom - {*built_in, ""})]
    rank = {group: place for place, group in enumerate(groups)}
    return sorted(resources, key=lambda each: (rank[each.group], preference(each.version), each.name.split("/")))


def _of_type(resource: ResourceType) -> Iterable[APIResource]:
    whole = APIResource(
        resource.group,
        resource.version,
        resource.plural,
        resource.kind,
        tuple(verb for verb in (_CUSTOM_VERBS if resource.is_custom else _VERBS) if verb in resource.verbs),
        resource.namespaced,
        resource.singular or resource.kind.lower(),
        resource.short_names,
        resource.categories,
        is_custom=resource.is_custom,
    )
    yield whole
    for name, verbs in sorted(subresources(resource).items()):
        if name:
            group, version, kind = _KINDS_OF_SUBRESOURCES.get(name, ("", "", resource.kind))
            yield replace(
                whole,
                name=f"{resource.plural}/{name}",
                kind=kind,
                verbs=tuple(sorted(verbs)),
                singular="",
                short_names=(),
                categories=(),
                kind_group=group,
                kind_version=version,
            )


def answer(path: str, accept: str, if_none_match: str, types: Iterable[ResourceType], host: str) -> Answer | None:
    """Answer a GET of a path that is no resource, None where there is nothing to be had.

    Args:
        path: from the root on.
        accept: the request's Accept header.
        if_none_match: the request's header, "" where there is none.
        types: what is served.
        host: this server's `host:port`, which `/api` tells.

    Raises:
        Refused: 406, none of the media types is to be had.

    """
    if path == "/":
        body = msgspec.json.format(msgspec.json.encode({"paths": _index(served(types))}))
        return Answer(200, {"content-type": JSON}, body)
    path = path.rstrip("/")
    if path.removeprefix("/").partition("/")[0] in _HEALTH:
        return Answer(200, {"content-type": "text/plain; charset=utf-8"}, b"ok")
    if path == "/version":
        return _encoded(VERSION, MediaType(JSON))
    if path not in {"/api", "/apis"}:
        document = _document(path, served(types))
        return None if document is None else _encoded(document, negotiate(accept, PLAIN))
    media_type = negotiate(accept, DISCOVERY)
    if media_type.conversion is not None:
        return _aggregated(path, media_type, if_none_match, served(types))
    if path == "/api":
        addresses = [{"clientCIDR": "0.0.0.0/0", "serverAddress": host}]
        versions = {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": addresses}
        return _encoded(versions, media_type)
    groups = [_group(group, list(these)) for group, these in groupby(served(types), lambda each: each.group) if group]
    return _encoded({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}, media_type)


def _index(resources: Iterable[APIResource]) -> list[str]:
    """Return the paths that lead on, as the root tells them."""
    groups = {f"/apis/{each.group}" for each in resources if each.group}
    versions = {f"/apis/{each.group}/{each.version}" if each.group else f"/api/{each.version}" for each in resources}
    health = {f"/{name}" for name in _HEALTH}
    return sorted({"/api", "/apis", "/openapi/v2", "/openapi/v3", "/version", *groups, *versions, *health})


def _document(path: str, resources: Sequence[APIResource]) -> Value | None:
    """Return what stands at `/apis/GROUP`, `/apis/GROUP/VERSION` or `/api/VERSION`."""
    match path.split("/"):
        case ["", "apis", group]:
            of_group = [each for each in resources if each.group == group]
            if not of_group:
                return None
            return {"kind": "APIGroup", "apiVersion": "v1", **_group(group, of_group)}
        case ["", "apis", group, version]:
            api_version = f"{group}/{version}"
        case ["", "api", version]:
            group, api_version = "", version
        case _:
            return None
    listed = [each for each in resources if (each.group, each.version) == (group, version)]
    if not listed:
        return None
    # As in Go, where the list of built-in kinds has no version of its own.
    kind = {"kind": "APIResourceList", **({} if group == "" else {"apiVersion": "v1"})}
    return {**kind, "groupVersion": api_version, "resources": [each.legacy() for each in listed]}


def _group(group: str, resources: Iterable[APIResource]) -> Value:
    versions = [
        {"groupVersion": f"{group}/{version}", "version": version}
        for version in dict.fromkeys(each.version for each in resources)
    ]
    return {"name": group, "versions": versions, "preferredVersion": versions[0]}


def _aggregated(path: str, media_type: MediaType, if_none_match: str, resources: Sequence[APIResource]) -> Answer:
    items = [
        {"metadata": {"name": group} if group else {}, "versions": _versions(list(these))}
        for group, these in groupby(resources, lambda each: each.group)
        if (group == "") == (path == "/api")
    ]
    value = {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items}
    encoded = _encoded(value, media_type)
    etag = f'"{hashlib.sha512(encoded.body).hexdigest().upper()}"'
    caching = {"etag": etag, "vary": "Accept", "cache-control": "public"}
    if etag == if_none_match:
        return Answer(304, caching, b"")
    assert media_type.conversion is not None
    kind, version, group = media_type.conversion
    return Answer(200, {"content-type": f"{media_type.name};g={group};v={version};as={kind}"} | caching, encoded.body)


def _versions(resources: Sequence[APIResource]) -> list[Value]:
    versions = []
    for version, these in groupby(resources, lambda each: each.version):
        listed = []
        for _, (whole, *below) in groupby(these, lambda each: each.name.partition("/")[0]):
            listed.append(whole.aggregated(below))
        versions.append({"version": version, "resources": listed, "freshness": "Current"})
    return versions


def _encoded(value: Value, media_type: MediaType) -> Answer:
    body = yaml.safe_dump(value).encode() if media_type.name == YAML else msgspec.json.encode(value) + b"\n"
    return Answer(200, {"content-type": media_type.name, "cache-control": "no-cache, private"}, body)
