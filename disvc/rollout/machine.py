"""The phase machine of a rollout: from what is asked for, recorded and seen to what is recorded next.

    Initializing ─G1─► Stable                   (the first revision: its routes are made at once, with the rest)
    Stable ─(other template)─► Progressing ─G1─► [AwaitingPromotion] ─► Switching ─G2─► Draining ─G3─► Stable
    Initializing ─(other template)─► Progressing
    Progressing | AwaitingPromotion ─(deadline, abort)─► RollingBack ─► Failed
    Switching | Draining ─(the target has lost all its endpoints, abort)─► RollingBack
    Draining ─(drained, the target is not whole, other template)─► Stable      (it may be what mends the target)
    Failed ─(other template, retry)─► Progressing       Failed ─(the active one's template again)─► Stable
    Initializing ─(deadline)─► Failed ─G1─► Stable      (nothing serves that could be gone back to)

`step` is a pure function and the only place that decides when something happens; what must exist in each phase
stands in `plan`. It moves by at most one phase, so that each is recorded before the next begins, and claims only
what was observed. Its timers are times in the status: a restart neither loses nor restarts them.

Promises, for every history:
- The routes are sent away from a revision with ready endpoints only to one that has them, too, by a live read: a cache
  may be late, more so that of an operator that has just come, or does not know yet that another has taken over.
- A revision that a route has pointed at is removed only after a live read showed all routes elsewhere, and
  `drainSeconds` after that.
- At most two revisions are alive: another template that comes while the routes move waits until they have moved.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from disvc.api.spec import OnFailure, Promotion
from disvc.api.status import Phase, Revision, Rollout
from disvc.api.types import ABORT, PROMOTE, RETRY
from disvc.rollout import gates
from disvc.rollout.inference_service import render
from disvc.rollout.names import revision_name
from disvc.rollout.plan import is_whole, replicas
from disvc.rollout.revision import Record, has_template
from disvc.rollout.template import template_hash, template_of
from disvc.rollout.words import LOOK_AT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from disvc.api.types import DistributedInferenceService
    from disvc.rollout.observation import Observation

LAST_NUMBER: Final = 9999
"""The name limit leaves four digits for a revision's number."""

_ATTEMPT: Final = re.compile(r"(?P<revision>.+)/(?P<attempt>[1-9][0-9]{0,8})")
"""What the annotations that are about one try of one revision hold."""

Outcome = Literal["Succeeded", "Failed", "Aborted", "Superseded"]
Question = Literal["endpoints", "routes"]


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
    asks: Question | None = None
    """What the machine wants to be told as the server has it now, and then be asked again."""


@dataclass(frozen=True)
class _World:
    """What a step is decided by."""

    disvc: DistributedInferenceService
    records: Mapping[str, Record]
    seen: Observation
    now: datetime
    summary: str

    @cached_property
    def template(self) -> dict[str, Any]:
        """The template that is asked for."""
        return template_of(self.disvc)

    def same(self, revision: Revision) -> bool:
        """Whether a revision has the template that is asked for."""
        return has_template(revision, self.records, self.template)

    def ready(self, revision: Revision) -> bool:
        """Return G1 but for its duration."""
        return gates.ready(revision, replicas(self.disvc), self.records.get(revision.name), self.seen)

    def serves(self, revision: Revision) -> bool:
        """Whether a revision has an endpoint that is ready."""
        return self.seen.endpoints.get(revision.name, 0) > 0

    def left(self, since: datetime, seconds: float) -> float:
        """Return how many seconds of a wait are left."""
        return (since + timedelta(seconds=seconds) - self.now).total_seconds()

    def promoted(self, revision: Revision) -> bool:
        """Whether somebody lets a revision have the traffic."""
        return self.disvc.metadata.annotations.get(PROMOTE) == revision.name

    def attempt(self, annotation: str, revision: Revision) -> int:
        """Return which try of a revision an annotation names, 0 where it names none."""
        named = _ATTEMPT.fullmatch(self.disvc.metadata.annotations.get(annotation, ""))
        return int(named["attempt"]) if named and named["revision"] == revision.name else 0

    def begun(self, revision: Revision) -> Rollout:
        """Return the record of a try that begins now. Annotations that stand already are about earlier ones."""
        attempt = max(1, self.attempt(RETRY, revision), self.attempt(ABORT, revision) + 1)
        return Rollout(started_at=self.now, attempt=attempt)


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
    if status.phase is None or status.target_revision is None or not is_whole(status) or _is_fiction(world):
        return _begin(world)
    here = Step(status.phase, status.active_revision, status.target_revision, status.rollout)
    if here.rollout is None:
        return _stable_phase(world, here)
    if back := _back(world, here, here.rollout):
        return back  # also while paused: requests would fail
    if not disvc.spec.paused:
        resumes = here.rollout.paused_at is not None
        return (_resume if resumes else _HANDLERS[here.phase])(world, here, here.rollout)
    if here.phase is Phase.INITIALIZING and world.ready(here.target):
        return _initializing(world, here, here.rollout)
    return _pause(world, here, here.rollout)


def _is_fiction(world: _World) -> bool:
    """Whether nothing is kept of any revision that the status names, while the routes lead to one that is kept."""
    status, routes = world.disvc.status, world.seen.routes
    previous = status.rollout.previous_revision if status.rollout else None
    named = {one.name for one in (status.active_revision, status.target_revision, previous) if one is not None}
    return (routes.service or routes.ingress) in world.records and not named & world.records.keys()


def _begin(world: _World) -> Step:
    """Nothing is recorded: the DISVC is new, or its status was lost, and what has the traffic goes on having it."""
    routes = world.seen.routes
    routed = world.records.get(routes.service or routes.ingress or "")
    target, new = (routed.ref, None) if routed is not None and world.same(routed.ref) else _target(world)
    if routed is not None and routed.ref != target:
        return Step(Phase.PROGRESSING, routed.ref, target, world.begun(target), new)
    story = Story("Normal", "RevisionCreated", f"Making the first revision, {target.name}")
    return Step(Phase.INITIALIZING, None, target, world.begun(target), new, (story,) if new else ())


def _initializing(world: _World, here: Step, rollout: Rollout) -> Step:
    if world.ready(here.target):
        story = Story("Normal", "RolloutSucceeded", f"{here.target.name} is ready and serves")
        return _stable(here.target, "Succeeded", story)
    if not world.same(here.target):
        # It may serve already, in part. So it is left with its traffic until the other one is ready.
        return _start(world, here.target)
    left = world.left(rollout.started_at, world.disvc.spec.deployment_strategy.progress_deadline_seconds)
    if left > 0:
        return replace(here, wait=left)
    return _failed(world, here, rollout, "ProgressDeadlineExceeded", _late(world, here.target))


def _stable_phase(world: _World, here: Step) -> Step:
    return here if world.disvc.spec.paused or world.same(here.target) else _start(world, here.target)


def _progressing(world: _World, here: Step, rollout: Rollout) -> Step:
    if other := _another_template(world, here) or _abort(world, here, rollout):
        return other
    strategy = world.disvc.spec.deployment_strategy
    if world.ready(here.target):
        ready_at = rollout.ready_at or world.now
        here = replace(here, rollout=rollout.model_copy(update={"ready_at": ready_at}))
        left = world.left(ready_at, strategy.min_ready_seconds)
        if left > 0:
            return replace(here, wait=left)
        if strategy.promotion is Promotion.MANUAL and not world.promoted(here.target):
            story = Story("Normal", "AwaitingPromotion", f"{here.target.name} is ready and waits to be promoted")
            return replace(here, phase=Phase.AWAITING_PROMOTION, stories=(story,))
        return _switch(world, here)
    rollout = rollout.model_copy(update={"ready_at": None})
    left = world.left(rollout.started_at, strategy.progress_deadline_seconds)
    if left > 0:
        return replace(here, rollout=rollout, wait=left)
    return _failed(world, here, rollout, "ProgressDeadlineExceeded", _late(world, here.target))


def _awaiting_promotion(world: _World, here: Step, rollout: Rollout) -> Step:
    if other := _another_template(world, here) or _abort(world, here, rollout):
        return other
    if not world.ready(here.target):
        # A person may have let it wait for days: the deadline begins anew.
        rollout = rollout.model_copy(update={"started_at": world.now, "ready_at": None})
        story = Story("Warning", "RevisionNotReady", f"{here.target.name} is not ready any more: {world.summary}")
        return replace(here, phase=Phase.PROGRESSING, rollout=rollout, stories=(story,))
    automatic = world.disvc.spec.deployment_strategy.promotion is Promotion.AUTOMATIC
    return _switch(world, here) if automatic or world.promoted(here.target) else here


def _switching(world: _World, here: Step, rollout: Rollout) -> Step:
    assert here.active is not None
    old, strategy = here.active, world.disvc.spec.deployment_strategy
    held, over = _held(world, here, rollout, here.target, strategy.propagation_seconds)
    if not over or held.rollout is None:
        return held
    note = (
        f"The traffic goes to {held.target.name}; {old.name} is kept until {strategy.drain_seconds} s after the switch"
    )
    return replace(
        held,
        phase=Phase.DRAINING,
        active=held.target,
        rollout=held.rollout.model_copy(update={"previous_revision": old}),
        stories=(Story("Normal", "Switched", note),),
    )


def _draining(world: _World, here: Step, rollout: Rollout) -> Step:
    assert rollout.previous_revision is not None
    held, over = _held(world, here, rollout, here.target, world.disvc.spec.deployment_strategy.drain_seconds)
    if not over:
        return held
    if world.ready(here.target):
        note = f"{here.target.name} serves; removing {rollout.previous_revision.name}"
        return _stable(here.target, "Succeeded", Story("Normal", "RolloutSucceeded", note))
    if world.same(here.target):
        return held
    # It may never be whole again, and the other template may be what mends it.
    note = f"{here.target.name} is not waited for, as the template has changed again: {world.summary}"
    return _stable(here.target, "Superseded", Story("Normal", "Superseded", note))


def _rolling_back(world: _World, here: Step, rollout: Rollout) -> Step:
    assert here.active is not None
    strategy = world.disvc.spec.deployment_strategy
    seconds: float = strategy.drain_seconds
    wanted = world.same(here.target) and world.attempt(RETRY, here.target) <= rollout.attempt
    if wanted and strategy.on_failure is OnFailure.ROLLBACK and rollout.failed_at is not None:
        kept_until = rollout.failed_at + timedelta(seconds=strategy.failed_revision_ttl_seconds)
        seconds = max(seconds, (kept_until - (rollout.switched_at or world.now)).total_seconds())
    held, over = _held(world, here, rollout, here.active, seconds)
    if not over:
        return held
    story = Story("Warning", "RolledBack", f"{here.active.name} has the traffic; {rollout.message}")
    return replace(held, phase=Phase.FAILED, stories=(story,))


def _failed_phase(world: _World, here: Step, rollout: Rollout) -> Step:
    if here.active is None and world.ready(here.target):
        story = Story("Normal", "RolloutSucceeded", f"{here.target.name} is ready after all, and serves")
        return _stable(here.target, "Succeeded", story)
    if not world.same(here.target):
        if here.active is not None and world.same(here.active):
            story = Story("Normal", "RolloutDropped", f"The template is that of {here.active.name} again, which serves")
            return _stable(here.active, None, story)
        return _start(world, here.active or here.target)
    attempt = world.attempt(RETRY, here.target)
    if attempt <= rollout.attempt:
        return here
    return replace(
        here,
        phase=Phase.INITIALIZING if here.active is None else Phase.PROGRESSING,
        rollout=world.begun(here.target),
        stories=(Story("Normal", "RolloutRetried", f"Trying {here.target.name} again, attempt {attempt}"),),
    )


_HANDLERS: Final[Mapping[Phase, Callable[[_World, Step, Rollout], Step]]] = {
    Phase.INITIALIZING: _initializing,
    Phase.PROGRESSING: _progressing,
    Phase.AWAITING_PROMOTION: _awaiting_promotion,
    Phase.SWITCHING: _switching,
    Phase.DRAINING: _draining,
    Phase.ROLLING_BACK: _rolling_back,
    Phase.FAILED: _failed_phase,
}
"""What each phase in which something is under way leads to."""


def _another_template(world: _World, here: Step) -> Step | None:
    """Give up a target that has no traffic yet where another template is asked for."""
    if world.same(here.target):
        return None
    assert here.active is not None
    dropped = Story("Normal", "Superseded", f"{here.target.name} is given up: the template has changed again")
    if world.same(here.active):
        return _stable(here.active, "Superseded", dropped)
    started = _start(world, here.active)
    return replace(started, stories=(dropped, *started.stories), outcome="Superseded")


def _abort(world: _World, here: Step, rollout: Rollout) -> Step | None:
    """Give up a target where somebody says so."""
    if world.attempt(ABORT, here.target) != rollout.attempt:
        return None
    return _failed(world, here, rollout, "Aborted", f"{here.target.name} was aborted")


def _back(world: _World, here: Step, rollout: Rollout) -> Step | None:
    """Go back where requests would fail, or where somebody says so, while the old revision can still serve."""
    if here.phase not in (Phase.SWITCHING, Phase.DRAINING):
        return None
    old = here.active if here.phase is Phase.SWITCHING else rollout.previous_revision
    if old is None or not world.serves(old):
        return None
    served = replace(here, active=old)
    back = _abort(world, served, rollout) or _lost(world, served, rollout)
    return back and _by_live_endpoints(world, here, back)


def _lost(world: _World, here: Step, rollout: Rollout) -> Step | None:
    """Give up a target that has lost all its endpoints."""
    if world.serves(here.target) or replicas(world.disvc) == 0:
        return None
    message = f"{here.target.name} lost all its endpoints when it had the traffic: {world.summary}"
    return _failed(world, here, rollout, "EndpointsLost", message)


def _by_live_endpoints(world: _World, here: Step, moves: Step) -> Step:
    """Return a step that moves the traffic if it was decided on live endpoints, else the question for these."""
    return moves if world.seen.endpoints_are_live else replace(here, asks="endpoints")


def _pause(world: _World, here: Step, rollout: Rollout) -> Step:
    if rollout.paused_at is not None:
        return here
    story = Story("Normal", "Paused", f"Paused in phase {here.phase}; nothing moves on until spec.paused is false")
    return replace(here, rollout=rollout.model_copy(update={"paused_at": world.now}), stories=(story,))


def _resume(world: _World, here: Step, rollout: Rollout) -> Step:
    """Let the deadline go on from where it stood. What must hold for a time begins again: nobody has watched it."""
    assert rollout.paused_at is not None
    started_at = rollout.started_at + (world.now - rollout.paused_at)
    update = {"started_at": started_at, "paused_at": None, "ready_at": None, "switched_at": None}
    story = Story("Normal", "Resumed", f"Going on in phase {here.phase}")
    return replace(here, rollout=rollout.model_copy(update=update), stories=(story,), wait=0)


def _start(world: _World, active: Revision) -> Step:
    target, new = _target(world)
    story = Story("Normal", "RolloutStarted", f"Rolling out {target.name}; {active.name} has the traffic")
    return Step(Phase.PROGRESSING, active, target, world.begun(target), new, (story,))


def _switch(world: _World, here: Step) -> Step:
    if here.active is not None and world.serves(here.active) and not world.serves(here.target):
        return here  # both are scaled to nothing, and the old one is not quite gone
    story = Story("Normal", "Switching", f"{here.target.name} is ready; moving the traffic to it")
    return _by_live_endpoints(world, here, replace(here, phase=Phase.SWITCHING, stories=(story,)))


def _stable(revision: Revision, outcome: Outcome | None, story: Story) -> Step:
    return Step(Phase.STABLE, revision, revision, None, stories=(story,), outcome=outcome)


def _failed(world: _World, here: Step, rollout: Rollout, reason: str, message: str) -> Step:
    aborted = reason == "Aborted"
    if here.active is not None and world.disvc.spec.deployment_strategy.on_failure is OnFailure.ROLLBACK:
        message = message.partition(LOOK_AT)[0]  # what there is to look at will be gone
    failure = {"failed_at": world.now, "reason": reason, "message": message}
    return replace(
        here,
        phase=Phase.FAILED if here.active is None else Phase.ROLLING_BACK,
        rollout=rollout.model_copy(update={"switched_at": None, "previous_revision": None, **failure}),
        stories=(Story("Normal" if aborted else "Warning", reason, message),),
        outcome="Aborted" if aborted else "Failed",
    )


def _late(world: _World, target: Revision) -> str:
    seconds = world.disvc.spec.deployment_strategy.progress_deadline_seconds
    return f"{target.name} was not ready within {seconds} s: {world.summary}"


def _held(world: _World, here: Step, rollout: Rollout, revision: Revision, seconds: float) -> tuple[Step, bool]:
    """Tell whether every route has been on a revision for so long, and record since when.

    By a live read at the beginning and at the end, and by the cache in between.
    """
    seen, since = world.seen, rollout.switched_at
    astray = replace(here, rollout=rollout.model_copy(update={"switched_at": None}))
    if not gates.routed(revision, seen, seen.routes):
        return astray, False
    if since is not None and (left := world.left(since, seconds)) > 0:
        return replace(here, wait=left), False
    if seen.live_routes is None:
        return replace(here, asks="routes"), False
    if not gates.routed(revision, seen, seen.live_routes):
        return astray, False
    if since is None:
        here = replace(here, rollout=rollout.model_copy(update={"switched_at": world.now}), wait=seconds)
    return here, since is not None or seconds <= 0


def _target(world: _World) -> tuple[Revision, Record | None]:
    """Return the revision for the template that is asked for, and its record where it has to be made.

    The newest record is taken up where it is just what would be made now: it was made right before a crash, or the
    status was lost. Else a template that comes again gets a new number, and the rendering of its day.
    """
    known = max((revision.number for revision in world.disvc.status.revisions), default=0)
    newest = max(world.records.values(), key=lambda record: record.ref.number, default=None)
    if newest is not None and newest.ref.number >= known and newest == _record(world, newest.ref.number):
        return newest.ref, None
    number = (
        max(known, newest.ref.number if newest else 0, gates.highest_number(world.disvc.metadata.name, world.seen)) + 1
    )
    if number > LAST_NUMBER:
        raise OverflowError(
            f"the next revision would be number {number}, and names leave room for {LAST_NUMBER}; "
            "move to a DistributedInferenceService of another name"
        )
    made = _record(world, number)
    return made.ref, made


def _record(world: _World, number: int) -> Record:
    name = revision_name(world.disvc.metadata.name, number)
    ref = Revision(name=name, number=number, hash=template_hash(world.template))
    return Record(ref, world.template, render(world.disvc, number))
