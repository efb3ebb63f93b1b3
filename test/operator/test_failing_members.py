"""Members that fail, each in its own way: the DISVC says which one and why, from the pod where KServe is silent.

That the reason is told at once is shown by order, and not by a clock: here nothing reminds the operator to look again,
so that what it tells it tells because of the event. How long that took is printed (pytest -rP).
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from disvc.reconcilers import status
from disvc.reconcilers.resources import DISVCS, ENDPOINT_SLICES, EVENTS, INGRESSES, ISVCS, PODS, SERVICES
from disvc.rollout.names import SERVICE_NAME_LABEL
from disvc.runtime import Environment, Resource, SystemClock, connect
from disvc.testing.history import History
from disvc.testing.kserve import (
    Behaviour,
    Crash,
    Flapping,
    Healthy,
    ImageNotPulled,
    InitFailure,
    OutOfMemory,
    Silent,
    UnknownRuntime,
    UnsupportedStorage,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence
    from contextlib import AbstractAsyncContextManager

    from disvc.runtime import Manager
    from disvc.testing.history import Moment
    from disvc.testing.kserve import SimulatedKServe

    Value = dict[str, Any]
    Operate = Callable[..., AbstractAsyncContextManager[Manager]]
    Violations = Callable[[Iterable[Moment]], list[str]]

V1, V2 = {"version": "v1"}, {"version": "v2"}
NEVER = 3600.0
NEVER_READY = Healthy(startup_seconds=math.inf)


class Failure(NamedTuple):
    """A way to fail."""

    behaviour: Behaviour
    words: str
    """What the message says of it."""
    shown_by: str
    """The kind of the object that shows it first."""
    shown_as: str
    """What stands in that object then."""
    kserve_tells: bool
    """Whether KServe says so itself, as long as its Deployment's deadline is not over."""


FAILURES = {
    "crashes": Failure(Crash(), "container kserve-container: CrashLoopBackOff (exit code 1)", "Pod", "exitCode", False),
    "cannot pull its image": Failure(ImageNotPulled(), "ImagePullBackOff of ", "Pod", "ErrImagePull", False),
    "runs out of memory": Failure(OutOfMemory(), "OOMKilled (exit code 137", "Pod", "OOMKilled", False),
    "fails in its storage-initializer": Failure(
        InitFailure(), "Failed to fetch model. No model found in the storageUri", "Pod", "Failed to fetch model", True
    ),
    "names an unknown runtime": Failure(
        UnknownRuntime(), "RuntimeNotRecognized", "InferenceService", "RuntimeNotRecognized", True
    ),
    "names an unsupported storageUri": Failure(
        UnsupportedStorage(), "StorageURI not supported", "Event", "StorageURI not supported", False
    ),
}
every_failure = pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)


@pytest.fixture
def no_reminder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing but events makes the operator look."""
    monkeypatch.setattr(status, "REMIND_SECONDS", NEVER)


@pytest.fixture
async def everything(cluster: Any) -> AsyncIterator[History]:
    """All that happens in the namespace that the operator may see."""
    disvcs: Resource[Value] = Resource(DISVCS.api_version, DISVCS.kind, DISVCS.plural)
    async with (
        connect(cluster.plane.admin.kubeconfig) as transport,
        History(transport, cluster.namespace, disvcs, ISVCS, PODS, EVENTS, SERVICES, INGRESSES) as history,
    ):
        yield history


def told(value: Value, kind: str = "Ready") -> Value:
    """Return a condition of a DISVC, empty where it is absent."""
    conditions = value.get("status", {}).get("conditions", ())
    return next((c for c in conditions if c["type"] == kind), {"status": "", "reason": "", "message": ""})


def phases(moments: Sequence[Moment]) -> list[str]:
    """Return the phases that were recorded, in order."""
    found = (m.change.object.get("status", {}).get("phase") for m in moments if m.change.resource.kind == DISVCS.kind)
    return [phase for phase, _ in groupby(phase for phase in found if phase)]


def written(moments: Sequence[Moment]) -> list[Value]:
    """Return the states of the DISVC m, in order."""
    return [m.change.object for m in moments if m.change.resource.kind == DISVCS.kind]


async def says(cluster: Any, member: str, words: str) -> bool:
    ready = await cluster.condition("Ready")
    return f"{member}: " in ready.get("message", "") and words in ready["message"]


def check_order(moments: Sequence[Moment], member: str, failure: Failure) -> None:
    """Check that the reason was told from the first thing that showed it, and print after how many seconds."""
    shown = next(
        i
        for i, m in enumerate(moments)
        if m.change.resource.kind == failure.shown_by and m.change.name.startswith(member)
        if failure.shown_as in str(m.change.object)
    )
    said = next(
        i
        for i, m in enumerate(moments)
        if m.change.resource.kind == DISVCS.kind and failure.words in told(m.change.object)["message"]
    )
    assert shown < said
    assert member in told(moments[said].change.object)["message"]
    seconds = moments[said].change.received - moments[shown].change.received
    print(f"{type(failure.behaviour).__name__} of {member}: told {seconds:.3f} s after it showed")  # noqa: T201
    if not failure.kserve_tells:
        # KServe has not said it even when the test is over.
        isvcs = next(state for resource, state in moments[-1].state.items() if resource.kind == ISVCS.kind)
        conditions = isvcs[member]["status"].get("conditions", ())
        assert "lastFailureInfo" not in isvcs[member]["status"]["modelStatus"]
        assert not any(failure.words in c.get("message", "") for c in conditions)


@every_failure
@pytest.mark.usefixtures("no_reminder")
async def test_a_member_of_the_first_revision_that_fails_is_named_with_the_reason_and_the_service_recovers_with_it(
    cluster: Any, kserve: SimulatedKServe, operator: Manager, everything: History, failure: Failure
) -> None:
    late = failure.shown_by == "Pod"  # when KServe has said what it has to say, nothing but the pod tells
    kserve.behave("m-v1-1", NEVER_READY if late else failure.behaviour)
    await cluster.create(cluster.manifest(replicas=2))
    if late:
        await cluster.until(lambda: says(cluster, "m-v1-1", "container kserve-container runs, and is not ready"))
        kserve.behave("m-v1-1", failure.behaviour)
    await cluster.until(lambda: says(cluster, "m-v1-1", failure.words))
    ready = await cluster.until_condition("Ready", "Unknown", "MemberFailing")
    assert "see: kubectl -n " in ready["message"]
    check_order(await everything.moments(), "m-v1-1", failure)
    kserve.behave("m-v1-1", Healthy())
    await cluster.until_ready()
    moments = await everything.moments()
    assert phases(moments) == ["Initializing", "Stable"]
    assert {
        m.change.name for m in moments if m.change.type == "DELETED" and m.change.resource in (ISVCS, SERVICES)
    } == set()


@every_failure
@pytest.mark.usefixtures("no_reminder")
async def test_a_member_of_v2_that_fails_is_named_while_v1_serves_and_the_reason_stays_after_the_deadline(
    cluster: Any,
    kserve: SimulatedKServe,
    operator: Manager,
    everything: History,
    failure: Failure,
) -> None:
    await cluster.create(cluster.manifest(annotations=V1))
    await cluster.until_ready()
    kserve.behave("m-v2-0", failure.behaviour)
    await cluster.set_spec("m", annotations=V2)
    await cluster.until(lambda: says(cluster, "m-v2-0", failure.words))
    check_order(await everything.moments(), "m-v2-0", failure)
    # The deadline is over now.
    await cluster.set_spec("m", deploymentStrategy={"progressDeadlineSeconds": 1})
    await cluster.until_phase("Failed")
    stalled = await cluster.until_condition("Stalled", reason="ProgressDeadlineExceeded")
    assert "m-v2-0: " in stalled["message"]
    assert failure.words in stalled["message"]
    assert failure.words in (await cluster.status())["rollout"]["message"]
    await cluster.until_gone(ISVCS, "m-v2-0")
    moments = await everything.moments()
    assert phases(moments) == ["Initializing", "Stable", "Progressing", "RollingBack", "Failed"]
    states = written(moments)
    serving = states[next(i for i, value in enumerate(states) if told(value, "Available")["status"] == "True") :]
    assert {told(value, "Available")["status"] for value in serving} == {"True"}
    assert {value["status"]["activeRevision"]["name"] for value in serving} == {"m-v1"}


@pytest.mark.usefixtures("no_reminder")
async def test_a_warning_event_about_a_member_is_told_though_nothing_else_happens(
    cluster: Any, kserve: SimulatedKServe, operator: Manager
) -> None:
    kserve.behave("m-v1-0", NEVER_READY)
    await cluster.create(cluster.manifest())
    await cluster.until(lambda: says(cluster, "m-v1-0", "container kserve-container runs, and is not ready"))
    isvc = await cluster.get("m-v1-0", ISVCS)
    event = {
        "metadata": {"name": "late"},
        "involvedObject": {"kind": "InferenceService", "name": "m-v1-0", "uid": isvc["metadata"]["uid"]}
        | {"apiVersion": "serving.kserve.io/v1beta1", "namespace": cluster.namespace},
        "type": "Warning",
        "reason": "InternalError",
        "message": "the bucket is on fire",
        "lastTimestamp": f"{datetime.now(UTC) + timedelta(seconds=60):%Y-%m-%dT%H:%M:%SZ}",  # after all KServe has said
    }
    await cluster.create(event, EVENTS)
    await cluster.until(lambda: says(cluster, "m-v1-0", "InternalError: the bucket is on fire"))


async def test_what_serves_and_flaps_is_followed_by_its_endpoints_and_nothing_else_happens(
    cluster: Any, kserve: SimulatedKServe, operator: Manager, everything: History
) -> None:
    await cluster.create(cluster.manifest())
    await cluster.until_ready()
    before = {name: await cluster.list(resource) for name, resource in (("isvc", ISVCS), ("route", INGRESSES))}
    kserve.behave("m-v1-0", Flapping(ready_seconds=1, unready_seconds=1))

    async def has_flapped() -> bool:
        followed = [told(value, "Available")["status"] for value in written(await everything.moments())]
        return [status for status, _ in groupby(followed)].count("False") > 2  # and once before it was ready

    await cluster.until(has_flapped)
    kserve.recover("m-v1-0")
    await cluster.until_ready()
    moments = await everything.moments()
    assert phases(moments) == ["Initializing", "Stable"]
    for kind, resource in (("isvc", ISVCS), ("route", INGRESSES)):
        after = await cluster.list(resource)
        assert {name: value["metadata"]["generation"] for name, value in after.items()} == {
            name: value["metadata"]["generation"] for name, value in before[kind].items()
        }
    for value in written(moments):
        available = told(value, "Available")
        assert available["reason"] in ("", "Initializing", "Serving", "NoEndpoints")


async def test_a_member_of_v2_that_flaps_gets_no_traffic_before_it_was_ready_for_minreadyseconds(
    cluster: Any, kserve: SimulatedKServe, operator: Manager, history: History, violations: Violations
) -> None:
    quick = {"propagationSeconds": 0, "drainSeconds": 0, "minReadySeconds": 4}
    await cluster.create(cluster.manifest(annotations=V1, deploymentStrategy=quick))
    await cluster.until_ready()
    kserve.behave("m-v2-0", Flapping(ready_seconds=1, unready_seconds=1))
    await cluster.set_spec("m", annotations=V2)

    async def ready_twice() -> bool:
        rollouts = [value["status"].get("rollout") for value in written(await history.moments()) if "status" in value]
        since = [(rollout or {}).get("readyAt") for rollout in rollouts]
        return len([at for at, _ in groupby(since) if at]) >= 2

    await cluster.until(ready_twice)
    assert phases(await history.moments()) == ["Initializing", "Stable", "Progressing"]
    kserve.recover("m-v2-0")
    status = await cluster.until_ready()
    assert status["activeRevision"]["name"] == "m-v2"
    moments = await history.moments()
    assert violations(moments) == []
    ready_at, switched = (
        next(value for value in written(moments) if value.get("status", {}).get("phase") == phase)
        for phase in ("Switching", "Draining")
    )
    held = _time(switched["status"]["rollout"]["switchedAt"]) - _time(ready_at["status"]["rollout"]["readyAt"])
    assert held >= timedelta(seconds=4)


class Ahead(SystemClock):
    """A clock that can be put forward."""

    seconds = 0.0

    def now(self) -> datetime:
        return super().now() + timedelta(seconds=self.seconds)


@pytest.mark.parametrize("phase", ["Initializing", "Stable"])
async def test_a_member_that_kserve_is_silent_about_is_named_though_no_event_comes(
    cluster: Any, kserve: SimulatedKServe, operate: Operate, monkeypatch: pytest.MonkeyPatch, phase: str
) -> None:
    monkeypatch.setattr(status, "REMIND_SECONDS", 0.5)
    clock = Ahead()
    kserve.behave("m-v1-1", Silent())
    async with operate(environment=Environment(clock=clock)):
        if phase == "Stable":
            await cluster.create(cluster.manifest())
            await cluster.until_ready()
            await cluster.set_spec("m", replicas=2)
        else:
            await cluster.create(cluster.manifest(replicas=2))
        await cluster.until(lambda: says(cluster, "m-v1-1", "KServe has written no status yet"))
        await cluster.until(lambda: _ready_addresses(cluster, 2))  # the last event of all
        clock.seconds = 60
        await cluster.until(lambda: says(cluster, "m-v1-1", "is its controller running"))
        assert (await cluster.condition("Ready"))["reason"] == "MemberFailing"
        kserve.behave("m-v1-1", Healthy())
        await cluster.until_ready()


async def _ready_addresses(cluster: Any, count: int) -> bool:
    found = (await cluster.list(ENDPOINT_SLICES)).values()
    mine = [one for one in found if one["metadata"]["labels"][SERVICE_NAME_LABEL] == "m-v1"]
    ready = [endpoint["conditions"]["ready"] for one in mine for endpoint in one.get("endpoints") or ()]
    return ready.count(True) == count


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
