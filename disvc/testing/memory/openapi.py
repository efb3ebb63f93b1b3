"""OpenAPI v3: one document for each group and version that is served, and an index of them.

Good for what kubectl reads in them: `explain`, whether the server validates fields and knows dry runs, and how lists
are merged by a client-side apply. Schemas of built-in kinds are Kubernetes' published definitions, those of custom
kinds are of their CustomResourceDefinition. What a document does not tell are the bodies of requests and answers.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

import msgspec

from disvc.runtime.transport import Answer
from disvc.testing.memory import discovery
from disvc.testing.memory.builtin.definitions import VERSION, definition_name, definitions
from disvc.testing.memory.negotiation import JSON
from disvc.testing.memory.structural.published import published

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from disvc.testing.memory.discovery import APIResource
    from disvc.testing.memory.resource import ResourceType

    Value = dict[str, Any]

__all__ = ["answer", "document"]

_INDEX: Final = "/openapi/v3"
_V2: Final = "/openapi/v2"
_V2_PROTOBUF: Final = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
_METADATA: Final = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_KINDS: Final = "x-kubernetes-group-version-kind"
_METHODS: Final = {
    "get": "get",
    "list": "get",
    "create": "post",
    "update": "put",
    "patch": "patch",
    "delete": "delete",
    "deletecollection": "delete",
}
_OF_COLLECTIONS: Final = frozenset({"list", "create", "deletecollection"})
_PARAMETERS: Final = {
    "post": ("dryRun", "fieldManager", "fieldValidation"),
    "put": ("dryRun", "fieldManager", "fieldValidation"),
    "patch": ("dryRun", "fieldManager", "fieldValidation", "force"),
    "delete": ("dryRun",),
}


def answer(path: str, known_hash: str, types: Iterable[ResourceType]) -> Answer | None:
    """Answer a GET below `/openapi`, None where there is no such document.

    Version 2 is there and empty. kubectl asks for it, as protobuf, where it knows nothing of a kind by version 3.

    Args:
        path: from the root on.
        known_hash: the query's `hash`, which clients take from the index so that they may keep a document for good.
        types: what is served.

    """
    path = path.rstrip("/")
    if path == _V2:
        return Answer(200, {"content-type": _V2_PROTOBUF}, b"")
    types = list(types)
    versions = {_path(each.group, each.version): (each.group, each.version) for each in discovery.served(types)}
    if path == _INDEX:
        urls = {of: {"serverRelativeURL": _url(of, *version, types)} for of, version in versions.items()}
        return Answer(200, {"content-type": JSON}, msgspec.json.encode({"paths": urls}))
    wanted = path.removeprefix(f"{_INDEX}/")
    if wanted not in versions:
        return None
    url = _url(wanted, *versions[wanted], types)
    if known_hash and not url.endswith(f"={known_hash}"):
        return Answer(301, {"location": url}, b"")
    caching = {"cache-control": "public, immutable"} if known_hash else {}
    encoded = msgspec.json.encode(document(*versions[wanted], types))
    return Answer(200, {"content-type": JSON, "vary": "Accept", **caching}, encoded)


def document(group: str, version: str, types: Iterable[ResourceType]) -> Value:
    """Return the document of a group and version."""
    types = list(types)
    resources = [each for each in discovery.served(types) if (each.group, each.version) == (group, version)]
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": VERSION},
        "paths": _paths(resources),
        "components": {"schemas": _schemas(resources, types)},
    }


def _path(group: str, version: str) -> str:
    return f"apis/{group}/{version}" if group else f"api/{version}"


def _url(path: str, group: str, version: str, types: Sequence[ResourceType]) -> str:
    """Return where a document is, with a hash that changes when the document does."""
    these = [each for each in types if (each.group, each.version) == (group, version)]
    content = [
        (each.plural, each.kind, sorted(each.verbs), each.schema.raw if each.is_custom and each.schema else VERSION)
        for each in these
    ]
    return f"{_INDEX}/{path}?hash={hashlib.sha512(msgspec.json.encode(content)).hexdigest().upper()}"


def _paths(resources: Iterable[APIResource]) -> Value:
    paths: Value = {}
    for each in resources:
        plural, _, subresource = each.name.partition("/")
        root = "/" + _path(each.group, each.version)
        collection = f"{root}/namespaces/{{namespace}}/{plural}" if each.namespaced else f"{root}/{plural}"
        one = f"{collection}/{{name}}" + (f"/{subresource}" if subresource else "")
        for verb in each.verbs:
            if method := _METHODS.get(verb):
                path = collection if verb in _OF_COLLECTIONS and not subresource else one
                paths.setdefault(path, {})[method] = _operation(each, verb, method)
        if each.namespaced and "list" in each.verbs:
            paths[f"{root}/{plural}"] = {"get": _operation(each, "list", "get")}
    return paths


def _operation(resource: APIResource, verb: str, method: str) -> Value:
    group, version = resource.group, resource.version
    if resource.kind_version:
        group, version = resource.kind_group, resource.kind_version
    parameters = [
        {"name": name, "in": "query", "schema": {"type": "boolean" if name == "force" else "string"}}
        for name in _PARAMETERS.get(method, ())
    ]
    return {
        "parameters": parameters,
        "responses": {"200": {"description": "OK"}},
        "x-kubernetes-action": "post" if verb == "create" else "put" if verb == "update" else verb,
        _KINDS: {"group": group, "version": version, "kind": resource.kind},
    }


def _schemas(resources: Iterable[APIResource], types: Iterable[ResourceType]) -> Value:
    """Return the schemas of the kinds, and of all that they refer to."""
    custom = {(each.group, each.version, each.kind): each for each in types if each.is_custom}
    schemas: Value = {}
    wanted = []
    for each in resources:
        if each.kind_version:
            wanted.append(definition_name(each.kind_group, each.kind_version, each.kind))
        elif resource := custom.get((each.group, each.version, each.kind)):
            schemas[_custom_name(resource)] = _custom_schema(resource)
            wanted.append(_METADATA)
        else:
            wanted.append(definition_name(each.group, each.version, each.kind))
    while wanted:
        name = wanted.pop()
        if name not in schemas:
            schemas[name] = _definition(definitions()[name])
            wanted += _referred(definitions()[name])
    return schemas


def _custom_name(resource: ResourceType) -> str:
    return ".".join([*reversed(resource.group.split(".")), resource.version, resource.kind])


def _custom_schema(resource: ResourceType) -> Value:
    raw: Value = published(resource.schema.raw) if resource.schema else {"x-kubernetes-preserve-unknown-fields": True}
    # Every kind has these; a CustomResourceDefinition need not say so.
    common = _definition(definitions()[definition_name("", "v1", "ConfigMap")])["properties"]
    properties = dict(raw.get("properties") or {}) | {name: common[name] for name in ("apiVersion", "kind", "metadata")}
    gvk = {"group": resource.group, "kind": resource.kind, "version": resource.version}
    return raw | {"type": "object", "properties": properties, _KINDS: [gvk]}


def _definition(raw: Value) -> Value:
    """Return a published definition, which is JSON schema, as OpenAPI v3 has it."""
    definition: Value = _converted(raw)
    if _KINDS in raw:
        for name in ("apiVersion", "kind"):
            definition.get("properties", {}).get(name, {}).pop("enum", None)
    return definition


def _converted(node: Any) -> Any:
    if isinstance(node, list):
        return [_converted(item) for item in node]
    if not isinstance(node, dict):
        return node
    converted = {key: _converted(value) for key, value in node.items()}
    if isinstance(node.get("type"), list):  # ["string", "null"]
        converted["type"] = node["type"][0]
    if isinstance(reference := node.get("$ref"), str):
        converted["$ref"] = f"#/components/schemas/{_name(reference)}"
        if len(node) > 1:  # beside a reference nothing counts in OpenAPI v3
            converted["allOf"] = [{"$ref": converted.pop("$ref")}]
    return converted


def _referred(node: Any) -> Iterator[str]:
    """Yield the names of the definitions that one refers to."""
    if isinstance(node, dict):
        if isinstance(reference := node.get("$ref"), str):
            yield _name(reference)
        node = list(node.values())
    if isinstance(node, list):
        for item in node:
            yield from _referred(item)


def _name(reference: str) -> str:
    return reference.rpartition("/")[2]
