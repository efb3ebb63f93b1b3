"""One of several managers that share the work by a label: `python sharding.py blue`."""

import sys

import structlog

from disvc.runtime import Controller, LeaderElection, Manager, Request, Resource, connect, run

CONFIG_MAPS = Resource("v1", "ConfigMap", "configmaps")
log = structlog.get_logger()


class Work:
    async def reconcile(self, request: Request) -> None:
        log.info("mine")


async def main(shard: str) -> None:
    async with connect() as transport:
        manager = Manager(
            transport,
            name=f"worker-{shard}",
            label_selector=f"shard={shard}",
            leader_election=LeaderElection(name=f"worker-{shard}", namespace="default"),
        )
        manager.add(Controller("work", for_=CONFIG_MAPS, reconciler=Work()))
        await manager.run()


if __name__ == "__main__":
    run(main(sys.argv[1]))
