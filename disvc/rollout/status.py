"""The status as it is to be recorded, and whether it is worth a write at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from disvc.api.status import Address, DistributedInferenceServiceStatus
from disvc.rollout import addresses, conditions, gates, words
from disvc.rollout.names import DISVC_LABEL
from disvc.rollout.plan import replicas, routed, stopped

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from disvc.api.status import Revision
    from disvc.api.types import DistributedInferenceService
    from disvc.rollout.configuration import RoutingDefaults
    from disvc.rollout.machine import Step
    from disvc.rollout.observation import Observation, Obstacle
    from disvc.rollout.revision import Record

PROGRESS_SECONDS: Final = 2.0
"""Counts, messages and routes on their way are written at most this often; all else is written at once."""


def status(
    disvc: DistributedInferenceService,
    step: Step | None,
    records: Mapping[str, Record],
    seen: Observation,
    obstacles: Sequence[Obstacle],
    elder_on_host: str,
    defaults: RoutingDefaults,
    now: datetime,
    *,
    behind: bool,
) -> DistributedInferenceServiceStatus:
    """Return the status after a step; `step` None: the phase stays as it is, as nothing can be begun."""
    before, wanted = disvc.status, replicas(disvc)
    phase = step.phase if step else before.phase
    active = step.active if step else before.active_revision
    target = step.target if step else before.target_revision
    rollout = step.rollout if step else before.rollout
    counted = active or target
    on_routes = (revision for revision in (target, active) if revision and gates.routed(revision, seen, seen.routes))
    serving = next(on_routes, counted)
    of_counted, of_target = (seen.of(revision.name) if revision else () for revision in (counted, target))
    situation = conditions.Situation(
        phase=phase,
        serving=serving,
        led_to=routed(phase, active, target),
        target=target,
        rollout=rollout,
        replicas=wanted,
        stopped=stopped(disvc),
        paused=disvc.spec.paused,
        behind=behind,
        complete=serving is not None and gates.ready(serving, wanted, records.get(serving.name), seen),
        failing=any(m.problem and m.problem.failing for m in of_target if not m.ready and not m.deleting),
        seen=seen,
        obstacles=obstacles,
        elder_on_host=elder_on_host,
        serving_summary=summary(serving, wanted, seen),
        target_summary=summary(target, wanted, seen),
    )
    said = conditions.said(situation)
    return DistributedInferenceServiceStatus(
        observed_generation=disvc.metadata.generation,
        phase=phase,
        url=_url(disvc, elder_on_host, defaults) if active else None,
        address=Address(url=addresses.address(disvc, active.name)) if active else None,
        replicas=len(of_counted),
        ready_replicas=sum(member.ready for member in of_counted),
        ready=f"{sum(member.ready and member.index in range(wanted) for member in of_counted)}/{wanted}",
        updated_replicas=len(of_target),
        selector=f"{DISVC_LABEL}={disvc.metadata.name}",
        active_revision=active,
        target_revision=target,
        rollout=rollout,
        conditions=conditions.merged(before.conditions, said, disvc.metadata.generation, now),
    )


def _url(disvc: DistributedInferenceService, elder_on_host: str, defaults: RoutingDefaults) -> str:
    """Return where clients call the service; what another DISVC has the host of is called within the cluster."""
    return addresses.address(disvc, disvc.metadata.name) if elder_on_host else addresses.url(disvc, defaults)


def summary(revision: Revision | None, wanted: int, seen: Observation) -> str:
    """Say how the members of a revision are doing."""
    if revision is None:
        return ""
    return words.summary(revision.name, wanted, seen)


def is_urgent(before: DistributedInferenceServiceStatus, after: DistributedInferenceServiceStatus) -> bool:
    """Whether a changed status is to be written at once, and not after `PROGRESS_SECONDS`."""
    return _essence(before) != _essence(after)


def _essence(status: DistributedInferenceServiceStatus) -> object:
    told = {
        (condition.type, condition.status, condition.reason)
        for condition in status.conditions
        if condition.type != "Reconciling" and condition.reason not in ("RoutesPending", "Routed")
    }
    rollout = (status.phase, status.active_revision, status.target_revision, status.rollout)
    return (status.observed_generation, status.url, status.address, *rollout, frozenset(told))
