"""The group apps, v1."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from disvc.testing.memory.builtin.columns import workloads as columns
from disvc.testing.memory.builtin.strategy import BuiltinStrategy, kind, spec
from disvc.testing.memory.builtin.validation.fields import immutable, shown_selector
from disvc.testing.memory.builtin.validation.workloads import (
    controller_revision,
    daemon_set_spec,
    deployment_spec,
    replica_set_spec,
    stateful_set_changes,
    stateful_set_spec,
    workload_status,
)
from disvc.testing.memory.formats import dns_label
from disvc.testing.memory.resource import Scale

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from disvc.testing.memory.errors import Cause

    Value = dict[str, Any]

__all__ = ["TYPES"]

_SCALE: Final = Scale("spec.replicas", "status.replicas", "spec.selector")
_TEMPLATE_GENERATION: Final = "deprecated.daemonset.template.generation"


class _Workload(BuiltinStrategy):
    """What has a template of Pods, and a selector that never changes."""

    check: staticmethod[[Value], Iterator[Cause]]

    def validate(self, obj: Value, old: Value | None, subresource: str) -> Sequence[Cause]:
        """Return what is wrong."""
        if subresource == "status" and old is not None:
            return list(workload_status(obj["status"], old["status"]))
        found = list(self.check(obj["spec"]))
        if old is not None:
            found += _same_selector(obj, old)
        return found


def _same_selector(obj: Value, old: Value) -> list[Cause]:
    new, before = (shown_selector(each["spec"]["selector"]) for each in (obj, old))
    return list(immutable("spec.selector", new, before))


class _Deployment(_Workload):
    check = staticmethod(deployment_spec)


class _ReplicaSet(_Workload):
    check = staticmethod(replica_set_spec)


class _StatefulSet(_Workload):
    def validate(self, obj: Value, old: Value | None, subresource: str) -> Sequence[Cause]:
        if subresource == "status" and old is not None:
            return list(workload_status(obj["status"], old["status"]))
        found = list(stateful_set_spec(obj["spec"], is_new=old is None))
        return found if old is None else [*found, *stateful_set_changes(obj["spec"], old["spec"])]


class _DaemonSet(BuiltinStrategy):
    """DaemonSets count the versions of their template in an annotation, for clients of an API long gone."""

    def prepare_for_create(self, obj: Value) -> None:
        super().prepare_for_create(obj)
        obj["metadata"].setdefault("annotations", {})[_TEMPLATE_GENERATION] = "1"

    def prepare_for_update(self, obj: Value, old: Value) -> None:
        super().prepare_for_update(obj, old)
        count = int(old["metadata"].get("annotations", {}).get(_TEMPLATE_GENERATION, "1"))
        count += obj["spec"]["template"] != old["spec"]["template"]
        obj["metadata"].setdefault("annotations", {})[_TEMPLATE_GENERATION] = str(count)

    def validate(self, obj: Value, old: Value | None, subresource: str) -> Sequence[Cause]:
        if subresource == "status" and old is not None:
            return list(workload_status(obj["status"], old["status"]))
        changes = [] if old is None else _same_selector(obj, old)
        return [*changes, *daemon_set_spec(obj["spec"])]


class _ControllerRevision(BuiltinStrategy):
    def validate(self, obj: Value, old: Value | None, subresource: str) -> Sequence[Cause]:
        return list(controller_revision(obj, old))


def _spec_and_annotations(obj: Value) -> object:
    """Return what a Deployment's generation follows: annotations are copied to its ReplicaSets."""
    return obj["spec"], obj["metadata"].get("annotations")


TYPES: Final = (
    kind(
        "apps",
        "v1",
        "Deployment",
        "deployments",
        _Deployment,
        short_names=("deploy",),
        categories=("all",),
        scale=_SCALE,
        generation_follows=_spec_and_annotations,
        columns=columns.DEPLOYMENT,
    ),
    kind(
        "apps",
        "v1",
        "ReplicaSet",
        "replicasets",
        _ReplicaSet,
        short_names=("rs",),
        categories=("all",),
        scale=_SCALE,
        generation_follows=spec,
        columns=columns.REPLICA_SET,
    ),
    kind(
        "apps",
        "v1",
        "StatefulSet",
        "statefulsets",
        _StatefulSet,
        short_names=("sts",),
        categories=("all",),
        scale=_SCALE,
        generation_follows=spec,
        check_name=dns_label,
        columns=columns.STATEFUL_SET,
    ),
    kind(
        "apps",
        "v1",
        "DaemonSet",
        "daemonsets",
        _DaemonSet,
        short_names=("ds",),
        categories=("all",),
        generation_follows=spec,
        columns=columns.DAEMON_SET,
    ),
    kind(
        "apps",
        "v1",
        "ControllerRevision",
        "controllerrevisions",
        _ControllerRevision,
        columns=columns.CONTROLLER_REVISION,
    ),
)
