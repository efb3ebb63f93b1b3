"""What the reconcilers have seen, as the phase machine is told it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a member."""

    reason: str
    """In CamelCase, as Kubernetes or KServe name it: ImagePullBackOff, OOMKilled, BlockedByFailedLoad."""
    message: str
    """What is wrong, in one sentence without a full stop, and without the member's name."""
    look_at: str
    """What to look at next: a command, with namespace."""
    since: datetime | None = None
    failing: bool = True
    """False: it may be just what starting up looks like (a pod that waits for a node, a slow webhook)."""


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why the operator could not make, change or remove something."""

    reason: str
    """In CamelCase: NameConflict, QuotaExceeded, WebhookUnavailable."""
    message: str
    """What it was, with kind and name, and what to do."""
    needs_person: bool
    """Whether it will not go away by waiting."""
    retry_seconds: float
    """When to try again, should nothing happen before."""


@dataclass(frozen=True, slots=True)
class Member:
    """One InferenceService that this DISVC controls (by UID)."""

    name: str
    revision: str
    """The revision's name, by the member's label."""
    index: int
    hash: str
    deleting: bool = False
    ready: bool = False
    """By KServe's own conditions; what serves is what the EndpointSlices say."""
    problem: Problem | None = None


@dataclass(frozen=True, slots=True)
class Routes:
    """Where the stable addresses point: names of revisions."""

    service: str | None = None
    """The revision that Service NAME selects; None: there is no such Service of ours, or it selects none."""
    ingress: str | None = None
    """The revision whose Service the Ingress has as backend; None: there is no Ingress of ours, or another backend."""

    def touch(self, revision: str) -> bool:
        """Whether any of them points at the revision."""
        return revision in (self.service, self.ingress)


@dataclass(frozen=True, slots=True)
class Observation:
    """One look at everything that belongs to one DISVC."""

    members: tuple[Member, ...] = ()
    endpoints: Mapping[str, int] = field(default_factory=dict)
    """Of each revision, by name: how many ready addresses its Service has."""
    routes: Routes = Routes()
    """As the caches have them, as far as they have taken effect: EndpointSlices follow a selector after a while."""
    live_routes: Routes | None = None
    """As the server had them just now; None: it was not asked."""
    endpoints_are_live: bool = False
    """Whether the endpoints are as the server had them just now; else they are as the caches have them."""
    refused: Mapping[str, Obstacle] = field(default_factory=dict)
    """Of children that could not be made or changed, by name: what was in the way."""
    wants_ingress: bool = True
    """Whether there should be an Ingress: one is asked for, and no other DISVC has its host."""

    def of(self, revision: str) -> tuple[Member, ...]:
        """Return a revision's members, those being deleted included."""
        return tuple(member for member in self.members if member.revision == revision)
