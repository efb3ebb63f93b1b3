"""The status of a Deployment, from what its ReplicaSets say: counts and conditions. A pure function.

The rules are those of kube-controller-manager's pkg/controller/deployment (sync.go, progress.go).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from disvc.runtime.timestamps import metav1_time
from disvc.testing.controllers.kinds import condition
from disvc.testing.controllers.rolling_update import fence_posts

if TYPE_CHECKING:
    from collections.abc import Sequence

    Value = dict[str, Any]

_COUNTS: Final = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas", "unavailableReplicas")
_DONE: Final = "NewReplicaSetAvailable"
_LATE: Final = "ProgressDeadlineExceeded"


def deployment_status(
    deployment: Value, new: Value | None, old: Sequence[Value], now: datetime
) -> tuple[Value, float | None]:
    """Return the status, and in how many seconds a rollout that makes no progress is too late (None: it cannot be).

    Args:
        deployment: as it is, with its present status.
        new: the ReplicaSet of its template, None where that does not exist yet.
        old: the others.
        now: the time of what changes.

    """
    everything = [*old, *([new] if new else ())]
    replicas = deployment["spec"]["replicas"]
    available = _sum(everything, "availableReplicas")
    counts = {
        "replicas": _sum(everything, "replicas"),
        "updatedReplicas": _sum([new] if new else [], "replicas"),
        "readyReplicas": _sum(everything, "readyReplicas"),
        "availableReplicas": available,
        "unavailableReplicas": max(0, sum(one["spec"]["replicas"] for one in everything) - available),
    }
    before = deployment.get("status") or {}
    status = {name: value for name, value in before.items() if name not in (*_COUNTS, "conditions")}
    status |= {"observedGeneration": deployment["metadata"]["generation"]}
    status |= {name: count for name, count in counts.items() if count}
    status["terminatingReplicas"] = _sum(everything, "terminatingReplicas")
    conditions = [_available(available >= replicas - fence_posts(deployment)[1])]
    progressing, wait = _progressing(deployment, new, counts, now)
    if progressing is not None:
        conditions.append(progressing)
    failures = (condition(one, "ReplicaFailure") for one in ([new] if new else []) + list(old))
    if failure := next(filter(None, failures), None):
        conditions.append({name: failure[name] for name in ("type", "status", "reason", "message")})
    status["conditions"] = [_timed(one, condition(deployment, one["type"]), now) for one in conditions]
    return status, wait


def _sum(replica_sets: Sequence[Value], count: str) -> int:
    return sum((one.get("status") or {}).get(count, 0) for one in replica_sets)


def _available(is_available: bool) -> Value:
    has = "has" if is_available else "does not have"
    return {
        "type": "Available",
        "status": str(is_available),
        "reason": f"MinimumReplicas{'A' if is_available else 'Una'}vailable",
        "message": f"Deployment {has} minimum availability.",
    }


def _progressing(
    deployment: Value, new: Value | None, counts: dict[str, int], now: datetime
) -> tuple[Value | None, float | None]:
    """Return the condition Progressing, and the seconds until it is too late."""
    spec, before = deployment["spec"], deployment.get("status") or {}
    known = condition(deployment, "Progressing")
    if "progressDeadlineSeconds" not in spec:
        return known, None
    of = f'ReplicaSet "{new["metadata"]["name"]}"' if new else f'Deployment "{deployment["metadata"]["name"]}"'
    complete = (
        new is not None
        and counts["updatedReplicas"] == counts["replicas"] == counts["availableReplicas"] == spec["replicas"]
    )
    if complete:
        return _progress("True", _DONE, f"{of} has successfully progressed."), None
    deadline = timedelta(seconds=spec["progressDeadlineSeconds"])
    if known is None or _has_progressed(before, counts) or _is_other_rollout(known, before, deployment):
        begun = _progress("True", "ReplicaSetUpdated", f"{of} is progressing.")
        return begun | {"lastUpdateTime": metav1_time(now)}, deadline.total_seconds()
    if known["reason"] in (_DONE, _LATE):
        return known, None
    left = (datetime.fromisoformat(known["lastUpdateTime"]) + deadline - now).total_seconds()
    if left > 0:
        return known, left
    return _progress("False", _LATE, f"{of} has timed out progressing."), None


def _has_progressed(before: Value, counts: dict[str, int]) -> bool:
    """Whether there are more new, fewer old, more ready or more available pods than the status says."""
    more = any(counts[name] > before.get(name, 0) for name in ("updatedReplicas", "readyReplicas", "availableReplicas"))
    old_before: int = before.get("replicas", 0) - before.get("updatedReplicas", 0)
    return more or counts["replicas"] - counts["updatedReplicas"] < old_before


def _is_other_rollout(known: Value, before: Value, deployment: Value) -> bool:
    """Whether the spec has changed since a rollout ended: the deadline begins anew."""
    return (
        known["reason"] in (_DONE, _LATE) and before.get("observedGeneration") != deployment["metadata"]["generation"]
    )


def _progress(status: str, reason: str, message: str) -> Value:
    return {"type": "Progressing", "status": status, "reason": reason, "message": message}


def _timed(new: Value, old: Value | None, now: datetime) -> Value:
    """Give a condition its times: of its last change of status, and of its last change, or progress if it says so."""
    if old is not None and new.items() <= old.items():
        return old
    at = metav1_time(now)
    since = old["lastTransitionTime"] if old is not None and old["status"] == new["status"] else at
    return new | {"lastUpdateTime": at, "lastTransitionTime": since}
