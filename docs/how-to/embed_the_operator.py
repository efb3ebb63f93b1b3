"""The whole operator in a manager of your own, beside a controller of your own.

`python embed_the_operator.py NAMESPACE…`; without a namespace, all of them.
"""

import sys

import structlog

from disvc.reconcilers import add_to_manager
from disvc.reconcilers.resources import DISVCS
from disvc.rollout.configuration import RoutingDefaults
from disvc.runtime import Controller, Manager, Request, connect, run

log = structlog.get_logger()


class Announcements:
    """Tells where each service is reached and which revision answers, whenever that changes."""

    def __init__(self, manager: Manager) -> None:
        self.services = manager.cache(DISVCS)  # the operator's own cache: one watch for both
        self.told: dict[Request, tuple[str, str]] = {}

    async def reconcile(self, request: Request) -> None:
        service = self.services.get(request)
        if service is None:
            self.told.pop(request, None)
            return
        status = service.decode().status
        if status.url is None or status.active_revision is None:
            return
        now = status.url, status.active_revision.name
        if self.told.get(request) != now:
            self.told[request] = now
            log.info("announced", url=status.url, revision=status.active_revision.name)


async def main(namespaces: list[str]) -> None:
    async with connect() as transport:
        manager = Manager(transport, name="model-platform", namespaces=namespaces)
        add_to_manager(manager, routing=RoutingDefaults(domain="models.example.org"))
        manager.add(Controller("announcements", for_=DISVCS, reconciler=Announcements(manager)))
        await manager.run()


if __name__ == "__main__":
    run(main(sys.argv[1:]))
