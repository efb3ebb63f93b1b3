"""An operator whose work takes its time: each ConfigMap says for how many seconds, and how it takes a cancellation.

`data.seconds` is how long a reconcile takes. `data.cancelled` is what it does when it is cancelled: "obey" (the
default), "tidy" (a last second of work), "return" (takes no note of it and ends), or "ignore" (goes on for ever).
"""

from __future__ import annotations

import argparse
import asyncio

import structlog

from disvc.runtime import Controller, LeaderElection, Manager, Request, Resource, connect, run

CONFIG_MAPS = Resource("v1", "ConfigMap", "configmaps")
log = structlog.get_logger()


class Sleeper:
    def __init__(self, manager: Manager) -> None:
        self._config_maps = manager.cache(CONFIG_MAPS)
        self._running = 0

    async def reconcile(self, request: Request) -> None:
        config_map = self._config_maps.get(request)
        if config_map is None:
            return
        data = config_map.decode()["data"]
        self._running += 1
        log.info("began", running=self._running)
        try:
            await asyncio.sleep(float(data["seconds"]))
        except asyncio.CancelledError:
            match data.get("cancelled"):
                case "return":
                    return
                case "tidy":
                    await asyncio.sleep(1)
                    log.info("tidied")
                case "ignore":
                    while True:
                        await ignore_cancellation()
            raise
        log.info("finished")


async def ignore_cancellation() -> None:
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        log.info("cancellation ignored")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--namespace", required=True)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--grace", type=float, default=30.0)
    options = parser.parse_args()
    async with connect() as transport:
        manager = Manager(
            transport,
            name="sleeper",
            namespaces=[options.namespace],
            grace_seconds=options.grace,
            leader_election=LeaderElection(name="sleeper", namespace=options.namespace),
        )
        sleeper = Sleeper(manager)
        manager.add(Controller("sleeper", for_=CONFIG_MAPS, reconciler=sleeper, max_concurrent=options.workers))
        await manager.run()


if __name__ == "__main__":
    run(main())
