"""ReplicationControllers, v1: what there was before ReplicaSets. Here nobody makes their pods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from disvc.testing.memory.builtin.columns import workloads as columns
from disvc.testing.memory.builtin.strategy import BuiltinStrategy, kind, spec
from disvc.testing.memory.builtin.validation.workloads import replication_controller_spec, workload_status
from disvc.testing.memory.resource import Scale

if TYPE_CHECKING:
    from collections.abc import Sequence

    from disvc.testing.memory.errors import Cause

    Value = dict[str, Any]

__all__ = ["TYPES"]


class _ReplicationController(BuiltinStrategy):
    def validate(self, obj: Value, old: Value | None, subresource: str) -> Sequence[Cause]:
        if subresource == "status" and old is not None:
            return list(workload_status(obj["status"], old["status"]))
        return list(replication_controller_spec(obj["spec"]))


TYPES: Final = (
    kind(
        "",
        "v1",
        "ReplicationController",
        "replicationcontrollers",
        _ReplicationController,
        short_names=("rc",),
        categories=("all",),
        scale=Scale("spec.replicas", "status.replicas", "spec.selector"),
        generation_follows=spec,
        columns=columns.REPLICATION_CONTROLLER,
    ),
)
