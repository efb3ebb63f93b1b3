"""The class of a new Ingress or PersistentVolumeClaim that names none: the default one, where there is one.

As the admission plugins DefaultIngressClass and DefaultStorageClass: of several defaults the newest is taken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from disvc.testing.memory.registry import Registry
    from disvc.testing.memory.resource import ResourceType
    from disvc.testing.memory.store import Store

    Value = dict[str, Any]

__all__ = ["classed"]


class _Class(NamedTuple):
    """Where the classes of a kind are, and where an object names its own."""

    group: str
    plural: str
    default_annotation: str
    field: str
    annotation: str


_CLASSES: Final = {
    ("networking.k8s.io", "ingresses"): _Class(
        "networking.k8s.io",
        "ingressclasses",
        "ingressclass.kubernetes.io/is-default-class",
        "ingressClassName",
        "kubernetes.io/ingress.class",
    ),
    ("", "persistentvolumeclaims"): _Class(
        "storage.k8s.io",
        "storageclasses",
        "storageclass.kubernetes.io/is-default-class",
        "storageClassName",
        "volume.beta.kubernetes.io/storage-class",
    ),
}


def classed(resource: ResourceType, obj: Value, store: Store, registry: Registry) -> Value:
    """Return a new object with the default class, or as it is."""
    described = _CLASSES.get(resource.storage)
    if described is None or obj["spec"].get(described.field) is not None:
        return obj
    classes = registry.find(described.group, "v1", described.plural)
    if classes is None or described.annotation in (obj["metadata"].get("annotations") or {}):
        return obj
    defaults = [
        version.value["metadata"]
        for version in store.of(classes).at(store.revision, "", "")
        if (version.value["metadata"].get("annotations") or {}).get(described.default_annotation) == "true"
    ]
    if not defaults:
        return obj
    newest = max(metadata["creationTimestamp"] for metadata in defaults)
    name = min(metadata["name"] for metadata in defaults if metadata["creationTimestamp"] == newest)
    return {**obj, "spec": {**obj["spec"], described.field: name}}
