"""Leader election on a small lease server in this process, in virtual time."""

from __future__ import annotations

import asyncio
import json
import random
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from disvc.runtime.client import Client
from disvc.runtime.environment import Environment
from disvc.runtime.errors import AnswerLost, ConfigurationError, LeadershipLost, Unreachable
from disvc.runtime.leader_election import LeaderElection, LeaderElector
from disvc.runtime.metrics import Metrics
from disvc.runtime.transport import Answer, Transport
from disvc.testing.clock import VirtualClock, in_virtual_time

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

COLLECTION = "/apis/coordination.k8s.io/v1/namespaces/prod/leases"


class LeaseServer:
    """Keeps leases as a kube-apiserver does, as far as an elector can tell."""

    def __init__(self) -> None:
        self.leases: dict[str, dict[str, Any]] = {}
        self.version = 100
        self.log: list[tuple[int, str, dict[str, Any]]] = []  # → version, type, lease
        self.changed = asyncio.Condition()

    @property
    def spec(self) -> dict[str, Any]:
        spec: dict[str, Any] = self.leases["operator"]["spec"]
        return spec

    async def put(self, name: str, spec: Mapping[str, Any], **metadata: Any) -> dict[str, Any]:
        known = self.leases.get(name, {"metadata": {"uid": f"uid-{self.version}", "name": name, "namespace": "prod"}})
        self.version += 1
        self.leases[name] = {
            "metadata": {**known["metadata"], **metadata, "resourceVersion": str(self.version)},
            "spec": dict(spec),
        }
        await self._tell("MODIFIED", self.leases[name])
        return self.leases[name]

    async def delete(self, name: str) -> None:
        self.version += 1
        await self._tell("DELETED", self.leases.pop(name))

    async def _tell(self, kind: str, lease: dict[str, Any]) -> None:
        self.log.append((self.version, kind, lease))
        async with self.changed:
            self.changed.notify_all()

    async def answer(self, method: str, path: str, body: bytes | None) -> Answer:
        name = path.removeprefix(COLLECTION).lstrip("/")
        value = json.loads(body) if body else {}
        metadata = value.get("metadata", {})
        if method == "POST":
            if metadata["name"] in self.leases:
                return refusal(409, "AlreadyExists")
            return good(await self.put(metadata["name"], value["spec"]), 201)
        known = self.leases.get(name)
        if method == "PUT":
            if (
                known is None
                or metadata["uid"] != known["metadata"]["uid"]
                or metadata["resourceVersion"] != known["metadata"]["resourceVersion"]
            ):
                return refusal(409, "Conflict")
            return good(await self.put(name, value["spec"]))
        return good(known) if known else refusal(404, "NotFound")


def good(value: Mapping[str, Any], status: int = 200) -> Answer:
    return Answer(status, {}, json.dumps(value).encode())


def refusal(status: int, reason: str, message: str = "") -> Answer:
    return Answer(
        status, {}, json.dumps({"kind": "Status", "code": status, "reason": reason, "message": message}).encode()
    )


class LeaseTransport(Transport):
    """One process's way to the server; a test lays hands on `before` and `after` the server's part."""

    host = "server"

    def __init__(self, server: LeaseServer) -> None:
        self.server = server
        self.calls: list[str] = []
        self.before: Callable[[str], Any] | None = None
        self.after: Callable[[str], Any] | None = None

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        body: bytes | None,
        timeout: float,
        fence: Callable[[], float | None] | None,
    ) -> Answer:
        self.calls.append(method)
        try:
            async with asyncio.timeout(timeout):
                answer = await self.before(method) if self.before else None
                if answer is None:
                    answer = await self.server.answer(method, path, body)
                if self.after:
                    await self.after(method)
                return answer
        except TimeoutError as error:
            raise AnswerLost("timeout") from error

    @asynccontextmanager
    async def stream(
        self, path: str, *, query: Mapping[str, str], headers: Mapping[str, str], timeout: float
    ) -> AsyncIterator[LeaseStream]:
        self.calls.append("WATCH")
        answer = await self.before("WATCH") if self.before else None
        yield LeaseStream(self.server, int(query["resourceVersion"]), answer)

    async def fork(self) -> LeaseTransport:
        return LeaseTransport(self.server)

    async def close(self) -> None:
        pass


class LeaseStream:
    headers: Mapping[str, str] = {}

    def __init__(self, server: LeaseServer, version: int, refused: Answer | None) -> None:
        self.status = refused.status if refused else 200
        self._server = server
        self._version = version
        self._refused = refused

    async def chunks(self) -> AsyncIterator[bytes]:
        if self._refused:
            yield self._refused.body
            return
        while True:
            for version, kind, lease in self._server.log:
                if version > self._version:
                    self._version = version
                    yield json.dumps({"type": kind, "object": lease}).encode() + b"\n"
            async with self._server.changed:
                await self._server.changed.wait()


class Process:
    """An elector with what belongs to it."""

    def __init__(
        self, server: LeaseServer, identity: str = "me", *, seed: int = 0, rate: float = 1.0, **durations: float
    ) -> None:
        self.transport = LeaseTransport(server)
        start = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=seed)  # no two wall clocks agree
        environment = Environment(VirtualClock(rate=rate, start=start), random.Random(seed), lambda: f"uid-{seed}")
        config = LeaderElection(name="operator", namespace="prod", identity=identity, **durations)
        self.metrics = Metrics()
        client = Client(self.transport, environment=environment, timeout=5)
        self.elector = LeaderElector(config, client, self.metrics)

    @property
    def leads(self) -> bool:
        try:
            self.elector.check()
        except LeadershipLost:
            return False
        return True

    @property
    def gauge(self) -> float | None:
        return self.metrics.registry.get_sample_value("leader_election_master_status", {"name": "operator"})

    async def lead(self) -> None:
        await self.elector.acquire()
        await self.elector.hold()

    async def run(self) -> None:
        """Live as a manager does: when the lease is lost, a new process takes the place after a while."""
        while True:
            with suppress(LeadershipLost):
                await self.lead()
            await asyncio.sleep(1)


def now() -> float:
    return asyncio.get_running_loop().time()


async def partition(_: str) -> None:
    raise Unreachable("no route")


FOREIGN = {"holderIdentity": "other", "leaseDurationSeconds": 15, "leaseTransitions": 3, "renewTime": "t0"}


class TestAcquire:
    @in_virtual_time
    async def test_creates_a_missing_lease(self) -> None:
        server = LeaseServer()
        me = Process(server, "me")
        assert me.gauge == 0
        await me.elector.acquire()
        assert now() == 0
        assert me.leads
        assert me.gauge == 1
        assert me.transport.calls == ["GET", "POST"]
        assert server.spec == {
            "holderIdentity": "me",
            "leaseDurationSeconds": 15,
            "acquireTime": "2026-01-01T00:00:00.000000Z",
            "renewTime": "2026-01-01T00:00:00.000000Z",
            "leaseTransitions": 0,
        }

    @pytest.mark.parametrize(
        "spec",
        [{}, {"holderIdentity": ""}, {"holderIdentity": None, "leaseDurationSeconds": 3600}],
        ids=["empty", "no holder", "null holder"],
    )
    @in_virtual_time
    async def test_takes_a_lease_that_nobody_holds_at_once(self, spec: dict[str, Any]) -> None:
        server = LeaseServer()
        await server.put("operator", spec)
        me = Process(server)
        await me.elector.acquire()
        assert now() == 0
        assert server.spec["holderIdentity"] == "me"
        assert server.spec["leaseTransitions"] == 1

    @in_virtual_time
    async def test_takes_the_lease_of_another_once_it_was_not_renewed_for_its_duration(self) -> None:
        server = LeaseServer()
        await server.put("operator", {**FOREIGN, "leaseDurationSeconds": 30})
        me = Process(server)
        await me.elector.acquire()
        assert 30 <= now() <= 30 + 2 * 2.2
        assert server.spec["leaseTransitions"] == 4
        assert server.spec["acquireTime"] == server.spec["renewTime"]

    @in_virtual_time
    async def test_gives_a_record_without_a_duration_its_own_duration(self) -> None:
        server = LeaseServer()
        await server.put("operator", {"holderIdentity": "other"})
        await Process(server).elector.acquire()
        assert 15 <= now() <= 15 + 2 * 2.2

    @in_virtual_time
    async def test_does_not_believe_another_machines_wall_clock(self) -> None:
        server = LeaseServer()
        await server.put("operator", {**FOREIGN, "renewTime": "1970-01-01T00:00:00.000000Z"})
        await Process(server).elector.acquire()
        assert now() >= 15

    @in_virtual_time
    async def test_waits_as_long_as_the_holder_renews(self) -> None:
        server = LeaseServer()
        me = Process(server)
        await server.put("operator", FOREIGN)
        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(me.elector.acquire())
            for n in range(100):
                await asyncio.sleep(10)
                await server.put("operator", {**FOREIGN, "renewTime": f"t{n + 1}"})
            assert not waiting.done()
            waiting.cancel()

    @in_virtual_time
    async def test_takes_a_label_set_by_hand_for_no_sign_of_life(self) -> None:
        server = LeaseServer()
        me = Process(server)
        await server.put("operator", FOREIGN)
        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(me.elector.acquire())
            while not waiting.done():
                await asyncio.sleep(1)
                if not waiting.done():
                    await server.put("operator", server.spec, labels={"touched": str(now())})
        assert 15 <= now() <= 15 + 2 * 2.2 + 1

    @in_virtual_time
    async def test_takes_a_released_lease_at_once(self) -> None:
        server = LeaseServer()
        old, new = Process(server, "old"), Process(server, "new", seed=1)
        await old.elector.acquire()
        async with asyncio.TaskGroup() as tasks:
            holding = tasks.create_task(old.elector.hold())
            waiting = tasks.create_task(new.elector.acquire())
            await asyncio.sleep(60.3)
            holding.cancel()
            await old.elector.release()
            await waiting
        assert now() == pytest.approx(60.3)
        assert new.leads
        assert not old.leads

    @in_virtual_time
    async def test_takes_a_released_lease_within_the_jittered_retry_period_where_it_may_not_watch(self) -> None:
        server = LeaseServer()
        old, new = Process(server, "old"), Process(server, "new", seed=1)

        async def no_watch(method: str) -> Answer | None:
            return refusal(403, "Forbidden", "cannot watch leases") if method == "WATCH" else None

        new.transport.before = no_watch
        await old.elector.acquire()
        with structlog.testing.capture_logs() as logs:
            async with asyncio.TaskGroup() as tasks:
                holding = tasks.create_task(old.elector.hold())
                waiting = tasks.create_task(new.elector.acquire())
                await asyncio.sleep(60)
                holding.cancel()
                await old.elector.release()
                await waiting
        assert now() <= 60 + 2 * 2.2
        assert new.transport.calls.count("WATCH") == 1
        assert [log["error"] for log in logs if "cannot be watched" in log["event"]] == [
            "watch leases.coordination.k8s.io in namespace prod: 403 Forbidden: cannot watch leases"
        ]

    @in_virtual_time
    async def test_hears_of_a_living_holder_without_polling(self) -> None:
        server = LeaseServer()
        old, new = Process(server, "old"), Process(server, "new", seed=1)
        await old.elector.acquire()
        async with asyncio.TaskGroup() as tasks:
            background = [tasks.create_task(old.elector.hold()), tasks.create_task(new.elector.acquire())]
            await asyncio.sleep(60)
            for task in background:
                task.cancel()
        assert len(new.transport.calls) <= 6

    @in_virtual_time
    async def test_takes_over_from_a_killed_holder(self) -> None:
        server = LeaseServer()
        old, new = Process(server, "old"), Process(server, "new", seed=1)
        await old.elector.acquire()
        await new.elector.acquire()
        assert 15 <= now() <= 15 + 2 * 2.2

    @in_virtual_time
    async def test_gets_the_lease_back_at_once_after_a_restart_under_the_same_identity(self) -> None:
        server = LeaseServer()
        await Process(server, "me-0").elector.acquire()
        await asyncio.sleep(1)
        again = Process(server, "me-0")
        await again.elector.acquire()
        assert now() == 1
        assert server.spec["leaseTransitions"] == 0
        assert server.spec["acquireTime"] < server.spec["renewTime"]

    @in_virtual_time
    async def test_one_of_two_that_create_the_lease_at_once_wins(self) -> None:
        server = LeaseServer()
        processes = [Process(server, "a", seed=1), Process(server, "b", seed=2)]
        both = asyncio.Barrier(2)

        async def meet(method: str) -> None:
            if method == "POST":
                await both.wait()

        for process in processes:
            process.transport.before = meet
        async with asyncio.TaskGroup() as tasks:
            electing = [tasks.create_task(process.elector.acquire()) for process in processes]
            await asyncio.sleep(1)
            assert sorted(process.leads for process in processes) == [False, True]
            for task in electing:
                task.cancel()
        assert processes[0].transport.calls[:2] == processes[1].transport.calls[:2] == ["GET", "POST"]

    @in_virtual_time
    async def test_one_of_two_that_take_a_free_lease_at_once_wins(self) -> None:
        server = LeaseServer()
        await server.put("operator", {"holderIdentity": ""})
        me = Process(server)

        async def overtake(method: str) -> None:
            if method == "PUT":
                await server.put("operator", FOREIGN)
                me.transport.before = None

        me.transport.before = overtake
        await me.elector.acquire()
        assert now() >= 15

    @in_virtual_time
    async def test_says_once_why_it_cannot_try_and_tries_on(self) -> None:
        server = LeaseServer()
        me = Process(server)

        async def forbid(method: str) -> Answer:
            return refusal(403, "Forbidden", 'User "u" cannot get resource "leases"')

        me.transport.before = forbid
        with structlog.testing.capture_logs() as logs:
            async with asyncio.TaskGroup() as tasks:
                waiting = tasks.create_task(me.elector.acquire())
                await asyncio.sleep(60)
                me.transport.before = None
                await waiting
        assert [log["error"] for log in logs if log["log_level"] == "warning"] == [
            'get leases.coordination.k8s.io prod/operator: 403 Forbidden: User "u" cannot get resource "leases"'
        ]
        assert now() <= 60 + 2 * 2.2

    @in_virtual_time
    async def test_finds_itself_the_holder_after_the_answer_to_its_create_was_lost(self) -> None:
        server = LeaseServer()
        me = Process(server)

        async def lose(method: str) -> None:
            if method == "POST":
                raise AnswerLost("cut")

        me.transport.after = lose
        await me.elector.acquire()
        assert server.spec["holderIdentity"] == "me"
        assert server.spec["leaseTransitions"] == 0
        assert now() <= 2 * 2.2

    @in_virtual_time
    async def test_no_call_takes_longer_than_half_the_renew_deadline(self) -> None:
        me = Process(LeaseServer())

        async def hang(method: str) -> None:
            await asyncio.sleep(10_000)

        me.transport.before = hang
        with structlog.testing.capture_logs() as logs:
            async with asyncio.TaskGroup() as tasks:
                waiting = tasks.create_task(me.elector.acquire())
                await asyncio.sleep(5.1)
                waiting.cancel()
        assert [log["error"] for log in logs if log["log_level"] == "warning"] == ["no answer within 5 s"]

    @in_virtual_time
    async def test_says_who_holds_the_lease_when_that_changes(self) -> None:
        server = LeaseServer()
        me = Process(server)
        await server.put("operator", FOREIGN)
        with structlog.testing.capture_logs() as logs:
            async with asyncio.TaskGroup() as tasks:
                waiting = tasks.create_task(me.elector.acquire())
                await asyncio.sleep(10)
                await server.put("operator", {**FOREIGN, "holderIdentity": "third"})
                await waiting
        assert [log["holder"] for log in logs if "holder" in log] == ["other", "third"]

    @in_virtual_time
    async def test_keeps_what_others_wrote_into_the_lease(self) -> None:
        server = LeaseServer()
        await server.put("operator", {"strategy": "OldestEmulationVersion"}, labels={"team": "a"})
        await Process(server).elector.acquire()
        assert server.spec["strategy"] == "OldestEmulationVersion"
        assert server.leases["operator"]["metadata"]["labels"] == {"team": "a"}


class TestHold:
    @in_virtual_time
    async def test_renews_each_retry_period_with_a_single_request(self) -> None:
        server = LeaseServer()
        me = Process(server)
        await me.elector.acquire()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(61):
                await me.elector.hold()
        assert me.transport.calls == ["GET", "POST"] + ["PUT"] * 30
        assert me.leads
        assert server.spec["renewTime"] == "2026-01-01T00:01:00.000000Z"
        assert server.spec["acquireTime"] == "2026-01-01T00:00:00.000000Z"

    @in_virtual_time
    async def test_reads_the_lease_again_after_a_conflict_and_renews(self) -> None:
        server = LeaseServer()
        me = Process(server)
        await me.elector.acquire()
        await server.put("operator", server.spec, labels={"by": "hand"})
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3):
                await me.elector.hold()
        assert me.transport.calls == ["GET", "POST", "PUT", "GET", "PUT"]
        assert me.leads

    @in_virtual_time
    async def test_tries_failed_renewals_again_until_the_renew_deadline(self) -> None:
        server = LeaseServer()
        me = Process(server)
        await me.elector.acquire()
        me.transport.before = partition
        with pytest.raises(LeadershipLost, match=r"prod/operator: me lost the lease: no route"):
            await me.elector.hold()
        assert now() == 10
        assert me.transport.calls.count("PUT") >= 3
        assert not me.leads
        assert me.gauge == 0

    @in_virtual_time
    async def test_outlives_a_partition_that_is_shorter_than_the_renew_deadline(self) -> None:
        server = LeaseServer()
        me = Process(server)
        await me.elector.acquire()
        async with asyncio.TaskGroup() as tasks:
            holding = tasks.create_task(me.elector.hold())
            for _ in range(10):
                me.transport.before = partition
                await asyncio.sleep(5)
                assert me.leads
                me.transport.before = None
                await asyncio.sleep(5)
                assert me.leads
            holding.cancel()

    @in_virtual_time
    async def test_outlives_a_renewal_whose_answer_is_lost(self) -> None:
        server = LeaseServer()
        me = Process(server)
        await me.elector.acquire()

        async def lose(method: str) -> None:
            if method == "PUT":
                me.transport.after = None
                raise AnswerLost("cut")

        me.transport.after = lose
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(30):
                await me.elector.hold()
        assert me.leads

    @in_virtual_time
    async def test_is_lost_at_once_when_another_holder_is_seen(self) -> None:
        server = LeaseServer()
        me = Process(server)
        await me.elector.acquire()
        await server.put("operator", FOREIGN)
        with pytest.raises(LeadershipLost, match="other was last seen to hold it"):
            await me.elector.hold()
        assert now() == 2
        assert not me.leads

    @pytest.mark.parametrize("deleted", [True, False], ids=["creating", "updating"])
    @in_virtual_time
    async def test_is_lost_at_once_when_another_process_is_faster(self, deleted: bool) -> None:
        server = LeaseServer()
        me = Process(server)
        await me.elector.acquire()
        if deleted:
            await server.delete("operator")
        else:
            await server.put("operator", server.spec, labels={"by": "hand"})

        async def overtake(method: str) -> None:
            if me.transport.calls[-2:] == ["GET", method]:
                await server.put("operator", FOREIGN)

        me.transport.before = overtake
        with pytest.raises(LeadershipLost, match="other was last seen to hold it"):
            await me.elector.hold()
        assert now() == 2

    @in_virtual_time
    async def test_closes_the_fence_until_a_lease_that_was_emptied_by_hand_is_taken_again(self) -> None:
        server = LeaseServer()
        me = Process(server)
        await me.elector.acquire()
        await server.put("operator", {"holderIdentity": ""})
        seen = []

        async def look(method: str) -> None:
            seen.append((method, me.leads))

        me.transport.before = look
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3):
                await me.elector.hold()
        assert seen == [("PUT", True), ("GET", True), ("PUT", False)]
        assert me.leads

    @in_virtual_time
    async def test_makes_a_lease_that_was_deleted_under_it_anew(self) -> None:
        server = LeaseServer()
        me, other = Process(server, "me"), Process(server, "other", seed=1)
        await me.elector.acquire()
        async with asyncio.TaskGroup() as tasks:
            background = [tasks.create_task(me.elector.hold()), tasks.create_task(other.elector.acquire())]
            await asyncio.sleep(5)
            await server.delete("operator")
            await asyncio.sleep(60)
            assert me.leads
            assert not other.leads
            assert server.spec["holderIdentity"] == "me"
            for task in background:
                task.cancel()

    @in_virtual_time
    async def test_a_lease_deleted_under_a_dead_holder_is_taken_after_its_duration(self) -> None:
        server = LeaseServer()
        old, new = Process(server, "old"), Process(server, "new", seed=1)
        await old.elector.acquire()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(new.elector.acquire())
            await asyncio.sleep(5)
            await server.delete("operator")
        assert 5 + 15 <= now() <= 5 + 15 + 2 * 2.2
        assert new.leads

    @in_virtual_time
    async def test_a_former_holder_that_finds_the_lease_deleted_waits_for_a_holder_it_did_not_see(self) -> None:
        server = LeaseServer()
        old, new = Process(server, "old"), Process(server, "new", seed=1)
        await old.elector.acquire()
        old.transport.before = partition
        async with asyncio.TaskGroup() as tasks:
            holding = tasks.create_task(new.lead())
            with pytest.raises(LeadershipLost):
                await old.elector.hold()
            await asyncio.sleep(20)
            assert new.leads
            holding.cancel()  # stopped, with its fence open
            await server.delete("operator")
            old.transport.before = None
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(14.9):
                    await old.elector.acquire()
        await old.elector.acquire()
        assert now() <= 10 + 20 + 15 + 2 * 2.2

    @in_virtual_time
    async def test_counts_a_renewal_from_when_it_was_sent(self) -> None:
        server = LeaseServer()
        me = Process(server)

        async def slow(method: str) -> None:
            await asyncio.sleep(4)

        await me.elector.acquire()
        me.transport.after = slow
        async with asyncio.TaskGroup() as tasks:
            holding = tasks.create_task(me.elector.hold())
            await asyncio.sleep(6.5)  # sent at 2, answered at 6
            holding.cancel()
        await asyncio.sleep(5.4)
        assert me.leads
        await asyncio.sleep(0.2)  # 12.1
        assert not me.leads


class TestCheck:
    @in_virtual_time
    async def test_refuses_a_process_that_was_paused_past_the_renew_deadline(self) -> None:
        server = LeaseServer()
        me = Process(server)
        await me.elector.acquire()
        await asyncio.sleep(9.9)  # nothing renews: all tasks of the process stand still
        me.elector.check()
        await asyncio.sleep(0.2)
        with pytest.raises(LeadershipLost, match=r"me has not renewed the lease for 10\.1 s"):
            me.elector.check()
        with pytest.raises(LeadershipLost, match="was stopped, or its event loop was blocked"):
            await me.elector.hold()

    @in_virtual_time
    async def test_lets_a_write_be_on_its_way_until_well_before_another_may_lead(self) -> None:
        me = Process(LeaseServer())
        await me.elector.acquire()
        assert me.elector.check() == 12.5
        await asyncio.sleep(9)
        assert me.elector.check() == 3.5

    @in_virtual_time
    async def test_refuses_a_process_that_never_held_the_lease(self) -> None:
        with pytest.raises(LeadershipLost, match="prod/operator: me does not hold the lease: nobody was seen"):
            Process(LeaseServer()).elector.check()

    @in_virtual_time
    async def test_refuses_from_the_moment_when_the_release_begins(self) -> None:
        server = LeaseServer()
        me = Process(server)
        await me.elector.acquire()
        seen = []

        async def look(method: str) -> None:
            seen.append(me.leads)

        me.transport.before = look
        await me.elector.release()
        assert seen == [False, False]


class TestRelease:
    @in_virtual_time
    async def test_leaves_a_lease_without_a_holder(self) -> None:
        server = LeaseServer()
        me = Process(server)
        await server.put("operator", {**FOREIGN, "holderIdentity": ""})
        await me.elector.acquire()
        await me.elector.release()
        assert server.spec["holderIdentity"] == ""
        assert server.spec["leaseDurationSeconds"] == 1
        assert server.spec["leaseTransitions"] == 4
        assert me.gauge == 0

    @in_virtual_time
    async def test_leaves_the_lease_of_another_alone(self) -> None:
        server = LeaseServer()
        me = Process(server)
        await me.elector.acquire()
        await server.put("operator", FOREIGN)
        await me.elector.release()
        assert server.spec == FOREIGN

    @in_virtual_time
    async def test_of_a_lease_that_is_gone_does_nothing(self) -> None:
        server = LeaseServer()
        me = Process(server)
        await me.elector.acquire()
        await server.delete("operator")
        await me.elector.release()
        assert not server.leases

    @in_virtual_time
    async def test_gives_up_after_half_the_renew_deadline_without_an_error(self) -> None:
        server = LeaseServer()
        me = Process(server)
        await me.elector.acquire()

        async def hang(method: str) -> None:
            await asyncio.sleep(10_000)

        me.transport.before = hang
        await me.elector.release()
        assert now() == 5

    @in_virtual_time
    async def test_gives_back_a_lease_whose_acquisition_was_cancelled_on_its_way(self) -> None:
        server = LeaseServer()
        me = Process(server)

        async def slow(method: str) -> None:
            await asyncio.sleep(1)

        me.transport.after = slow
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.5):
                await me.elector.acquire()
        assert server.spec["holderIdentity"] == "me"
        await me.elector.release()
        assert server.spec["holderIdentity"] == ""

    @pytest.mark.parametrize("moment", ["before the PUT", "after the PUT", "before the GET"])
    @in_virtual_time
    async def test_gives_back_a_lease_whose_renewal_was_cancelled_on_its_way(self, moment: str) -> None:
        server = LeaseServer()
        me = Process(server)
        await me.elector.acquire()
        when, _, cancelled = moment.split()
        if cancelled == "GET":
            await server.put("operator", server.spec, labels={"by": "hand"})  # so that the lease is read again

        async def hang(method: str) -> None:
            if method == cancelled:
                await asyncio.sleep(10_000)

        setattr(me.transport, when, hang)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2.5):
                await me.elector.hold()
        assert me.transport.calls[-1] == cancelled
        setattr(me.transport, when, None)
        await me.elector.release()
        assert server.spec["holderIdentity"] == ""


class TestConfiguration:
    @pytest.mark.parametrize(
        ("durations", "complaint"),
        [
            ({"lease_duration": 10}, r"lease_duration \(10 s\) must be more than renew_deadline \(10.0 s\)"),
            ({"retry_period": 9}, r"renew_deadline \(10.0 s\) must be more than 1.2 times retry_period \(9 s\)"),
            ({"retry_period": 0}, "retry_period must be more than 0"),
        ],
    )
    def test_refuses_durations_that_do_not_fit_each_other(self, durations: dict[str, Any], complaint: str) -> None:
        with pytest.raises(ValueError, match=complaint):
            LeaderElection(name="operator", namespace="prod", **durations)

    def test_refuses_an_empty_name(self) -> None:
        with pytest.raises(ValueError, match="no name or no namespace"):
            LeaderElection(name="", namespace="prod")

    def test_says_what_to_do_without_a_namespace(self, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        file = tmp_path / "namespace"
        monkeypatch.setattr("disvc.runtime.leader_election._NAMESPACE_FILE", file)
        with pytest.raises(ConfigurationError, match=r"pass LeaderElection\(namespace=\.\.\.\)"):
            LeaderElection(name="operator")
        file.write_text("team-a\n")
        assert LeaderElection(name="operator").namespace == "team-a"

    @in_virtual_time
    async def test_makes_an_identity_of_the_hosts_name_and_a_uid(self) -> None:
        server = LeaseServer()
        a, b = Process(server, "", seed=1), Process(server, "", seed=2)
        assert a.elector.identity.endswith("_uid-1")
        assert a.elector.identity != b.elector.identity

    @in_virtual_time
    async def test_rounds_the_duration_up_to_what_a_lease_can_say(self) -> None:
        server = LeaseServer()
        me = Process(server, lease_duration=2.5, renew_deadline=2.2, retry_period=0.5)
        await me.elector.acquire()
        assert server.spec["leaseDurationSeconds"] == 3


@pytest.mark.parametrize("first_seed", range(0, 200, 20))
def test_never_do_two_pass_the_fence_at_one_time(first_seed: int) -> None:
    """Delays, losses, partitions, pauses, deletes, releases, and clocks that run a fifth too fast or too slow."""
    with structlog.testing.capture_logs():  # thousands of lines, which cost more than all the rest
        led = sum(elect_at_random(seed) for seed in range(first_seed, first_seed + 20))
    assert led > 20 * 2, "the processes hardly ever led: this proves nothing"


@in_virtual_time
async def elect_at_random(seed: int) -> int:
    """Let three processes compete for five minutes; return how often another one than before led."""
    cluster = Cluster(seed)
    with suppress(TimeoutError):
        async with asyncio.timeout(300), asyncio.TaskGroup() as tasks:
            tasks.create_task(cluster.watch_the_fences())
            tasks.create_task(cluster.change_the_networks())
            tasks.create_task(cluster.delete_the_lease_once())
            for process in cluster.processes:
                tasks.create_task(cluster.live(process))
    return cluster.changes


class Cluster:
    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._chance = chance = random.Random(seed)
        self._server = LeaseServer()
        self.processes = [
            Process(self._server, f"p{n}", seed=seed * 10 + n, rate=chance.uniform(0.85, 1.15)) for n in range(3)
        ]
        self._networks = [Network(chance) for _ in self.processes]
        for process, network in zip(self.processes, self._networks, strict=True):
            process.transport.before = process.transport.after = network.trouble
        self.changes = 0

    async def watch_the_fences(self) -> None:
        last = None
        while True:
            await asyncio.sleep(0.1)
            leading = [process.elector.identity for process in self.processes if process.leads]
            assert len(leading) <= 1, f"seed {self._seed}: {leading} lead at {now():.1f} s"
            if leading and leading != last:
                self.changes += 1
                last = leading

    async def change_the_networks(self) -> None:
        while True:
            await asyncio.sleep(self._chance.expovariate(1 / 10))
            for network in self._networks:
                network.is_bad = self._chance.random() < 0.4

    async def delete_the_lease_once(self) -> None:
        await asyncio.sleep(self._chance.uniform(60, 300))
        await self._server.delete("operator")

    async def live(self, process: Process) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._chance.expovariate(1 / 60)):
                    await process.run()
            if self._chance.random() < 0.5:
                await process.elector.release()
            # All its tasks stand still, as after SIGSTOP: the fence alone must hold.
            await asyncio.sleep(self._chance.uniform(0, 20))


class Network:
    """A process's way to the server: fast, or for a while slow and lossy in both directions."""

    def __init__(self, chance: random.Random) -> None:
        self.is_bad = False
        self._chance = chance

    async def trouble(self, _: str) -> None:
        if not self.is_bad:
            await asyncio.sleep(self._chance.uniform(0, 0.3))
        elif self._chance.random() < 0.5:
            raise self._chance.choice([Unreachable, AnswerLost])("cut")
        else:
            await asyncio.sleep(self._chance.expovariate(1 / 3))
