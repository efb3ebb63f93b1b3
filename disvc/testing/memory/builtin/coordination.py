"""The group coordination.k8s.io, v1: Leases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from disvc.testing.memory import causes
from disvc.testing.memory.builtin.columns import others as columns
from disvc.testing.memory.builtin.strategy import BuiltinStrategy, kind
from disvc.testing.memory.builtin.validation.fields import nonnegative

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from disvc.testing.memory.errors import Cause

    Value = dict[str, Any]

__all__ = ["TYPES"]


class _Lease(BuiltinStrategy):
    def validate(self, obj: Value, old: Value | None, subresource: str) -> Sequence[Cause]:
        return list(_spec(obj["spec"]))


def _spec(spec: Value) -> Iterator[Cause]:
    duration = spec.get("leaseDurationSeconds", 1)
    if duration <= 0:
        yield causes.invalid("spec.leaseDurationSeconds", duration, "must be greater than 0")
    yield from nonnegative("spec", spec, "leaseTransitions")
    if spec.get("preferredHolder") and not spec.get("strategy"):
        yield causes.forbidden("spec.preferredHolder", "may only be specified if `strategy` is defined")


TYPES: Final = (
    kind(
        "coordination.k8s.io",
        "v1",
        "Lease",
        "leases",
        _Lease,
        allows_create_on_update=True,
        allows_unconditional_update=False,
        columns=columns.LEASE,
    ),
)
