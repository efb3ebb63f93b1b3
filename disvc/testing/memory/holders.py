"""What holds other objects, namespaces and CRDs: a DELETE only marks them, until what they hold is gone.

A namespace waits for the finalizer `kubernetes` in its spec, which whoever empties it takes away by the subresource
`finalize`; a CRD for a finalizer of its own. As in k8s.io/kubernetes, pkg/registry/core/namespace/storage, and
k8s.io/apiextensions-apiserver, pkg/registry/customresourcedefinition.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from disvc.testing.memory import errors
from disvc.testing.memory.metadata import FOREGROUND, ORPHAN

if TYPE_CHECKING:
    from disvc.testing.memory.options import DeleteOptions
    from disvc.testing.memory.resource import ResourceType

    Value = dict[str, Any]

__all__ = ["CLEANUP", "CRDS", "NAMESPACES", "check_preconditions", "is_holder", "marked", "with_condition"]

NAMESPACES: Final = ("", "namespaces")
CRDS: Final = ("apiextensions.k8s.io", "customresourcedefinitions")
CLEANUP: Final = "customresourcecleanup.apiextensions.k8s.io"


def is_holder(resource: ResourceType) -> bool:
    """Return whether a kind holds other objects."""
    return resource.storage in (NAMESPACES, CRDS)


def check_preconditions(resource: ResourceType, meta: Value, options: DeleteOptions) -> None:
    """Check what a client that deletes a holder believes it to be. Raises `Refused` (409)."""
    preconditions = (
        ("UID", options.uid, meta["uid"]),
        ("ResourceVersion", options.resource_version, meta["resourceVersion"]),
    )
    for what, asked, actual in preconditions:
        if asked is not None and asked != actual:
            raise errors.conflict(resource, meta["name"], errors.failed_precondition(what, asked, actual))


def marked(resource: ResourceType, obj: Value, options: DeleteOptions, now: str) -> Value:
    """Return a holder as its first DELETE makes it."""
    meta = {**obj["metadata"], "deletionTimestamp": now}
    finalizers = list(meta.get("finalizers") or [])
    if resource.storage == CRDS:
        if CLEANUP not in finalizers:
            meta["finalizers"] = [*finalizers, CLEANUP]
        message = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon"
        return with_condition({**obj, "metadata": meta}, "Terminating", "True", "InstanceDeletionPending", message, now)
    wanted = {"Orphan": [ORPHAN], "Foreground": [FOREGROUND], "Background": []}.get(options.propagation)
    if wanted is not None:
        meta["finalizers"] = [name for name in finalizers if name not in (ORPHAN, FOREGROUND)] + wanted
    return {**obj, "metadata": meta, "status": {**(obj.get("status") or {}), "phase": "Terminating"}}


def with_condition(obj: Value, type_: str, status: str, reason: str, message: str, now: str) -> Value:
    """Return an object with a condition in its status, which keeps its time where its status stays."""
    conditions = list((obj.get("status") or {}).get("conditions") or [])
    condition = {
        "type": type_,
        "status": status,
        "lastTransitionTime": now,
        "reason": reason,
        "message": message,
    }
    place = next((index for index, other in enumerate(conditions) if other["type"] == type_), len(conditions))
    if place < len(conditions) and conditions[place]["status"] == status:
        condition["lastTransitionTime"] = conditions[place]["lastTransitionTime"]
    conditions[place : place + 1] = [condition]
    return {**obj, "status": {**(obj.get("status") or {}), "conditions": conditions}}
