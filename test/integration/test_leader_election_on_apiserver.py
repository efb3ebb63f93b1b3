"""The elector on a real API server: what it relies on in the server's handling of Leases."""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from structlog.testing import capture_logs

from disvc.runtime import Client, LeaderElection, connect
from disvc.runtime.leader_election import LEASES, LeaderElector
from disvc.runtime.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from disvc.testing.controlplane import ControlPlane

MICRO_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


@asynccontextmanager
async def elector(control_plane: ControlPlane, namespace: str, identity: str) -> AsyncIterator[LeaderElector]:
    config = LeaderElection(
        name="operator",
        namespace=namespace,
        identity=identity,
        lease_duration=3,
        renew_deadline=2,
        retry_period=0.5,
    )
    async with connect(control_plane.kubeconfig(control_plane.admin)) as transport:
        yield LeaderElector(config, Client(transport), Metrics())


async def test_a_lease_is_created_renewed_released_and_taken_over_at_once(
    control_plane: ControlPlane, namespace: str
) -> None:
    async with (
        elector(control_plane, namespace, "first") as first,
        elector(control_plane, namespace, "second") as second,
        connect(control_plane.kubeconfig(control_plane.admin)) as transport,
        asyncio.TaskGroup() as tasks,
    ):
        client = Client(transport)
        await first.acquire()
        holding = tasks.create_task(first.hold())
        waiting = tasks.create_task(second.acquire())
        await asyncio.sleep(4)
        first.check()
        assert not waiting.done()
        spec = (await client.get(LEASES, "operator", namespace)).decode()["spec"]
        assert (spec["holderIdentity"], spec["leaseDurationSeconds"], spec["leaseTransitions"]) == ("first", 3, 0)
        assert MICRO_TIME.fullmatch(spec["renewTime"])
        assert spec["acquireTime"] < spec["renewTime"]
        holding.cancel()
        await first.release()
        await waiting
        second.check()
        spec = (await client.get(LEASES, "operator", namespace)).decode()["spec"]
        assert (spec["holderIdentity"], spec["leaseTransitions"]) == ("second", 1)
    calls = control_plane.audit.calls(resource="leases")
    assert any(call.verb == "watch" for call in calls)


async def test_a_renewal_of_a_deleted_lease_does_not_bring_it_back_unseen(
    control_plane: ControlPlane, namespace: str
) -> None:
    """The server creates a Lease by PUT; that a UID comes with it is what makes it a conflict."""
    async with elector(control_plane, namespace, "first") as first, asyncio.TaskGroup() as tasks:
        with capture_logs() as logs:
            await first.acquire()
            await control_plane.kubectl("delete", "lease", "operator", "-n", namespace)
            holding = tasks.create_task(first.hold())
            await asyncio.sleep(1.5)
            holding.cancel()
        first.check()
        assert "the lease was deleted" in [log["event"] for log in logs]
    lease = json.loads(await control_plane.kubectl("get", "lease", "operator", "-n", namespace, "-o", "json"))
    assert lease["spec"]["holderIdentity"] == "first"


async def test_a_lease_that_says_nothing_is_taken(control_plane: ControlPlane, namespace: str) -> None:
    manifest = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "operator", "namespace": namespace, "labels": {"team": "a"}},
    }
    await control_plane.kubectl("create", "-f", "-", stdin=json.dumps(manifest))
    async with elector(control_plane, namespace, "first") as first:
        async with asyncio.timeout(10):
            await first.acquire()
        first.check()
    lease = json.loads(await control_plane.kubectl("get", "lease", "operator", "-n", namespace, "-o", "json"))
    assert lease["metadata"]["labels"] == {"team": "a"}
    assert lease["spec"]["holderIdentity"] == "first"


async def test_a_user_that_may_do_nothing_is_told_which_verb_on_which_resource(
    control_plane: ControlPlane, namespace: str
) -> None:
    user = await asyncio.to_thread(control_plane.user, f"{namespace}:nobody")
    config = LeaderElection(name="operator", namespace=namespace)
    with capture_logs() as logs:
        async with connect(control_plane.kubeconfig(user)) as transport, asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(LeaderElector(config, Client(transport), Metrics()).acquire())
            await asyncio.sleep(2)
            waiting.cancel()
    (log,) = [log for log in logs if log["log_level"] == "warning"]
    assert 'cannot get resource "leases" in API group "coordination.k8s.io"' in log["error"]
