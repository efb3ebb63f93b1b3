"""What a DISVC's conditions say. A reason is one of `REASONS`, each explained there; docs/reference has the same table.

| condition      | True                         | False              | Unknown              |
| -------------- | ---------------------------- | ------------------ | -------------------- |
| `Available`    | what has the traffic serves  | it does not        | nothing observed yet |
| `TrafficReady` | the routes are where they should be | conflict    | on their way         |
| `Ready`        | the latest spec is rolled out and serves | failed | progressing          |
| `Reconciling`  | something is under way       | absent             | absent               |
| `Stalled`      | a person is needed           | absent             | absent               |

kstatus reads them (https://github.com/kubernetes-sigs/cli-utils/tree/master/pkg/kstatus): while Ready is not True,
Reconciling says "in progress" or Stalled says "failed". Only what is scaled to zero has neither: that is as asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from disvc.api.status import Condition, Phase
from disvc.api.types import PROMOTE, RETRY
from disvc.rollout import gates

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from disvc.api.status import Revision, Rollout
    from disvc.rollout.observation import Observation, Obstacle

REASONS: Final[Mapping[str, str]] = {
    "Serving": "The revision that has the traffic has ready endpoints.",
    "Initializing": "The first revision is being made; nothing has served yet.",
    "NoEndpoints": "The revision that has the traffic has no ready endpoint: requests fail.",
    "ScaledToZero": "spec.replicas is 0.",
    "Stopped": "The annotation serving.kserve.io/stop is true.",
    "Routed": "Every route leads to the revision that should have the traffic.",
    "RoutesPending": "Routes are being made or moved.",
    "HostConflict": "An older DistributedInferenceService has the same external host.",
    "RolledOut": "The latest spec is rolled out, and all members are ready.",
    "Progressing": "Members of the latest spec are being made or are starting.",
    "MembersNotReady": "Members are missing or starting, of a revision that was rolled out before.",
    "MemberFailing": "A member does not get ready for a reason that waiting will not mend; the message says which.",
    "AwaitingPromotion": "The new revision is ready and waits for somebody to promote it.",
    "Switching": "The routes are being moved to the new revision.",
    "Draining": "The new revision has the traffic; the old one finishes what it has begun.",
    "Paused": "spec.paused is true.",
    "ProgressDeadlineExceeded": "A revision was not ready within progressDeadlineSeconds.",
    "Aborted": "Somebody aborted the rollout.",
    "EndpointsLost": "A new revision lost all its endpoints when it had the traffic; the old one has it again.",
    "NameConflict": "An object of somebody else's has the name of a child.",
    "NameTooLong": "A name that would be made passes a limit of Kubernetes or KServe.",
    "UnsupportedDeploymentMode": "Only KServe's RawDeployment (Standard) mode is supported.",
    "RevisionsUsedUp": "The DISVC has had as many revisions as its names leave room for.",
    "RevisionLost": "The ControllerRevision of a live revision is gone, and so is everything to make it anew from.",
    "RevisionUnreadable": "A ControllerRevision is not as this version writes them; the message says why.",
    "WaitingForGarbageCollection": "Children of a deleted DISVC of the same name are not gone yet.",
    "Refused": "The API server or a webhook refused an object; the message has its words.",
    "WebhookUnavailable": "A webhook (KServe's, most likely) cannot be called, so nothing can be made or changed.",
    "KindNotInstalled": "The cluster does not know a kind of object that is needed.",
    "QuotaExceeded": "A ResourceQuota does not allow an object.",
    "NamespaceTerminating": "The namespace is being deleted.",
    "Forbidden": "The operator lacks a right.",
}


_NONE_WANTED: Final = ("ScaledToZero", "Stopped")


class Said(NamedTuple):
    """A condition before it is compared with the one that stands."""

    type: str
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class Situation:
    """What conditions are made from."""

    phase: Phase | None
    serving: Revision | None
    """The revision that has the traffic, by the routes as they are seen; the active one where they lead astray."""
    led_to: Revision | None
    """The revision that should have the traffic."""
    target: Revision | None
    rollout: Rollout | None
    replicas: int
    stopped: bool
    paused: bool
    behind: bool
    """Whether another template is asked for than the target's."""
    complete: bool
    """Whether all members of the serving revision are ready, with their endpoints."""
    failing: bool
    """Whether waiting will not mend what is wrong with a member of the target."""
    seen: Observation
    obstacles: Sequence[Obstacle]
    """The gravest first."""
    elder_on_host: str
    """The DISVC that was first on this host, "" where this one was."""
    serving_summary: str
    """How the members of the serving revision are doing."""
    target_summary: str
    """How the members of the target are doing."""


def said(now: Situation) -> list[Said]:
    """Return the conditions that hold."""
    available, traffic = _available(now), _traffic_ready(now)
    stalled = _stalled(now)
    ready = _ready(now, available, traffic, stalled)
    found = [ready, available, traffic]
    if stalled is None and ready.status != "True" and ready.reason not in _NONE_WANTED:
        found.append(Said("Reconciling", "True", ready.reason, ready.message))
    if stalled is not None:
        found.append(stalled)
    return found


def merged(before: Iterable[Condition], now: Iterable[Said], generation: int, at: datetime) -> list[Condition]:
    """Return conditions as they are recorded: the time of transition is kept where the status has not changed."""
    since = {(condition.type, condition.status): condition.last_transition_time for condition in before}
    return [
        Condition(
            type=one.type,
            status=one.status,
            observed_generation=generation,
            last_transition_time=since.get((one.type, one.status), at),
            reason=one.reason,
            message=one.message,
        )
        for one in now
    ]


def _available(now: Situation) -> Said:
    if now.phase is None or now.serving is None:
        return Said("Available", "Unknown", "Initializing")
    if now.replicas == 0:
        return _none_wanted("Available", now)
    if now.phase is Phase.INITIALIZING:
        return Said("Available", "False", "Initializing")
    if now.seen.endpoints.get(now.serving.name, 0) > 0:
        return Said("Available", "True", "Serving", "" if now.complete else now.serving_summary)
    return Said("Available", "False", "NoEndpoints", now.serving_summary)


def _none_wanted(kind: str, now: Situation) -> Said:
    if now.stopped:
        return Said(kind, "False", "Stopped", "stopped by the annotation serving.kserve.io/stop; remove it to start")
    return Said(kind, "False", "ScaledToZero", "spec.replicas is 0; scale it up to serve again")


def _traffic_ready(now: Situation) -> Said:
    if now.elder_on_host:
        return _host_conflict("TrafficReady", "False", now)
    if now.led_to is not None and gates.routed(now.led_to, now.seen, now.seen.routes):
        return Said("TrafficReady", "True", "Routed")
    for obstacle in now.obstacles:
        if obstacle.needs_person:
            return Said("TrafficReady", "False", obstacle.reason, obstacle.message)
    return Said("TrafficReady", "Unknown", "RoutesPending", "routes are being made or moved")


def _stalled(now: Situation) -> Said | None:
    for obstacle in now.obstacles:
        if obstacle.needs_person:
            return Said("Stalled", "True", obstacle.reason, obstacle.message)
    if now.phase is Phase.ROLLING_BACK and now.rollout is not None:
        return Said("Stalled", "True", now.rollout.reason, now.rollout.message)
    if now.phase is Phase.FAILED and now.rollout is not None and now.target is not None:
        again = _annotate(now.target, RETRY, f"{now.target.name}/{now.rollout.attempt + 1}")
        message = f"{now.rollout.message}; change the template, or try again: {again}"
        return Said("Stalled", "True", now.rollout.reason, message)
    return _host_conflict("Stalled", "True", now) if now.elder_on_host else None


def _annotate(revision: Revision, annotation: str, value: str) -> str:
    name = revision.name.rpartition("-v")[0]
    return f"kubectl annotate --overwrite disvc {name} {annotation}={value}"


def _host_conflict(kind: str, status: Literal["True", "False"], now: Situation) -> Said:
    message = f"{now.elder_on_host} was first on this host; give one of them another routing.host or routing.domain"
    return Said(kind, status, "HostConflict", message)


def _ready(now: Situation, available: Said, traffic: Said, stalled: Said | None) -> Said:
    if stalled is not None:
        return Said("Ready", "False", stalled.reason, stalled.message)
    if now.obstacles:
        return Said("Ready", "Unknown", now.obstacles[0].reason, now.obstacles[0].message)
    if now.paused and (now.behind or now.phase not in (Phase.STABLE, Phase.INITIALIZING)):
        return Said("Ready", "Unknown", "Paused", "spec.paused is true; set it to false to go on")
    if now.phase is not Phase.STABLE:
        return _under_way(now)
    if now.behind:
        return Said("Ready", "Unknown", "Progressing")
    if now.replicas == 0:
        return _none_wanted("Ready", now)
    if not now.complete:
        reason = "MemberFailing" if now.failing else "MembersNotReady"
        failed = now.failing or available.status == "False"
        return Said("Ready", "False" if failed else "Unknown", reason, now.serving_summary)
    if traffic.status != "True":
        return Said("Ready", traffic.status, traffic.reason, traffic.message)
    return Said("Ready", "True", "RolledOut")


def _under_way(now: Situation) -> Said:
    if now.phase is Phase.AWAITING_PROMOTION and now.target is not None:
        command = _annotate(now.target, PROMOTE, now.target.name)
        return Said("Ready", "Unknown", "AwaitingPromotion", f"{now.target.name} is ready; to promote it: {command}")
    if now.phase in (Phase.SWITCHING, Phase.DRAINING):
        return Said("Ready", "Unknown", str(now.phase))
    reason = "MemberFailing" if now.failing else "Progressing"
    return Said("Ready", "Unknown", reason, now.target_summary)
