"""An operator that never rests: it changes its ConfigMaps again and again, as fast as the server answers."""

from __future__ import annotations

import argparse

from disvc.runtime import Controller, LeaderElection, Manager, Request, Resource, Result, connect, run

CONFIG_MAPS = Resource("v1", "ConfigMap", "configmaps")


class Writer:
    def __init__(self, manager: Manager, *, unconditional: bool) -> None:
        self._client = manager.client
        self._config_maps = manager.cache(CONFIG_MAPS)
        self._unconditional = unconditional
        self._count = 0

    async def reconcile(self, request: Request) -> Result:
        config_map = self._config_maps.get(request)
        if config_map is None:
            return Result()
        self._count += 1
        metadata = {} if self._unconditional else {"resourceVersion": config_map.metadata.resource_version}
        patch = {"metadata": metadata, "data": {"count": str(self._count)}}
        await self._client.patch(CONFIG_MAPS, request.name, patch, request.namespace)
        return Result(requeue_after=0)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--namespace", required=True)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--unconditional", action="store_true", help="write without a precondition")
    parser.add_argument("--lease-duration", type=float, default=15.0)
    parser.add_argument("--renew-deadline", type=float, default=10.0)
    parser.add_argument("--retry-period", type=float, default=2.0)
    options = parser.parse_args()
    async with connect() as transport:
        manager = Manager(
            transport,
            name="writer",
            namespaces=[options.namespace],
            leader_election=LeaderElection(
                name="writer",
                namespace=options.namespace,
                lease_duration=options.lease_duration,
                renew_deadline=options.renew_deadline,
                retry_period=options.retry_period,
            ),
        )
        writer = Writer(manager, unconditional=options.unconditional)
        manager.add(Controller("writer", for_=CONFIG_MAPS, reconciler=writer, max_concurrent=options.workers))
        await manager.run()


if __name__ == "__main__":
    run(main())
