"""Looks at everything that belongs to a DISVC, in the caches, and says it in the phase machine's terms."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from disvc.reconcilers.children import controlled, foreign
from disvc.reconcilers.resources import ENDPOINT_SLICES
from disvc.rollout.endpoints import pods, ready_addresses
from disvc.rollout.inference_service import rendering_of
from disvc.rollout.members import member
from disvc.rollout.names import SERVICE_NAME_LABEL, revision_of
from disvc.rollout.observation import Observation
from disvc.rollout.plan import plan
from disvc.rollout.pods import MEMBER_LABEL
from disvc.runtime import Key

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from disvc.api.status import Revision
    from disvc.api.types import DistributedInferenceService
    from disvc.reconcilers.world import World
    from disvc.rollout.observation import Routes
    from disvc.runtime import Manager, Object

    Value = dict[str, Any]

_REGARDING = "regarding"


class Observer:
    """Reads the caches that only the status needs, beside those of the world."""

    def __init__(self, manager: Manager, world: World) -> None:
        self._world = world
        self._slices = manager.cache(world.select.endpoint_slices)
        self._pods = manager.cache(world.select.pods)
        self._events = manager.cache(world.select.events)
        self._events.add_index(_REGARDING, _regarding)

    def observe(self, disvc: DistributedInferenceService, now: datetime) -> Observation:
        """Return one look at a DISVC."""
        world, namespace = self._world, disvc.metadata.namespace
        live = controlled(world.isvcs, disvc.metadata.uid)
        members = tuple(
            member(
                obj.decode(),
                [pod.decode() for pod in _of(namespace, self._pods.labelled(MEMBER_LABEL, name))],
                [event.decode() for event in self._events.indexed(_REGARDING, obj.metadata.uid)],
                now=now,
            )
            for name, obj in sorted(live.items())
        )
        revisions = {revision_of(name) for name in live} | {revision.name for revision in plan(disvc).revisions}
        slices = {
            revision: self._slices_of(Key(namespace, revision))
            for revision in sorted(revisions)
            if not self._is_foreign(disvc, Key(namespace, revision))
        }
        return Observation(
            members=members,
            endpoints={revision: ready_addresses(found) for revision, found in slices.items()},
            routes=self._followed(disvc, slices),
            wants_ingress=world.wants_ingress(disvc),
            refused=world.obstacles.of(Key(namespace, disvc.metadata.name)),
        )

    async def live_endpoints(self, disvc: DistributedInferenceService, seen: Observation) -> dict[str, int]:
        """Return how many ready addresses each revision that was seen has, by the server's word."""
        services = ",".join(sorted(seen.endpoints))
        listed = await self._world.client.list(
            ENDPOINT_SLICES, disvc.metadata.namespace, label_selector=f"{SERVICE_NAME_LABEL} in ({services})"
        )
        slices: defaultdict[str, list[Value]] = defaultdict(list)
        for one in listed.items:
            slices[one.metadata.labels[SERVICE_NAME_LABEL]].append(one.decode())
        return {revision: ready_addresses(slices[revision]) for revision in seen.endpoints}

    def _followed(self, disvc: DistributedInferenceService, slices: Mapping[str, Iterable[Value]]) -> Routes:
        """Return the routes as far as they have taken effect.

        Service NAME leads nowhere for sure while its EndpointSlices have not followed its selector, and still send
        requests to another revision.
        """
        routes = self._world.routes(disvc)
        behind = pods(self._slices_of(Key(disvc.metadata.namespace, disvc.metadata.name)))
        others = (found for revision, found in slices.items() if revision != routes.service)
        return replace(routes, service=None) if any(behind & pods(found) for found in others) else routes

    def _slices_of(self, service: Key) -> list[Value]:
        return [one.decode() for one in _of(service.namespace, self._slices.labelled(SERVICE_NAME_LABEL, service.name))]

    def _is_foreign(self, disvc: DistributedInferenceService, service: Key) -> bool:
        """Whether somebody else's Service has the name of a revision's: its endpoints say nothing of the revision."""
        there = self._world.services.get(service)
        return there is not None and foreign(there, disvc.metadata.uid, disvc.metadata.name) is not None

    def rendering(self, disvc: DistributedInferenceService, revision: Revision) -> dict[str, Any] | None:
        """Return what a revision's lost record must have held, by a member of it that lives; None: there is none."""
        live = controlled(self._world.isvcs, disvc.metadata.uid)
        return next(
            (rendering_of(obj.decode()) for n, obj in sorted(live.items()) if revision_of(n) == revision.name), None
        )


def _of(namespace: str, found: Iterable[Object[Value]]) -> list[Object[Value]]:
    return [obj for obj in found if obj.metadata.namespace == namespace]


def _regarding(event: Object[Value]) -> Iterable[str]:
    return (event.decode().get("involvedObject", {}).get("uid", ""),)
