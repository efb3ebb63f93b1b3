"""The story of the demo: three workflows, scaling, two good rollouts and a bad one, under load."""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, TypeVar

from disvc.local.demo.clients import GRPC, REST
from disvc.local.demo.load import Load
from disvc.local.demo.questions import Question, answers, iris, pair
from disvc.local.demo.stage import QUICK
from disvc.local.demo.summary import lines, strays
from disvc.local.models import BROKEN, EXAMPLE_ROWS, IRIS, IRIS_2

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from contextlib import AbstractAsyncContextManager

    from disvc.local.demo.clients import Client
    from disvc.local.demo.narrator import Narrator
    from disvc.local.demo.stage import Stage
    from disvc.local.models import TrainedModel

    Value = dict[str, Any]

T = TypeVar("T")

REST_NAME: Final = "iris-rest"
GRPC_NAME: Final = "iris-grpc"
ONE: Final = "model 1"
TWO: Final = "model 2"
URIS: Final = {ONE: IRIS, TWO: IRIS_2}
REQUESTS: Final = 5000
"""So many are sent at least."""
RATE: Final = 130.0
"""Requests a second, half of them REST, half gRPC."""
SHORT_DEADLINE_SECONDS: Final = 5
_WITHOUT_OPERATOR_SECONDS: Final = 1.5
_INGRESS_SECONDS: Final = 30.0
_REST_SECONDS: Final = 1.5
_CLIENTS: Final = 24
_SHOWN: Final = 4


class Story:
    """Tells it once, on a stage that is empty."""

    def __init__(self, stage: Stage, narrator: Narrator, models: Sequence[TrainedModel]) -> None:
        self._stage = stage
        self._narrator = narrator
        folders = {version: model.folder for version, uri in URIS.items() for model in models if model.uri == uri}
        self._example = Question(EXAMPLE_ROWS, answers(folders, EXAMPLE_ROWS))
        rows = iris()
        self._questions = pair(rows, answers(folders, rows))
        self._expected: dict[tuple[str, str], Collection[str]] = {}
        self._clients = AsyncExitStack()

    async def tell(self) -> None:
        """Tell it, and end with what came of it. Raises `TimeoutError` where something does not come about."""
        async with self._clients:
            await self._workflow_1()
            await self._workflow_2()
            self._load = Load(await self._load_clients(), self._questions, RATE)
            self._begin("one member each", {ONE}, {ONE})
            self._narrator.progress = self._load.progress
            async with self._load.running():
                await self._scaling()
                await self._workflow_3()
                await self._killed_operator()
                await self._bad_model()
                await self._until_enough()
        self._end()

    # The chapters.

    async def _workflow_1(self) -> None:
        self._narrator.title("Workflow 1: scale-out over REST")
        self._stage.show("scale-out-rest.yaml")
        self._narrator.say(
            f"deploymentStrategy is added: propagationSeconds {QUICK['propagationSeconds']}, drainSeconds "
            f"{QUICK['drainSeconds']}. By default an old revision is kept for 30 s after the switch, which is safer, "
            "and longer than one wants to watch."
        )
        await self._stage.apply("scale-out-rest.yaml")
        await self._stage.ready(REST_NAME, 1)
        for host in (self._stage.outside(REST_NAME), self._stage.inside(REST_NAME)):
            await self._example_of(await self._open(REST(self._stage.ports, host, REST_NAME)))

    async def _workflow_2(self) -> None:
        self._narrator.title("Workflow 2: scale-out over gRPC")
        self._ca = await self._stage.make_certificate(GRPC_NAME)
        await self._stage.apply("scale-out-grpc.yaml")
        await self._stage.ready(GRPC_NAME, 1)
        for client in await self._grpc_clients():
            self._narrator.promise(await client.is_ready(), f"gRPC {client.address}: ServerReady")
            await self._example_of(client)

    async def _scaling(self) -> None:
        self._narrator.title(f"Replicas and session affinity, under {RATE:.0f} requests a second")
        await asyncio.sleep(_REST_SECONDS)
        for replicas in (2, 3):
            self._begin(f"scaling to {replicas}", {ONE}, {ONE})
            await self._stage.scale(REST_NAME, replicas)
            await self._affinity(replicas)
        self._begin("scaling to 1", {ONE}, {ONE})
        await self._stage.scale(REST_NAME, 1)
        await self._stage.gone(f"{REST_NAME}-v1-1-", f"{REST_NAME}-v1-2-")
        self._narrator.tell("the pods of the other members have ended, after their drain")

    async def _workflow_3(self) -> None:
        self._narrator.title("Workflow 3: rolling update to another model, REST")
        self._begin("REST to model 2", {ONE, TWO}, {ONE})
        await self._stage.change_model(REST_NAME, "inferenservice", IRIS_2)
        await self._stage.rolled_out(REST_NAME, 1, 2)
        self._begin("both serve", {TWO}, {ONE})
        await asyncio.sleep(_REST_SECONDS)
        await self._example_of(
            await self._open(REST(self._stage.ports, self._stage.outside(REST_NAME), REST_NAME)), TWO
        )

    async def _killed_operator(self) -> None:
        self._narrator.title("A second rollout, gRPC; the operator is killed in the middle of it")
        self._begin("gRPC to model 2, kill -9", {TWO}, {ONE, TWO})
        await self._stage.change_model(GRPC_NAME, "inferenceService", IRIS_2)
        await self._stage.until(GRPC_NAME, lambda status: status["phase"] == "Switching", "until it switches")
        operator = self._stage.operator
        await operator.kill()
        self._narrator.tell(f"disvc-manager (pid {operator.pid}) is killed with SIGKILL; nobody operates", "bold")
        await asyncio.sleep(_WITHOUT_OPERATOR_SECONDS)
        await operator.start()
        self._narrator.tell(f"disvc-manager is started again (pid {operator.pid})", "bold")
        await self._stage.rolled_out(GRPC_NAME, 1, 2)
        self._begin("model 2 serves", {TWO}, {TWO})
        await asyncio.sleep(_REST_SECONDS)
        for client in await self._grpc_clients():
            await self._example_of(client, TWO)

    async def _bad_model(self) -> None:
        self._narrator.title("A model that does not load, REST")
        self._begin("a bad rollout", {TWO}, {TWO})
        await self._stage.change_model(REST_NAME, "inferenservice", BROKEN)
        member = f"{REST_NAME}-v3-0"
        status = await self._stage.until(
            REST_NAME, lambda status: "exit code" in _message(status), f"until the status says what {member} has"
        )
        self._narrator.tell(f"its condition Ready says: {_message(status)}", "yellow")
        self._narrator.promise(member in _message(status), "its status names the member that does not load, and why")
        await self._stage.patch(
            REST_NAME,
            {"deploymentStrategy": {"progressDeadlineSeconds": SHORT_DEADLINE_SECONDS}},
            f"progressDeadlineSeconds, by default 600, is set to {SHORT_DEADLINE_SECONDS}, as nobody wants to wait",
        )
        status = await self._stage.until(
            REST_NAME, lambda status: status["phase"] == "Failed", f"until {REST_NAME} is Failed"
        )
        active = status["activeRevision"]["name"]
        self._narrator.promise(active == f"{REST_NAME}-v2", f"{REST_NAME} is Failed, and {REST_NAME}-v2 serves on")
        await self._stage.gone(f"{REST_NAME}-v3-")
        self._narrator.tell(f"nothing of {REST_NAME}-v3 is left")
        await self._stage.patch(
            REST_NAME, {"deploymentStrategy": {"progressDeadlineSeconds": None}}, "progressDeadlineSeconds is as it was"
        )
        await self._stage.change_model(REST_NAME, "inferenservice", IRIS_2)
        await self._stage.ready(REST_NAME, 1)
        status = await self._stage.until(REST_NAME, lambda status: status["phase"] == "Stable", "until it is Stable")
        again = status["targetRevision"]["name"]
        self._narrator.promise(
            again == active, f"the template of {active} again is no rollout: it serves, and is Stable"
        )
        await self._example_of(
            await self._open(REST(self._stage.ports, self._stage.outside(REST_NAME), REST_NAME)), TWO
        )

    async def _until_enough(self) -> None:
        if len(self._load.samples) >= REQUESTS:
            return
        self._begin("until there are enough", {TWO}, {TWO})
        with self._narrator.waiting(f"until {REQUESTS} requests are sent"):
            while len(self._load.samples) < REQUESTS:  # noqa: ASYNC110 - the load tells nobody of each
                await asyncio.sleep(0.1)

    def _end(self) -> None:
        samples = self._load.samples
        self._narrator.title("In the end")
        self._narrator.summary(lines(samples, list(URIS)), list(URIS))
        failed = [sample for sample in samples if sample.problem]
        for sample in failed[:_SHOWN]:
            self._narrator.say(f"{sample.phase}, {sample.protocol} {sample.address}: {sample.problem}", "red")
        self._narrator.promise(
            not failed, f"{len(failed)} of {len(samples)} requests failed, REST and gRPC, from outside and inside"
        )
        self._narrator.promise(len(samples) >= REQUESTS, f"they were {REQUESTS} at least")
        stray = strays(samples, self._expected)
        self._narrator.promise(
            not stray, f"{len(stray)} answers were another model's than the one that should serve at that time"
        )

    # What the chapters are made of.

    def _begin(self, phase: str, rest: Collection[str], grpc: Collection[str]) -> None:
        """Count the load under a phase from now on, in which these models may answer."""
        self._expected |= {(phase, "REST"): rest, (phase, "gRPC"): grpc}
        self._load.phase = phase

    async def _example_of(self, client: Client, version: str = ONE) -> None:
        classes, _ = await client.ask(self._example.rows)
        expected = list(self._example.answers[version])
        asked = f"{client.protocol} {client.address}: {self._example.rows} are {classes}"
        self._narrator.promise(classes == expected, f"{asked}; scikit-learn says {expected} ({version})")

    async def _affinity(self, replicas: int) -> None:
        """Ask as many clients, some times each and by both addresses, and tell which members they meet."""
        clients = _client_ips()
        for host in (self._stage.outside(REST_NAME), self._stage.inside(REST_NAME)):
            with self._narrator.waiting(f"until {host} leads to {replicas} members"):
                async with asyncio.timeout(_INGRESS_SECONDS):
                    while len(set(await self._met(host, clients))) < min(replicas, len(clients)):
                        pass  # what the status tells, the ingress does some milliseconds later
            met, *again = [await self._met(host, clients) for _ in range(3)]
            for member in sorted(set(met)):
                first, *others = (client for client, its in zip(clients, met, strict=True) if its == member)
                self._narrator.tell(f"client {first} meets {member}, and {len(others)} others do")
            self._narrator.promise(
                all(each == met for each in again), f"{host}: each of {len(clients)} clients stays with one member"
            )
            if len(clients) > 1:  # on macOS there is one loopback address only
                self._narrator.promise(len(set(met)) == replicas, f"{host}: together they meet {replicas} members")

    async def _met(self, host: str, clients: Sequence[str]) -> list[str]:
        """Return which member each client meets by a new connection."""
        return await asyncio.gather(*(self._met_by(host, client) for client in clients))

    async def _met_by(self, host: str, client_ip: str) -> str:
        async with REST(self._stage.ports, host, REST_NAME, client_ip=client_ip) as client:
            _, pod = await client.ask(self._example.rows)
            return pod.partition("-predictor-")[0]

    async def _grpc_clients(self) -> list[GRPC]:
        """Return one client from outside, over TLS, and one from inside, by h2c."""
        outside = GRPC(self._stage.ports, self._stage.outside(GRPC_NAME), GRPC_NAME, ca=self._ca)
        inside = GRPC(self._stage.ports, self._stage.inside(GRPC_NAME), GRPC_NAME)
        return [await self._open(outside), await self._open(inside)]

    async def _load_clients(self) -> list[Client]:
        """Return clients of both protocols in turn, each of them from outside and from inside."""
        hosts = (self._stage.outside(REST_NAME), self._stage.inside(REST_NAME))
        rest = [REST(self._stage.ports, host, REST_NAME, client_ip=ip) for ip in _client_ips()[:4] for host in hosts]
        grpc = await self._grpc_clients() * (len(rest) // 2)
        return list(chain.from_iterable(zip([await self._open(client) for client in rest], grpc, strict=True)))

    async def _open(self, client: AbstractAsyncContextManager[T]) -> T:
        return await self._clients.enter_async_context(client)


def _message(status: Value) -> str:
    """Return what the condition Ready says."""
    return str(next((c["message"] for c in status.get("conditions", ()) if c["type"] == "Ready"), ""))


def _client_ips() -> list[str]:
    """Return loopback addresses that clients can have: one where a system has only that, as macOS."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.1.1", 0))
        except OSError:
            return ["127.0.0.1"]
    return [f"127.0.1.{number}" for number in range(1, _CLIENTS + 1)]
