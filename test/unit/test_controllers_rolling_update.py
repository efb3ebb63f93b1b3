"""The arithmetic of rolling updates: how many pods each ReplicaSet gets next, and that it always comes to an end."""

from __future__ import annotations

from typing import Any

import pytest

from disvc.testing.controllers.rolling_update import fence_posts, recreate, rolling_update

Value = dict[str, Any]


def deployment(replicas: int, surge: int | str = "25%", unavailable: int | str = "25%") -> Value:
    rolling = {"maxSurge": surge, "maxUnavailable": unavailable}
    return {"spec": {"replicas": replicas, "strategy": {"type": "RollingUpdate", "rollingUpdate": rolling}}}


def replica_set(name: str, replicas: int, available: int = 0) -> Value:
    return {
        "metadata": {"name": name},
        "spec": {"replicas": replicas},
        "status": {"replicas": replicas, "availableReplicas": available},
    }


@pytest.mark.parametrize(
    ("replicas", "surge", "unavailable", "expected"),
    [
        (10, "25%", "25%", (3, 2)),  # surge is rounded up, unavailable down
        (1, "25%", "25%", (1, 0)),
        (4, 0, 0, (0, 1)),  # the server refuses it, and percentages may come to it: there must be a step
        (3, "0%", "25%", (0, 1)),
        (10, 2, 3, (2, 3)),
    ],
)
def test_fence_posts(replicas: int, surge: int | str, unavailable: int | str, expected: tuple[int, int]) -> None:
    assert fence_posts(deployment(replicas, surge, unavailable)) == expected


def test_new_pods_come_up_to_the_surge() -> None:
    assert rolling_update(deployment(4), replica_set("new", 0), [replica_set("old", 4, 4)]) == {"new": 1}


def test_old_pods_that_are_not_available_go_first() -> None:
    old = [replica_set("older", 2, 2), replica_set("broken", 2, 0)]
    assert rolling_update(deployment(4, 1, 1), replica_set("new", 1), old) == {"broken": 1}


def test_a_new_pod_that_is_not_available_lets_no_old_one_go() -> None:
    assert rolling_update(deployment(4, 1, 0), replica_set("new", 1), [replica_set("old", 4, 4)]) == {}


def test_scaling_down_reaches_the_new_replica_set_at_once() -> None:
    assert rolling_update(deployment(2), replica_set("new", 5, 5), []) == {"new": 2}


@pytest.mark.parametrize("replicas", [0, 1, 3, 10])
@pytest.mark.parametrize(("surge", "unavailable"), [("25%", "25%"), (1, 0), (0, 1), ("100%", "50%")])
def test_a_rollout_ends_with_all_pods_new_and_never_too_few_available(
    replicas: int, surge: int | str, unavailable: int | str
) -> None:
    asked = deployment(replicas, surge, unavailable)
    most, least = replicas + fence_posts(asked)[0], replicas - fence_posts(asked)[1]
    sizes = {"old": replicas, "new": 0}
    for _ in range(100):
        old, new = (replica_set(name, size, size) for name, size in sizes.items())
        changes = rolling_update(asked, new, [old])
        if not changes:
            break
        sizes |= changes
        assert least <= sum(sizes.values()) <= most
    assert sizes == {"old": 0, "new": replicas}


def test_recreate_starts_nothing_new_while_an_old_pod_is_there() -> None:
    old, new = replica_set("old", 2, 2), replica_set("new", 0)
    asked: Value = {"spec": {"replicas": 2, "strategy": {"type": "Recreate"}}}
    assert recreate(asked, new, [old], pods_of_old=4) == {"old": 0}
    assert recreate(asked, new, [replica_set("old", 0)], pods_of_old=1) == {}
    assert recreate(asked, new, [replica_set("old", 0)], pods_of_old=0) == {"new": 2}
    assert recreate(asked, replica_set("new", 2), [], pods_of_old=0) == {}
