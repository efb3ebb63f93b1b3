"""The status reconciler: looks at everything that belongs to a DISVC, asks the phase machine, records its answer.

    caches ─► observe ─► machine.step ─► [live reads, step again] ─► [ControllerRevision] ─► status ─► Events

It is the only writer of the status and of ControllerRevisions. A revision is recorded before a status names it, and
a phase only after what it claims was observed. The status is written with the resourceVersion of the DISVC that the
decision was made on: of two operators at most one wins, and a decision on an older spec is lost.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import structlog

from disvc.api.status import Phase
from disvc.reconcilers.children import Stale, foreign
from disvc.reconcilers.obstacles import refusal
from disvc.reconcilers.resources import DISVCS, INGRESSES, REVISIONS, SERVICES
from disvc.reconcilers.world import read_routes
from disvc.rollout import addresses
from disvc.rollout.inference_service import render, unsupported
from disvc.rollout.machine import Step, step
from disvc.rollout.observation import Obstacle
from disvc.rollout.plan import replicas
from disvc.rollout.revision import Record, has_template, manifest, read
from disvc.rollout.status import PROGRESS_SECONDS, is_urgent, status, summary
from disvc.rollout.template import template_hash, template_of
from disvc.runtime import AlreadyExists, ApiError, Conflict, Key, NotFound, Object, Request, Result
from disvc.runtime.events import EventRecorder, ObjectReference

if TYPE_CHECKING:
    from datetime import datetime

    from disvc.api.status import Condition, DistributedInferenceServiceStatus, Revision
    from disvc.api.types import DistributedInferenceService
    from disvc.reconcilers.metrics import DomainMetrics
    from disvc.reconcilers.observer import Observer
    from disvc.reconcilers.world import World
    from disvc.rollout.machine import Question
    from disvc.rollout.observation import Observation, Routes

REMIND_SECONDS = 15.0
"""Until all is as it is asked for, how often it is looked at though no event came: some things are told by silence."""

_log = structlog.get_logger("disvc.reconcilers")


class Statuses:
    """Moves rollouts on, and tells people how things are."""

    def __init__(self, world: World, observer: Observer, events: EventRecorder, metrics: DomainMetrics) -> None:
        self._world = world
        self._observer = observer
        self._events = events
        self._metrics = metrics
        self._clock = world.client.environment.clock
        self._written: dict[Key, float] = {}
        """When, by the monotonic clock, each status was last written."""

    async def reconcile(self, request: Request) -> Result:
        """Record the next step of one DISVC, if there is one."""
        obj = self._world.disvcs.get(request)
        if obj is None:
            self._written.pop(request, None)
            self._metrics.forget(request)
            self._world.obstacles.forget(request)
            return Result()
        if obj.metadata.deletion_timestamp:
            return Result()
        try:
            return await self._reconcile(request, obj)
        except (Conflict, Stale):
            # Somebody has changed the DISVC since this process saw it. The watch will tell; this is in case it did.
            _log.debug("nothing was recorded: the DistributedInferenceService has changed")
            return Result(requeue_after=0.5)

    async def _reconcile(self, key: Key, obj: Object[DistributedInferenceService]) -> Result:
        disvc, now = obj.decode(), self._clock.now()
        found: dict[str, Obstacle] = {}
        records = self._world.records(disvc)
        seen = self._observer.observe(disvc, now)
        for revision in disvc.status.revisions:
            if revision.name not in records:
                found |= await self._restore(key, obj, disvc, revision, records)
        next_step = await self._decide(disvc, records, seen, now, found)
        if next_step is not None and (new := next_step.new) is not None:
            if obstacle := await self._record(key, obj, disvc, new):
                found[new.ref.name] = obstacle
                next_step = None
            else:
                records[new.ref.name] = new
        self._world.obstacles.tell(key, REVISIONS.kind, found)
        obstacles = sorted(
            self._world.obstacles.of(key).values(),
            key=lambda obstacle: (not obstacle.needs_person, obstacle.reason, obstacle.message),
        )
        elder = self._world.elder_on_host(disvc)
        target = next_step.target if next_step else disvc.status.target_revision
        after = status(
            disvc,
            next_step,
            records,
            seen,
            obstacles,
            str(elder) if elder else "",
            self._world.routing,
            now,
            behind=target is None or not has_template(target, records, template_of(disvc)),
        )
        held_back = await self._write(key, obj, disvc.status, after)
        if held_back is None and (trouble := _new_trouble(disvc.status, after)) is not None:
            self._events.event(obj, "Warning", trouble.reason, "Reconciling", trouble.message)
        if next_step is not None and held_back is None:
            self._tell(key, obj, disvc, next_step, now)
            await self._prune(disvc, next_step, records)
        if after.phase is not None:
            self._metrics.observe(key, after.phase, after.ready_replicas, after.replicas - after.ready_replicas)
        waits = [held_back, next_step.wait if next_step else None]
        waits += [obstacle.retry_seconds for obstacle in found.values()]
        waits += [] if _is_settled(after) else [REMIND_SECONDS]
        return Result(requeue_after=min((max(0.0, wait) for wait in waits if wait is not None), default=None))

    async def _decide(
        self,
        disvc: DistributedInferenceService,
        records: dict[str, Record],
        seen: Observation,
        now: datetime,
        found: dict[str, Obstacle],
    ) -> Step | None:
        """Ask the machine; None where what it would begin cannot be, for a reason that is put into `found`."""
        in_words = summary(disvc.status.target_revision, replicas(disvc), seen)
        try:
            decided = step(disvc, records, seen, now, in_words)
            while decided.asks is not None:
                seen = await self._ask(disvc, seen, decided.asks)
                decided = step(disvc, records, seen, now, in_words)
        except OverflowError as error:
            found["revisions"] = _for_a_person("RevisionsUsedUp", str(error))
            return None
        number = decided.target.number
        if problem := unsupported(disvc):
            found["mode"] = _for_a_person("UnsupportedDeploymentMode", problem)
        elif problem := addresses.name_problem(disvc, self._world.routing, number):
            found["names"] = _for_a_person("NameTooLong", problem)
        return None if problem and decided.new is not None else decided

    async def _ask(self, disvc: DistributedInferenceService, seen: Observation, asked: Question) -> Observation:
        """Return what was seen with one part of it by the server's word: a cache may be late."""
        if asked == "endpoints":
            return replace(seen, endpoints=await self._observer.live_endpoints(disvc, seen), endpoints_are_live=True)
        return replace(seen, live_routes=await self._live_routes(disvc))

    async def _live_routes(self, disvc: DistributedInferenceService) -> Routes:
        live: list[Object[dict[str, Any]] | None] = []
        for resource in (SERVICES, INGRESSES):
            try:
                live.append(await self._world.client.get(resource, disvc.metadata.name, disvc.metadata.namespace))
            except NotFound:
                live.append(None)
        return read_routes(disvc, *live)

    async def _record(
        self, key: Key, obj: Object[DistributedInferenceService], disvc: DistributedInferenceService, record: Record
    ) -> Obstacle | None:
        """Make the ControllerRevision of a revision. Return what was in the way."""
        if disvc.status.phase is not None or record.ref.number > 1:
            await self._confirm(key, obj)
        try:
            await self._world.client.create(REVISIONS, manifest(disvc, record))
        except AlreadyExists:
            live = await self._world.client.get(REVISIONS, record.ref.name, key.namespace)
            there, obstacle = await self._read_live(disvc, live)
            if there is not None and there.template != record.template:
                raise  # another operator's, made for another spec: back-off, until its status is seen
            return obstacle
        except ApiError as error:
            if (obstacle := refusal(error)) is None:
                raise
            return obstacle
        _log.info("created", kind=REVISIONS.kind, child=record.ref.name)
        return None

    async def _confirm(self, key: Key, obj: Object[DistributedInferenceService]) -> None:
        """Raise `Stale` where this is not the DISVC's newest state: a revision that was made for another would stay."""
        try:
            live = await self._world.client.get(DISVCS, key.name, key.namespace)
        except NotFound:
            raise Stale from None
        if live.metadata.resource_version != obj.metadata.resource_version:
            raise Stale

    async def _restore(
        self,
        key: Key,
        obj: Object[DistributedInferenceService],
        disvc: DistributedInferenceService,
        revision: Revision,
        records: dict[str, Record],
    ) -> dict[str, Obstacle]:
        """Find the record of a live revision that is not known, or make it anew where somebody has deleted it."""
        try:
            live = await self._world.client.get(REVISIONS, revision.name, key.namespace)
        except NotFound:
            record, obstacle = self._remade(disvc, revision)
            if record is not None:
                obstacle = await self._record(key, obj, disvc, record)
        else:
            if live.metadata.deletion_timestamp:
                return {}  # its end is an event
            record, obstacle = await self._read_live(disvc, live)
        if obstacle is not None:
            return {revision.name: obstacle}
        assert record is not None
        records[revision.name] = record
        return {}

    async def _read_live(
        self, disvc: DistributedInferenceService, live: Object[dict[str, Any]]
    ) -> tuple[Record | None, Obstacle | None]:
        """Return the record that a ControllerRevision holds, or what is in the way; make it one that is watched."""
        if obstacle := foreign(live, disvc.metadata.uid, disvc.metadata.name):
            return None, obstacle
        try:
            record = read(live.decode())
        except ValueError as error:
            return None, _for_a_person("RevisionUnreadable", str(error))
        labels = manifest(disvc, record)["metadata"]["labels"]
        if labels.items() - live.metadata.labels.items():
            version = {"uid": live.metadata.uid, "resourceVersion": live.metadata.resource_version}
            patch = {"metadata": {**version, "labels": labels}}
            await self._world.client.patch(REVISIONS, live.metadata.name, patch, live.metadata.namespace)
            _log.info("changed", kind=REVISIONS.kind, child=live.metadata.name, patch=patch)
        return record, None

    def _remade(self, disvc: DistributedInferenceService, revision: Revision) -> tuple[Record | None, Obstacle | None]:
        """Return the record of a revision that is gone, by its members or by the spec; or that there is no way."""
        template = template_of(disvc)
        known = template if template_hash(template) == revision.hash else None
        if member := self._observer.rendering(disvc, revision) or (known and render(disvc, revision.number)):
            return Record(revision, known, member), None
        message = f"ControllerRevision {revision.name} is gone, with all that it could be made from; change the spec"
        return None, _for_a_person("RevisionLost", message)

    async def _write(
        self,
        key: Key,
        obj: Object[DistributedInferenceService],
        before: DistributedInferenceServiceStatus,
        after: DistributedInferenceServiceStatus,
    ) -> float | None:
        """Write a status that differs. Return for how many seconds it is held back, None where it is not.

        Raises `Conflict` or `Stale` where the DISVC is another one by now, or gone.
        """
        if after == before:
            return None
        monotonic = self._clock.monotonic()
        if not is_urgent(before, after) and key in self._written:
            left = self._written[key] + PROGRESS_SECONDS - monotonic
            if left > 0:
                return left
        patch: dict[str, Any] = {
            "metadata": {"uid": obj.metadata.uid, "resourceVersion": obj.metadata.resource_version},
            "status": after.model_dump(mode="json", by_alias=True),  # with nulls, which remove
        }
        try:
            await self._world.client.patch(DISVCS, key.name, patch, key.namespace, subresource="status")
        except NotFound:
            raise Stale from None  # it is gone; the watch will tell
        self._written[key] = monotonic
        return None

    def _tell(
        self,
        key: Key,
        obj: Object[DistributedInferenceService],
        disvc: DistributedInferenceService,
        taken: Step,
        now: datetime,
    ) -> None:
        """Tell people what has happened, now that it is recorded."""
        # Events that differ in nothing but their note count as one: so they say which revision they have to do with.
        about = ObjectReference(REVISIONS.api_version, REVISIONS.kind, key.namespace, taken.target.name)
        for story in taken.stories:
            self._events.event(obj, story.type, story.reason, str(taken.phase), story.note, about)
            _log.info("rollout", reason=story.reason, phase=str(taken.phase), note=story.note)
        if taken.outcome is not None:
            started = disvc.status.rollout.started_at if disvc.status.rollout else now
            self._metrics.rollout_ended(taken.outcome, (now - started).total_seconds())

    async def _prune(self, disvc: DistributedInferenceService, taken: Step, records: dict[str, Record]) -> None:
        """Delete the records of the oldest revisions, beyond the limit, once nothing is under way."""
        if taken.phase is not Phase.STABLE:
            return
        others = (record.ref for record in records.values() if record.ref.number != taken.target.number)
        old = sorted(others, key=lambda ref: ref.number)
        # The newest stays, though it may have been given up: it tells that its number is used.
        limit = max(disvc.spec.revision_history_limit, bool(old) and old[-1].number > taken.target.number)
        for ref in old[: max(0, len(old) - limit)]:
            kept = self._world.revisions.get(Key(disvc.metadata.namespace, ref.name))
            if kept is not None:
                try:
                    await self._world.client.delete(REVISIONS, ref.name, kept.metadata.namespace, uid=kept.metadata.uid)
                except (NotFound, Conflict):
                    continue


def _is_settled(status: DistributedInferenceServiceStatus) -> bool:
    return any((condition.type, condition.status) == ("Ready", "True") for condition in status.conditions)


def _new_trouble(
    before: DistributedInferenceServiceStatus, after: DistributedInferenceServiceStatus
) -> Condition | None:
    """Return the condition Stalled where it has just come, for what no story of the rollout tells."""
    known = {condition.reason for condition in before.conditions if condition.type == "Stalled"}
    known |= {after.rollout.reason} if after.rollout else set()
    return next((c for c in after.conditions if c.type == "Stalled" and c.reason not in known), None)


def _for_a_person(reason: str, message: str) -> Obstacle:
    return Obstacle(reason, message, needs_person=True, retry_seconds=600)
