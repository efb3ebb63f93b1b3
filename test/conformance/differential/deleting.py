"""Steps that delete an object, or some."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from differential import targets
from differential.step import Revision, Uid

if TYPE_CHECKING:
    from differential.scene import Scene

    Value = dict[str, Any]

__all__ = ["delete", "delete_collection"]


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
                {"uid": targets.WRONG_UID},
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
    path, about = targets.address(scene, kind)
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
