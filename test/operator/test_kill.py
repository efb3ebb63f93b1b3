"""An operator that is killed with -9 leaves nothing that the next one does not go on from.

`disvc-manager` runs as a process behind a proxy that sees each of its writes. It is killed at every write of a whole
first creation and a whole rollout: each process makes one write, and the next one goes on from what is recorded.
"""

from __future__ import annotations

import asyncio
import itertools
import signal
import ssl
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from disvc.reconcilers.resources import DISVCS, INGRESSES, ISVCS, REVISIONS, SERVICES
from disvc.testing.faults import HalfOpen, LoseAnswer
from disvc.testing.match import WRITES, Match
from disvc.testing.program import Program
from disvc.testing.proxy import FaultProxy

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from disvc.testing.history import History, Moment
    from disvc.testing.match import APIRequest
    from disvc.testing.relay import Exchange
    from disvc.testing.users import User

    Violations = Callable[[Iterable[Moment]], list[str]]

pytestmark = pytest.mark.usefixtures("kserve")

MANAGER = Path(__file__).parents[2] / "cmd" / "manager"
CHILDREN = {resource.kind for resource in (ISVCS, SERVICES, INGRESSES, REVISIONS)}


def is_of_state(request: APIRequest | Exchange) -> bool:
    """Whether a request is about what the operator goes on from; Events are only told."""
    return request.resource != "events"


class Killer:
    """Runs one operator after the other; each makes one write, and is then killed.

    With `lose_answer`, before it learns that its write took effect. Without, when its second write is on its way, which
    never arrives.
    """

    def __init__(self, cluster: Any, user: User, *, lose_answer: bool) -> None:
        self._cluster = cluster
        self._user = user
        self._lose_answer = lose_answer
        self.phases: set[str] = set()
        """What was recorded when operators were killed."""
        self.writes: set[tuple[str, str]] = set()
        """Verb and resource of the writes that took effect in their lives."""

    async def until(self, done: Callable[[], Awaitable[bool]]) -> None:
        """Let operators live and die until something is so."""
        while not await self._live(done):
            pass

    async def _live(self, done: Callable[[], Awaitable[bool]]) -> bool:
        """Return whether it was so before an operator had to be killed."""
        plane = self._cluster.plane
        async with AsyncExitStack() as stack:
            tls = ssl.create_default_context(cafile=str(plane.ca_file))
            tls.load_cert_chain(plane.front_proxy.cert_file, plane.front_proxy.key_file)
            proxy = await stack.enter_async_context(
                FaultProxy(plane.url, ssl=tls, user=self._user.name, groups=["system:authenticated"])
            )
            if self._lose_answer:
                end = proxy.inject(Match(verb=WRITES, where=is_of_state), LoseAnswer(half_open=True), times=1)
                proxy.inject(Match(verb=WRITES, where=is_of_state), HalfOpen())
            else:
                writes = itertools.count()
                end = proxy.inject(Match(verb=WRITES, where=lambda r: is_of_state(r) and next(writes) > 0), HalfOpen())
            flags = [
                f"--kubeconfig={plane.kubeconfig(self._user, proxy.url)}",
                f"--watch-namespaces={self._cluster.namespace}",
                "--metrics-bind-address=0",
                "--health-probe-bind-address=0",
            ]
            program = await stack.enter_async_context(Program(MANAGER, *flags, environment={}))
            struck = asyncio.create_task(end.struck())
            stack.callback(struck.cancel)

            def effective() -> list[Exchange]:
                return [e for e in proxy.requests if e.verb in WRITES and is_of_state(e) and e.status is not None]

            async def is_over() -> bool:
                return (struck.done() and bool(effective())) or await done()

            await self._cluster.until(is_over)
            program.send(signal.SIGKILL)
            assert await program.ended() == -signal.SIGKILL
            # The last one is killed after its write, too, with no other on its way.
            self.writes |= {(exchange.verb, exchange.resource) for exchange in effective()}
            if not struck.done():
                return True
            self.phases.add((await self._cluster.status()).get("phase", ""))
            return False


@pytest.mark.parametrize("lose_answer", [True, False], ids=["after it took effect", "before it arrived"])
async def test_an_operator_killed_at_any_write_goes_on_from_what_is_recorded(
    cluster: Any, operator_user: User, history: History, violations: Violations, *, lose_answer: bool
) -> None:
    killer = Killer(cluster, operator_user, lose_answer=lose_answer)

    async def rolled_out(revision: str) -> bool:
        ready = await cluster.condition("Ready")
        generation = (await cluster.get("m"))["metadata"]["generation"]
        services = {name for name in await cluster.names(SERVICES) if "predictor" not in name}
        return (
            (ready.get("status"), ready.get("observedGeneration")) == ("True", generation)
            and services == {"m", revision}
            and await cluster.names(ISVCS) == {f"{revision}-0"}
        )

    await cluster.create(cluster.manifest(annotations={"version": "v1"}))
    await killer.until(lambda: rolled_out("m-v1"))
    await cluster.set_spec("m", annotations={"version": "v2"})
    await killer.until(lambda: rolled_out("m-v2"))

    moments = await history.moments()
    assert violations(moments) == []
    of_children = [m.change for m in moments if m.change.resource.kind in CHILDREN and "predictor" not in m.change.name]
    made = sorted((c.resource.kind, c.name) for c in of_children if c.type == "ADDED")
    assert made == [
        *(("ControllerRevision", f"m-v{number}") for number in (1, 2)),
        *(("InferenceService", f"m-v{number}-0") for number in (1, 2)),
        ("Ingress", "m"),
        *(("Service", name) for name in ("m", "m-v1", "m-v2")),
    ]
    gone = sorted((c.resource.kind, c.name) for c in of_children if c.type == "DELETED")
    assert gone == [("InferenceService", "m-v1-0"), ("Service", "m-v1")]
    assert killer.phases >= {"Initializing", "Progressing", "Switching", "Draining"}
    assert killer.writes >= {
        *(("create", resource.plural) for resource in (ISVCS, SERVICES, INGRESSES, REVISIONS)),
        *(("patch", resource.plural) for resource in (SERVICES, INGRESSES, DISVCS)),
        ("delete", SERVICES.plural),
    }
