"""Steps that change something, or try to."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from differential.spoiling import part, spoiled, with_unknown_field
from differential.step import Revision, Seen, Uid

if TYPE_CHECKING:
    from differential.kinds import Kind
    from differential.scene import Scene

    Value = dict[str, Any]

__all__ = [
    "apply",
    "create",
    "delete",
    "delete_collection",
    "json_patch",
    "merge_patch",
    "scale",
    "strategic_patch",
    "update",
]

_MERGE: Final = "application/merge-patch+json"
_JSON: Final = "application/json-patch+json"
_STRATEGIC: Final = "application/strategic-merge-patch+json"
_APPLY: Final = "application/apply-patch+yaml"
_WRONG_UID: Final = "11111111-2222-3333-4444-555555555555"


def _harmed(scene: Scene, body: Value) -> Any:
    """Return a body that is now and then wrong in some way."""
    if scene.chance(0.05):
        return spoiled(scene.random, body)
    if scene.chance(0.06):
        return with_unknown_field(scene.random, body)
    return body


def _twice(body: Value) -> bytes:
    """Return a body with its first field written twice."""
    text = json.dumps(body)
    first = json.dumps(next(iter(body.items())))
    return f"{{{first[1:-1].replace(', ', ': ', 1)}, {text[1:]}".encode()


def create(scene: Scene) -> Value:
    """Return a POST."""
    kind = scene.kind()
    name = scene.new_name(kind)
    manifest = kind.manifest(name, kind.content(scene.random))
    manifest["metadata"] |= scene.metadata()
    body = _harmed(scene, manifest)
    plain = body is manifest
    if plain and scene.chance(0.15):
        plain = False
        body = scene.random.choice(
            (
                manifest | {"metadata": {"generateName": f"gen-{scene.number}-"}},
                manifest | {"metadata": {"generateName": f"gen-{scene.number}-"}},
                manifest | {"metadata": {}},
                manifest | {"metadata": {"name": "Bad_Name"}},
                manifest | {"metadata": {"name": "x" * 64}},
                manifest | {"metadata": {"name": "x" * 254}},
                manifest | {"metadata": {"name": name, "namespace": "other"}},
                manifest | {"metadata": {"name": name, "namespace": scene.namespace}},
                manifest | {"metadata": {"name": name, "resourceVersion": "1"}},
                manifest | {"metadata": {"name": name, "uid": _WRONG_UID}},
                manifest | {"apiVersion": "v9"},
                manifest | ({} if kind.is_custom else {"kind": "Odd"}),
                {key: value for key, value in manifest.items() if key != "kind" or kind.is_custom},
                {key: value for key, value in manifest.items() if key in {"metadata", "spec"} or kind.is_custom},
                b"{",
                b"",
                b"[]",
                b"null",
                _twice(manifest) if not manifest["metadata"].get("ownerReferences") else b"{}",
            )
        )
    if kind.kind == "Service" and not _is_named(body):
        body = manifest  # a kube-apiserver allocates an address first, and tells how that failed
    query = scene.writing_query()
    if plain and "dryRun" not in query:
        scene.made.add((kind.kind, name))
    collection = kind.collection(scene.namespace)
    return {"method": "POST", "path": collection, "collection": collection, "query": query, "body": body}


def _is_named(body: Any) -> bool:
    metadata = body.get("metadata") if isinstance(body, dict) else None
    return isinstance(metadata, dict) and isinstance(metadata.get("name") or metadata.get("generateName"), str)


def _address(scene: Scene, kind: Kind) -> tuple[str, Value]:
    """Return the path of an object that is probably there, and what a step says of it."""
    name = scene.old_name(kind)
    collection = kind.collection(scene.namespace)
    return f"{collection}/{name}", {"collection": collection, "name": name}


def _subresource(scene: Scene, kind: Kind) -> str:
    if kind.status is not None and scene.chance(0.35):
        return "/status"
    return "/status" if scene.chance(0.01) and kind.kind != "Service" else ""


def _change(scene: Scene, kind: Kind, subresource: str) -> Value:
    if subresource and kind.status is not None and scene.chance(0.9):
        return {"status": kind.status(scene.random)} | ({"metadata": scene.metadata()} if scene.chance(0.2) else {})
    return scene.change(kind)


def update(scene: Scene) -> Value:
    """Return a PUT: of what was last read with a change, or of a whole new object."""
    kind = scene.kind()
    path, about = _address(scene, kind)
    subresource = _subresource(scene, kind)
    change = _change(scene, kind, subresource)
    manifest = kind.manifest(about["name"], kind.content(scene.random))
    if scene.chance(0.15):
        change = {}  # an update that changes nothing
    elif scene.chance(0.25):
        metadata = change.setdefault("metadata", {})
        metadata |= scene.random.choice(
            (
                {"resourceVersion": None},
                {"resourceVersion": Revision(path, back=1)},
                {"resourceVersion": Revision(path, back=1)},
                {"resourceVersion": "garbage"},
                {"resourceVersion": "0"},
                {"uid": None},
                {"uid": _WRONG_UID},
                {"uid": _WRONG_UID, "resourceVersion": None},
                {"name": "other"},
                {"name": None},
                {"namespace": "other"},
                {"namespace": None},
                {"managedFields": []},
                {"managedFields": None},
                {"generation": 99},
                {"creationTimestamp": None},
                {"finalizers": None},
                {"finalizers": None},
                {"labels": None, "annotations": None},
            )
        )
    body: Any = Seen(path, change, otherwise=manifest)
    if scene.chance(0.12):
        body = _harmed(scene, manifest | {"metadata": {"name": about["name"]} | scene.metadata()})
        if scene.chance(0.5) and isinstance(body.get("metadata"), dict):
            body["metadata"]["resourceVersion"] = Revision(path)
    elif scene.chance(0.07):
        body = Seen(path, _harmed(scene, change), otherwise=manifest, back=scene.random.choice((0, 1)))
    return {"method": "PUT", "path": path + subresource, "query": scene.writing_query(), "body": body, **about}


def merge_patch(scene: Scene) -> Value:
    """Return a JSON merge patch."""
    kind = scene.kind()
    path, about = _address(scene, kind)
    subresource = _subresource(scene, kind)
    patch = _harmed(scene, _nulled(scene, _change(scene, kind, subresource)))
    if scene.chance(0.1) and isinstance(patch.setdefault("metadata", {}), dict):
        patch["metadata"] |= scene.random.choice(
            (
                {"resourceVersion": Revision(path)},
                {"resourceVersion": Revision(path, back=1)},
                {"resourceVersion": "7"},
                {"uid": Uid(path)},
                {"uid": _WRONG_UID},
                {"name": "other"},
                {"finalizers": None},
            )
        )
    query = scene.writing_query()
    if scene.chance(0.03):
        query.pop("fieldValidation", None)
        patch = scene.random.choice((b"{", b"[]", b"", b'"x"', b"null", {}))
    return {
        "method": "PATCH",
        "path": path + subresource,
        "query": query,
        "body": patch,
        "content_type": _MERGE if scene.chance(0.99) else "application/odd+json",
        **about,
    }


def _nulled(scene: Scene, patch: Any) -> Any:
    """Return a patch in which some fields are null, to remove them."""
    if not isinstance(patch, dict):
        return patch
    return {key: None if scene.chance(0.06) else _nulled(scene, value) for key, value in patch.items()}


_POINTERS: Final = (
    "/metadata/labels",
    "/metadata/labels/app",
    "/metadata/annotations/note",
    "/metadata/finalizers",
    "/metadata/finalizers/0",
    "/metadata/finalizers/-",
    "/data",
    "/data/a",
    "/spec/replicas",
    "/spec/ports/0",
    "/spec/ports/-",
    "/spec/template/spec/containers/0/image",
    "/spec/template/spec/containers/1",
    "/spec/tags/0",
    "/spec/tags/-",
    "/spec/mode",
    "/spec/rules/0",
    "/endpoints/0",
    "/revision",
    "/no/such/place",
    "/metadata/name",
)
_VALUES: Final = ("x", "x", "y", 1, 2, ["x"], {"app": "z"}, {"a": "1"}, {"name": "n", "port": 99}, None, True)


def json_patch(scene: Scene) -> Value:
    """Return a JSON patch (RFC 6902)."""
    kind = scene.kind()
    path, about = _address(scene, kind)
    patch: Any = [_operation(scene) for _ in range(scene.random.choice((1, 1, 2)))]
    if scene.chance(0.05):
        patch = scene.random.choice((b"{}", b"[", [], [{"op": "odd", "path": "/x"}], [{"op": "add"}], [{}]))
    subresource = "/status" if kind.status is not None and scene.chance(0.1) else ""
    return {
        "method": "PATCH",
        "path": path + subresource,
        "query": scene.writing_query(),
        "body": patch,
        "content_type": _JSON,
        **about,
    }


def _operation(scene: Scene) -> Value:
    operation = scene.random.choice(("add", "add", "add", "replace", "replace", "remove", "test", "copy", "move"))
    patch: Value = {"op": operation, "path": scene.random.choice(_POINTERS)}
    if operation in {"add", "replace", "test"}:
        patch["value"] = scene.random.choice(_VALUES)
    if operation in {"copy", "move"}:
        patch["from"] = scene.random.choice(_POINTERS)
    return patch


def strategic_patch(scene: Scene) -> Value:
    """Return a strategic merge patch; kinds made by definitions do not take them."""
    known = [kind for kind in scene.kinds if not kind.is_custom]
    kind = scene.random.choice(known) if known and scene.chance(0.95) else scene.kind()
    if kind.is_custom and scene.chance(0.9):
        return merge_patch(scene)
    path, about = _address(scene, kind)
    subresource = _subresource(scene, kind)
    patch = _nulled(scene, _change(scene, kind, subresource))
    if kind.kind != "EndpointSlice":  # whose lists must not become empty, see `spoiling.part`
        patch = _directed(scene, patch)
    if kind.kind == "ControllerRevision":
        patch.pop("data", None)  # is of any shape, which strategic merge refuses in words of its own
    if scene.chance(0.1):
        patch = _harmed(scene, patch)
    return {
        "method": "PATCH",
        "path": path + subresource,
        "query": scene.writing_query(),
        "body": patch,
        "content_type": _STRATEGIC,
        **about,
    }


_MERGED: Final = frozenset(
    {"conditions", "containers", "env", "finalizers", "initContainers", "ports", "volumeMounts", "volumes"}
)
"""Lists that are merged item by item: a kube-apiserver crashes where the items of another one are ordered."""


def _directed(scene: Scene, patch: Any) -> Any:
    """Return a patch with directives in some of its maps and lists."""
    if isinstance(patch, list):
        items = [_directed(scene, item) for item in patch]
        if items and all(isinstance(item, dict) for item in items) and scene.chance(0.15):
            items[0]["$patch"] = scene.random.choice(("delete", "delete", "merge", "replace", "odd"))
        return items
    if not isinstance(patch, dict):
        return patch
    result = {key: _directed(scene, value) for key, value in patch.items()}
    for key, value in patch.items():
        if isinstance(value, list) and value and key in _MERGED and scene.chance(0.1):
            order = [_identity(item) for item in value]
            result[f"$setElementOrder/{key}"] = order[::-1]
        elif isinstance(value, list) and value and isinstance(value[0], str) and scene.chance(0.1):
            # With both, which of them a kube-apiserver heeds is chance.
            result[f"$deleteFromPrimitiveList/{key}"] = result.pop(key)[:1]
    if scene.chance(0.02):
        result |= scene.random.choice(({"$patch": "replace"}, {"$patch": "delete"}, {"$retainKeys": list(patch)[:1]}))
    return result


def _identity(item: Any) -> Any:
    if not isinstance(item, dict):
        return item
    keys = [key for key in ("name", "containerPort", "port", "type", "uid", "mountPath", "ip") if key in item]
    return {key: item[key] for key in keys[:1]}


def apply(scene: Scene) -> Value:
    """Return a server-side apply by one of several managers."""
    kind = scene.kind()
    name = scene.new_name(kind) if scene.chance(0.2) else scene.old_name(kind)
    collection = kind.collection(scene.namespace)
    path = f"{collection}/{name}"
    subresource = _subresource(scene, kind)
    if subresource and kind.status is not None:
        content: Value = {"status": kind.status(scene.random)}
    else:
        content = part(scene.random, kind.content(scene.random), keep=0.85)
    body = kind.manifest(name, content)
    body["metadata"] |= {key: value for key, value in scene.metadata().items() if value or not kind.is_custom}
    if scene.chance(0.05):
        body = scene.random.choice(
            (
                body | {"metadata": {}},
                body | {"metadata": {"name": "other"}},
                body | {"metadata": {"name": name, "resourceVersion": Revision(path)}},
                body | {"metadata": {"name": name, "resourceVersion": Revision(path, back=1)}},
                body | {"metadata": {"name": name, "uid": _WRONG_UID}},
                body | {"metadata": {"name": name, "managedFields": [{"manager": "x"}]}},
                body | {"kind": "Odd"},
                body | {"apiVersion": "v9"},
                {"metadata": {"name": name}},
            )
        )
    elif kind.kind != "ControllerRevision":  # whose data, of any type for an apply, is refused later there
        body = _harmed(scene, body)
    query = scene.writing_query() | {"fieldManager": scene.random.choice(("m1", "m2", "m3"))}
    if scene.chance(0.02):
        del query["fieldManager"]
    if scene.chance(0.45):
        query["force"] = scene.random.choice(("true", "true", "true", "false", "odd" if scene.chance(0.1) else "1"))
    if not subresource:
        scene.made.add((kind.kind, name))
    return {
        "method": "PATCH",
        "path": path + subresource,
        "collection": collection,
        "name": name,
        "query": query,
        "body": body if scene.chance(0.98) else scene.random.choice((b"a: [", b"", b"[]", b"null")),
        "content_type": _APPLY,
    }


def _delete_options(scene: Scene, path: str) -> Value:
    options: Value = {}
    if scene.chance(0.5):
        options["propagationPolicy"] = scene.random.choice(
            ("Background", "Background", "Foreground", "Orphan", "Odd" if scene.chance(0.2) else "Background")
        )
    if scene.chance(0.15):
        options["gracePeriodSeconds"] = scene.random.choice((0, 1, 30, -1))
    if path and scene.chance(0.3):
        options["preconditions"] = scene.random.choice(
            (
                {"uid": Uid(path)},
                {"uid": _WRONG_UID},
                {"resourceVersion": Revision(path)},
                {"resourceVersion": Revision(path, back=1)},
                {"uid": Uid(path), "resourceVersion": Revision(path)},
                {},
            )
        )
        if "resourceVersion" in options["preconditions"]:
            # Where it also takes the finalizer of another policy, a kube-apiserver refuses it by a version of its own.
            options.pop("propagationPolicy", None)
    if scene.chance(0.04):
        options |= scene.random.choice(
            ({"dryRun": ["All"]}, {"dryRun": ["Odd"]}, {"orphanDependents": True}, {"kind": "Odd"}, {"unknown": 1})
        )
    return options


def delete(scene: Scene) -> Value:
    """Return a DELETE of one object, with options in the body or in the query."""
    kind = scene.kind()
    path, about = _address(scene, kind)
    scene.made.discard((kind.kind, about["name"]))
    step: Value = {"method": "DELETE", "path": path, **about}
    options = _delete_options(scene, path)
    if scene.chance(0.15):
        flat = {key: str(value) for key, value in options.items() if isinstance(value, str | int)}
        return step | {"query": flat}
    if options or scene.chance(0.3):
        named = {"kind": "DeleteOptions", "apiVersion": "v1"} if scene.chance(0.8) else {}
        step["body"] = named | options
    if scene.chance(0.02):
        step["body"] = scene.random.choice((b"{", b"", b"null", {"kind": "ConfigMap", "apiVersion": "v1"}))
    if scene.chance(0.05):
        step["query"] = {"dryRun": "All"}
    return step


_SELECTORS: Final = ("app=x", "app!=x", "tier", "!tier", "app in (x,y)", "app=none", "app=x,tier=t", "bad selector!")


def delete_collection(scene: Scene) -> Value:
    """Return a DELETE of what a selector selects."""
    kind = scene.kind()
    query: Value = {}
    if scene.chance(0.7):
        query["labelSelector"] = scene.random.choice(_SELECTORS)
    if scene.chance(0.2):
        query["fieldSelector"] = scene.random.choice(("metadata.name=a", "metadata.name!=a", "spec.odd=1"))
    if scene.chance(0.1):
        query["limit"] = "1"
    if scene.chance(0.1):
        query["dryRun"] = "All"
    collection = kind.collection(scene.namespace)
    body = _delete_options(scene, "") if scene.chance(0.4) else None
    return {"method": "DELETE", "path": collection, "collection": collection, "query": query, "body": body}


def scale(scene: Scene) -> Value:
    """Return a read or a write of the scale subresource."""
    known = [kind for kind in scene.kinds if kind.has_scale]
    if not known:
        return apply(scene)
    kind = scene.random.choice(known)
    path, about = _address(scene, kind)
    step: Value = {"method": "GET", "path": f"{path}/scale", **about}
    query = scene.writing_query()
    ways: tuple[str, ...] = ("get", "put", "merge", "json", "apply")
    if kind.is_custom:
        # A write to the scale of a custom resource loses managedFields on a kube-apiserver, and makes a revision even
        # where it changes nothing: only what is refused, or not kept, can be compared.
        query["dryRun"] = "All"
        ways = ways[:-1]
    replicas = scene.random.choice((0, 1, 2, 7, -1, "many", None) if scene.chance(0.2) else (0, 1, 2, 7))
    match scene.random.choice(ways):
        case "get":
            return step
        case "put":
            metadata: Value = {"name": about["name"], "namespace": scene.namespace}
            if scene.chance(0.4):
                metadata["resourceVersion"] = Revision(path, back=scene.random.choice((0, 0, 1)))
            if scene.chance(0.1):
                metadata |= scene.random.choice(({"name": "other"}, {"namespace": "other"}, {"uid": _WRONG_UID}))
            body: Any = {
                "apiVersion": "autoscaling/v1",
                "kind": "Scale",
                "metadata": metadata,
                "spec": {"replicas": replicas},
            }
            if scene.chance(0.1):
                body = scene.random.choice(
                    (body | {"kind": "Odd"}, body | {"apiVersion": "v1"}, {"spec": {"replicas": 1}})
                )
            return step | {"method": "PUT", "query": query, "body": body}
        case "json":
            body = [{"op": "replace", "path": "/spec/replicas", "value": replicas}]
            return step | {"method": "PATCH", "body": body, "content_type": _JSON, "query": query}
        case "merge":
            body = {"spec": {"replicas": replicas}}
            return step | {"method": "PATCH", "body": body, "content_type": _MERGE, "query": query}
        case _:
            body = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": about["name"]}}
            body["spec"] = {"replicas": replicas}
            query = {"fieldManager": scene.random.choice(("m1", "scaler")), "force": "true"}
            return step | {"method": "PATCH", "body": body, "content_type": _APPLY, "query": query}
