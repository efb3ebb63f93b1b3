"""The core group, v1, but for what is particular about Pods, Services and Events."""

from __future__ import annotations

from typing import Final

from disvc.testing.memory.builtin.strategy import kind, spec
from disvc.testing.memory.formats import dns_label

__all__ = ["TYPES"]

TYPES: Final = (
    kind("", "v1", "Namespace", "namespaces", namespaced=False, short_names=("ns",), check_name=dns_label),
    kind("", "v1", "Pod", "pods", short_names=("po",), categories=("all",), generation_follows=spec),
    kind(
        "",
        "v1",
        "Service",
        "services",
        short_names=("svc",),
        categories=("all",),
        check_name=dns_label,
        allows_create_on_update=True,
        answers_deleted_object=True,
    ),
    kind("", "v1", "Endpoints", "endpoints", short_names=("ep",), allows_create_on_update=True),
    kind("", "v1", "ConfigMap", "configmaps", short_names=("cm",)),
    kind("", "v1", "Secret", "secrets"),
    kind("", "v1", "ServiceAccount", "serviceaccounts", short_names=("sa",), answers_deleted_object=True),
    kind("", "v1", "Event", "events", short_names=("ev",), allows_create_on_update=True),
    kind("", "v1", "Node", "nodes", namespaced=False, short_names=("no",)),
    kind(
        "", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", short_names=("pvc",), answers_deleted_object=True
    ),
    kind("", "v1", "ResourceQuota", "resourcequotas", short_names=("quota",), answers_deleted_object=True),
    kind("", "v1", "LimitRange", "limitranges", short_names=("limits",), allows_create_on_update=True),
)
