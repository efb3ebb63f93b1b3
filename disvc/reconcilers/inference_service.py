"""The reconciler of InferenceServices: the members of the revisions that the recorded phase asks for.

A member is made and put back from what its revision's ControllerRevision recorded, and not from the present spec or
from what today's code would make of it: any change of a running one's metadata rolls its pods.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from disvc.reconcilers.children import Children
from disvc.reconcilers.resources import ISVCS
from disvc.rollout.inference_service import member
from disvc.rollout.names import member_name, revision_of
from disvc.runtime import Request, Result

if TYPE_CHECKING:
    from disvc.reconcilers.world import World


class InferenceServices:
    """Makes, puts back and removes members."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._children = Children(world.client, ISVCS, world.isvcs, world.obstacles)

    async def reconcile(self, request: Request) -> Result:
        """Bring the members of one DISVC in line with its recorded phase."""
        world = self._world
        if (found := world.look(request)) is None:
            return Result()
        disvc, now = found
        live = self._children.controlled(disvc)
        existing = [revision_of(name) for name in live]
        wanted: list[dict[str, Any]] = []
        names: set[str] = set()
        waiting = False
        for revision in now.staffed:
            indices = {member_name(revision.name, index): index for index in range(now.replicas)}
            names |= indices.keys()
            record = world.record(disvc, revision.name)
            waiting = waiting or record is None  # it is made before the status names it, but may be seen after that
            if record is not None:
                may_create = now.may_create(revision, existing)
                wanted += [member(disvc, record, i) for name, i in indices.items() if name in live or may_create]
        extra = sorted(live.keys() - names, key=lambda name: (len(name), name), reverse=True)  # highest index first
        # Of what has members, they are surplus ones; Recreate removes those of what has the traffic, as it must.
        free = {revision.name for revision in (*now.staffed, now.routed) if revision is not None}
        routes = world.routes(disvc)
        removable = [name for name in extra if revision_of(name) in free or not routes.touch(revision_of(name))]
        result = await self._children.bring_in_line(disvc, now, wanted, removable)
        return Result(requeue_after=1.0) if waiting or len(removable) < len(extra) else result
