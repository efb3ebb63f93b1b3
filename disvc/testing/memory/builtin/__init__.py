"""The kinds that every Kubernetes API server has, as far as controllers and people use them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from disvc.testing.memory.builtin import apps, batch, core, networking, others

if TYPE_CHECKING:
    from disvc.testing.memory.resource import ResourceType

__all__ = ["TYPES"]

TYPES: Final[tuple[ResourceType, ...]] = (
    *core.TYPES,
    *apps.TYPES,
    *batch.TYPES,
    *networking.TYPES,
    *others.TYPES,
)
