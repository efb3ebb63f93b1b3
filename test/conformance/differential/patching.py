"""Steps that patch: JSON patch, merge patch, strategic merge patch, server-side apply."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from differential import targets
from differential.spoiling import part
from differential.step import Revision, Uid

if TYPE_CHECKING:
    from differential.scene import Scene

    Value = dict[str, Any]

__all__ = ["APPLY", "JSON", "MERGE", "apply", "json_patch", "merge_patch", "strategic_patch"]

MERGE: Final = "application/merge-patch+json"
JSON: Final = "application/json-patch+json"
_STRATEGIC: Final = "application/strategic-merge-patch+json"
APPLY: Final = "application/apply-patch+yaml"


def merge_patch(scene: Scene) -> Value:
    """Return a JSON merge patch."""
    kind = scene.kind()
    path, about = targets.address(scene, kind)
    subresource = targets.subresource(scene, kind)
    patch = targets.harmed(scene, _nulled(scene, targets.change(scene, kind, subresource)))
    if scene.chance(0.1) and isinstance(patch.setdefault("metadata", {}), dict):
        patch["metadata"] |= scene.random.choice(
            (
                {"resourceVersion": Revision(path)},
                {"resourceVersion": Revision(path, back=1)},
                {"resourceVersion": "7"},
                {"uid": Uid(path)},
                {"uid": targets.WRONG_UID},
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
        "content_type": MERGE if scene.chance(0.99) else "application/odd+json",
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
    path, about = targets.address(scene, kind)
    patch: Any = [_operation(scene) for _ in range(scene.random.choice((1, 1, 2)))]
    if scene.chance(0.05):
        patch = scene.random.choice((b"{}", b"[", [], [{"op": "odd", "path": "/x"}], [{"op": "add"}], [{}]))
    subresource = "/status" if kind.status is not None and scene.chance(0.1) else ""
    return {
        "method": "PATCH",
        "path": path + subresource,
        "query": scene.writing_query(),
        "body": patch,
        "content_type": JSON,
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
    path, about = targets.address(scene, kind)
    subresource = targets.subresource(scene, kind)
    patch = _nulled(scene, targets.change(scene, kind, subresource))
    if kind.kind != "EndpointSlice":  # whose lists must not become empty, see `spoiling.part`
        patch = _directed(scene, patch)
    if kind.kind == "ControllerRevision":
        patch.pop("data", None)  # is of any shape, which strategic merge refuses in words of its own
    if scene.chance(0.1):
        patch = targets.harmed(scene, patch)
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
    subresource = targets.subresource(scene, kind)
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
                body | {"metadata": {"name": name, "uid": targets.WRONG_UID}},
                body | {"metadata": {"name": name, "managedFields": [{"manager": "x"}]}},
                body | {"kind": "Odd"},
                body | {"apiVersion": "v9"},
                {"metadata": {"name": name}},
            )
        )
    elif kind.kind != "ControllerRevision":  # whose data, of any type for an apply, is refused later there
        body = targets.harmed(scene, body)
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
        "content_type": APPLY,
    }
