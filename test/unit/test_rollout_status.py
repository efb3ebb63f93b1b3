"""The status as it is recorded, and which changes of it are worth a write at once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from disvc.api.status import Address, DistributedInferenceServiceStatus, Phase, Revision, Rollout
from disvc.api.types import DistributedInferenceService
from disvc.rollout.configuration import RoutingDefaults
from disvc.rollout.inference_service import render
from disvc.rollout.machine import Step, step
from disvc.rollout.observation import Member, Observation, Obstacle, Problem, Routes
from disvc.rollout.revision import Record
from disvc.rollout.status import PROGRESS_SECONDS, is_urgent, status
from disvc.rollout.template import template_hash, template_of

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
PREDICTOR = {"predictor": {"model": {"modelFormat": {"name": "sklearn"}, "storageUri": "gs://models/iris"}}}
CRASH = Problem("CrashLoopBackOff", "the server crashes", "kubectl -n ns logs m-v2-0", NOON)
ROUTED_TO_V1, ROUTED_TO_V2 = Routes("m-v1", "m-v1"), Routes("m-v2", "m-v2")


def disvc(
    recorded: DistributedInferenceServiceStatus | None = None,
    labels: dict[str, str] | None = None,
    annotations: dict[str, str] | None = None,
    **spec: Any,
) -> DistributedInferenceService:
    metadata = {
        "name": "m",
        "namespace": "ns",
        "uid": "u",
        "generation": 7,
        "labels": labels or {},
        "annotations": annotations or {},
    }
    asked = DistributedInferenceService.model_validate(
        {"metadata": metadata, "spec": {"inferenceService": PREDICTOR, **spec}}
    )
    return asked.model_copy(update={"status": recorded or DistributedInferenceServiceStatus()})


HASH = template_hash(template_of(disvc()))
V1, V2 = (Revision(name=f"m-v{number}", number=number, hash=HASH) for number in (1, 2))
RECORDS = {ref.name: Record(ref, template_of(disvc()), render(disvc(), ref.number)) for ref in (V1, V2)}


def members(ref: Revision, *ready: bool, **fields: Any) -> tuple[Member, ...]:
    return tuple(
        Member(f"{ref.name}-{index}", ref.name, index, HASH, ready=one, **fields) for index, one in enumerate(ready)
    )


def made(
    phase: Phase | None,
    active: Revision | None,
    target: Revision | None,
    *found: tuple[Member, ...],
    endpoints: dict[str, int] | None = None,
    routes: Routes = ROUTED_TO_V1,
    asked: DistributedInferenceService | None = None,
    obstacles: tuple[Obstacle, ...] = (),
    behind: bool = False,
) -> DistributedInferenceServiceStatus:
    """The status of a phase in which this is seen."""
    rollout = None if phase in (None, Phase.STABLE) else Rollout(started_at=NOON)
    taken = Step(phase, active, target, rollout) if phase is not None and target is not None else None
    seen = Observation(tuple(one for several in found for one in several), endpoints or {}, routes)
    return status(asked or disvc(), taken, RECORDS, seen, obstacles, "", RoutingDefaults(), NOON, behind=behind)


def condition(found: DistributedInferenceServiceStatus, kind: str) -> str:
    return next((f"{one.status} {one.reason}" for one in found.conditions if one.type == kind), "absent")


def test_a_service_that_serves_says_where_and_by_what() -> None:
    asked = disvc(replicas=2)
    found = made(Phase.STABLE, V1, V1, members(V1, True, True), endpoints={"m-v1": 2}, asked=asked)
    assert found.model_copy(update={"conditions": []}) == DistributedInferenceServiceStatus(
        observed_generation=7,
        phase=Phase.STABLE,
        url="http://m-ns.example.com",
        address=Address(url="http://m-v1.ns.svc.cluster.local"),
        replicas=2,
        ready_replicas=2,
        updated_replicas=2,
        ready="2/2",
        selector="disvc=m",
        active_revision=V1,
        target_revision=V1,
    )
    assert [(one.type, one.status) for one in found.conditions] == [
        ("Ready", "True"),
        ("Available", "True"),
        ("TrafficReady", "True"),
    ]
    assert {one.observed_generation for one in found.conditions} == {7}
    assert {one.last_transition_time for one in found.conditions} == {NOON}


@pytest.mark.parametrize("phase", [Phase.INITIALIZING, Phase.FAILED])
def test_there_is_no_address_before_the_first_revision_was_ready(phase: Phase) -> None:
    found = made(phase, None, V1, members(V1, True, False), endpoints={"m-v1": 1})
    assert (found.url, found.address) == (None, None)
    assert (found.replicas, found.ready_replicas, found.ready) == (2, 1, "1/1")


def test_members_are_those_of_the_active_revision_and_updated_ones_those_of_the_target() -> None:
    found = made(Phase.PROGRESSING, V1, V2, members(V1, True, True, False), members(V2, False), asked=disvc(replicas=3))
    assert (found.replicas, found.ready_replicas, found.ready, found.updated_replicas) == (3, 2, "2/3", 1)


def test_nothing_is_known_of_a_service_of_which_nothing_could_be_begun() -> None:
    too_long = Obstacle("NameTooLong", "too long by far", needs_person=True, retry_seconds=600)
    found = made(None, None, None, routes=Routes(), obstacles=(too_long,), behind=True)
    assert found.phase is None
    assert (found.observed_generation, found.replicas, found.ready) == (7, 0, "0/1")
    assert condition(found, "Stalled") == "True NameTooLong"


def test_a_phase_that_cannot_be_left_stays_with_the_reason() -> None:
    before = made(Phase.STABLE, V1, V1, members(V1, True), endpoints={"m-v1": 1})
    too_long = Obstacle("NameTooLong", "too long by far", needs_person=True, retry_seconds=600)
    found = made(
        None,
        None,
        None,
        members(V1, True),
        endpoints={"m-v1": 1},
        asked=disvc(before),
        obstacles=(too_long,),
        behind=True,
    )
    assert (found.phase, found.active_revision, found.url) == (Phase.STABLE, V1, before.url)
    assert condition(found, "Available") == "True Serving"
    assert condition(found, "Ready") == "False NameTooLong"


def test_a_service_for_its_cluster_alone_has_the_stable_address_as_its_url() -> None:
    local = disvc(labels={"networking.kserve.io/visibility": "cluster-local"})
    found = made(Phase.STABLE, V1, V1, members(V1, True), endpoints={"m-v1": 1}, asked=local)
    assert found.url == "http://m.ns.svc.cluster.local"


@pytest.mark.parametrize(
    ("phase", "routes", "endpoints", "available"),
    [
        (Phase.SWITCHING, ROUTED_TO_V1, {"m-v1": 0, "m-v2": 1}, "False NoEndpoints"),
        (Phase.SWITCHING, ROUTED_TO_V2, {"m-v1": 0, "m-v2": 1}, "True Serving"),
        (Phase.SWITCHING, ROUTED_TO_V2, {"m-v1": 1, "m-v2": 0}, "False NoEndpoints"),
        (Phase.SWITCHING, Routes("m-v2", "m-v1"), {"m-v1": 1, "m-v2": 1}, "True Serving"),
        (Phase.ROLLING_BACK, ROUTED_TO_V2, {"m-v1": 1, "m-v2": 0}, "False NoEndpoints"),
        (Phase.ROLLING_BACK, ROUTED_TO_V1, {"m-v1": 1, "m-v2": 0}, "True Serving"),
        (Phase.PROGRESSING, ROUTED_TO_V1, {"m-v1": 0, "m-v2": 1}, "False NoEndpoints"),
        (Phase.PROGRESSING, Routes(), {"m-v1": 1, "m-v2": 0}, "True Serving"),
    ],
)
def test_what_is_available_is_what_the_routes_lead_to(
    phase: Phase, routes: Routes, endpoints: dict[str, int], available: str
) -> None:
    found = made(phase, V1, V2, members(V1, True), members(V2, True), endpoints=endpoints, routes=routes)
    assert condition(found, "Available") == available


@pytest.mark.parametrize(
    ("phase", "routes", "ready"),
    [
        (Phase.PROGRESSING, ROUTED_TO_V1, "True Routed"),
        (Phase.PROGRESSING, ROUTED_TO_V2, "Unknown RoutesPending"),
        (Phase.SWITCHING, ROUTED_TO_V1, "Unknown RoutesPending"),
        (Phase.SWITCHING, Routes("m-v2", "m-v1"), "Unknown RoutesPending"),
        (Phase.SWITCHING, ROUTED_TO_V2, "True Routed"),
        (Phase.ROLLING_BACK, ROUTED_TO_V2, "Unknown RoutesPending"),
        (Phase.ROLLING_BACK, ROUTED_TO_V1, "True Routed"),
    ],
)
def test_traffic_is_ready_when_the_routes_are_where_the_phase_wants_them(
    phase: Phase, routes: Routes, ready: str
) -> None:
    assert condition(made(phase, V1, V2, routes=routes), "TrafficReady") == ready


@pytest.mark.parametrize(
    ("fields", "ready"),
    [
        ({"problem": CRASH}, "Unknown MemberFailing"),
        ({"problem": Problem("Starting", "starts", "", failing=False)}, "Unknown Progressing"),
        ({"problem": CRASH, "deleting": True}, "Unknown Progressing"),
        ({}, "Unknown Progressing"),
    ],
)
def test_a_member_that_fails_is_told_while_it_is_wanted(fields: dict[str, Any], ready: str) -> None:
    found = made(Phase.PROGRESSING, V1, V2, members(V1, True), members(V2, False, **fields))
    assert condition(found, "Ready") == ready


def test_what_is_wrong_with_a_member_that_is_ready_is_no_failure() -> None:
    found = made(Phase.PROGRESSING, V1, V2, members(V2, True, problem=CRASH))
    assert condition(found, "Ready") == "Unknown Progressing"


def test_the_message_tells_the_member_what_is_wrong_since_when_and_what_to_look_at() -> None:
    found = made(Phase.PROGRESSING, V1, V2, members(V2, False, problem=CRASH))
    (ready,) = (one for one in found.conditions if one.type == "Ready")
    assert ready.message == (
        "0 of 1 members ready; m-v2-0: the server crashes, since 2026-01-01T12:00:00Z; see: kubectl -n ns logs m-v2-0"
    )


def test_zero_replicas_are_told_as_they_were_asked_for() -> None:
    found = made(Phase.STABLE, V1, V1, asked=disvc(replicas=0))
    assert found.ready == "0/0"
    assert [condition(found, kind) for kind in ("Ready", "Available", "TrafficReady")] == [
        "False ScaledToZero",
        "False ScaledToZero",
        "True Routed",
    ]
    stopped = made(Phase.STABLE, V1, V1, asked=disvc(annotations={"serving.kserve.io/stop": "true"}))
    assert condition(stopped, "Ready") == "False Stopped"


def test_the_same_look_gives_the_same_status_however_late_it_is() -> None:
    before = made(Phase.STABLE, V1, V1, members(V1, True), endpoints={"m-v1": 1})
    seen = Observation(members(V1, True), {"m-v1": 1}, ROUTED_TO_V1)
    taken = step(disvc(before), RECORDS, seen, NOON + timedelta(days=9))
    after = status(
        disvc(before), taken, RECORDS, seen, (), "", RoutingDefaults(), NOON + timedelta(days=9), behind=False
    )
    assert after == before


# Which changes are urgent.

BEFORE = made(Phase.PROGRESSING, V1, V2, members(V1, True), members(V2, False), endpoints={"m-v1": 1})


@pytest.mark.parametrize(
    "update",
    [
        {"replicas": 5},
        {"ready_replicas": 0},
        {"updated_replicas": 3},
        {"ready": "0/3"},
        {"conditions": [one.model_copy(update={"message": "other words"}) for one in BEFORE.conditions]},
        {"conditions": [one for one in BEFORE.conditions if one.type != "Reconciling"]},
        {
            "conditions": [
                *(one for one in BEFORE.conditions if one.type != "TrafficReady"),
                BEFORE.conditions[2].model_copy(update={"status": "Unknown", "reason": "RoutesPending"}),
            ]
        },
    ],
    ids=str,
)
def test_counts_messages_and_routes_on_their_way_can_wait(update: dict[str, Any]) -> None:
    after = BEFORE.model_copy(update=update)
    assert after != BEFORE
    assert not is_urgent(BEFORE, after)


@pytest.mark.parametrize(
    "update",
    [
        {"observed_generation": 8},
        {"phase": Phase.SWITCHING},
        {"url": "http://other.example.com"},
        {"address": None},
        {"active_revision": V2},
        {"target_revision": V1},
        {"rollout": Rollout(started_at=NOON, ready_at=NOON)},
        {"rollout": None},
        *(
            {
                "conditions": [
                    *(one for one in BEFORE.conditions if one is not changed),
                    changed.model_copy(update=update),
                ]
            }
            for changed in BEFORE.conditions
            if changed.type in ("Ready", "Available")
            for update in ({"status": "False"}, {"reason": "MemberFailing"})
        ),
        {"conditions": []},
    ],
    ids=str,
)
def test_all_else_is_written_at_once(update: dict[str, Any]) -> None:
    assert is_urgent(BEFORE, BEFORE.model_copy(update=update))
    assert is_urgent(BEFORE.model_copy(update=update), BEFORE)


def test_that_the_traffic_cannot_be_ready_is_written_at_once() -> None:
    conflict = BEFORE.conditions[2].model_copy(update={"status": "False", "reason": "HostConflict"})
    assert conflict.type == "TrafficReady"
    assert is_urgent(BEFORE, BEFORE.model_copy(update={"conditions": [*BEFORE.conditions[:2], conflict]}))


class Recorder:
    """Looks whenever something has changed, and writes as the status reconciler does."""

    def __init__(self, replicas: int) -> None:
        self.asked = disvc(replicas=replicas)
        self.records: dict[str, Record] = {}
        self.written: list[float] = []
        self.held_until: float | None = None

    def look(self, at: float, seen: Observation) -> None:
        now = NOON + timedelta(seconds=at)
        taken = step(self.asked, self.records, seen, now)
        if taken.new is not None:
            self.records[taken.new.ref.name] = taken.new
        before = self.asked.status
        after = status(self.asked, taken, self.records, seen, (), "", RoutingDefaults(), now, behind=False)
        self.held_until = None
        if after == before:
            return
        if not is_urgent(before, after) and self.written and at < self.written[-1] + PROGRESS_SECONDS:
            self.held_until = self.written[-1] + PROGRESS_SECONDS
            return
        self.written.append(at)
        self.asked = self.asked.model_copy(update={"status": after})


def first_rollout(replicas: int, seconds: float) -> Recorder:
    """Play the first rollout of a healthy service that takes so long, with a look after each event."""
    starting = Problem("PodStarting", "waits for its image", "", failing=False)
    looks = [Observation(), Observation(routes=Routes("m-v1", None)), Observation(routes=ROUTED_TO_V1)]
    for count in range(1, replicas + 1):
        looks.append(Observation(members(V1, *[False] * count), routes=ROUTED_TO_V1))
        looks.append(Observation(members(V1, *[False] * count, problem=starting), routes=ROUTED_TO_V1))
    for count in range(1, replicas + 1):
        ready = [index < count for index in range(replicas)]
        looks.append(Observation(members(V1, *ready), {"m-v1": count - 1}, ROUTED_TO_V1))
        looks.append(Observation(members(V1, *ready), {"m-v1": count}, ROUTED_TO_V1))
    recorder = Recorder(replicas)
    for number, seen in enumerate(looks):
        at = seconds * number / (len(looks) - 1)
        while recorder.held_until is not None and recorder.held_until <= at:
            recorder.look(recorder.held_until, looks[number - 1])
        recorder.look(at, seen)
    while recorder.held_until is not None:
        recorder.look(recorder.held_until, looks[-1])
    return recorder


@pytest.mark.parametrize("replicas", [1, 2, 5, 20])
def test_a_first_rollout_costs_two_writes(replicas: int) -> None:
    recorder = first_rollout(replicas, PROGRESS_SECONDS * 0.99)
    assert recorder.written == [0, pytest.approx(PROGRESS_SECONDS * 0.99)]
    assert condition(recorder.asked.status, "Ready") == "True RolledOut"
    assert recorder.asked.status.ready == f"{replicas}/{replicas}"


def test_a_slow_first_rollout_is_told_every_two_seconds() -> None:
    recorder = first_rollout(5, 10)
    assert recorder.written == [0, 2, 4, 6, 8, 10, 10], "and the end at once"
    assert condition(recorder.asked.status, "Ready") == "True RolledOut"
