"""The reconciler of Services: the stable NAME, and NAME-vN of each revision that the recorded phase asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from disvc.reconcilers.children import Children
from disvc.reconcilers.resources import SERVICES
from disvc.rollout.service import EXACT, revision_service, stable
from disvc.runtime import Request, Result

if TYPE_CHECKING:
    from disvc.reconcilers.world import World


class Services:
    """Makes, puts back and removes Services; moves the stable one together with the Ingress."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._children = Children(world.client, SERVICES, world.services, world.obstacles)

    async def reconcile(self, request: Request) -> Result:
        """Bring the Services of one DISVC in line with its recorded phase."""
        world = self._world
        if (found := world.look(request)) is None:
            return Result()
        disvc, now = found
        wanted: list[dict[str, Any]] = []
        waiting = False
        for revision in now.revisions:
            record = world.record(disvc, revision.name)
            waiting = waiting or record is None
            if record is not None:
                wanted.append(revision_service(disvc, record))
                if revision == now.routed:
                    wanted.append(stable(disvc, record))
        kept = {disvc.metadata.name, *(revision.name for revision in now.revisions)}
        extra = self._children.controlled(disvc).keys() - kept
        routes = world.routes(disvc)
        removable = [name for name in extra if not routes.touch(name)]
        result = await self._children.bring_in_line(disvc, now, wanted, removable, EXACT)
        return Result(requeue_after=1.0) if waiting or len(removable) < len(extra) else result
