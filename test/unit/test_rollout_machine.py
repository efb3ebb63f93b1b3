"""The phase machine: each arrow of its diagram, and each case of rollout.md that it decides."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from disvc.api.status import DistributedInferenceServiceStatus, Phase, Revision, Rollout
from disvc.api.types import ABORT, PROMOTE, RETRY, DistributedInferenceService
from disvc.rollout.inference_service import render
from disvc.rollout.machine import LAST_NUMBER, Question, Step, step
from disvc.rollout.observation import Member, Observation, Routes
from disvc.rollout.revision import Record
from disvc.rollout.template import template_hash, template_of

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
LATE = {"failed_at": NOON, "reason": "ProgressDeadlineExceeded", "message": "late"}
LETTERS = "-abc"  # the template of v1 is a, and so on, where a test says nothing else

UNDER_WAY = [phase for phase in Phase if phase is not Phase.STABLE]
TWO_REVISIONS = [Phase.PROGRESSING, Phase.AWAITING_PROMOTION, Phase.SWITCHING, Phase.DRAINING, Phase.ROLLING_BACK]


def disvc(letter: str, **spec: Any) -> DistributedInferenceService:
    """A DISVC m of which each letter gives another template."""
    template = {"predictor": {"model": {"modelFormat": {"name": "sklearn"}, "storageUri": f"gs://models/{letter}"}}}
    return DistributedInferenceService.model_validate(
        {"metadata": {"name": "m", "namespace": "ns"}, "spec": {"inferenceService": template, **spec}}
    )


def record(number: int, letter: str = "") -> Record:
    asked = disvc(letter or LETTERS[number])
    template = template_of(asked)
    ref = Revision(name=f"m-v{number}", number=number, hash=template_hash(template))
    return Record(ref, template, render(asked, number))


class Scene:
    """A DISVC m, what is recorded and what is seen of it. A test changes any of that, and takes steps."""

    def __init__(
        self,
        phase: Phase | None,
        active: int | None = None,
        target: int | None = None,
        *,
        asks: str = "",
        routes: int | None = None,
        ready: tuple[int, ...] = (),
        replicas: int = 1,
        paused: bool = False,
        rollout: dict[str, Any] | None = None,
        records: tuple[Record, ...] = (),
        **strategy: Any,
    ) -> None:
        self.asks = asks or LETTERS[target or 1]
        self.replicas, self.paused, self.strategy = replicas, paused, strategy
        self.annotations: dict[str, str] = {}
        self.now = NOON
        self.records = {made.ref.name: made for made in records}
        for number in (active, target, *((rollout or {}).get("previous") or ())):
            if number is not None:
                self.records.setdefault(f"m-v{number}", record(number))
        fields = dict(rollout or {})
        if "previous" in fields:
            fields["previous_revision"] = self.ref(fields.pop("previous")[0])
        self.status = DistributedInferenceServiceStatus(
            phase=phase,
            active_revision=self.ref(active),
            target_revision=self.ref(target),
            rollout=None if phase in (None, Phase.STABLE) else Rollout(**{"started_at": NOON, **fields}),
        )
        self.members: dict[str, Member] = {}
        self.endpoints: dict[str, int] = {}
        self.see_ready(*ready)
        self.wants_ingress = True
        self.route_to(routes)
        self.live: Routes | None = None
        self.live_endpoints: dict[str, int] = {}
        """By the server's word, where the caches are late."""
        self.live_reads = Counter[Question]()

    def ref(self, number: int | None) -> Revision | None:
        return None if number is None else self.records[f"m-v{number}"].ref

    def see(self, number: int, count: int | None = None, *, endpoints: int | None = None, **fields: Any) -> None:
        """See so many members of a revision, and endpoints as if all of them were ready."""
        name, count = f"m-v{number}", self.replicas if count is None else count
        self.members = {key: one for key, one in self.members.items() if one.revision != name}
        for index in range(count):
            known = self.records[name].ref.hash
            self.members[f"{name}-{index}"] = replace(Member(f"{name}-{index}", name, index, known), **fields)
        self.endpoints[name] = count if endpoints is None else endpoints

    def see_ready(self, *numbers: int) -> None:
        for number in numbers:
            self.see(number, ready=True)

    def see_unready(self, *numbers: int) -> None:
        for number in numbers:
            self.see(number, endpoints=0)

    def route_to(self, number: int | None) -> None:
        name = None if number is None else f"m-v{number}"
        self.routes = Routes(service=name, ingress=name)

    def disvc(self) -> DistributedInferenceService:
        asked = disvc(self.asks, replicas=self.replicas, paused=self.paused, deploymentStrategy=self.strategy)
        metadata = asked.metadata.model_copy(update={"annotations": self.annotations})
        return asked.model_copy(update={"metadata": metadata, "status": self.status})

    def step(self, after: float = 0.0) -> Step:
        """Let time pass, take a step, and record it; with a live read, where the machine asks for one."""
        self.now += timedelta(seconds=after)
        seen = Observation(
            members=tuple(self.members.values()),
            endpoints=self.endpoints,
            routes=self.routes,
            wants_ingress=self.wants_ingress,
        )
        taken = step(self.disvc(), self.records, seen, self.now, "as it is")
        while taken.asks is not None:
            self.live_reads[taken.asks] += 1
            if taken.asks == "routes":
                assert seen.live_routes is None
                seen = replace(seen, live_routes=self.live or self.routes)
            else:
                assert not seen.endpoints_are_live
                seen = replace(seen, endpoints=self.endpoints | self.live_endpoints, endpoints_are_live=True)
            taken = step(self.disvc(), self.records, seen, self.now, "as it is")
        if taken.new is not None:
            self.records[taken.new.ref.name] = taken.new
        self.status = DistributedInferenceServiceStatus(
            phase=taken.phase, active_revision=taken.active, target_revision=taken.target, rollout=taken.rollout
        )
        return taken

    def rests(self) -> bool:
        """Whether another step, now, changes nothing."""
        before = self.status
        taken = self.step()
        return self.status == before and not taken.stories and taken.outcome is None and taken.new is None

    @property
    def rollout(self) -> Rollout:
        assert self.status.rollout is not None
        return self.status.rollout

    def at(self) -> tuple[Phase | None, int | None, int | None]:
        """Phase, and the numbers of active and target."""
        active, target = self.status.active_revision, self.status.target_revision
        return self.status.phase, active.number if active else None, target.number if target else None


def told(taken: Step) -> list[str]:
    return [story.reason for story in taken.stories]


def build(phase: Phase, active: int | None, target: int, options: dict[str, Any], **known: Any) -> Scene:
    return Scene(phase, active, target, **{**known, **options})


def initializing(**options: Any) -> Scene:
    """v1 is being made, as the first."""
    return build(Phase.INITIALIZING, None, 1, options, routes=1)


def stable(**options: Any) -> Scene:
    """v1 serves."""
    return build(Phase.STABLE, 1, 1, options, routes=1, ready=(1,))


def progressing(**options: Any) -> Scene:
    """v1 has the traffic; v2 is being made."""
    return build(Phase.PROGRESSING, 1, 2, options, routes=1, ready=(1,))


def awaiting(**options: Any) -> Scene:
    """v2 is ready and waits for its promotion."""
    ready = {"ready_at": NOON}
    return build(Phase.AWAITING_PROMOTION, 1, 2, options, routes=1, ready=(1, 2), rollout=ready, promotion="Manual")


def switching(**options: Any) -> Scene:
    """v2 is ready; the routes are about to be moved to it."""
    return build(Phase.SWITCHING, 1, 2, options, routes=1, ready=(1, 2), rollout={"ready_at": NOON})


def draining(**options: Any) -> Scene:
    """The routes are on v2 since noon; v1 serves what is under way."""
    switched = {"ready_at": NOON, "switched_at": NOON, "previous": (1,)}
    return build(Phase.DRAINING, 2, 2, options, routes=2, ready=(1, 2), rollout=switched)


def rolling_back(**options: Any) -> Scene:
    """v2 has failed at noon; v1 has the traffic."""
    return build(Phase.ROLLING_BACK, 1, 2, options, routes=1, ready=(1,), rollout=LATE)


def failed(**options: Any) -> Scene:
    """v2 has failed; v1 has the traffic."""
    return build(Phase.FAILED, 1, 2, options, routes=1, ready=(1,), rollout=LATE)


SCENES = {
    Phase.INITIALIZING: initializing,
    Phase.STABLE: stable,
    Phase.PROGRESSING: progressing,
    Phase.AWAITING_PROMOTION: awaiting,
    Phase.SWITCHING: switching,
    Phase.DRAINING: draining,
    Phase.ROLLING_BACK: rolling_back,
    Phase.FAILED: failed,
}


# The arrows.


def test_a_new_service_begins_with_revision_1() -> None:
    scene = Scene(None)
    taken = scene.step()
    assert scene.at() == (Phase.INITIALIZING, None, 1)
    assert taken.new == record(1)
    assert told(taken) == ["RevisionCreated"]
    assert scene.rollout == Rollout(started_at=NOON)


def test_the_first_revision_is_stable_when_every_member_is_ready() -> None:
    scene = initializing(replicas=2)
    scene.see(1, count=1, ready=True)
    assert scene.step(after=599).wait == 1
    assert scene.at() == (Phase.INITIALIZING, None, 1)
    scene.see_ready(1)
    taken = scene.step()
    assert scene.at() == (Phase.STABLE, 1, 1)
    assert scene.status.rollout is None
    assert (told(taken), taken.outcome) == (["RolloutSucceeded"], "Succeeded")
    assert scene.rests()


def test_the_first_revision_fails_at_its_deadline_and_nothing_is_removed() -> None:
    scene = initializing()
    assert scene.step(after=599.999999).phase is Phase.INITIALIZING
    taken = scene.step(after=0.000001)
    assert scene.at() == (Phase.FAILED, None, 1)
    assert (told(taken), taken.outcome) == (["ProgressDeadlineExceeded"], "Failed")
    assert scene.rollout.message == "m-v1 was not ready within 600 s: as it is"
    assert scene.rests()


def test_a_first_revision_that_failed_is_taken_up_when_it_gets_ready_after_all() -> None:
    scene = Scene(Phase.FAILED, None, 1, routes=1, ready=(1,), rollout={"failed_at": NOON})
    taken = scene.step()
    assert scene.at() == (Phase.STABLE, 1, 1)
    assert taken.outcome == "Succeeded"


def test_a_first_revision_that_failed_is_tried_again_when_asked() -> None:
    scene = Scene(Phase.FAILED, None, 1, routes=1, rollout={"failed_at": NOON})
    scene.annotations[RETRY] = "m-v1/2"
    scene.step(after=1000)
    assert scene.at() == (Phase.INITIALIZING, None, 1)
    assert scene.rollout == Rollout(started_at=scene.now, attempt=2)


@pytest.mark.parametrize("phase", [Phase.INITIALIZING, Phase.FAILED])
def test_a_first_revision_keeps_the_traffic_until_another_template_is_ready(phase: Phase) -> None:
    scene = Scene(phase, None, 1, asks="b", routes=1, rollout={"failed_at": NOON})
    scene.see(1, endpoints=1)  # serves in part
    taken = scene.step()
    assert scene.at() == (Phase.PROGRESSING, 1, 2)
    assert taken.new == record(2)


def test_a_first_revision_that_is_ready_is_stable_before_another_one_is_begun() -> None:
    scene = initializing(asks="b", ready=(1,))
    scene.step()
    assert scene.at() == (Phase.STABLE, 1, 1)
    scene.step()
    assert scene.at() == (Phase.PROGRESSING, 1, 2)


def test_another_template_begins_a_rollout() -> None:
    scene = stable(asks="b")
    taken = scene.step()
    assert scene.at() == (Phase.PROGRESSING, 1, 2)
    assert taken.new == record(2)
    assert told(taken) == ["RolloutStarted"]
    assert scene.step().wait == 600


def test_the_traffic_is_moved_when_the_new_revision_is_ready() -> None:
    scene = progressing(ready=(1, 2))
    assert told(scene.step()) == ["Switching"]
    assert scene.at() == (Phase.SWITCHING, 1, 2)
    assert scene.rollout.switched_at is None


def test_a_revision_waits_for_its_promotion_where_that_is_manual() -> None:
    scene = progressing(ready=(1, 2), promotion="Manual")
    assert told(scene.step()) == ["AwaitingPromotion"]
    assert scene.at() == (Phase.AWAITING_PROMOTION, 1, 2)
    scene.now += timedelta(days=30)
    assert scene.rests(), "waiting for a person has no deadline"
    scene.annotations[PROMOTE] = "m-v2"
    assert told(scene.step()) == ["Switching"]
    assert scene.at() == (Phase.SWITCHING, 1, 2)


def test_a_revision_that_was_promoted_before_it_is_ready_does_not_wait() -> None:
    scene = progressing(ready=(1, 2), promotion="Manual")
    scene.annotations[PROMOTE] = "m-v2"
    scene.step()
    assert scene.at() == (Phase.SWITCHING, 1, 2)


def test_a_revision_no_longer_waits_when_promotion_is_made_automatic() -> None:
    scene = awaiting(promotion="Automatic")
    scene.step()
    assert scene.at() == (Phase.SWITCHING, 1, 2)


def test_a_revision_that_waits_and_is_not_ready_any_more_has_its_whole_deadline_again() -> None:
    scene = awaiting()
    scene.see_unready(2)
    assert told(scene.step(after=86400)) == ["RevisionNotReady"]
    assert scene.at() == (Phase.PROGRESSING, 1, 2)
    assert scene.step().wait == 600
    scene.see_ready(2)
    scene.step()
    assert scene.at() == (Phase.AWAITING_PROMOTION, 1, 2)


def test_a_switch_is_over_when_a_live_read_showed_it_and_the_routers_had_their_time() -> None:
    scene = switching()
    assert scene.rests(), "no route has been moved"
    assert scene.live_reads["routes"] == 0, "the cache says enough"
    scene.route_to(2)
    assert scene.step().wait == 5
    assert scene.rollout.switched_at == scene.now
    assert scene.step(after=4.999).phase is Phase.SWITCHING
    taken = scene.step(after=0.001)
    assert scene.at() == (Phase.DRAINING, 2, 2)
    assert scene.rollout.previous_revision == record(1).ref
    assert told(taken) == ["Switched"]


def test_the_old_revision_is_given_up_when_the_drain_is_over() -> None:
    scene = draining()
    assert scene.step(after=29.9).wait == pytest.approx(0.1)
    assert scene.live_reads["routes"] == 0, "nothing is decided before"
    taken = scene.step(after=0.1)
    assert scene.live_reads["routes"] == 1
    assert scene.at() == (Phase.STABLE, 2, 2)
    assert scene.status.rollout is None
    assert (told(taken), taken.outcome) == (["RolloutSucceeded"], "Succeeded")
    assert scene.rests()


@pytest.mark.parametrize("scene", [progressing(), awaiting(), switching(), switching(routes=2), draining()])
def test_a_rollout_is_aborted(scene: Scene) -> None:
    scene.annotations[ABORT] = "m-v2/1"
    taken = scene.step()
    assert scene.at() == (Phase.ROLLING_BACK, 1, 2)
    assert (told(taken), taken.outcome) == (["Aborted"], "Aborted")
    assert (scene.rollout.reason, scene.rollout.failed_at) == ("Aborted", scene.now)
    assert (scene.rollout.switched_at, scene.rollout.previous_revision) == (None, None)


def test_what_failed_is_drained_before_it_is_removed() -> None:
    scene = rolling_back()
    assert scene.step(after=10).wait == 30
    assert scene.step(after=29).phase is Phase.ROLLING_BACK
    taken = scene.step(after=1)
    assert scene.at() == (Phase.FAILED, 1, 2)
    assert told(taken) == ["RolledBack"]
    assert (scene.rollout.reason, scene.rollout.message) == ("ProgressDeadlineExceeded", "late")
    assert scene.rests()


def test_what_failed_is_kept_for_as_long_as_was_asked() -> None:
    scene = rolling_back(failedRevisionTTLSeconds=600)
    scene.step()
    assert scene.step(after=30).wait == 570
    assert scene.step(after=570).phase is Phase.FAILED


@pytest.mark.parametrize("asks", ["a", "c"])
def test_a_failed_revision_that_is_kept_for_a_while_does_not_hold_up_another_template(asks: str) -> None:
    scene = rolling_back(failedRevisionTTLSeconds=86400, asks=asks)
    scene.step()
    assert scene.step(after=30).phase is Phase.FAILED


def test_a_failed_revision_that_is_kept_for_a_while_does_not_hold_up_its_retry() -> None:
    scene = rolling_back(failedRevisionTTLSeconds=86400)
    scene.annotations[RETRY] = "m-v2/2"
    scene.step()
    assert scene.step(after=30).phase is Phase.FAILED
    assert scene.step().phase is Phase.PROGRESSING


def test_a_failed_revision_that_is_held_has_no_time_to_live() -> None:
    scene = rolling_back(failedRevisionTTLSeconds=86400, onFailure="Hold")
    scene.step()
    assert scene.step(after=30).phase is Phase.FAILED


def test_a_failed_revision_is_tried_again_when_asked() -> None:
    scene = failed()
    scene.annotations[RETRY] = "m-v2/2"
    taken = scene.step(after=5000)
    assert scene.at() == (Phase.PROGRESSING, 1, 2)
    assert scene.rollout == Rollout(started_at=scene.now, attempt=2)
    assert (told(taken), taken.new) == (["RolloutRetried"], None)
    assert scene.step().wait == 600


def test_another_template_begins_a_rollout_after_a_failed_one() -> None:
    scene = failed(asks="c")
    taken = scene.step(after=5000)
    assert scene.at() == (Phase.PROGRESSING, 1, 3)
    assert taken.new == record(3)
    assert scene.rollout == Rollout(started_at=scene.now)


def test_the_template_of_what_serves_ends_a_failed_rollout() -> None:
    scene = failed(asks="a")
    assert told(scene.step()) == ["RolloutDropped"]
    assert scene.at() == (Phase.STABLE, 1, 1)
    assert scene.rests()


# G1: ready to switch.


@pytest.mark.parametrize(
    "shortcoming",
    [
        {"count": 1, "ready": True, "endpoints": 2},
        {"ready": False},
        {"ready": True, "deleting": True},
        {"ready": True, "hash": "0000000000"},
        {"ready": True, "hash": ""},
        {"ready": True, "revision": ""},
        {"ready": True, "endpoints": 1},
        {"ready": True, "endpoints": 0},
    ],
    ids=str,
)
@pytest.mark.parametrize("make", [initializing, progressing])
def test_no_revision_is_ready_while_anything_of_it_is_not(make: Any, shortcoming: dict[str, Any]) -> None:
    scene = make(replicas=2)
    number = scene.at()[2]
    scene.see(number, **shortcoming)
    assert scene.rests()
    scene.see(number, ready=True)
    assert not scene.rests()


def test_members_of_another_name_do_not_count() -> None:
    scene = progressing(replicas=2)
    scene.see_ready(2)
    scene.members["m-v2-7"] = replace(scene.members.pop("m-v2-1"), name="m-v2-7", index=7)
    assert scene.step().phase is Phase.PROGRESSING


def test_more_members_than_asked_for_do_no_harm() -> None:
    scene = progressing(replicas=1)
    scene.see(2, count=2, ready=True)
    assert scene.step().phase is Phase.SWITCHING


def test_each_member_has_as_many_endpoints_as_its_template_asks_for() -> None:
    small = record(2)
    spec = {"predictor": {**small.member["spec"]["predictor"], "minReplicas": 3}}
    scene = progressing(replicas=2, records=(replace(small, member={**small.member, "spec": spec}),))
    scene.see(2, ready=True, endpoints=5)
    assert scene.step().phase is Phase.PROGRESSING
    scene.see(2, ready=True, endpoints=6)
    assert scene.step().phase is Phase.SWITCHING


def test_a_revision_without_a_record_is_not_ready() -> None:
    scene = progressing(ready=(1, 2))
    del scene.records["m-v2"]
    assert scene.step().phase is Phase.PROGRESSING


def test_a_revision_is_ready_for_as_long_as_was_asked_before_it_gets_the_traffic() -> None:
    scene = progressing(ready=(1, 2), minReadySeconds=60)
    assert scene.step().wait == 60
    assert scene.step(after=59.999999).wait == pytest.approx(0.000001)
    assert scene.step(after=0.000001).phase is Phase.SWITCHING


def test_the_time_for_which_a_revision_is_ready_begins_again_when_it_breaks_off() -> None:
    scene = progressing(ready=(1, 2), minReadySeconds=60)
    scene.step()
    scene.see_unready(2)
    scene.step(after=59)
    assert scene.rollout.ready_at is None
    scene.see_ready(2)
    assert scene.step(after=1).wait == 60
    assert scene.step(after=60).phase is Phase.SWITCHING


# The deadline.


@pytest.mark.parametrize("ready", [True, False])
def test_at_the_very_second_of_the_deadline_what_is_ready_wins(ready: bool) -> None:
    scene = progressing(ready=(1, 2) if ready else (1,))
    scene.step(after=600)
    assert scene.status.phase is (Phase.SWITCHING if ready else Phase.ROLLING_BACK)


def test_a_revision_that_is_ready_in_time_may_be_watched_beyond_the_deadline() -> None:
    scene = progressing(minReadySeconds=60)
    scene.step(after=599)
    scene.see_ready(2)
    scene.step()
    assert scene.step(after=59).phase is Phase.PROGRESSING
    assert scene.step(after=1).phase is Phase.SWITCHING


def test_a_revision_that_breaks_off_beyond_the_deadline_has_failed() -> None:
    scene = progressing(minReadySeconds=60)
    scene.step(after=599)
    scene.see_ready(2)
    scene.step()
    scene.see_unready(2)
    assert scene.step(after=59).phase is Phase.ROLLING_BACK


def test_a_clock_that_goes_back_an_hour_ends_no_wait_early() -> None:
    scene = draining()
    scene.now -= timedelta(hours=1)
    assert scene.step().phase is Phase.DRAINING
    assert scene.step(after=3600).phase is Phase.DRAINING
    assert scene.step(after=30).phase is Phase.STABLE


def test_a_clock_that_goes_back_an_hour_while_paused_does_not_use_up_the_deadline() -> None:
    scene = progressing()
    scene.paused = True
    scene.step(after=100)
    scene.paused = False
    scene.now -= timedelta(hours=1)
    scene.step()
    assert scene.step().wait == 500


# The cases of rollout.md.


@pytest.mark.parametrize("make", [progressing, awaiting])
def test_v3_arrives_while_v2_is_progressing_and_v2_is_superseded(make: Any) -> None:
    scene = make(asks="c")
    taken = scene.step(after=100)
    assert scene.at() == (Phase.PROGRESSING, 1, 3)
    assert taken.new == record(3)
    assert (told(taken), taken.outcome) == (["Superseded", "RolloutStarted"], "Superseded")
    assert scene.rollout == Rollout(started_at=scene.now)


@pytest.mark.parametrize("asks", ["a", "c"])
@pytest.mark.parametrize("make", [switching, draining])
def test_another_template_that_arrives_while_the_traffic_moves_waits_until_v2_is_finished(make: Any, asks: str) -> None:
    scene = make(asks=asks)
    scene.route_to(2)
    phases = [scene.step(after=seconds).phase for seconds in (0, 5, 30)]
    assert phases[-1] is Phase.STABLE
    assert Phase.PROGRESSING not in phases
    assert scene.at() == (Phase.STABLE, 2, 2)
    taken = scene.step()
    assert scene.at() == (Phase.PROGRESSING, 2, 3)
    assert taken.new == record(3, asks)


@pytest.mark.parametrize("make", [progressing, awaiting])
def test_the_template_goes_back_to_v1s_while_v2_is_progressing_and_there_is_no_v3(make: Any) -> None:
    scene = make(asks="a")
    taken = scene.step()
    assert scene.at() == (Phase.STABLE, 1, 1)
    assert taken.new is None
    assert (told(taken), taken.outcome) == (["Superseded"], "Superseded")
    assert scene.rests()


def test_v2_is_never_ready_and_v1_serves_on() -> None:
    scene = progressing()
    assert scene.step().wait == 600
    taken = scene.step(after=600)
    assert scene.at() == (Phase.ROLLING_BACK, 1, 2)
    assert (told(taken), taken.outcome) == (["ProgressDeadlineExceeded"], "Failed")
    scene.step()
    scene.step(after=30)
    assert scene.at() == (Phase.FAILED, 1, 2)
    scene.see_ready(2)
    scene.now += timedelta(days=1)
    assert scene.rests(), "it is sticky"


@pytest.mark.parametrize("v1", [{"endpoints": 0}, {"endpoints": 0, "deleting": True}, {"count": 0}])
def test_v1_is_unhealthy_when_v2_is_ready_and_the_switch_is_made_at_once(v1: dict[str, Any]) -> None:
    scene = progressing(ready=(2,))
    scene.see(1, **v1)
    assert scene.step().phase is Phase.SWITCHING
    scene.route_to(2)
    scene.step()
    scene.step(after=5)
    scene.step(after=30)
    assert scene.at() == (Phase.STABLE, 2, 2)


@pytest.mark.parametrize("endpoints", [0, 1])
@pytest.mark.parametrize("phase", [Phase.STABLE, Phase.FAILED])
def test_the_active_revision_gets_unready_and_no_phase_changes(phase: Phase, endpoints: int) -> None:
    scene = SCENES[phase](replicas=2)
    scene.see(1, endpoints=endpoints)
    assert scene.rests()


def test_the_active_revision_gets_unready_while_another_is_made_and_has_no_deadline_of_its_own() -> None:
    scene = progressing()
    scene.see_unready(1)
    assert scene.step(after=599).phase is Phase.PROGRESSING


def test_a_new_operator_that_would_render_otherwise_begins_no_rollout() -> None:
    old = replace(record(1), member={"metadata": {"labels": {}, "annotations": {}}, "spec": {"predictor": {"x": 1}}})
    scene = stable(records=(old,))
    assert scene.rests()
    scene.asks = "b"
    assert scene.step().new == record(2), "only the next revision gets the new rendering"


def test_an_operator_killed_between_record_and_status_takes_the_record_up() -> None:
    scene = stable(asks="b", records=(record(2),))
    taken = scene.step()
    assert scene.at() == (Phase.PROGRESSING, 1, 2)
    assert taken.new is None


def test_an_operator_killed_before_its_first_status_takes_the_first_record_up() -> None:
    scene = Scene(None, records=(record(1),))
    assert scene.step().new is None
    assert scene.at() == (Phase.INITIALIZING, None, 1)


@pytest.mark.parametrize("changed", ["rendering", "template"])
def test_a_record_that_is_not_just_what_would_be_made_is_left_alone(changed: str) -> None:
    """v2 was given up; since then the annotations of the DISVC that members get have changed, or its template."""
    given_up = record(2) if changed == "template" else replace(record(2), member=record(1).member)
    scene = stable(asks="b" if changed == "rendering" else "c", records=(given_up,))
    taken = scene.step()
    assert scene.at() == (Phase.PROGRESSING, 1, 3)
    assert taken.new == record(3, scene.asks)


@pytest.mark.parametrize(
    "live",
    [Routes("m-v1", "m-v1"), Routes("m-v2", "m-v1"), Routes("m-v1", "m-v2"), Routes("m-v2", None), Routes()],
    ids=str,
)
@pytest.mark.parametrize("make", [switching, draining])
def test_a_stale_cache_of_routes_ends_no_switch_and_no_drain(make: Any, live: Routes) -> None:
    scene = make(routes=2, propagationSeconds=0, drainSeconds=30)
    scene.live = live
    for _ in range(3):
        scene.step(after=100)
    assert scene.live_reads["routes"] == 3
    assert scene.status.phase in (Phase.SWITCHING, Phase.DRAINING)
    assert scene.at()[0] is make().at()[0]
    assert scene.rollout.switched_at is None


def test_a_stale_cache_of_routes_ends_no_roll_back() -> None:
    scene = rolling_back(drainSeconds=0)
    scene.live = Routes("m-v1", "m-v2")
    assert scene.step().phase is Phase.ROLLING_BACK
    scene.live = None
    assert scene.step().phase is Phase.FAILED


@pytest.mark.parametrize("make", [switching, draining])
def test_a_route_that_is_moved_away_by_hand_begins_the_wait_again(make: Any) -> None:
    scene = make(routes=2)
    scene.step()
    scene.routes = Routes("m-v2", "m-v1")
    scene.step(after=1)
    assert scene.rollout.switched_at is None
    scene.route_to(2)
    scene.step(after=1)
    assert scene.rollout.switched_at == scene.now
    for _ in range(3):
        scene.step(after=30)
    assert scene.at() == (Phase.STABLE, 2, 2)


def test_a_service_without_an_ingress_switches_by_its_service_alone() -> None:
    scene = switching()
    scene.wants_ingress = False
    scene.routes = Routes("m-v2", "m-v1")
    assert scene.rests(), "the Ingress is still there"
    scene.routes = Routes("m-v2", None)
    assert scene.step().wait == 5


@pytest.mark.parametrize("phase", UNDER_WAY)
def test_paused_nothing_moves_and_resumed_the_deadline_has_stood_still(phase: Phase) -> None:
    scene = SCENES[phase]()
    scene.now += timedelta(seconds=100)
    scene.paused = True
    before = scene.at()
    assert told(scene.step()) == ["Paused"]
    scene.now += timedelta(days=3)
    assert scene.rests()
    scene.paused = False
    taken = scene.step()
    assert (told(taken), taken.wait) == (["Resumed"], 0)
    assert scene.at() == before
    assert scene.rollout.started_at == NOON + timedelta(days=3)
    assert scene.rollout.paused_at is None


@pytest.mark.parametrize("phase", list(Phase))
def test_paused_another_template_waits(phase: Phase) -> None:
    scene = SCENES[phase](asks="c", paused=True)
    before = scene.at()
    scene.step()
    assert scene.rests()
    assert scene.at() == before
    assert scene.records.keys() <= {"m-v1", "m-v2"}


def test_paused_a_revision_that_is_ready_gets_no_traffic() -> None:
    scene = progressing(ready=(1, 2), paused=True)
    scene.step()
    assert scene.step(after=1000).phase is Phase.PROGRESSING


def test_paused_the_first_revision_is_stable_when_it_is_ready_but_nothing_begins_after_it() -> None:
    scene = initializing(paused=True)
    scene.step()
    scene.asks = "b"
    scene.see_ready(1)
    taken = scene.step()
    assert scene.at() == (Phase.STABLE, 1, 1)
    assert told(taken) == ["RolloutSucceeded"]
    assert scene.rests()


def test_what_was_ready_while_paused_is_watched_again_as_nobody_saw_it_all_the_time() -> None:
    scene = progressing(ready=(1, 2), minReadySeconds=60)
    scene.step()
    scene.paused = True
    scene.step(after=1)
    scene.see_unready(2)
    scene.step(after=1)
    scene.see_ready(2)
    scene.paused = False
    scene.step(after=1000)
    assert scene.step().wait == 60


def test_a_drain_that_was_paused_begins_again_as_nobody_saw_the_routes_all_the_time() -> None:
    scene = draining(paused=True)
    scene.step(after=10)
    scene.paused = False
    scene.step(after=1000)
    assert scene.step().wait == 30
    assert scene.step(after=30).phase is Phase.STABLE


@pytest.mark.parametrize("make", [switching, draining])
def test_paused_the_traffic_goes_back_where_requests_would_fail(make: Any) -> None:
    scene = make(routes=2, paused=True)
    scene.see_unready(2)
    assert told(scene.step()) == ["EndpointsLost"]
    assert scene.at() == (Phase.ROLLING_BACK, 1, 2)


def test_zero_replicas_need_no_member() -> None:
    scene = initializing(replicas=0)
    scene.step()
    assert scene.at() == (Phase.STABLE, 1, 1)
    assert scene.rests()


def test_scaling_is_no_rollout() -> None:
    scene = stable()
    for replicas in (3, 0, 1):
        scene.replicas = replicas
        assert scene.rests()


def test_zero_members_need_no_record() -> None:
    scene = draining(replicas=0, ready=())
    scene.records.clear()
    assert scene.step(after=30).phase is Phase.STABLE


def test_stopped_means_the_same_as_no_members() -> None:
    scene = initializing()
    scene.annotations["serving.kserve.io/stop"] = "true"
    assert scene.step().phase is Phase.STABLE


def test_scaled_to_zero_the_routes_stay_where_something_still_serves() -> None:
    scene = progressing(replicas=0)
    scene.see(1, count=1, ready=True)  # about to be removed
    assert scene.step().phase is Phase.PROGRESSING
    scene.see(1, count=0)
    assert scene.step().phase is Phase.SWITCHING


@pytest.mark.parametrize("make", [switching, draining])
def test_scaled_to_zero_while_the_traffic_moves_nothing_is_lost(make: Any) -> None:
    scene = make(routes=2, ready=(), replicas=0)
    scene.endpoints = {"m-v1": 1, "m-v2": 0}  # v1's are about to go
    scene.step()
    scene.step(after=5)
    scene.step(after=30)
    assert scene.at() == (Phase.STABLE, 2, 2)


def test_a_hash_that_two_templates_have_tells_nothing() -> None:
    same_hash = replace(record(1), template={"inferenceService": {"another": "template"}})
    scene = stable(records=(same_hash,))
    scene.step()
    assert scene.at() == (Phase.PROGRESSING, 1, 2)


def test_a_record_that_was_edited_by_hand_is_compared_by_its_content() -> None:
    edited = replace(record(1), template=record(2).template)
    scene = stable(asks="b", records=(edited,))
    assert scene.rests()


@pytest.mark.parametrize("phase", list(Phase))
def test_a_record_that_was_deleted_by_hand_begins_no_rollout(phase: Phase) -> None:
    scene = SCENES[phase]()
    before = scene.at()
    scene.records.clear()
    scene.step()
    assert scene.at()[1:] == before[1:]
    assert not scene.records


def test_a_record_whose_template_is_lost_is_compared_by_its_hash() -> None:
    scene = stable(records=(replace(record(1), template=None),))
    assert scene.rests()
    scene.asks = "b"
    scene.step()
    assert scene.at() == (Phase.PROGRESSING, 1, 2)


# The new revision loses its endpoints.


@pytest.mark.parametrize("routes", [1, 2])
@pytest.mark.parametrize("make", [switching, draining])
def test_the_traffic_goes_back_when_the_new_revision_has_lost_all_its_endpoints(make: Any, routes: int) -> None:
    scene = make(routes=routes, replicas=2)
    scene.see_unready(2)
    taken = scene.step(after=1)
    assert scene.at() == (Phase.ROLLING_BACK, 1, 2)
    assert (told(taken), taken.outcome) == (["EndpointsLost"], "Failed")
    assert scene.rollout.previous_revision is None
    assert scene.rollout.switched_at is None
    assert scene.rollout.message == "m-v2 lost all its endpoints when it had the traffic: as it is"
    scene.route_to(1)
    assert scene.step().wait == 30
    scene.step(after=30)
    assert scene.at() == (Phase.FAILED, 1, 2)


@pytest.mark.parametrize("make", [switching, draining])
def test_the_traffic_stays_where_only_a_late_cache_has_no_endpoint_of_the_new_revision(make: Any) -> None:
    scene = make(routes=2)
    scene.see_unready(2)
    scene.live_endpoints = {"m-v2": 1}
    scene.step(after=1)
    assert scene.status.phase in (Phase.SWITCHING, Phase.DRAINING)
    assert scene.live_reads["endpoints"] == 1


@pytest.mark.parametrize("asks", ["abort", "nothing"])
@pytest.mark.parametrize("make", [switching, draining])
def test_the_traffic_does_not_go_back_to_what_only_a_late_cache_has_endpoints_of(make: Any, asks: str) -> None:
    scene = make(routes=2)
    scene.live_endpoints = {"m-v1": 0}
    if asks == "abort":
        scene.annotations[ABORT] = "m-v2/1"
    else:
        scene.see_unready(2)
    scene.step(after=1)
    assert scene.status.phase in (Phase.SWITCHING, Phase.DRAINING)


@pytest.mark.parametrize("make", [progressing, awaiting])
def test_the_traffic_is_not_moved_to_what_only_a_late_cache_has_all_endpoints_of(make: Any) -> None:
    scene = make(replicas=2, ready=(1, 2))
    scene.annotations[PROMOTE] = "m-v2"
    scene.live_endpoints = {"m-v2": 1}
    scene.step()
    assert scene.at() == (Phase.PROGRESSING, 1, 2)
    scene.live_endpoints = {}
    scene.step()
    assert scene.status.phase is Phase.SWITCHING


@pytest.mark.parametrize("make", [switching, draining])
def test_the_traffic_stays_while_the_new_revision_has_an_endpoint(make: Any) -> None:
    scene = make(routes=2, replicas=2)
    scene.see(2, endpoints=1)
    scene.step(after=1)
    assert scene.status.phase in (Phase.SWITCHING, Phase.DRAINING)


@pytest.mark.parametrize("asks", ["abort", "nothing"])
@pytest.mark.parametrize("make", [switching, draining])
def test_the_traffic_does_not_go_back_to_a_revision_that_does_not_serve(make: Any, asks: str) -> None:
    scene = make(routes=2, ready=(2,))
    scene.see_unready(1)
    if asks == "abort":
        scene.annotations[ABORT] = "m-v2/1"
    else:
        scene.see_unready(2)
    scene.step(after=1)
    assert scene.status.phase in (Phase.SWITCHING, Phase.DRAINING)


def test_a_drain_waits_for_the_new_revision_to_be_whole() -> None:
    scene = draining(replicas=2)
    scene.see(2, endpoints=1)
    assert scene.step(after=100).phase is Phase.DRAINING
    scene.see_ready(2)
    assert scene.step().phase is Phase.STABLE


@pytest.mark.parametrize("endpoints", [0, 1])
def test_a_new_revision_that_broke_does_not_hold_up_the_template_that_mends_it(endpoints: int) -> None:
    scene = draining(replicas=2, asks="c", ready=())
    scene.see(2, endpoints=endpoints)
    assert scene.step(after=29).phase is Phase.DRAINING
    taken = scene.step(after=1)
    assert scene.at() == (Phase.STABLE, 2, 2)
    assert (told(taken), taken.outcome) == (["Superseded"], "Superseded")
    scene.step()
    assert scene.at() == (Phase.PROGRESSING, 2, 3)


# Recreate.


def test_with_recreate_the_old_revision_serves_nothing_and_the_new_one_gets_the_traffic_when_it_is_ready() -> None:
    scene = stable(asks="b", type="Recreate", ready=())
    scene.step()
    assert scene.at() == (Phase.PROGRESSING, 1, 2)
    scene.see_ready(2)
    scene.step()
    assert scene.at() == (Phase.SWITCHING, 1, 2)
    scene.route_to(2)
    for seconds in (0, 5, 30):
        scene.step(after=seconds)
    assert scene.at() == (Phase.STABLE, 2, 2)


@pytest.mark.parametrize("make", [switching, draining])
def test_with_recreate_there_is_nothing_to_go_back_to(make: Any) -> None:
    scene = make(routes=2, ready=(), type="Recreate")
    scene.annotations[ABORT] = "m-v2/1"
    scene.step()
    assert scene.status.phase in (Phase.SWITCHING, Phase.DRAINING)


def test_with_recreate_a_revision_that_fails_makes_room_for_the_old_one() -> None:
    scene = progressing(type="Recreate", ready=())
    scene.step(after=600)
    assert scene.at() == (Phase.ROLLING_BACK, 1, 2)


# Annotations: what people ask for.


@pytest.mark.parametrize(
    "value",
    ["", "m-v2", "m-v1/1", "m-v2/2", "m-v2/0", "m-v3/1", "m-v2/", "m-v2/one", "/1", "m-v2/1/1", "m-v2/01", " m-v2/1"],
)
@pytest.mark.parametrize("phase", TWO_REVISIONS)
def test_an_abort_of_something_else_aborts_nothing(phase: Phase, value: str) -> None:
    scene, other = SCENES[phase](), SCENES[phase]()
    scene.annotations[ABORT] = value
    scene.step()
    other.step()
    assert scene.status == other.status


@pytest.mark.parametrize("value", ["", "m-v1", "m-v3", "m-v2/1", "v2", "m-v2 ", "true"])
def test_a_promotion_of_something_else_promotes_nothing(value: str) -> None:
    scene = awaiting()
    scene.annotations[PROMOTE] = value
    assert scene.rests()


@pytest.mark.parametrize(
    "value",
    [
        "",
        "m-v2",
        "m-v2/",
        "m-v2/0",
        "m-v2/1",
        "m-v2/-2",
        "m-v2/2.0",
        "m-v2/+2",
        "m-v2/two",
        "m-v2/²",
        "m-v2/٢",
        "m-v2/ 2",
        "m-v2/02",
        "m-v1/2",
        "m-v3/2",
        "x/m-v2/2",
        "m-v2/" + "9" * 5000,
    ],
)
def test_a_retry_of_something_else_or_of_an_earlier_time_tries_nothing(value: str) -> None:
    scene = failed()
    scene.annotations[RETRY] = value
    assert scene.rests()


def test_a_retry_that_stays_where_it_is_has_its_effect_once() -> None:
    scene = failed()
    scene.annotations[RETRY] = "m-v2/2"
    scene.step()
    for seconds in (600, 0, 30):
        scene.step(after=seconds)
    assert scene.at() == (Phase.FAILED, 1, 2)
    assert scene.rests()
    scene.annotations[RETRY] = "m-v2/7"
    scene.step()
    assert scene.rollout.attempt == 7


def test_a_try_that_follows_an_abort_has_to_be_aborted_anew() -> None:
    scene = progressing()
    scene.annotations[ABORT] = "m-v2/1"
    for seconds in (0, 0, 30):
        scene.step(after=seconds)
    assert scene.at() == (Phase.FAILED, 1, 2)
    scene.annotations[RETRY] = "m-v2/2"
    scene.step()
    assert scene.step().phase is Phase.PROGRESSING
    scene.annotations[ABORT] = "m-v2/2"
    assert scene.step().phase is Phase.ROLLING_BACK


@pytest.mark.parametrize("annotation", [{ABORT: "m-v2/1"}, {RETRY: "m-v2/4"}, {RETRY: "m-v2/2", ABORT: "m-v2/2"}])
def test_annotations_that_are_left_over_mean_nothing_when_a_template_comes_again(annotation: dict[str, str]) -> None:
    """v2 was aborted, or tried again; the template went back to v1's, and now it is v2's again."""
    scene = stable(asks="b", records=(record(2),))
    scene.annotations.update(annotation)
    scene.step()
    assert scene.at() == (Phase.PROGRESSING, 1, 2)
    assert scene.step(after=599).phase is Phase.PROGRESSING
    for seconds in (1, 0, 30):
        scene.step(after=seconds)
    assert scene.at() == (Phase.FAILED, 1, 2)
    assert scene.rests()


# Numbers.


def test_a_template_that_goes_back_and_forth_gets_a_new_number_each_time() -> None:
    scene = stable(asks="b")
    for number, letter in ((2, "b"), (3, "a"), (4, "b")):
        scene.asks = letter
        scene.step()
        assert scene.at() == (Phase.PROGRESSING, number - 1, number)
        scene.see_ready(number)
        scene.step()
        scene.route_to(number)
        for seconds in (0, 5, 30):
            scene.step(after=seconds)
        assert scene.at() == (Phase.STABLE, number, number)
        scene.members = {name: one for name, one in scene.members.items() if one.revision == f"m-v{number}"}


@pytest.mark.parametrize("known_by", ["record", "member", "member whose labels were edited", "status"])
def test_no_number_is_used_again(known_by: str) -> None:
    scene = stable(asks="c")
    if known_by == "status":
        scene = failed(asks="c", records=(record(7, "b"),))
        scene.status = scene.status.model_copy(update={"target_revision": record(7, "b").ref})
        scene.records.clear()
    else:
        scene.records["m-v7"] = record(7, "b")
        scene.see(7, deleting=True, revision="m-v1" if "edited" in known_by else "m-v7")
        if known_by == "record":
            scene.members.clear()
        else:
            del scene.records["m-v7"]
    scene.step()
    assert scene.at() == (Phase.PROGRESSING, 1, 8)


def test_a_record_that_is_older_than_what_the_status_knows_is_not_taken_up() -> None:
    scene = failed(asks="b", records=(record(2, "b"), record(7, "c")))
    scene.status = scene.status.model_copy(update={"target_revision": scene.records.pop("m-v7").ref})
    scene.step()
    assert scene.at() == (Phase.PROGRESSING, 1, 8)


def test_a_label_that_was_edited_uses_up_no_numbers() -> None:
    scene = stable(asks="b")
    scene.see(1, ready=True, revision=f"m-v{LAST_NUMBER}")
    scene.step()
    assert scene.at() == (Phase.PROGRESSING, 1, 2)


def test_names_of_members_that_are_none_of_ours_do_no_harm() -> None:
    scene = stable(asks="b")
    for name in ("m-vx-0", "m", "other-v9-0", "m-v²-0", ""):
        scene.members[name] = Member(name, "", 0, "")
    scene.step()
    assert scene.at() == (Phase.PROGRESSING, 1, 2)


def test_the_last_number_is_the_last() -> None:
    last = record(LAST_NUMBER - 1, "a")
    scene = stable(asks="b", records=(last,))
    scene.step()
    assert scene.at() == (Phase.PROGRESSING, 1, LAST_NUMBER)
    scene.asks = "c"
    with pytest.raises(OverflowError, match=f"number {LAST_NUMBER + 1}, and names leave room for {LAST_NUMBER}; move"):
        scene.step()
    scene.asks = "a"
    scene.step()
    assert scene.at() == (Phase.STABLE, 1, 1), "what needs no number goes on"


# A status that a person has wiped or cut.


def wiped(scene: Scene) -> Scene:
    scene.status = DistributedInferenceServiceStatus()
    return scene


def test_with_its_status_wiped_a_service_goes_on_as_it_was() -> None:
    scene = wiped(stable(asks="c", records=(record(1), record(2), record(3)), ready=(3,), routes=3))
    assert scene.step().new is None
    assert scene.at() == (Phase.INITIALIZING, None, 3)
    scene.step()
    assert scene.at() == (Phase.STABLE, 3, 3)


@pytest.mark.parametrize("routes", [Routes("m-v1", "m-v1"), Routes("m-v1", "m-v2"), Routes("m-v1", None)], ids=str)
@pytest.mark.parametrize("make", [progressing, switching, rolling_back, failed])
def test_with_its_status_wiped_what_has_the_traffic_keeps_it_until_the_other_is_ready(
    make: Any, routes: Routes
) -> None:
    scene = wiped(make(routes=1))
    scene.routes = routes
    assert scene.step().new is None
    assert scene.at() == (Phase.PROGRESSING, 1, 2)


def test_with_its_status_wiped_and_its_service_gone_the_ingress_tells_what_has_the_traffic() -> None:
    scene = wiped(progressing())
    scene.routes = Routes(None, "m-v1")
    scene.step()
    assert scene.at() == (Phase.PROGRESSING, 1, 2)


def test_with_its_status_wiped_what_serves_the_template_that_is_asked_for_needs_no_new_revision() -> None:
    scene = wiped(stable(asks="a", records=(record(1), record(2))))
    assert scene.step().new is None
    scene.step()
    assert scene.at() == (Phase.STABLE, 1, 1)


def test_with_its_status_wiped_a_new_template_still_gets_a_new_number() -> None:
    scene = wiped(stable(asks="c", records=(record(1), record(2)), routes=2))
    assert scene.step().new == record(3)
    assert scene.at() == (Phase.PROGRESSING, 2, 3)


@pytest.mark.parametrize("phase", TWO_REVISIONS)
@pytest.mark.parametrize("lost", ["active_revision", "target_revision", "rollout", "phase"])
def test_with_part_of_its_status_cut_out_a_service_goes_on_and_what_serves_keeps_its_traffic(
    phase: Phase, lost: str
) -> None:
    scene = SCENES[phase]()
    serves = 2 if phase is Phase.DRAINING else 1
    scene.status = scene.status.model_copy(update={lost: None})
    scene.step()
    assert scene.at()[1] in (serves, None if scene.at() == (Phase.INITIALIZING, None, serves) else serves)
    for _ in range(9):
        if scene.status.phase is Phase.SWITCHING:
            scene.route_to(2)
        scene.see_ready(2)
        scene.step(after=30)
    assert scene.at()[0] in (Phase.STABLE, Phase.AWAITING_PROMOTION, Phase.FAILED)
    assert scene.rests()


@pytest.mark.parametrize(
    "cut",
    [
        {"active_revision": None},
        {"target_revision": None},
        {"target_revision": record(2).ref},
        {"rollout": Rollout(started_at=NOON)},
    ],
    ids=str,
)
def test_a_stable_status_that_makes_no_sense_is_found_anew(cut: dict[str, Any]) -> None:
    scene = stable(records=(record(2),))
    scene.status = scene.status.model_copy(update=cut)
    for _ in range(2):
        scene.step()
    assert scene.at() == (Phase.STABLE, 1, 1)


def test_a_status_that_names_only_what_there_never_was_is_found_anew_by_what_has_the_traffic() -> None:
    scene = stable()
    fiction = Revision(name="m-v7", number=7, hash="cafe")
    scene.status = scene.status.model_copy(update={"active_revision": fiction, "target_revision": fiction})
    for _ in range(2):
        scene.step()
    assert scene.at() == (Phase.STABLE, 1, 1)


def test_a_status_is_believed_where_no_route_leads_to_a_revision_that_is_kept() -> None:
    scene = stable()
    del scene.records["m-v1"]
    assert scene.rests()
