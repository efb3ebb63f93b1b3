"""Two operators at work at the same time, as when a lease was lost and one of them has not noticed.

Neither knows of the other, and one may see what happens late. All the same the end state is that of one operator,
nothing is made or removed twice, and the routes never go back.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import groupby
from typing import TYPE_CHECKING, Any

import pytest

from disvc.reconcilers import add_to_manager
from disvc.reconcilers.resources import DISVCS, INGRESSES, ISVCS, REVISIONS, SERVICES
from disvc.runtime import Manager, connect
from disvc.testing.faults import Delay
from disvc.testing.match import WRITES, Match, any_event
from disvc.testing.proxy import FaultProxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence
    from contextlib import AbstractAsyncContextManager

    from disvc.testing.history import Change, History, Moment
    from disvc.testing.users import User

    Violations = Callable[[Iterable[Moment]], list[str]]
    Behind = Callable[..., AbstractAsyncContextManager[FaultProxy]]

pytestmark = pytest.mark.usefixtures("kserve")

CHILDREN = {resource.kind for resource in (ISVCS, SERVICES, INGRESSES, REVISIONS)}
LATE_SECONDS = 1.5
LATE = {
    "both in time": None,
    "one late with DISVCs": Match(verb="watch", resource=DISVCS.plural, event=any_event),
    "one late with members": Match(verb="watch", resource=ISVCS.plural, event=any_event),
    "one late with all but DISVCs": Match(
        verb="watch", where=lambda request: request.resource != DISVCS.plural, event=any_event
    ),
}


@pytest.fixture
def operate_behind_a_proxy(cluster: Any, operator_user: User) -> Behind:
    """`async with operate_behind_a_proxy() as proxy`: an operator that knows the server by what the proxy passes on."""

    @asynccontextmanager
    async def run() -> AsyncIterator[FaultProxy]:
        plane = cluster.plane
        tls = ssl.create_default_context(cafile=str(plane.ca_file))
        tls.load_cert_chain(plane.front_proxy.cert_file, plane.front_proxy.key_file)
        async with AsyncExitStack() as stack:
            proxy = await stack.enter_async_context(
                FaultProxy(plane.url, ssl=tls, user=operator_user.name, groups=["system:authenticated"])
            )
            transport = await stack.enter_async_context(connect(plane.kubeconfig(operator_user, proxy.url)))
            manager = Manager(transport, namespaces=[cluster.namespace])
            add_to_manager(manager)
            stop = asyncio.Event()
            running = asyncio.create_task(manager.run(stop=stop, handle_signals=False))
            try:
                yield proxy
            finally:
                stop.set()
                await running

    return run


def of_children(moments: Iterable[Moment]) -> list[Change]:
    changes = (moment.change for moment in moments)
    return [c for c in changes if c.resource.kind in CHILDREN and "predictor" not in c.name]


def named(changes: Iterable[Change], kind: str) -> list[tuple[str, str]]:
    return sorted((change.resource.kind, change.name) for change in changes if change.type == kind)


def routed(moments: Sequence[Moment], resource: Any) -> list[str]:
    """Return the revisions that Service or Ingress m has led to, in order."""

    def revision(value: Any) -> str:
        if resource is SERVICES:
            name: str = value["spec"]["selector"]["disvc.group"]
        else:
            name = value["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]["name"]
        return name

    values = (moment.state[resource].get("m") for moment in moments)
    return [name for name, _ in groupby(revision(value) for value in values if value)]


@pytest.mark.parametrize("late", LATE)
async def test_two_operators_make_the_rollout_of_one(
    cluster: Any,
    operator: Manager,
    operate_behind_a_proxy: Behind,
    history: History,
    violations: Violations,
    late: str,
) -> None:
    async with operate_behind_a_proxy() as proxy:
        if (events := LATE[late]) is not None:
            proxy.inject(events, Delay(LATE_SECONDS))
        await cluster.create(cluster.manifest(annotations={"version": "v1"}))
        await cluster.until_ready()
        await cluster.set_spec("m", annotations={"version": "v2"})
        await cluster.until_ready()
        await cluster.set_spec("m", replicas=2)
        await cluster.until(lambda: cluster.find("m-v2-1", ISVCS))
        await cluster.until_gone(ISVCS, "m-v1-0")
        await cluster.until_gone(SERVICES, "m-v1")
        await cluster.until_ready()
        await asyncio.sleep(2 * LATE_SECONDS)  # for the late one to do what it would do
        moments = await history.moments()
    assert violations(moments) == []
    assert routed(moments, SERVICES) == routed(moments, INGRESSES) == ["m-v1", "m-v2"]
    assert named(of_children(moments), "ADDED") == [
        *(("ControllerRevision", name) for name in ("m-v1", "m-v2")),
        *(("InferenceService", name) for name in ("m-v1-0", "m-v2-0", "m-v2-1")),
        ("Ingress", "m"),
        *(("Service", name) for name in ("m", "m-v1", "m-v2")),
    ]
    assert named(of_children(moments), "DELETED") == [("InferenceService", "m-v1-0"), ("Service", "m-v1")]
    status = await cluster.status()
    assert (status["phase"], status["activeRevision"]["name"], status["ready"]) == ("Stable", "m-v2", "2/2")


async def test_an_operator_whose_caches_are_stale_never_acts_on_a_state_before_its_own_last_write(
    cluster: Any, operate_behind_a_proxy: Behind, history: History, violations: Violations
) -> None:
    """It would make again what it has made and not seen yet, and the server would refuse that."""
    async with operate_behind_a_proxy() as proxy:
        proxy.inject(Match(verb="watch", event=any_event), Delay(0.5))
        await cluster.create(cluster.manifest(annotations={"version": "v1"}))
        await cluster.until_ready()
        await cluster.set_spec("m", annotations={"version": "v2"})
        await cluster.until_ready()
        await cluster.until_gone(ISVCS, "m-v1-0")
        await cluster.until_gone(SERVICES, "m-v1")
        writes = [(e.verb, e.resource, e.name, e.status) for e in proxy.requests if e.verb in WRITES]
        assert [write for write in writes if write[-1] not in (200, 201)] == []
    moments = await history.moments()
    assert violations(moments) == []
    assert routed(moments, SERVICES) == ["m-v1", "m-v2"]


@pytest.mark.parametrize("late", LATE)
async def test_two_operators_repair_what_is_edited_and_deleted_by_hand_as_one_does(
    cluster: Any, operator: Manager, operate_behind_a_proxy: Behind, history: History, late: str
) -> None:
    await cluster.create(cluster.manifest(annotations={"version": "v1"}, replicas=2))
    await cluster.until_ready()
    async with operate_behind_a_proxy() as proxy:
        if (events := LATE[late]) is not None:
            proxy.inject(events, Delay(LATE_SECONDS))
        before = len(await history.moments())
        wanted = {resource: await cluster.get("m", resource) for resource in (SERVICES, INGRESSES)}
        other = {"spec": {"selector": {"disvc.group": "other"}}}
        await asyncio.gather(
            cluster.delete("m-v1-0", ISVCS),
            cluster.delete("m-v1", SERVICES),
            cluster.delete("m-v1", REVISIONS),
            cluster.change("m", other, SERVICES),
            cluster.change("m", {"spec": {"rules": [{"host": "other.example.com"}]}}, INGRESSES),
        )
        await cluster.set_spec("m", replicas=3)

        async def is_repaired() -> bool:
            found = [await cluster.get("m", resource) for resource in wanted]
            return [one["spec"] for one in found] == [one["spec"] for one in wanted.values()]

        await cluster.until(is_repaired)
        await cluster.until(lambda: cluster.find("m-v1-2", ISVCS))
        await cluster.until_ready()
        await asyncio.sleep(2 * LATE_SECONDS)  # for the late one to do what it would do
        assert await is_repaired()
        changes = of_children((await history.moments())[before:])
    assert named(changes, "ADDED") == [
        ("ControllerRevision", "m-v1"),
        *(("InferenceService", name) for name in ("m-v1-0", "m-v1-2")),
        ("Service", "m-v1"),
    ]
    assert named(changes, "DELETED") == [
        ("ControllerRevision", "m-v1"),
        ("InferenceService", "m-v1-0"),
        ("Service", "m-v1"),
    ]
