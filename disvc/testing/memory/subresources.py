"""status and scale: parts of an object that are written by themselves."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from disvc.testing.memory import causes, decoding, errors
from disvc.testing.memory.builtin.scale import SCALE
from disvc.testing.memory.selectors import text_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from disvc.testing.memory.apply.scale import ScaleEntries
    from disvc.testing.memory.requests import Call
    from disvc.testing.memory.resource import ResourceType

    Value = dict[str, Any]

__all__ = ["check_has_replicas", "read_scale", "rescaled", "scale_of", "scaled", "with_status"]

_SCALE_METADATA: Final = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


def with_status(resource: ResourceType, given: Value, old: Value) -> Value:
    """Return the object that an update of the status makes of the old one.

    It may change the metadata of a built-in kind, but not that of a custom one.
    """
    metadata = given["metadata"]
    if resource.is_custom:
        metadata = {**old["metadata"], "managedFields": metadata.get("managedFields")}
    elif resource.kind == "Deployment":
        metadata = {**metadata, "labels": old["metadata"].get("labels")}
    elif resource.kind == "Pod":
        metadata = {**metadata, "ownerReferences": old["metadata"].get("ownerReferences")}
    kept = {name: value for name, value in old.items() if name not in ("metadata", "status")}
    return kept | {"metadata": metadata} | ({"status": given["status"]} if "status" in given else {})


def scale_of(resource: ResourceType, obj: Value) -> Value:
    """Return the Scale of an object."""
    scale = resource.scale
    assert scale is not None
    status: Value = {"replicas": _at(obj, scale.status_replicas) or 0}
    if selector := _selector_text(_at(obj, scale.label_selector)):
        status["selector"] = selector
    replicas = _at(obj, scale.spec_replicas)
    return {
        "kind": "Scale",
        "apiVersion": SCALE.api_version,
        "metadata": {name: obj["metadata"][name] for name in _SCALE_METADATA if name in obj["metadata"]},
        "spec": {"replicas": replicas} if replicas else {},
        "status": status,
    }


def check_has_replicas(resource: ResourceType, obj: Value) -> None:
    """Raise `Refused` (500) where a custom object does not say how many replicas it wants."""
    assert resource.scale is not None
    path = resource.scale.spec_replicas
    if resource.is_custom and _at(obj, path) is None:
        raise errors.internal(f'the spec replicas field ".{path}" does not exist')


def read_scale(call: Call, validation: str) -> Value:
    """Return the Scale of an update. Raises `Refused` (400), for a custom kind in a kube-apiserver's odd words."""
    try:
        return decoding.read_object(replace(call, resource=SCALE), validation)
    except errors.Refused as refused:
        if not call.resource.is_custom:
            raise
        why = 'no kind is registered for the type v1.Scale in scheme "pkg/runtime/scheme.go:111"'
        raise errors.bad_request(why) from refused


def scaled(resource: ResourceType, old: Value, scale: Value) -> Value:
    """Return an object with the replicas of a Scale, and its resourceVersion as a precondition. Raises `Refused`."""
    assert resource.scale is not None
    name = old["metadata"]["name"]
    metadata = scale["metadata"]
    replicas = scale["spec"].get("replicas") or 0
    if replicas < 0 and not resource.is_custom:
        cause = causes.invalid("spec.replicas", replicas, "must be greater than or equal to 0")
        raise errors.invalid("autoscaling", "Scale", name, [cause])
    version = metadata.get("resourceVersion") or old["metadata"]["resourceVersion"]
    uid = metadata.get("uid")
    if uid and uid != old["metadata"]["uid"]:
        raise errors.conflict(resource, name, errors.failed_precondition("UID", uid, old["metadata"]["uid"]))
    obj = {**old, "metadata": {**old["metadata"], "resourceVersion": version}}
    _put(obj, resource.scale.spec_replicas.split("."), replicas)
    return obj


def rescaled(call: Call, old: Value, entries: ScaleEntries, change: Callable[[Value], Value]) -> Value:
    """Return the object that a change of its Scale makes of it, managedFields included. Raises `Refused`."""
    managed = old["metadata"].get("managedFields")
    scale = scale_of(call.resource, old)
    scale["metadata"]["managedFields"] = entries.of_scale(managed)
    changed = change(scale)
    obj = scaled(call.resource, old, changed)
    obj["metadata"]["managedFields"] = entries.of_object(managed, changed["metadata"].get("managedFields"))
    return obj


def _at(obj: Value, path: str) -> Any:
    found: Any = obj
    for name in path.split(".") if path else ():
        found = found.get(name) if isinstance(found, dict) else None
    return found if path else None


def _put(obj: Value, path: list[str], value: object) -> None:
    """Set a field; the objects on the way to it are copied."""
    for name in path[:-1]:
        obj[name] = dict(obj.get(name) or {})
        obj = obj[name]
    obj[path[-1]] = value


def _selector_text(selector: Any) -> str:
    """Return a label selector, or a map of labels, as a query parameter has it; custom kinds keep it so."""
    if isinstance(selector, dict) and all(isinstance(value, str) for value in selector.values()):
        selector = {"matchLabels": selector}
    return text_of(selector) if isinstance(selector, dict) else str(selector or "")
