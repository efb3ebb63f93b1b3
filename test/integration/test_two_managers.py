"""Two managers, one lease: real processes on a real kube-apiserver, and never two that write.

Each process acts as a user of its own, so the audit log tells whose write came when. The programs write all the
time, with several workers. What they must never do is counted from the server's own timestamps.
"""

from __future__ import annotations

import asyncio
import random
import signal
import ssl
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

from disvc.runtime import Client, Resource, connect
from disvc.testing.faults import Delay, HalfOpen, LoseAnswer
from disvc.testing.match import WRITES, Match
from disvc.testing.program import Program
from disvc.testing.proxy import FaultProxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from datetime import datetime

    from disvc.testing.audit import AuditLog, Call
    from disvc.testing.controlplane import ControlPlane

PROGRAMS = Path(__file__).with_name("programs")
RULES = [
    {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "watch", "patch"]},
    {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "watch", "create", "update"]},
]
OBJECTS = 8  # as many as the program has workers
SHORT = ("--lease-duration=6", "--renew-deadline=4", "--retry-period=1")
SHORTER = ("--lease-duration=3", "--renew-deadline=2", "--retry-period=0.5")
LEASE_LOST, KILLED_BY_ITS_ALARM = 1, -signal.SIGALRM


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(600):
        if condition():
            return
        await asyncio.sleep(0.1)
    raise TimeoutError("it did not come true within a minute")


@dataclass(frozen=True)
class Manager:
    """One of the competing processes, and the user that it is to the server."""

    user: str
    process: Program
    audit: AuditLog

    async def leads(self) -> None:
        await self.process.logged("acquired the lease")

    async def waits(self) -> None:
        await self.process.logged("waiting for the lease")

    def writes(self) -> list[Call]:
        return [call for call in self.audit.calls(user=self.user) if call.verb == "patch"]

    def lease_updates(self) -> list[Call]:
        calls = self.audit.calls(user=self.user, resource="leases", code=200)
        return [call for call in calls if call.verb == "update"]

    async def has_written_each_object(self) -> None:
        await until(lambda: len({call.name for call in self.writes() if call.code == 200}) == OBJECTS)


class Start(Protocol):
    async def __call__(
        self,
        name: str,
        *options: str,
        program: str = "writer",
        through: FaultProxy | None = None,
        environment: dict[str, str] | None = None,
    ) -> Manager:
        """Start a manager that acts as a user of this name."""


@pytest.fixture
async def start(control_plane: ControlPlane, namespace: str) -> AsyncIterator[Start]:
    def create() -> None:
        for number in range(OBJECTS):
            control_plane.admin.call(
                "POST", f"/api/v1/namespaces/{namespace}/configmaps", {"metadata": {"name": f"object-{number}"}}
            )

    await asyncio.to_thread(create)
    async with AsyncExitStack() as stack:

        async def start(
            name: str,
            *options: str,
            program: str = "writer",
            through: FaultProxy | None = None,
            environment: dict[str, str] | None = None,
        ) -> Manager:
            user = await asyncio.to_thread(control_plane.user, f"{namespace}:{name}", (), RULES)
            kubeconfig = control_plane.kubeconfig(user, through.url if through else None)
            process = Program(
                PROGRAMS / f"{program}.py",
                f"--namespace={namespace}",
                *options,
                environment={"KUBECONFIG": str(kubeconfig), **(environment or {})},
            )
            return Manager(user.name, await stack.enter_async_context(process), control_plane.audit)

        yield start


@pytest.fixture
async def proxy(control_plane: ControlPlane, namespace: str) -> AsyncIterator[FaultProxy]:
    """A proxy with TLS for the manager that starts as `first`."""
    to_server = ssl.create_default_context(cafile=str(control_plane.ca_file))
    to_server.load_cert_chain(control_plane.front_proxy.cert_file, control_plane.front_proxy.key_file)
    to_client = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    to_client.load_cert_chain(control_plane.serving.cert_file, control_plane.serving.key_file)
    async with FaultProxy(
        control_plane.url,
        ssl=to_server,
        user=f"{namespace}:first",
        groups=["system:authenticated"],
        serve_tls=to_client,
    ) as proxy:
        yield proxy


async def two(start: Start, *options: str, proxy: FaultProxy | None = None) -> tuple[Manager, Manager]:
    """Start a leader that writes, and another manager that waits for the lease."""
    first = await start("first", *options, through=proxy)
    await first.leads()
    second = await start("second", *options)
    await second.waits()
    await first.has_written_each_object()
    return first, second


async def moment_of_taking_over(first: Manager, second: Manager) -> datetime:
    """Return when the second one's lease was answered, having checked that the first one wrote only before it."""
    await second.has_written_each_object()
    await first.audit.settled()
    taken = second.lease_updates()[0].staged
    late = [call for call in first.writes() if call.received > taken and call.code == 200]
    assert not late, f"{first.user} wrote after {second.user} held the lease: {late}"
    both = sorted(
        (call for call in first.writes() + second.writes() if call.code == 200), key=lambda call: call.received
    )
    assert [user for user, _ in groupby(call.user for call in both)] == [first.user, second.user]
    return taken


async def test_after_sigterm_another_takes_over_at_once(start: Start, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = await two(start)  # with the default durations: a lease of 15 s

    first.process.send(signal.SIGTERM)
    assert await first.process.ended() == 0
    await second.leads()

    taken = await moment_of_taking_over(first, second)
    released, stopped = first.lease_updates()[-1].staged, first.writes()[-1].received
    gap = (second.writes()[0].received - stopped).total_seconds()
    with capsys.disabled():
        sys.stdout.write(
            f"\ntaken over {(taken - released).total_seconds() * 1000:.0f} ms after the release; "
            f"{gap * 1000:.0f} ms from the one's last write to the other's first\n"
        )
    assert gap < 5


async def test_after_kill_9_another_takes_over_when_the_lease_has_run_out(start: Start) -> None:
    first, second = await two(start, *SHORT)
    first.process.send(signal.SIGKILL)
    assert await first.process.ended() == -signal.SIGKILL
    await second.leads()

    taken = await moment_of_taking_over(first, second)
    assert (taken - first.lease_updates()[-1].staged).total_seconds() > 5.5


async def test_a_partitioned_leader_stops_and_what_the_network_held_up_is_refused(
    start: Start, proxy: FaultProxy
) -> None:
    first, second = await two(start, *SHORT, proxy=proxy)
    # So that writes are under way in the network at the moment when it breaks.
    proxy.inject(Match(resource="configmaps", where=lambda request: request.verb in WRITES), Delay(1.0))
    await asyncio.sleep(0.7)
    proxy.freeze()
    assert await first.process.ended() == LEASE_LOST
    assert first.process.log[-1]["kind"] == "LeadershipLost"
    await second.leads()
    await second.has_written_each_object()
    before = len(first.writes())
    proxy.thaw()

    await until(lambda: len(first.writes()) > before)
    await moment_of_taking_over(first, second)
    assert {call.code for call in first.writes()[before:]} == {409}


async def test_a_leader_whose_lease_calls_alone_get_no_answer_stops_writing(start: Start, proxy: FaultProxy) -> None:
    first, second = await two(start, *SHORT, proxy=proxy)
    struck = proxy.inject(Match(resource="leases"), HalfOpen())
    assert await first.process.ended() == LEASE_LOST
    assert first.process.log[-1]["kind"] == "LeadershipLost"
    await second.leads()
    assert struck.count
    await moment_of_taking_over(first, second)


async def test_a_leader_whose_renewals_succeed_without_its_knowing_stops_writing(
    start: Start, proxy: FaultProxy
) -> None:
    first, second = await two(start, *SHORT, proxy=proxy)
    struck = proxy.inject(Match(resource="leases"), LoseAnswer())
    assert await first.process.ended() == LEASE_LOST
    assert first.process.log[-1]["kind"] == "LeadershipLost"
    await second.leads()
    assert struck.count
    await moment_of_taking_over(first, second)


async def test_a_leader_that_was_stopped_past_its_lease_never_writes_again(start: Start) -> None:
    options = (*SHORTER, "--unconditional")
    leader = await start("manager-0", *options)
    await leader.leads()
    for number in range(1, 6):
        other = await start(f"manager-{number}", *options)
        await other.waits()
        await leader.has_written_each_object()
        await asyncio.sleep(random.uniform(0, 1))
        leader.process.send(signal.SIGSTOP)
        await other.leads()
        await asyncio.sleep(random.uniform(0, 0.2))
        leader.process.send(signal.SIGCONT)
        assert await leader.process.ended() in (LEASE_LOST, KILLED_BY_ITS_ALARM)
        await moment_of_taking_over(leader, other)
        leader = other


@pytest.mark.parametrize(
    ("stop_at", "exit_code"),
    [pytest.param(101, LEASE_LOST, id="before the alarm is set"), pytest.param(102, KILLED_BY_ITS_ALARM, id="after")],
)
async def test_nor_does_one_that_was_stopped_between_its_fence_and_the_sending(
    start: Start, stop_at: int, exit_code: int
) -> None:
    options = (*SHORTER, "--unconditional")
    first = await start("first", *options, program="stopped_writer", environment={"STOP_AT": str(stop_at)})
    await first.leads()
    second = await start("second", *options)
    await second.leads()
    await second.has_written_each_object()
    first.process.send(signal.SIGCONT)
    assert await first.process.ended() == exit_code
    await moment_of_taking_over(first, second)


async def test_bytes_that_could_not_be_delivered_are_taken_back_when_the_writer_gives_up(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    sizes: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await resumed.wait()
        try:
            while chunk := await reader.read(2**20):
                sizes.append(len(chunk))
        except ConnectionResetError:
            reset.set()
        finally:
            writer.close()

    resumed, reset = asyncio.Event(), asyncio.Event()
    body = {"metadata": {"name": "a"}, "data": {"large": "x" * 20_000_000}}
    async with await asyncio.start_server(serve, "127.0.0.1", 0, limit=2**16) as server:
        port = server.sockets[0].getsockname()[1]
        kubeconfig.write_text(
            "{current-context: a, contexts: [{name: a, context: {cluster: a}}],"
            f" clusters: [{{name: a, cluster: {{server: 'http://127.0.0.1:{port}'}}}}]}}"
        )
        async with connect(kubeconfig) as transport:
            client = Client(transport, fence=lambda: 60.0)
            create = client.create(Resource("v1", "ConfigMap", "configmaps"), body, "default")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(create, 1)
        resumed.set()
        await asyncio.wait_for(reset.wait(), 30)
    assert sum(sizes) < 20_000_000
