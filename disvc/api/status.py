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


class Phase(StrEnum):
    """Where a rollout is; the machine that moves it is `disvc.rollout.machine`."""

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


Time = Annotated[datetime, PlainSerializer(lambda time: time.isoformat(timespec="microseconds").replace("+00:00", "Z"))]


class Revision(Model):
    """Names one revision: its ControllerRevision, its number, and the hash of its template."""

    name: str
    number: int
    hash: str


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
    """A metav1.Condition."""

    type: str
    status: Literal["True", "False", "Unknown"]
    observed_generation: int = 0
    last_transition_time: Time
    reason: str
    message: str = ""


class Address(Model):
    """Where the service is reached within the cluster."""

    url: str


class DistributedInferenceServiceStatus(Model):
    """What is known of the service."""

    observed_generation: int = 0
    phase: Phase | None = None
    url: str | None = None
    address: Address | None = None
    replicas: int = 0
    ready_replicas: int = 0
    updated_replicas: int = 0
    selector: str = ""
    active_revision: Revision | None = None
    target_revision: Revision | None = None
    rollout: Rollout | None = None
    conditions: list[Condition] = Field(default_factory=list)
