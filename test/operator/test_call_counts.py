"""What the operator costs the API server, by the server's own audit log.

Counted is every request of the operator's user but those of its Events, which are best effort and go out when there
is time. A new service of N members costs N InferenceServices, two Services, an Ingress and a ControllerRevision, and
two writes of the status: that it is begun, and that it serves. Nothing is read, as the watches have told all.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from disvc.reconcilers.resources import ISVCS, SERVICES
from disvc.runtime import Environment, SystemClock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from disvc.runtime import Manager
    from disvc.testing.audit import Call

    Operate = Callable[..., AbstractAsyncContextManager[Manager]]
    Count = Callable[[], Awaitable[Counter[str]]]

pytestmark = pytest.mark.usefixtures("kserve")


class SlowClock(SystemClock):
    """Counts a minute as a second: progress that is reported while a slow machine gets ready is not what is counted."""

    def monotonic(self) -> float:
        return super().monotonic() / 60


@pytest.fixture
def calls(cluster: Any) -> Callable[[], Awaitable[list[Call]]]:
    """The operator's calls since the test began, but for Events."""
    since = datetime.now(UTC)

    async def made() -> list[Call]:
        log = await cluster.plane.audit.settled()
        found = log.calls(user="operator", since=since)
        return [call for call in found if call.group != "events.k8s.io"]

    return made


@pytest.fixture
def count(calls: Callable[[], Awaitable[list[Call]]]) -> Count:
    """The operator's calls since the test began, but for watches and the lists that begin them: `verb resource`."""

    async def counted() -> Counter[str]:
        named = (f"{c.verb} {c.resource}{'/' * bool(c.subresource)}{c.subresource}" for c in await calls())
        return Counter(name for name in named if not name.startswith(("list ", "watch ")))

    return counted


def reconciles(manager: Manager) -> dict[str, float]:
    """Return how many reconciles each controller has done."""
    return {
        controller: sum(
            manager.metrics.registry.get_sample_value(
                "controller_runtime_reconcile_total", {"controller": controller, "result": result}
            )
            or 0
            for result in ("success", "error", "requeue", "requeue_after")
        )
        for controller in ("inferenceservice", "service", "ingress", "status")
    }


async def looked_again(manager: Manager, times: int) -> None:
    """Wait until each controller has looked at what it has so many times more."""
    before = reconciles(manager)
    async with asyncio.timeout(60):
        while any(now < before[name] + times for name, now in reconciles(manager).items()):  # noqa: ASYNC110
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("services", [1, 10])
async def test_a_new_service_of_n_members_costs_n_plus_4_creates_and_2_status_writes(
    cluster: Any, operate: Operate, count: Count, services: int
) -> None:
    members = 3 if services == 1 else 1
    names = [f"m{i}" for i in range(services)]
    async with operate(environment=Environment(clock=SlowClock())):
        await asyncio.gather(*(cluster.create(cluster.manifest(name, replicas=members)) for name in names))
        for name in names:
            await cluster.until_ready(name)
        assert await count() == {
            "create inferenceservices": services * members,
            "create services": services * 2,
            "create ingresses": services,
            "create controllerrevisions": services,
            "patch distributedinferenceservices/status": services * 2,
        }


async def test_a_service_at_rest_costs_nothing_over_resyncs_and_a_restart(
    cluster: Any, operate: Operate, calls: Callable[[], Awaitable[list[Call]]]
) -> None:
    async with operate():
        await cluster.create(cluster.manifest(replicas=2))
        await cluster.until_ready()
    before = len(await calls())
    async with operate(resync_seconds=1) as manager:
        await looked_again(manager, times=5)
    made = (await calls())[before:]
    assert {call.verb for call in made} <= {"list", "watch"}
    # One watch a kind, and, by the server's choice, one list.
    assert max(Counter((call.verb, call.resource) for call in made).values()) == 1


async def test_a_rollout_of_n_members_costs_2_n_plus_20_calls(
    cluster: Any, operate: Operate, count: Count, capsys: pytest.CaptureFixture[str]
) -> None:
    """A rolling update of N members, with what each call is for.

    creates   N InferenceServices, the ControllerRevision, Service NAME-v2
    patches   Service NAME and the Ingress, once each
    deletes   N InferenceServices, Service NAME-v1
    status    Progressing, Switching, Draining, Stable
    reads     the DISVC, before its ControllerRevision is made, and once in each pass that writes children: two for what
              is made, two for the routes, two for what goes; Service NAME and the Ingress, when they are seen moved and
              before the removal
    """
    members = 3
    async with operate(environment=Environment(clock=SlowClock())):
        await cluster.create(cluster.manifest(replicas=members))
        await cluster.until_ready()
        before = await count()
        await cluster.set_spec("m", annotations={"version": "v2"})
        await cluster.until_ready()
        await cluster.until(lambda: _only(cluster, "m-v2"))
        cost = await count() - before
    with capsys.disabled():
        print(f"\na rollout of {members} members:", dict(sorted(cost.items())))  # noqa: T201
    assert cost == {
        "create inferenceservices": members,
        "create controllerrevisions": 1,
        "create services": 1,
        "patch services": 1,
        "patch ingresses": 1,
        "delete inferenceservices": members,
        "delete services": 1,
        "patch distributedinferenceservices/status": 4,
        "get distributedinferenceservices": 7,
        "get services": 2,
        "get ingresses": 2,
    }


async def _only(cluster: Any, revision: str) -> bool:
    isvcs, services = await cluster.names(ISVCS), await cluster.names(SERVICES)
    return all(name.startswith(revision) for name in isvcs) and "m-v1" not in services
