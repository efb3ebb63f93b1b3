"""The group policy, v1: PodDisruptionBudgets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from disvc.testing.memory import causes
from disvc.testing.memory.builtin.columns import others as columns
from disvc.testing.memory.builtin.strategy import BuiltinStrategy, kind, spec
from disvc.testing.memory.builtin.validation.fields import (
    int_or_percent,
    label_selector,
    nonnegative,
    not_more_than_100_percent,
)
from disvc.testing.memory.go_text import Struct

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from disvc.testing.memory.errors import Cause

    Value = dict[str, Any]

__all__ = ["TYPES"]

_POLICIES: Final = ("AlwaysAllow", "IfHealthyBudget")
_COUNTS: Final = ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods")


class _PodDisruptionBudget(BuiltinStrategy):
    def validate(self, obj: Value, old: Value | None, subresource: str) -> Sequence[Cause]:
        if subresource == "status":
            return list(nonnegative("status", obj["status"], *_COUNTS))
        return list(_spec(obj["spec"]))


def _spec(spec: Value) -> Iterator[Cause]:
    given = [name for name in ("minAvailable", "maxUnavailable") if name in spec]
    if len(given) > 1:
        shown = Struct(
            MinAvailable=spec["minAvailable"],
            Selector=spec.get("selector"),
            MaxUnavailable=spec["maxUnavailable"],
            UnhealthyPodEvictionPolicy=spec.get("unhealthyPodEvictionPolicy"),
        )
        yield causes.invalid("spec", shown, "minAvailable and maxUnavailable cannot be both set")
    for name in given:
        yield from int_or_percent(f"spec.{name}", spec[name])
        yield from not_more_than_100_percent(f"spec.{name}", spec[name])
    yield from label_selector("spec.selector", spec.get("selector"))
    if (policy := spec.get("unhealthyPodEvictionPolicy")) is not None and policy not in _POLICIES:
        yield causes.not_supported("spec.unhealthyPodEvictionPolicy", policy, _POLICIES)


TYPES: Final = (
    kind(
        "policy",
        "v1",
        "PodDisruptionBudget",
        "poddisruptionbudgets",
        _PodDisruptionBudget,
        short_names=("pdb",),
        generation_follows=spec,
        allows_unconditional_update=False,
        columns=columns.POD_DISRUPTION_BUDGET,
    ),
)
