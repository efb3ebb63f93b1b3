"""The phase machine of a rollout: from what is asked for, recorded and seen to what is recorded next.

    Initializing ─G1─► Stable                   (the first revision: its routes are made at once, with the rest)
    Stable ─(other template)─► Progressing ─G1─► [AwaitingPromotion] ─► Switching ─G2─► Draining ─G3─► Stable
    Initializing ─(other template)─► Progressing
    Progressing | AwaitingPromotion ─(deadline, abort)─► RollingBack ─► Failed
    Switching | Draining ─(the target has lost all its endpoints, abort)─► RollingBack
    Failed ─(other template, retry)─► Progressing       Failed ─(the active one's template again)─► Stable
    Initializing ─(deadline)─► Failed ─G1─► Stable      (nothing serves that could be gone back to)

`step` is a pure function and the only place that decides when something happens; what must exist in each phase
stands in `plan`. It moves by at most one phase, so that each is recorded before the next begins, and claims only
what was observed. Its timers are times in the status: a restart neither loses nor restarts them.

Promises, for every history:
- The routes leave a revision with ready endpoints only for one that has them, too.
- A revision that a route has pointed at is removed only after a live read showed all routes elsewhere, and
  `drainSeconds` after that.
- At most two revisions are alive: another template that comes while the routes move waits until they have moved.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from disvc.api.spec import Promotion, StrategyType
from disvc.api.status import Phase, Revision, Rollout
from disvc.api.types import ABORT, PROMOTE, RETRY
from disvc.rollout import gates
from disvc.rollout.inference_service import render
from disvc.rollout.names import revision_name
from disvc.rollout.plan import replicas
from disvc.rollout.revision import Record
from disvc.rollout.template import same_template, template_hash, template_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from disvc.api.types import DistributedInferenceService
    from disvc.rollout.observation import Observation

LAST_NUMBER: Final = 9999
"""The name limit leaves four digits for a revision's number."""

Outcome = Literal["Succeeded", "Failed", "Aborted", "Superseded"]


class Story(NamedTuple):
    """One thing that happened, for people: becomes an Event."""

    type: Literal["Normal", "Warning"]
    reason: str
    note: str


@dataclass(frozen=True, slots=True)
class Step:
    """What to record next, and when to look again."""

    phase: Phase
    active: Revision | None
    target: Revision
    rollout: Rollout | None
    new: Record | None = None
    """A revision to make a ControllerRevision of before anything else is recorded."""
    stories: tuple[Story, ...] = ()
    outcome: Outcome | None = None
    """How a rollout ended in this step, if one did."""
    wait: float | None = None
    """After how many seconds time alone may lead on; None: only an event does."""
    asks_live_routes: bool = False
    """Whether the machine wants to be asked again, with the routes as the server has them now."""


@dataclass(frozen=True)
class _World:
    """What a step is decided by."""

    disvc: DistributedInferenceService
    records: Mapping[str, Record]
    seen: Observation
    now: datetime
    summary: str
    template: dict[str, object] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "template", template_of(self.disvc))

    def same(self, revision: Revision | None) -> bool:
        """Whether a revision has the template that is asked for. By content; by hash where its record is lost."""
        if revision is None:
            return False
        record = self.records.get(revision.name)
        if record is None or record.template is None:
            return revision.hash == template_hash(self.template)
        return same_template(record.template, self.template)

    def ready(self, revision: Revision) -> bool:
        """Return G1 but for its duration."""
        return gates.ready(revision, replicas(self.disvc), self.records.get(revision.name), self.seen)

    def serves(self, revision: Revision) -> bool:
        """Whether a revision has an endpoint that is ready."""
        return self.seen.endpoints.get(revision.name, 0) > 0

    def left(self, since: datetime | None, seconds: float) -> float:
        """Return how many seconds of a wait are left; all of them where it has not begun."""
        if since is None:
            return seconds
        return (since + timedelta(seconds=seconds) - self.now).total_seconds()

    def asked(self, annotation: str, value: str) -> bool:
        """Whether somebody asks for something by an annotation of the DISVC."""
        return self.disvc.metadata.annotations.get(annotation) == value


def step(
    disvc: DistributedInferenceService,
    records: Mapping[str, Record],
    seen: Observation,
    now: datetime,
    summary: str = "",
) -> Step:
    """Return what to record next.

    `records` are the revisions of this DISVC that are kept, by name; `summary` says in words how the target is
    doing, and is recorded where it fails.

    Raises `OverflowError` where the DISVC has used up its revision numbers.
    """
    world = _World(disvc, records, seen, now, summary)
    status = disvc.status
    if status.phase is None or status.target_revision is None:
        return _begin(world)
    here = Step(status.phase, status.active_revision, status.target_revision, status.rollout)
    if here.phase in (Phase.SWITCHING, Phase.DRAINING) and (back := _lost(world, here)):
        return back  # also while paused: requests would fail
    if disvc.spec.paused and not (here.phase is Phase.INITIALIZING and world.ready(here.target)):
        return _pause(world, here)
    if here.rollout is not None and here.rollout.paused_at is not None:
        return _resume(world, here, here.rollout)
    return _HANDLERS[here.phase](world, here)


def _begin(world: _World) -> Step:
    """Nothing is recorded: the DISVC is new, or its status was lost, and what has the traffic goes on having it."""
    routed = world.records.get(world.seen.routes.service or "")
    target, new = _target(world)
    if routed is not None and routed.ref != target:
        return Step(Phase.PROGRESSING, routed.ref, target, Rollout(started_at=world.now), new)
    story = Story("Normal", "RevisionCreated", f"Making the first revision, {target.name}")
    return Step(Phase.INITIALIZING, None, target, Rollout(started_at=world.now), new, (story,))


def _initializing(world: _World, here: Step) -> Step:
    if not world.same(here.target):
        # It may serve already, in part. So it is left with its traffic until the other one is ready.
        return _start(world, replace(here, active=here.target))
    if world.ready(here.target):
        story = Story("Normal", "RolloutSucceeded", f"{here.target.name} is ready and serves")
        return _stable(here, here.target, "Succeeded", story)
    rollout = _under_way(world, here)
    left = world.left(rollout.started_at, world.disvc.spec.deployment_strategy.progress_deadline_seconds)
    if left > 0:
        return replace(here, wait=left)
    return _failed(world, here, Phase.FAILED, "ProgressDeadlineExceeded", _late(world))


def _stable_phase(world: _World, here: Step) -> Step:
    if world.same(here.target):
        return here
    return _start(world, here)


def _progressing(world: _World, here: Step) -> Step:
    if other := _another_template(world, here):
        return other
    rollout, strategy = _under_way(world, here), world.disvc.spec.deployment_strategy
    if world.asked(ABORT, f"{here.target.name}/{rollout.attempt}"):
        return _failed(world, here, Phase.ROLLING_BACK, "Aborted", f"{here.target.name} was aborted")
    if world.ready(here.target):
        if rollout.ready_at is None:
            rollout = rollout.model_copy(update={"ready_at": world.now})
            here = replace(here, rollout=rollout)
        left = world.left(rollout.ready_at, strategy.min_ready_seconds)
        if left > 0:
            return replace(here, wait=left)
        if strategy.promotion is Promotion.MANUAL and not world.asked(PROMOTE, here.target.name):
            story = Story("Normal", "AwaitingPromotion", f"{here.target.name} is ready and waits to be promoted")
            return replace(here, phase=Phase.AWAITING_PROMOTION, stories=(story,))
        return _switch(here)
    if rollout.ready_at is not None:
        rollout = rollout.model_copy(update={"ready_at": None})
        here = replace(here, rollout=rollout)
    left = world.left(rollout.started_at, strategy.progress_deadline_seconds)
    if left > 0:
        return replace(here, wait=left)
    return _failed(world, here, Phase.ROLLING_BACK, "ProgressDeadlineExceeded", _late(world))


def _awaiting_promotion(world: _World, here: Step) -> Step:
    if other := _another_template(world, here):
        return other
    rollout = _under_way(world, here)
    if world.asked(ABORT, f"{here.target.name}/{rollout.attempt}"):
        return _failed(world, here, Phase.ROLLING_BACK, "Aborted", f"{here.target.name} was aborted")
    if not world.ready(here.target):
        # A person may have let it wait for days: the deadline begins anew.
        rollout = rollout.model_copy(update={"started_at": world.now, "ready_at": None})
        story = Story("Warning", "RevisionNotReady", f"{here.target.name} is not ready any more: {world.summary}")
        return replace(here, phase=Phase.PROGRESSING, rollout=rollout, stories=(story,))
    automatic = world.disvc.spec.deployment_strategy.promotion is Promotion.AUTOMATIC
    if automatic or world.asked(PROMOTE, here.target.name):
        return _switch(here)
    return here


def _switching(world: _World, here: Step) -> Step:
    old = here.active
    assert old is not None
    here, rollout = _confirmed(world, here, here.target)
    if here.asks_live_routes or rollout.switched_at is None:
        return here
    strategy = world.disvc.spec.deployment_strategy
    left = world.left(rollout.switched_at, strategy.propagation_seconds)
    if left > 0:
        return replace(here, wait=left)
    story = Story(
        "Normal",
        "Switched",
        f"The traffic goes to {here.target.name}; {old.name} drains until {strategy.drain_seconds} s after the switch",
    )
    return replace(
        here,
        phase=Phase.DRAINING,
        active=here.target,
        rollout=rollout.model_copy(update={"previous_revision": old}),
        stories=(story,),
    )


def _draining(world: _World, here: Step) -> Step:
    drain_seconds = world.disvc.spec.deployment_strategy.drain_seconds
    left = world.left(_under_way(world, here).switched_at, drain_seconds)
    if left > 0:
        return replace(here, wait=left)
    here, rollout = _confirmed(world, here, here.target)
    if here.asks_live_routes or rollout.switched_at is None or not world.ready(here.target):
        return here
    left = world.left(rollout.switched_at, drain_seconds)  # which may have begun only now
    if left > 0:
        return replace(here, wait=left)
    previous = rollout.previous_revision
    story = Story("Normal", "RolloutSucceeded", f"{here.target.name} serves; removing {previous and previous.name}")
    return _stable(here, here.target, "Succeeded", story)


def _rolling_back(world: _World, here: Step) -> Step:
    active = here.active
    assert active is not None
    strategy = world.disvc.spec.deployment_strategy
    here, rollout = _confirmed(world, here, active)
    if here.asks_live_routes or rollout.switched_at is None:
        return here
    left = max(
        world.left(rollout.switched_at, strategy.drain_seconds),
        world.left(rollout.failed_at, strategy.failed_revision_ttl_seconds),
    )
    if left > 0:
        return replace(here, wait=left)
    story = Story("Warning", "RolledBack", f"{active.name} has the traffic; {here.target.name}: {rollout.message}")
    return replace(here, phase=Phase.FAILED, stories=(story,))


def _failed_phase(world: _World, here: Step) -> Step:
    rollout = _under_way(world, here)
    if here.active is None and world.same(here.target) and world.ready(here.target):
        story = Story("Normal", "RolloutSucceeded", f"{here.target.name} is ready after all, and serves")
        return _stable(here, here.target, "Succeeded", story)
    if not world.same(here.target):
        if here.active is not None and world.same(here.active):
            story = Story("Normal", "RolloutDropped", f"The template is that of {here.active.name} again, which serves")
            return _stable(here, here.active, None, story)
        return _start(world, replace(here, active=here.active or here.target))
    asked = world.disvc.metadata.annotations.get(RETRY, "")
    name, _, attempt = asked.rpartition("/")
    if name == here.target.name and attempt.isascii() and attempt.isdecimal() and int(attempt) > rollout.attempt:
        story = Story("Normal", "RolloutRetried", f"Trying {here.target.name} again, attempt {int(attempt)}")
        return replace(
            here,
            phase=Phase.INITIALIZING if here.active is None else Phase.PROGRESSING,
            rollout=Rollout(started_at=world.now, attempt=int(attempt)),
            stories=(story,),
        )
    return here


_HANDLERS: Final[Mapping[Phase, Callable[[_World, Step], Step]]] = {
    Phase.INITIALIZING: _initializing,
    Phase.STABLE: _stable_phase,
    Phase.PROGRESSING: _progressing,
    Phase.AWAITING_PROMOTION: _awaiting_promotion,
    Phase.SWITCHING: _switching,
    Phase.DRAINING: _draining,
    Phase.ROLLING_BACK: _rolling_back,
    Phase.FAILED: _failed_phase,
}


def _another_template(world: _World, here: Step) -> Step | None:
    """Give up a target that has no traffic yet where another template is asked for."""
    if world.same(here.target):
        return None
    assert here.active is not None
    dropped = Story("Normal", "Superseded", f"{here.target.name} is given up: the template has changed again")
    if world.same(here.active):
        return _stable(here, here.active, "Superseded", dropped)
    started = _start(world, here)
    return replace(started, stories=(dropped, *started.stories), outcome="Superseded")


def _lost(world: _World, here: Step) -> Step | None:
    """Go back where requests would fail, or where somebody says so, while the old revision can still serve."""
    rollout = _under_way(world, here)
    old = here.active if here.phase is Phase.SWITCHING else rollout.previous_revision
    if old is None or world.disvc.spec.deployment_strategy.type is StrategyType.RECREATE or not world.serves(old):
        return None
    back = replace(here, active=old, rollout=rollout.model_copy(update={"previous_revision": None}))
    if world.asked(ABORT, f"{here.target.name}/{rollout.attempt}"):
        return _failed(world, back, Phase.ROLLING_BACK, "Aborted", f"{here.target.name} was aborted")
    if world.serves(here.target):
        return None
    message = f"{here.target.name} lost all its endpoints when it had the traffic: {world.summary}"
    return _failed(world, back, Phase.ROLLING_BACK, "EndpointsLost", message)


def _pause(world: _World, here: Step) -> Step:
    if here.rollout is None or here.rollout.paused_at is not None:
        return here
    story = Story("Normal", "Paused", f"Paused in phase {here.phase}; nothing moves on until spec.paused is false")
    return replace(here, rollout=here.rollout.model_copy(update={"paused_at": world.now}), stories=(story,))


def _resume(world: _World, here: Step, rollout: Rollout) -> Step:
    """Let the deadline go on from where it stood. The other waits are minima: they may have gone on."""
    assert rollout.paused_at is not None
    started_at = rollout.started_at + (world.now - rollout.paused_at)
    story = Story("Normal", "Resumed", f"Going on in phase {here.phase}")
    resumed = rollout.model_copy(update={"started_at": started_at, "paused_at": None})
    return replace(here, rollout=resumed, stories=(story,), wait=0)


def _start(world: _World, here: Step) -> Step:
    assert here.active is not None
    target, new = _target(world)
    story = Story("Normal", "RolloutStarted", f"Rolling out {target.name}; {here.active.name} has the traffic")
    return Step(Phase.PROGRESSING, here.active, target, Rollout(started_at=world.now), new, (story,))


def _switch(here: Step) -> Step:
    story = Story("Normal", "Switching", f"{here.target.name} is ready; moving the traffic to it")
    return replace(here, phase=Phase.SWITCHING, stories=(story,))


def _stable(here: Step, active: Revision, outcome: Outcome | None, story: Story) -> Step:
    return Step(Phase.STABLE, active, active, None, stories=(story,), outcome=outcome)


def _failed(world: _World, here: Step, phase: Phase, reason: str, message: str) -> Step:
    rollout = _under_way(world, here).model_copy(
        update={"switched_at": None, "failed_at": world.now, "reason": reason, "message": message}
    )
    story = Story("Normal" if reason == "Aborted" else "Warning", reason, message)
    outcome: Outcome = "Aborted" if reason == "Aborted" else "Failed"
    return replace(here, phase=phase, rollout=rollout, stories=(story,), outcome=outcome)


def _late(world: _World) -> str:
    seconds = world.disvc.spec.deployment_strategy.progress_deadline_seconds
    return f"not ready within {seconds} s: {world.summary}"


def _confirmed(world: _World, here: Step, revision: Revision) -> tuple[Step, Rollout]:
    """Record since when every route has been seen on a revision, by a live read; or ask for one."""
    rollout = _under_way(world, here)
    on_it = gates.routed(revision, world.seen, world.seen.routes)
    if on_it and world.seen.live_routes is None:
        return replace(here, asks_live_routes=True), rollout
    on_it = on_it and gates.routed(revision, world.seen, world.seen.live_routes)
    switched_at = (rollout.switched_at or world.now) if on_it else None
    rollout = rollout.model_copy(update={"switched_at": switched_at})
    return replace(here, rollout=rollout), rollout


def _under_way(world: _World, here: Step) -> Rollout:
    """Return the recorded rollout; where a person has removed it from the status, one that begins now."""
    return here.rollout or Rollout(started_at=world.now)


def _target(world: _World) -> tuple[Revision, Record | None]:
    """Return the revision for the template that is asked for, and its record where it has to be made.

    A record that is newer than all that the status knows was made just before a crash, and is taken up.
    """
    status = world.disvc.status
    rollout = status.rollout
    recorded = (status.active_revision, status.target_revision, rollout.previous_revision if rollout else None)
    known = max((revision.number for revision in recorded if revision), default=0)
    newest = max(world.records.values(), key=lambda record: record.ref.number, default=None)
    if newest is not None and newest.ref.number > known and world.same(newest.ref):
        return newest.ref, None
    number = (
        max(known, newest.ref.number if newest else 0, gates.highest_number(world.disvc.metadata.name, world.seen)) + 1
    )
    if number > LAST_NUMBER:
        raise OverflowError(
            f"the next revision would be number {number}, and names leave room for {LAST_NUMBER}; "
            "move to a DistributedInferenceService of another name"
        )
    ref = Revision(
        name=revision_name(world.disvc.metadata.name, number), number=number, hash=template_hash(world.template)
    )
    return ref, Record(ref, world.template, render(world.disvc, number))
