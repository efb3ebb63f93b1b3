"""What the operator reports: the status of a DistributedInferenceService. Only the status reconciler writes it.

The rollout's state is recorded here and nowhere else: an operator that starts anew goes on from it. Times are
RFC 3339 with microseconds, as a wait that began at a time cut to whole seconds would end too early.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, PlainSerializer

from disvc.api.model import Model
from disvc.api.rules import rule, rules


class Phase(StrEnum):
    """Where a rollout is. `disvc.rollout.machine` moves it."""

    INITIALIZING = "Initializing"
    """The first revision is being made. Nothing has served yet."""
    STABLE = "Stable"
    """The active revision is the target, and no other exists."""
    PROGRESSING = "Progressing"
    """The target is being made; the active revision has all the traffic."""
    AWAITING_PROMOTION = "AwaitingPromotion"
    """The target is ready, and waits for somebody to promote it."""
    SWITCHING = "Switching"
    """The routes are being moved to the target."""
    DRAINING = "Draining"
    """The routes are on the target, which is now the active revision; the previous one serves what is under way."""
    ROLLING_BACK = "RollingBack"
    """The target has failed or was aborted; it is removed, and the active revision has the traffic."""
    FAILED = "Failed"
    """The target has failed. Nothing is tried until the spec changes or a retry is asked for."""


Time = Annotated[
    datetime,
    PlainSerializer(lambda time: time.isoformat(timespec="microseconds").replace("+00:00", "Z")),
    # The format date-time alone admits the year 0, which is no datetime's, and lists.
    Field(json_schema_extra=rules(rule("self >= timestamp('1970-01-01T00:00:00Z')", "give a time since 1970"))),
]


class Revision(Model):
    """Names one revision: its ControllerRevision, its number, and the hash of its template."""

    name: str
    """The name of its ControllerRevision and of its Service: the DistributedInferenceService's, -v and the number."""
    number: int
    """Counts up from 1. No number comes twice."""
    hash: str
    """The hash of its template."""


class Rollout(Model):
    """The rollout under way, or the last one where it failed. Absent when all is done."""

    started_at: Time
    """When the deadline began to run; moved on by the time spent paused."""
    ready_at: Time | None = None
    """Since when the target has been ready without a break."""
    switched_at: Time | None = None
    """Since when all routes have been seen where they belong: on the target, or, rolling back, on the active one."""
    paused_at: Time | None = None
    """Since when it has been paused."""
    failed_at: Time | None = None
    """When it failed or was aborted."""
    previous_revision: Revision | None = None
    """While draining: the revision that had the traffic before."""
    attempt: int = 1
    """Counts the tries of this target."""
    reason: str = ""
    """Why it failed, in CamelCase."""
    message: str = ""
    """Why it failed, in words."""


class Condition(Model):
    """A metav1.Condition: one thing that is so, is not so, or is not known."""

    type: str
    """Which it is: Available, TrafficReady, Ready, Reconciling or Stalled."""
    status: Literal["True", "False", "Unknown"]
    """True, False or Unknown."""
    observed_generation: int = 0
    """The metadata.generation that it was found for."""
    last_transition_time: Time
    """When the status changed last."""
    reason: str
    """Why, as one word in CamelCase."""
    message: str = ""
    """Why, in words: which member, what is wrong with it, since when, and what to look at next."""


class Address(Model):
    """Where the service is reached within the cluster."""

    url: str
    """The URL of the active revision's Service."""


class DistributedInferenceServiceStatus(Model):
    """What the operator has found. Nobody else writes it."""

    observed_generation: int = 0
    """The metadata.generation that the rest was found for."""
    phase: Phase | None = None
    """Where the rollout is. Stable: the active revision is the one that the spec asks for."""
    url: str | None = None
    """Where requests go, from outside the cluster if there is a way in."""
    address: Address | None = None
    """Where requests go from within the cluster."""
    replicas: int = 0
    """How many members the active revision has; until there is one, the target."""
    ready_replicas: int = 0
    """How many of these are ready."""
    updated_replicas: int = 0
    """How many members the target revision has."""
    ready: str = ""
    """Ready members of those that are wanted, like 2/3; for the column READY."""
    selector: str = ""
    """The label selector of the pods, for the scale subresource."""
    active_revision: Revision | None = None
    """The revision that has the traffic."""
    target_revision: Revision | None = None
    """The revision that the spec asks for."""
    rollout: Rollout | None = None
    """The rollout under way, or the last one where it failed. Absent when all is done."""
    conditions: list[Condition] = Field(
        default_factory=list,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    """Available: the active revision serves. TrafficReady: the routes point where they should. Ready: what the spec
    asks for is rolled out and serves. Reconciling: a rollout is under way. Stalled: a person is needed."""

    @property
    def revisions(self) -> list[Revision]:
        """Return the revisions that it names, each once."""
        previous = self.rollout.previous_revision if self.rollout else None
        named = (self.active_revision, self.target_revision, previous)
        return list(dict.fromkeys(revision for revision in named if revision is not None))
