"""What must exist, told by the recorded phase: what the reconcilers of InferenceServices, Services and routes obey.

| phase             | revisions that exist            | the routes point at |
| ----------------- | ------------------------------- | ------------------- |
| Initializing      | target                          | target              |
| Stable            | active                          | active              |
| Progressing       | active and target (1)           | active              |
| AwaitingPromotion | active and target               | active              |
| Switching         | active and target               | target              |
| Draining          | active and previous             | active              |
| RollingBack       | active and target (2)           | active              |
| Failed            | active; with Hold target, too   | active              |
| Failed, no active | target                          | target              |

With the strategy Recreate (1) of the active revision only its Service exists, and (2) of the target only its
Service; no member is made while one of another revision exists; in Switching and Draining the old revision's members
are not made again, and Hold keeps nothing. A revision that is not in the table is removed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from disvc.api.spec import OnFailure, StrategyType
from disvc.api.status import Phase, Revision
from disvc.rollout.names import STOP_ANNOTATION

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from disvc.api.status import DistributedInferenceServiceStatus
    from disvc.api.types import DistributedInferenceService


@dataclass(frozen=True, slots=True)
class Plan:
    """What must exist of one DISVC. Two plans that are equal ask for the same."""

    uid: str
    generation: int
    revisions: tuple[Revision, ...] = ()
    """Whose Services exist."""
    staffed: tuple[Revision, ...] = ()
    """Whose members exist."""
    made: tuple[Revision, ...] = ()
    """Whose members are made where they are missing."""
    routed: Revision | None = None
    """Where the stable addresses point."""
    replicas: int = 0
    """Members of each staffed revision."""
    alone: bool = False
    """Whether no member is made while one of another revision exists, as there is no room for both."""
    fresh: bool = field(default=False, compare=False)
    """Whether nothing has existed before: nothing but scaling down has ever removed anything."""

    def may_create(self, revision: Revision, existing: Collection[str]) -> bool:
        """Whether members of a revision may be made now. `existing`: the revisions of all members there are.

        Never are more than two revisions alive: a new one waits until a superseded one is gone. What has the
        traffic waits for that only where there would be three.
        """
        if revision not in self.made:
            return False
        others = set(existing) - {revision.name}
        if self.alone:
            return not others
        return others <= {other.name for other in self.staffed} or (revision == self.routed and len(others) < 2)


def stopped(disvc: DistributedInferenceService) -> bool:
    """Whether the annotation that stops an InferenceService stands on the DISVC, where it means the same."""
    return disvc.metadata.annotations.get(STOP_ANNOTATION, "").lower() == "true"


def replicas(disvc: DistributedInferenceService) -> int:
    """Return how many members each live revision is to have."""
    return 0 if stopped(disvc) else disvc.spec.replicas


def is_whole(status: DistributedInferenceServiceStatus) -> bool:
    """Whether all is recorded that the phase needs: a person may have emptied a status, or cut out a part.

    While it is not so, no plan is to be followed: it would remove what serves.
    """
    active, rollout = status.active_revision, status.rollout
    match status.phase if status.target_revision else None:
        case None:
            return False
        case Phase.STABLE:
            return rollout is None and active == status.target_revision
        case Phase.INITIALIZING | Phase.FAILED:
            return rollout is not None
        case Phase.DRAINING:
            return rollout is not None and active is not None and rollout.previous_revision is not None
        case _:
            return rollout is not None and active is not None


def routed(phase: Phase | None, active: Revision | None, target: Revision | None) -> Revision | None:
    """Return where the stable addresses are to point in a phase."""
    return target if active is None or phase is Phase.SWITCHING else active


def plan(disvc: DistributedInferenceService) -> Plan:
    """Return what must exist, by what is recorded; to be followed where that `is_whole`."""
    status, strategy = disvc.status, disvc.spec.deployment_strategy
    active, target = status.active_revision, status.target_revision
    previous = status.rollout.previous_revision if status.rollout else None
    recreate = strategy.type is StrategyType.RECREATE
    leads_to = routed(status.phase, active, target)
    revisions: Iterable[Revision | None]
    match status.phase:
        case None:
            revisions = ()
        case Phase.STABLE:
            revisions = (active,)
        case Phase.DRAINING:
            revisions = (active, previous)
        case Phase.FAILED if active is not None and (recreate or strategy.on_failure is OnFailure.ROLLBACK):
            revisions = (active,)
        case _:
            revisions = (active, target)
    alone = recreate and status.phase in (Phase.PROGRESSING, Phase.ROLLING_BACK, Phase.FAILED, Phase.STABLE)
    staffed = (target if status.phase is Phase.PROGRESSING else leads_to,) if alone else revisions
    going = recreate and status.phase in (Phase.SWITCHING, Phase.DRAINING)
    return Plan(
        uid=disvc.metadata.uid,
        generation=disvc.metadata.generation,
        revisions=_given(revisions),
        staffed=_given(staffed),
        made=_given((target,) if going else staffed),
        routed=leads_to,
        replicas=replicas(disvc),
        alone=alone,
        fresh=status.phase is Phase.INITIALIZING,
    )


def _given(revisions: Iterable[Revision | None]) -> tuple[Revision, ...]:
    return tuple(dict.fromkeys(revision for revision in revisions if revision is not None))
