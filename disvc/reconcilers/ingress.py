"""The reconciler of the Ingress: it leads from outside to the revision that the recorded phase routes to.

It never names a Service that does not exist, or that is somebody else's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from disvc.reconcilers.children import Children, is_controlled
from disvc.reconcilers.obstacles import name_conflict
from disvc.reconcilers.resources import INGRESSES, ISVCS
from disvc.rollout.ingress import EXACT, ingress
from disvc.runtime import Key, Request, Result

if TYPE_CHECKING:
    from disvc.api.status import Revision
    from disvc.api.types import DistributedInferenceService
    from disvc.reconcilers.world import World


class Ingresses:
    """Makes, puts back, moves and removes the Ingress."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._children = Children(world.client, INGRESSES, world.ingresses, world.obstacles)

    async def reconcile(self, request: Request) -> Result:
        """Bring the Ingress of one DISVC in line with its recorded phase."""
        world = self._world
        if (found := world.look(request)) is None:
            return Result()
        disvc, now = found
        wanted: list[dict[str, Any]] = []
        if now.routed is not None and world.wants_ingress(disvc):
            if (isvc := world.isvcs.get(request)) is not None:
                # KServe writes the Ingress of an InferenceService under its name, whoever owns what is there.
                in_the_way = name_conflict(ISVCS.kind, isvc.metadata.name)
                world.obstacles.tell(request, INGRESSES.kind, {isvc.metadata.name: in_the_way})
                return Result(requeue_after=in_the_way.retry_seconds)
            record = world.record(disvc, now.routed.name)
            if record is None or not self._has_service(disvc, now.routed):
                return Result(requeue_after=1.0)  # the Service's creation comes as an event, too
            wanted.append(ingress(disvc, record, world.routing))
        extra = self._children.controlled(disvc).keys() - {value["metadata"]["name"] for value in wanted}
        return await self._children.bring_in_line(disvc, now, wanted, extra, EXACT)

    def _has_service(self, disvc: DistributedInferenceService, revision: Revision) -> bool:
        service = self._world.services.get(Key(disvc.metadata.namespace, revision.name))
        return is_controlled(service, disvc.metadata.uid)
