"""The kinds that the controllers read and write, and what they ask of a decoded object."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from disvc.runtime import Resource

if TYPE_CHECKING:
    from collections.abc import Iterable

    from disvc.runtime import Cache, Object

Value = dict[str, Any]

DEPLOYMENTS: Final = Resource("apps/v1", "Deployment", "deployments")
REPLICA_SETS: Final = Resource("apps/v1", "ReplicaSet", "replicasets")
PODS: Final = Resource("v1", "Pod", "pods")
SERVICES: Final = Resource("v1", "Service", "services")
ENDPOINT_SLICES: Final = Resource("discovery.k8s.io/v1", "EndpointSlice", "endpointslices")

_OVER: Final = ("Succeeded", "Failed")


def controlled_by(owner: Object[Any], cache: Cache[Any]) -> list[Value]:
    """Return what an object controls, decoded, oldest first."""
    uid = owner.metadata.uid
    found = [obj for obj in cache.owned_by(uid) if (ref := obj.metadata.controller) is not None and ref.uid == uid]
    return sorted((obj.decode() for obj in found), key=age_order)


def age_order(value: Value) -> tuple[str, str]:
    """Return what sorts objects by age, oldest first."""
    return value["metadata"]["creationTimestamp"], value["metadata"]["name"]


def selects(selector: dict[str, str], labels: dict[str, str]) -> bool:
    """Whether labels have all of a selector."""
    return selector.items() <= labels.items()


def is_active(pod: Value) -> bool:
    """Whether a pod counts as a replica: it has not ended, and is not being deleted."""
    return not is_over(pod) and "deletionTimestamp" not in pod["metadata"]


def is_over(pod: Value) -> bool:
    """Whether a pod's containers have all ended for good."""
    return (pod.get("status") or {}).get("phase") in _OVER


def condition(value: Value, kind: str) -> Value | None:
    """Return a condition of an object's status."""
    conditions: Iterable[Value] = (value.get("status") or {}).get("conditions") or ()
    return next((found for found in conditions if found["type"] == kind), None)


def is_ready(value: Value) -> bool:
    """Whether an object has the condition Ready."""
    return (condition(value, "Ready") or {}).get("status") == "True"


def available_in(pod: Value, min_ready_seconds: int, now: datetime) -> float | None:
    """Return in how many seconds a pod has been ready for long enough: 0 where it has, None where it is not ready."""
    ready = condition(pod, "Ready")
    if ready is None or ready["status"] != "True":
        return None
    since = datetime.fromisoformat(ready["lastTransitionTime"])
    return max(0.0, (since + timedelta(seconds=min_ready_seconds) - now).total_seconds()) if min_ready_seconds else 0.0
