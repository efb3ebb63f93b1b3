"""How many pods each ReplicaSet of a Deployment shall have: the arithmetic of rolling updates. Pure functions.

The rules are those of kube-controller-manager's pkg/controller/deployment (rolling.go, recreate.go). Left out is the
proportional scaling of a Deployment that is scaled in the middle of a rollout: the same end is reached by the steps of
the rollout.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    Value = dict[str, Any]

__all__ = ["fence_posts", "recreate", "rolling_update"]


def fence_posts(deployment: Value) -> tuple[int, int]:
    """Return how many pods there may be above, and how many may be missing below, the number asked for."""
    spec = deployment["spec"]
    rolling = spec["strategy"].get("rollingUpdate")
    if rolling is None:  # Recreate
        return 0, 0
    surge = _of(rolling["maxSurge"], spec["replicas"], math.ceil)
    unavailable = _of(rolling["maxUnavailable"], spec["replicas"], math.floor)
    return surge, unavailable if surge or unavailable else 1


def _of(value: int | str, replicas: int, rounded: Any) -> int:
    return value if isinstance(value, int) else int(rounded(replicas * int(value.rstrip("%")) / 100))


def rolling_update(deployment: Value, new: Value, old: Sequence[Value]) -> dict[str, int]:
    """Return the next number of replicas of ReplicaSets by name; those that keep theirs are left out.

    Args:
        deployment: with defaults.
        new: the ReplicaSet of the present template.
        old: the others, oldest first.

    """
    replicas = deployment["spec"]["replicas"]
    surge, unavailable = fence_posts(deployment)
    everywhere = [*old, new]
    if (grown := _grown(replicas, replicas + surge, new, everywhere)) != _asked(new):
        return {new["metadata"]["name"]: grown}
    least = replicas - min(unavailable, replicas)
    spare = sum(map(_asked, everywhere)) - least - (_asked(new) - _available(new))
    if spare <= 0:
        return {}
    return _shrunk(old, spare, sum(map(_available, everywhere)) - least)


def _grown(replicas: int, most: int, new: Value, everywhere: Sequence[Value]) -> int:
    asked = _asked(new)
    if asked > replicas:
        return replicas
    room = most - sum(map(_asked, everywhere))
    return asked + max(0, min(room, replicas - asked))


def _shrunk(old: Sequence[Value], spare: int, surplus: int) -> dict[str, int]:
    """Take away first what is not available anyway, up to `spare`, then of what is available the `surplus`."""
    target = {one["metadata"]["name"]: _asked(one) for one in old}
    for one in old:
        cut = min(spare, _asked(one) - _available(one))
        target[one["metadata"]["name"]] -= cut
        spare -= cut
    for one in old:
        cut = max(0, min(surplus, spare, target[one["metadata"]["name"]]))
        target[one["metadata"]["name"]] -= cut
        surplus, spare = surplus - cut, spare - cut
    return {one["metadata"]["name"]: count for one in old if (count := target[one["metadata"]["name"]]) != _asked(one)}


def recreate(deployment: Value, new: Value | None, old: Sequence[Value], *, pods_of_old: int) -> dict[str, int]:
    """Return the next number of replicas by name: nothing of the new template before all of the old is gone."""
    if shrink := {one["metadata"]["name"]: 0 for one in old if _asked(one)}:
        return shrink
    if pods_of_old or new is None or _asked(new) == deployment["spec"]["replicas"]:
        return {}
    return {new["metadata"]["name"]: deployment["spec"]["replicas"]}


def _asked(replica_set: Value) -> int:
    asked: int = replica_set["spec"]["replicas"]
    return asked


def _available(replica_set: Value) -> int:
    """Return how many of the pods asked for are available; while one is scaled down, more may be."""
    available: int = (replica_set.get("status") or {}).get("availableReplicas", 0)
    return min(available, _asked(replica_set))
