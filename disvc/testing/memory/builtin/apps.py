"""The group apps, v1."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from disvc.testing.memory.builtin.strategy import kind, spec
from disvc.testing.memory.formats import dns_label
from disvc.testing.memory.resource import Scale

if TYPE_CHECKING:
    Value = dict[str, Any]

__all__ = ["TYPES"]

_SCALE: Final = Scale("spec.replicas", "status.replicas", "spec.selector")


def _spec_and_annotations(obj: Value) -> object:
    """Return what a Deployment's generation follows: annotations are copied to its ReplicaSets."""
    return obj["spec"], obj["metadata"].get("annotations")


TYPES: Final = (
    kind(
        "apps",
        "v1",
        "Deployment",
        "deployments",
        short_names=("deploy",),
        categories=("all",),
        scale=_SCALE,
        generation_follows=_spec_and_annotations,
    ),
    kind(
        "apps",
        "v1",
        "ReplicaSet",
        "replicasets",
        short_names=("rs",),
        categories=("all",),
        scale=_SCALE,
        generation_follows=spec,
    ),
    kind(
        "apps",
        "v1",
        "StatefulSet",
        "statefulsets",
        short_names=("sts",),
        categories=("all",),
        scale=_SCALE,
        generation_follows=spec,
        check_name=dns_label,
    ),
    kind("apps", "v1", "DaemonSet", "daemonsets", short_names=("ds",), categories=("all",), generation_follows=spec),
    kind("apps", "v1", "ControllerRevision", "controllerrevisions"),
)
