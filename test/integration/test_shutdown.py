"""How a manager's process ends: on a real kube-apiserver, by real signals, with reconciles under way."""

from __future__ import annotations

import asyncio
import signal
import ssl
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from disvc.testing.program import Program
from disvc.testing.proxy import FaultProxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from disvc.testing.controlplane import ControlPlane

SLEEPER = Path(__file__).with_name("programs") / "sleeper.py"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/{}/leases/sleeper"


class Start(Protocol):
    async def __call__(self, *options: str, server: str | None = None) -> Program:
        """Start the program in the test's namespace."""


@pytest.fixture
async def start(control_plane: ControlPlane, namespace: str) -> AsyncIterator[Start]:
    async with AsyncExitStack() as stack:

        async def start(*options: str, server: str | None = None) -> Program:
            kubeconfig = control_plane.kubeconfig(control_plane.admin, server)
            program = Program(
                SLEEPER, f"--namespace={namespace}", *options, environment={"KUBECONFIG": str(kubeconfig)}
            )
            return await stack.enter_async_context(program)

        yield start


@pytest.fixture
async def proxy(control_plane: ControlPlane) -> AsyncIterator[FaultProxy]:
    to_server = ssl.create_default_context(cafile=str(control_plane.ca_file))
    to_server.load_cert_chain(control_plane.admin.cert_file, control_plane.admin.key_file)
    async with FaultProxy(control_plane.url, ssl=to_server) as proxy:
        yield proxy


async def create(control_plane: ControlPlane, namespace: str, data: Sequence[dict[str, str]]) -> None:
    def create_all() -> None:
        path = f"/api/v1/namespaces/{namespace}/configmaps"
        for number, value in enumerate(data):
            control_plane.admin.call("POST", path, {"metadata": {"name": f"work-{number}"}, "data": value})

    await asyncio.to_thread(create_all)


async def holder(control_plane: ControlPlane, namespace: str) -> str:
    lease = await asyncio.to_thread(control_plane.admin.call, "GET", LEASES.format(namespace))
    identity: str = lease["spec"]["holderIdentity"]
    return identity


def without_errors(program: Program) -> list[dict[str, Any]]:
    """Return the log, having checked that it is JSON throughout, without an error and without a traceback."""
    assert len(program.log) == len(program.lines), [line for line in program.lines if not line.startswith("{")]
    assert not [entry for entry in program.log if entry["level"] == "error" or "exception" in entry]
    return program.log


async def test_of_1000_running_reconciles_each_ends_or_is_cancelled_within_the_grace(
    control_plane: ControlPlane, namespace: str, start: Start
) -> None:
    quick, slow = {"seconds": "15"}, {"seconds": "3600"}
    kinds = [quick] * 5 + [slow] * 3 + [slow | {"cancelled": "tidy"}, slow | {"cancelled": "return"}]
    await create(control_plane, namespace, kinds * 100)
    program = await start("--workers=1000", "--grace=30")
    await program.logged("began", running=1000)

    program.send(signal.SIGTERM)
    stopping = time.monotonic()
    assert await program.ended() == 0
    assert time.monotonic() - stopping < 30
    without_errors(program)
    assert len(program.entries("finished")) == 500
    assert len(program.entries("tidied")) == 100
    cancelled = program.entries("reconcile cancelled: the controller is stopping")
    assert len({entry["name"] for entry in cancelled}) == 400
    assert program.entries("reconciles cancelled: they did not finish within the grace")[0]["reconciles"] == 500
    assert program.log[-1]["event"] == "manager stopped"
    assert await holder(control_plane, namespace) == ""


async def test_reconciles_that_ignore_their_cancellation_are_named_and_left_behind(
    control_plane: ControlPlane, namespace: str, start: Start
) -> None:
    await create(control_plane, namespace, [{"seconds": "3600", "cancelled": "ignore"}, {"seconds": "3600"}])
    program = await start("--workers=2", "--grace=3")
    await program.logged("began", running=2)
    program.send(signal.SIGTERM)
    assert await program.ended(within=20) == 1
    (exiting,) = program.entries("exiting")
    assert f"of {namespace}/work-0; a reconciler must let asyncio.CancelledError pass" in exiting["error"]
    assert len(program.log[-1]["tasks"]) == 1
    assert await holder(control_plane, namespace) == ""


async def test_sigint_stops_it_as_sigterm_does(control_plane: ControlPlane, namespace: str, start: Start) -> None:
    await create(control_plane, namespace, [{"seconds": "1"}])
    program = await start()
    await program.logged("began")
    program.send(signal.SIGINT)
    assert await program.ended() == 0
    without_errors(program)
    assert program.entries("finished")
    assert await holder(control_plane, namespace) == ""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_kills_it(
    control_plane: ControlPlane, namespace: str, start: Start, number: signal.Signals
) -> None:
    await create(control_plane, namespace, [{"seconds": "3600"}])
    program = await start()
    await program.logged("began")
    program.send(number)
    await program.logged("stopping", signal=number.name)
    program.send(number)
    assert await program.ended(within=10) == -number
    without_errors(program)


async def test_it_stops_at_once_while_the_server_cannot_be_reached(start: Start) -> None:
    program = await start(server="https://127.0.0.1:1")
    await program.logged("list or watch failed")
    program.send(signal.SIGTERM)
    assert await program.ended(within=10) == 0
    without_errors(program)


async def test_it_stops_at_once_while_the_server_does_not_answer(start: Start, proxy: FaultProxy) -> None:
    proxy.freeze()
    program = await start(server=proxy.url)
    await program.logged("manager starting")
    program.send(signal.SIGTERM)
    assert await program.ended(within=10) == 0
    without_errors(program)


async def test_it_stops_at_once_while_it_waits_for_the_lease(
    control_plane: ControlPlane, namespace: str, start: Start
) -> None:
    leader = await start()
    await leader.logged("acquired the lease")
    other = await start()
    await other.logged("waiting for the lease")
    before = await holder(control_plane, namespace)
    other.send(signal.SIGTERM)
    assert await other.ended(within=10) == 0
    without_errors(other)
    assert await holder(control_plane, namespace) == before != ""


async def test_where_the_lease_cannot_be_given_back_it_says_so_and_stops_within_the_grace(
    control_plane: ControlPlane, namespace: str, start: Start, proxy: FaultProxy
) -> None:
    await create(control_plane, namespace, [{"seconds": "1"}])
    for out_of_reach in ("refused", "frozen"):
        program = await start("--grace=10", server=proxy.url)
        await program.logged("finished")
        if out_of_reach == "refused":
            await proxy.refuse_connections()
            proxy.cut_all()
        else:
            proxy.freeze()
        program.send(signal.SIGTERM)
        stopping = time.monotonic()
        assert await program.ended() == 0
        assert time.monotonic() - stopping < 10
        without_errors(program)
        assert program.entries("the lease cannot be released; it ends by itself"), out_of_reach
        proxy.accept_connections()
