"""Reconciles a StatefulSet only when its spec, or the annotation `team`, has changed."""

from typing import Any

import structlog

from disvc.runtime import Controller, Delta, Manager, Request, Resource, Selection, connect, run
from disvc.runtime.predicates import any_of, generation_changed

STATEFUL_SETS = Resource("apps/v1", "StatefulSet", "statefulsets")
log = structlog.get_logger()


def team_changed(delta: Delta[Any]) -> bool:
    teams = {obj.metadata.annotations.get("team") for obj in (delta.old, delta.new) if obj is not None}
    return len(teams) > 1


class Report:
    async def reconcile(self, request: Request) -> None:
        log.info("worth a look")


async def main() -> None:
    async with connect() as transport:
        manager = Manager(transport)
        manager.add(
            Controller(
                "report",
                for_=Selection(STATEFUL_SETS, label_selector="tier=web"),
                predicates=[any_of(generation_changed, team_changed)],
                reconciler=Report(),
            )
        )
        await manager.run()


if __name__ == "__main__":
    run(main())
