"""The kinds that every Kubernetes API server has, as far as controllers and people use them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from disvc.testing.memory.builtin import (
    admissionregistration,
    apiextensions,
    apps,
    autoscaling,
    batch,
    classes,
    coordination,
    core,
    discovery,
    events,
    networking,
    persistent_volumes,
    policy,
    rbac,
    replication,
)

if TYPE_CHECKING:
    from disvc.testing.memory.resource import ResourceType

__all__ = ["TYPES"]

TYPES: Final[tuple[ResourceType, ...]] = (
    *core.TYPES,
    *persistent_volumes.TYPES,
    *replication.TYPES,
    *events.TYPES,
    *apps.TYPES,
    *batch.TYPES,
    *networking.TYPES,
    *discovery.TYPES,
    *coordination.TYPES,
    *autoscaling.TYPES,
    *policy.TYPES,
    *rbac.TYPES,
    *admissionregistration.TYPES,
    *apiextensions.TYPES,
    *classes.TYPES,
)
