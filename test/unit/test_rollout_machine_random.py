"""The phase machine in a small world where anything may happen at any moment: what must hold then, and in the end.

The world has what the machine sees: members, endpoints, routes and a late cache of them, revisions and a clock. Its
four reconcilers obey the same plan as the real ones, and may be killed between any two writes. One seed is one
history: `DISVC_SEEDS=0-99999` plays more than the default, and `DISVC_SEEDS=17-17` the one that a failure has named.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from disvc.api.status import DistributedInferenceServiceStatus, Phase, Revision
from disvc.api.types import ABORT, PROMOTE, RETRY, DistributedInferenceService
from disvc.rollout import gates
from disvc.rollout.conditions import REASONS
from disvc.rollout.configuration import RoutingDefaults
from disvc.rollout.inference_service import render
from disvc.rollout.machine import Step, step
from disvc.rollout.names import STOP_ANNOTATION, member_name, revision_of
from disvc.rollout.observation import Member, Observation, Obstacle, Routes
from disvc.rollout.plan import Plan, is_whole, plan, replicas
from disvc.rollout.revision import Record
from disvc.rollout.status import is_urgent, status
from disvc.rollout.template import same_template, template_hash, template_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
ACTIONS = 300
ROUNDS = 100
FIRST, LAST = map(int, os.environ.get("DISVC_SEEDS", "0-199").split("-"))
SEEDS = range(FIRST, LAST + 1)
BLOCKS = [SEEDS[start : start + 25] for start in range(0, len(SEEDS), 25)]


class Killed(Exception):
    """The operator has died."""


@dataclass
class Isvc:
    """A member as the cluster has it."""

    hash: str
    ready: bool = False
    serving: bool = False
    deleting: bool = False


class World:
    """One DISVC m, and everything that belongs to it."""

    def __init__(self, seed: int) -> None:
        self.chance = Random(seed)
        self.story: list[str] = []
        self.now = NEW_YEAR
        self.asked = self._asked("a", 1, False, {})
        self.template, self.replicas, self.paused, self.strategy = "a", 1, False, dict[str, Any]()
        self.annotations: dict[str, str] = {}
        self.wants_ingress = True
        self.generation = 1
        self.version = 1
        """Of the DISVC: a status that was decided on another one is not written."""
        self.status = DistributedInferenceServiceStatus()
        self.records: dict[str, Record] = {}
        self.every_record: dict[str, Record] = {}
        self.members: dict[str, Isvc] = {}
        self.services: set[str] = set()
        self.live = Routes()
        self.cached = Routes()
        self.endpoints_before: dict[str, int] = {}
        self.lateness = self.chance.choice((0, 0, 0.05, 0.2))
        """How often the cache of endpoints is as it was before."""
        self.by_hand: set[str] = set()
        """The routes that a person has moved last."""
        self.left: dict[str, datetime] = {}
        """When the last route that the operator had set left a revision."""
        self.arrived = NEW_YEAR
        """When a route was moved last, but for those that were put back: nobody may have seen them elsewhere."""
        self.drain: float = 0
        """The drain that was asked for when it was decided to remove what is being removed."""
        self.could_serve: set[str] = set()
        """The revisions that had endpoints when the phase was decided."""
        self.wiped = False
        self.calm = False
        self.writes = 0
        self.rates = self._rates()

    # What happens, and how often.

    def _rates(self) -> dict[Callable[[], object], float]:
        """Return the actions and their weights. Each history has a temper of its own."""

        def now_and_then(weight: float) -> float:
            return weight * self.chance.choice((0, 0.3, 1, 1, 3))

        return {
            self.reconcile_status: 20,
            self.reconcile_members: 10,
            self.reconcile_services: 10,
            self.reconcile_ingress: 8,
            self.deliver: 10,
            self.pass_time: 8,
            self.get_ready: 14,
            self.end_deletion: 10,
            self.get_unready: now_and_then(1.5),
            self.lose_all: now_and_then(0.4),
            self.ask_for_another_template: now_and_then(1),
            self.ask_for_another_strategy: now_and_then(0.5),
            self.ask_for_other_replicas: now_and_then(0.5),
            self.pause_or_resume: now_and_then(0.7),
            self.annotate: now_and_then(2),
            self.stop_or_start: now_and_then(0.15),
            self.show_or_hide: now_and_then(0.3),
            self.delete_member: now_and_then(0.7),
            self.delete_service: now_and_then(0.3),
            self.edit_route: now_and_then(0.5),
            self.delete_record: now_and_then(0.15),
            self.wipe_status: self.chance.choice((0, 0, 0, 0.3)),
        }

    def act(self) -> None:
        actions, weights = zip(*self.rates.items(), strict=True)
        (action,) = self.chance.choices(actions, weights)
        self._do(action)

    def _do(self, action: Callable[[], object]) -> None:
        self.story.append(f"{action.__name__} in {self.status.phase}")
        try:
            action()
        except Killed:
            self.tell("killed")
            self.deliver()

    def tell(self, what: str) -> None:
        self.story.append(f"    {what}")

    def may_die(self, probability: float = 0.03) -> None:
        if not self.calm and self.chance.random() < probability:
            raise Killed

    def meanwhile(self) -> None:
        """Let something else happen in the middle of a reconcile, be it by a second operator."""
        if not self.calm and self.chance.random() < 0.2:
            self.act()

    # People.

    def _asked(self, template: str, count: int, paused: bool, strategy: dict[str, Any]) -> DistributedInferenceService:
        predictor = {"model": {"modelFormat": {"name": "sklearn"}, "storageUri": f"gs://models/{template}"}}
        spec = {
            "inferenceService": {"predictor": predictor},
            "replicas": count,
            "paused": paused,
            "deploymentStrategy": strategy,
        }
        return DistributedInferenceService.model_validate(
            {"metadata": {"name": "m", "namespace": "ns", "uid": "u"}, "spec": spec}
        )

    def _ask(self, **changes: Any) -> None:
        self.tell(str(changes))
        vars(self).update(changes)
        self.asked = self._asked(self.template, self.replicas, self.paused, self.strategy)
        self.generation += 1
        self.version += 1

    def ask_for_another_template(self) -> None:
        self._ask(template=self.chance.choice("abcd"))

    def ask_for_another_strategy(self) -> None:
        choice = self.chance.choice
        recreate = choice((True, False, False))
        self._ask(
            strategy={
                "type": "Recreate" if recreate else "RollingUpdate",
                "promotion": "Automatic" if recreate else choice(("Automatic", "Manual")),
                "minReadySeconds": choice((0, 0, 20)),
                "progressDeadlineSeconds": choice((60, 600)),
                "propagationSeconds": choice((0, 5)),
                "drainSeconds": choice((0, 30)),
                "onFailure": choice(("Rollback", "Hold")),
                "failedRevisionTTLSeconds": choice((0, 100)),
            }
        )

    def ask_for_other_replicas(self) -> None:
        self._ask(replicas=self.chance.choice((0, 1, 1, 2, 3)))

    def pause_or_resume(self) -> None:
        self._ask(paused=not self.paused)

    def annotate(self) -> None:
        known = [ref for ref in (self.status.target_revision, self.status.active_revision) if ref]
        name = self.chance.choice([ref.name for ref in known] or ["m-v1"])
        attempt = (self.status.rollout.attempt if self.status.rollout else 1) + self.chance.choice((-1, 0, 1))
        key = self.chance.choice((PROMOTE, ABORT, RETRY))
        self.annotations[key] = name if key == PROMOTE else f"{name}/{attempt}"
        self.version += 1
        self.tell(f"{key}={self.annotations[key]}")

    def stop_or_start(self) -> None:
        if self.annotations.pop(STOP_ANNOTATION, None) is None:
            self.annotations[STOP_ANNOTATION] = "true"
        self.version += 1

    def show_or_hide(self) -> None:
        self.wants_ingress = not self.wants_ingress
        self.version += 1

    def delete_member(self) -> None:
        if self.members:
            name = self.chance.choice(sorted(self.members))
            self._delete(name)
            self.tell(name)

    def delete_service(self) -> None:
        self.services.discard(self.chance.choice(["", *sorted(self.services)]))

    def delete_record(self) -> None:
        name = self.chance.choice(["", *sorted(self.records)])
        self.records.pop(name, None)
        self.tell(name)

    def edit_route(self) -> None:
        kind = self.chance.choice(("service", "ingress"))
        self._route(kind, self.chance.choice([None, *sorted(self.records)]), by_hand=True)

    def wipe_status(self) -> None:
        cut = self.chance.choice(("all", "active_revision", "target_revision", "rollout"))
        self.status = (
            DistributedInferenceServiceStatus() if cut == "all" else self.status.model_copy(update={cut: None})
        )
        self.version += 1
        self.wiped = True

    # The cluster.

    def pass_time(self) -> None:
        self.now += timedelta(seconds=self.chance.choice((0.5, 1, 3, 5, 10, 30, 30, 100, 700)))

    def get_ready(self) -> None:
        waiting = [isvc for isvc in self.members.values() if not (isvc.serving or isvc.deleting)]
        if waiting:
            isvc = self.chance.choice(waiting)
            isvc.serving, isvc.ready = isvc.ready, True

    def get_unready(self) -> None:
        if self.members:
            isvc = self.chance.choice([self.members[name] for name in sorted(self.members)])
            isvc.serving = False
            isvc.ready = self.chance.choice((True, False))

    def lose_all(self) -> None:
        """A revision loses all its endpoints."""
        name = revision_of(self.chance.choice(["", *sorted(self.members)]))
        for member, isvc in self.members.items():
            if revision_of(member) == name:
                isvc.ready = isvc.serving = False

    def end_deletion(self) -> None:
        for name in [name for name, isvc in self.members.items() if isvc.deleting][:1]:
            del self.members[name]

    def deliver(self) -> None:
        """The cache catches up with the routes, in whole or in part."""
        if self.calm or self.chance.random() < 0.7:
            self.cached = self.live
        else:
            self.cached = replace(self.cached, ingress=self.live.ingress)

    def endpoints(self, revision: str | None) -> int:
        if revision not in self.services:
            return 0
        return sum(isvc.serving for name, isvc in self.members.items() if revision_of(name) == revision)

    def _delete(self, name: str) -> None:
        self.writes += 1
        if not self.calm and self.chance.random() < 0.7:
            self.members[name] = replace(self.members[name], deleting=True, serving=False)
        else:
            del self.members[name]

    def _route(self, kind: str, to: str | None, *, by_hand: bool = False) -> None:
        """Move a route, after a look at what that does."""
        was = getattr(self.live, kind)
        if was == to:
            return
        self.writes += 1
        self.tell(f"{kind}: {was} -> {to}{' by hand' if by_hand else ''}")
        own = was is not None and kind not in self.by_hand
        if own:
            self.left[was] = self.now
        if not by_hand and own and to is not None and not self.wiped:
            # What was decided may be overtaken by events. Then it is for the next decision to lead back.
            served = self.endpoints(to) > 0 or to in self.could_serve or was not in self.could_serve
            assert served or not self.endpoints(was), f"{kind} goes from {was}, which serves, to {to}"
            self.arrived = self.now
        self.live = replace(self.live, **{kind: to})
        (self.by_hand.add if by_hand else self.by_hand.discard)(kind)

    # The operator.

    def disvc(self) -> DistributedInferenceService:
        update = {"annotations": dict(self.annotations), "generation": self.generation}
        metadata = self.asked.metadata.model_copy(update=update)
        return self.asked.model_copy(update={"metadata": metadata, "status": self.status})

    def _plan(self) -> Plan | None:
        return plan(self.disvc()) if is_whole(self.status) else None

    def reconcile_members(self) -> None:
        if (now := self._plan()) is None:
            return
        existing = [revision_of(name) for name in self.members]
        wanted = set()
        for revision in now.staffed:
            names = [member_name(revision.name, index) for index in range(now.replicas)]
            wanted |= set(names)
            if revision.name not in self.records or not now.may_create(revision, existing):
                continue
            for name in names:
                if name not in self.members:
                    self.may_die()
                    self.writes += 1
                    self.members[name] = Isvc(revision.hash)
                    self.tell(f"created {name}")
                    alive = {revision_of(one) for one in self.members}
                    assert len(alive) <= 2 or self.wiped, f"members of {sorted(alive)}"
        kept = {revision.name for revision in now.revisions}
        for name in sorted(self.members.keys() - wanted):
            revision_name = revision_of(name)
            if self.members[name].deleting or (revision_name not in kept and self.cached.touch(revision_name)):
                continue
            self.may_die()
            if revision_name not in kept:
                self._check_removal(revision_name)
            self._delete(name)
            self.tell(f"deleted {name}")

    def _check_removal(self, revision: str) -> None:
        if self.wiped:
            return
        own = {kind for kind in ("service", "ingress") if kind not in self.by_hand}
        assert all(getattr(self.live, kind) != revision for kind in own), f"{revision} is removed and has traffic"
        if revision in self.left:
            waited = (self.now - self.left[revision]).total_seconds()
            assert waited >= self.drain, f"{revision} is removed {waited} s after the traffic left it"

    def reconcile_services(self) -> None:
        if (now := self._plan()) is None:
            return
        for revision in now.revisions:
            if revision.name not in self.records:
                continue
            if revision.name not in self.services:
                self.may_die()
                self.writes += 1
                self.services.add(revision.name)
            if revision == now.routed:
                self.may_die()
                self._route("service", revision.name)
        for name in sorted(self.services - {revision.name for revision in now.revisions}):
            if not self.cached.touch(name):
                self.may_die()
                self.writes += 1
                self.services.discard(name)

    def reconcile_ingress(self) -> None:
        if (now := self._plan()) is None:
            return
        if not self.wants_ingress:
            self._route("ingress", None)
        elif now.routed is not None and now.routed.name in self.services and now.routed.name in self.records:
            self._route("ingress", now.routed.name)

    def observe(self) -> Observation:
        members = tuple(
            Member(
                name,
                revision_of(name),
                int(name.rpartition("-")[2]),
                isvc.hash,
                isvc.deleting,
                isvc.ready and not isvc.deleting,
            )
            for name, isvc in sorted(self.members.items())
        )
        endpoints = {name: self.endpoints(name) for name in sorted(self.records.keys() | self.services)}
        if not self.calm and self.chance.random() < self.lateness:
            endpoints = {name: self.endpoints_before.get(name, 0) for name in endpoints}
        else:
            self.endpoints_before = endpoints
        return Observation(members, endpoints, self.cached, wants_ingress=self.wants_ingress)

    def reconcile_status(self) -> float | None:
        """Decide, make the record, write the status, as the real reconciler does. Return when to look again."""
        disvc, version, now = self.disvc(), self.version, self.now
        seen = self.observe()
        obstacles = [self._lost(ref) for ref in self._live_revisions() if not self._restore(disvc, ref)]
        records = dict(self.records)
        taken = step(disvc, records, seen, now, "in words")
        while taken.asks is not None:
            self.meanwhile()
            if taken.asks == "routes":
                assert seen.live_routes is None
                seen = replace(seen, live_routes=self.live)
            else:
                assert not seen.endpoints_are_live
                live = {name: self.endpoints(name) for name in seen.endpoints}
                seen = replace(seen, endpoints=live, endpoints_are_live=True)
            taken = step(disvc, records, seen, now, "in words")
        self.may_die()
        self.meanwhile()
        if taken.new is not None:
            if not self._record(taken.new):
                return 0
            records[taken.new.ref.name] = taken.new
            self.may_die(0.2)
        after = status(
            disvc,
            taken,
            records,
            seen,
            obstacles,
            "",
            RoutingDefaults(),
            now,
            behind=not self._same(taken.target, disvc),
        )
        self._check_claims(disvc, seen, after, records)
        self._check_decision(disvc, seen, taken, now)
        if after == disvc.status or version != self.version:
            return taken.wait
        if not self.calm and not is_urgent(disvc.status, after) and self.chance.random() < 0.5:
            return taken.wait
        self.may_die(0.1)
        self.writes += 1
        self.status = after
        self.version += 1
        if after.phase is not disvc.status.phase:
            if after.phase in (Phase.STABLE, Phase.FAILED):
                self.drain = disvc.spec.deployment_strategy.drain_seconds
            self.could_serve = {name for name, count in seen.endpoints.items() if count}
        for told in taken.stories:
            self.tell(f"{told.reason}: {told.note}")
        return taken.wait

    def _record(self, new: Record) -> bool:
        """Make a record, where there is none by its name. Return whether it is there as it should be."""
        name = new.ref.name
        if name in self.records:  # a second operator was faster
            return same_template(self.records[name].template or {}, new.template or {})
        named = {ref.name for ref in self._live_revisions()} | {revision_of(member) for member in self.members}
        assert name not in named, f"the number of {name} is used again"
        self.records[name] = self.every_record[name] = new
        return True

    def _live_revisions(self) -> list[Revision]:
        rollout = self.status.rollout
        named = (self.status.active_revision, self.status.target_revision, rollout and rollout.previous_revision)
        return list(dict.fromkeys(ref for ref in named if isinstance(ref, Revision)))

    def _restore(self, disvc: DistributedInferenceService, ref: Revision) -> bool:
        """Make the record of a live revision anew where it is lost, from a member or from the spec."""
        if ref.name in self.records:
            return True
        template = template_of(disvc)
        known = template if template_hash(template) == ref.hash else None
        if any(revision_of(name) == ref.name for name in self.members):
            self.records[ref.name] = Record(ref, known, self.every_record[ref.name].member)
        elif known is not None:
            self.records[ref.name] = Record(ref, known, render(disvc, ref.number))
        self.writes += ref.name in self.records
        return ref.name in self.records

    def _lost(self, ref: Revision) -> Obstacle:
        return Obstacle("RevisionLost", f"{ref.name} is lost", needs_person=True, retry_seconds=600)

    def _same(self, ref: Revision | None, asked: DistributedInferenceService) -> bool:
        """Whether a revision is of the template that is asked for, by what was once recorded of it."""
        if ref is None:
            return False
        record = self.every_record.get(ref.name)
        return record is not None and same_template(record.template or {}, template_of(asked))

    # What must hold.

    def _check_decision(
        self, disvc: DistributedInferenceService, seen: Observation, taken: Step, now: datetime
    ) -> None:
        """What is about to be recorded moves the traffic to nothing that does not serve, and only what was seen is."""
        before = disvc.status
        if not is_whole(before) or not any(ref.name in self.records for ref in self._live_revisions()):
            return
        update = {
            "phase": taken.phase,
            "active_revision": taken.active,
            "target_revision": taken.target,
            "rollout": taken.rollout,
        }
        old, new = plan(disvc), plan(disvc.model_copy(update={"status": before.model_copy(update=update)}))
        assert is_whole(before.model_copy(update=update))
        if old.routed != new.routed and old.routed is not None and new.routed is not None:
            assert seen.endpoints_are_live, "on the word of a cache"
            assert seen.endpoints.get(new.routed.name) or not seen.endpoints.get(old.routed.name), "to nothing"
        if disvc.spec.paused and taken.phase is not before.phase:
            first = before.phase is Phase.INITIALIZING and taken.phase is Phase.STABLE
            assert first or (taken.rollout is not None and taken.rollout.reason in ("EndpointsLost", "Aborted")), (
                "paused"
            )
        if taken.phase is before.phase:
            return
        strategy, phases = disvc.spec.deployment_strategy, (before.phase, taken.phase)
        if taken.phase is Phase.SWITCHING:
            assert self._is_fit(disvc, seen, taken.target), "switched before it was ready"
            if before.phase is Phase.PROGRESSING:
                assert taken.rollout is not None
                assert taken.rollout.ready_at is not None
                assert now - taken.rollout.ready_at >= timedelta(seconds=strategy.min_ready_seconds)
        elif phases == (Phase.SWITCHING, Phase.DRAINING):
            assert gates.routed(taken.target, seen, seen.live_routes), "the switch was not seen"
            assert now - self.arrived >= timedelta(seconds=strategy.propagation_seconds) or self.by_hand
        elif phases == (Phase.DRAINING, Phase.STABLE):
            assert gates.routed(taken.target, seen, seen.live_routes), "the old revision may have traffic"
            assert self._is_fit(disvc, seen, taken.target) or not self._same(taken.target, disvc), "G3"
        elif taken.phase is Phase.STABLE and taken.outcome == "Succeeded":
            assert self._is_fit(disvc, seen, taken.target), "stable before it was ready"

    def _is_fit(self, disvc: DistributedInferenceService, seen: Observation, ref: Revision) -> bool:
        """Whether each member that is asked for is as it should be, and serves."""
        wanted = {member_name(ref.name, index) for index in range(replicas(disvc))}
        fit = {one.name for one in seen.of(ref.name) if one.ready and not one.deleting and one.hash == ref.hash}
        return wanted <= fit and seen.endpoints.get(ref.name, 0) >= len(wanted)

    def _check_claims(
        self,
        disvc: DistributedInferenceService,
        seen: Observation,
        after: DistributedInferenceServiceStatus,
        records: dict[str, Record],
    ) -> None:
        """Nothing that is not so may be said."""
        said = {one.type: one for one in after.conditions}
        active, target, wanted = after.active_revision, after.target_revision, replicas(disvc)
        assert len(said) == len(after.conditions)
        assert all(
            one.reason in REASONS and one.observed_generation == disvc.metadata.generation for one in said.values()
        )
        assert after.observed_generation == disvc.metadata.generation
        assert not ("Reconciling" in said and "Stalled" in said)
        assert said["Ready"].status != "True" or not {"Reconciling", "Stalled"} & said.keys()
        assert (after.url is None) == (after.address is None) == (active is None)
        assert after.address is None or active is None or f"//{active.name}." in after.address.url
        routes = seen.routes
        led = [routes.service, routes.ingress] if seen.wants_ingress else [routes.service]
        if said["Available"].status == "True":
            assert wanted
            behind_them = {name for name in led if name and seen.endpoints.get(name)}
            shown = active or target
            assert behind_them or (shown and seen.endpoints.get(shown.name)), "Available"
        if said["TrafficReady"].status == "True":
            right = target if after.phase is Phase.SWITCHING or active is None else active
            assert right is not None
            assert set(led) == {right.name}, "TrafficReady"
        if after.phase is Phase.STABLE:
            assert active == target
        if said["Ready"].status == "True":
            assert (after.phase, active) == (Phase.STABLE, target)
            assert active is not None
            assert self._same(active, disvc), "Ready with another template"
            assert set(led) == {active.name}
            assert self._is_fit(disvc, seen, active)
            assert wanted
            assert active.name in records
            assert said["Available"].status == "True"
            assert said["TrafficReady"].status == "True"

    # The end.

    def settle(self) -> None:
        """No more disturbances: all that is asked for comes about, and then nothing happens any more."""
        self.calm = True
        for _ in range(ROUNDS):
            before, wait = self.writes, self._round()
            if self.writes != before:
                self.now += timedelta(seconds=1)
            elif wait is not None:
                self.now += timedelta(seconds=wait)
            else:
                break
        else:
            raise AssertionError("it does not come to rest")
        before = self.writes
        for _ in range(3):
            self.now += timedelta(days=1)
            assert self._round() is None
        assert self.writes == before, "it does not stay at rest"
        self._check_end()

    def _round(self) -> float | None:
        """Everything happens once. Return how long time alone is waited for."""
        for name in [name for name, isvc in self.members.items() if isvc.deleting]:
            del self.members[name]
        for isvc in self.members.values():
            isvc.ready = isvc.serving = True
        self.deliver()
        self.reconcile_members()
        self.reconcile_services()
        self.reconcile_ingress()
        self.deliver()
        return self.reconcile_status()

    def _check_end(self) -> None:
        now, end = self._plan(), self.status
        assert now is not None
        said = {one.type: one for one in end.conditions}
        if {ref.name for ref in self._live_revisions()} - self.records.keys():
            assert said["Stalled"].reason == "RevisionLost"
            return
        made, kept = (
            {member_name(ref.name, index) for ref in revisions for index in range(now.replicas)}
            for revisions in (now.made, now.staffed)
        )
        assert made <= self.members.keys() <= kept
        assert self.services == {ref.name for ref in now.revisions}
        assert now.routed is not None
        assert self.live == Routes(now.routed.name, now.routed.name if self.wants_ingress else None)
        if end.phase is Phase.FAILED:
            assert said["Stalled"].reason in ("ProgressDeadlineExceeded", "Aborted", "EndpointsLost")
            assert self._same(end.target_revision, self.asked) or self.paused
        elif self.paused and (end.phase is not Phase.STABLE or not self._same(end.target_revision, self.asked)):
            assert said["Ready"].reason in ("Paused", end.rollout and end.rollout.reason)
        elif end.phase is Phase.AWAITING_PROMOTION:
            assert self.strategy["promotion"] == "Manual"
            assert self._same(end.target_revision, self.asked)
        else:
            assert end.phase is Phase.STABLE
            assert self._same(end.target_revision, self.asked)
            assert (said["Ready"].status, said["Available"].status) == (
                ("True", "True") if now.replicas else ("False",) * 2
            )


def play(seed: int) -> Iterator[str]:
    """Play one history. Yield the phases that it came through."""
    world = World(seed)
    try:
        for _ in range(ACTIONS):
            world.act()
            yield str(world.status.phase)
        world.settle()
        yield f"in the end {world.status.phase}"
        if {ref.name for ref in world._live_revisions()} - world.records.keys():
            world._ask(template="e", paused=False)
            world.settle()
            yield f"after a record was lost {world.status.phase}"
    except Exception as error:
        world.tell(f"{world.status.model_dump_json(exclude_none=True, exclude={'conditions'})}")
        world.tell(f"live {world.live}, cached {world.cached}, now {world.now}")
        error.add_note("\n".join([f"seed {seed}; the last that happened:", *world.story[-60:]]))
        raise


@pytest.mark.parametrize("seeds", BLOCKS, ids=str)
def test_whatever_happens_no_promise_is_broken_and_in_the_end_all_is_as_asked(seeds: range) -> None:
    for seed in seeds:
        for _ in play(seed):
            pass


def test_the_histories_come_through_every_phase_and_end_in_every_way() -> None:
    seen = Counter(phase for seed in range(60) for phase in play(seed))
    assert all(seen[phase] > 20 for phase in Phase), seen
    for end in ("Stable", "Failed", "AwaitingPromotion"):
        assert seen[f"in the end {end}"], seen
