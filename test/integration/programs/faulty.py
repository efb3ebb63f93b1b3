"""An operator with a bug, in the place that its argument names; what has no bug says that it goes on."""

from __future__ import annotations

import argparse
import asyncio
from typing import Any

import structlog

from disvc.runtime import Controller, Delta, Manager, Request, Resource, Selection, TerminalError, connect, run

CONFIG_MAPS = Resource("v1", "ConfigMap", "configmaps")
log = structlog.get_logger()


class Reconciler:
    def __init__(self, bug: str) -> None:
        self._bug = bug

    async def reconcile(self, request: Request) -> None:
        if request.name == "bad" and self._bug == "reconciler":
            raise ZeroDivisionError("a bug in the reconciler")
        if request.name == "bad" and self._bug == "terminal":
            raise TerminalError("spec.size is negative; set it to 0 or more")
        log.info("reconciled")


class Pump:
    needs_leader_election = False

    async def run(self) -> None:
        await asyncio.sleep(1)
        raise ZeroDivisionError("a bug in the background")


def handle_badly(delta: Delta[Any]) -> None:
    if delta.object.key.name == "bad":
        raise ZeroDivisionError("a bug in the handler")
    log.info("handled", object=str(delta.object.key))


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--namespace", required=True)
    parser.add_argument("bug", choices=["handler", "reconciler", "terminal", "background"])
    options = parser.parse_args()
    async with connect() as transport:
        manager = Manager(transport, name="faulty", namespaces=[options.namespace])
        manager.add(Controller("faulty", for_=CONFIG_MAPS, reconciler=Reconciler(options.bug)))
        if options.bug == "handler":
            manager.informers.subscribe(Selection(CONFIG_MAPS, (options.namespace,)), handle_badly, "faulty handler")
        if options.bug == "background":
            manager.add(Pump())
        await manager.run()


if __name__ == "__main__":
    run(main())
