"""Steps that create an object, replace it, or scale it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from differential import targets
from differential.patching import APPLY, JSON, MERGE, apply
from differential.step import Revision, Seen

if TYPE_CHECKING:
    from differential.scene import Scene

    Value = dict[str, Any]

__all__ = ["create", "scale", "update"]


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
    body = targets.harmed(scene, manifest)
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
                manifest | {"metadata": {"name": name, "uid": targets.WRONG_UID}},
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


def update(scene: Scene) -> Value:
    """Return a PUT: of what was last read with a change, or of a whole new object."""
    kind = scene.kind()
    path, about = targets.address(scene, kind)
    subresource = targets.subresource(scene, kind)
    change = targets.change(scene, kind, subresource)
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
                {"uid": targets.WRONG_UID},
                {"uid": targets.WRONG_UID, "resourceVersion": None},
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
        body = targets.harmed(scene, manifest | {"metadata": {"name": about["name"]} | scene.metadata()})
        if scene.chance(0.5) and isinstance(body.get("metadata"), dict):
            body["metadata"]["resourceVersion"] = Revision(path)
    elif scene.chance(0.07):
        body = Seen(path, targets.harmed(scene, change), otherwise=manifest, back=scene.random.choice((0, 1)))
    return {"method": "PUT", "path": path + subresource, "query": scene.writing_query(), "body": body, **about}


def scale(scene: Scene) -> Value:
    """Return a read or a write of the scale subresource."""
    known = [kind for kind in scene.kinds if kind.has_scale]
    if not known:
        return apply(scene)
    kind = scene.random.choice(known)
    path, about = targets.address(scene, kind)
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
                metadata |= scene.random.choice(({"name": "other"}, {"namespace": "other"}, {"uid": targets.WRONG_UID}))
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
            return step | {"method": "PATCH", "body": body, "content_type": JSON, "query": query}
        case "merge":
            body = {"spec": {"replicas": replicas}}
            return step | {"method": "PATCH", "body": body, "content_type": MERGE, "query": query}
        case _:
            body = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": about["name"]}}
            body["spec"] = {"replicas": replicas}
            query = {"fieldManager": scene.random.choice(("m1", "scaler")), "force": "true"}
            return step | {"method": "PATCH", "body": body, "content_type": APPLY, "query": query}
