"""An operator that does nothing, with the flags that operators have."""

from __future__ import annotations

import argparse

from disvc.runtime import (
    Controller,
    LeaderElection,
    Manager,
    Request,
    Resource,
    configure_logging,
    connect,
    run,
)

CONFIG_MAPS = Resource("v1", "ConfigMap", "configmaps")


class Nothing:
    async def reconcile(self, request: Request) -> None:
        pass


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--namespace", default="default")
    parser.add_argument("--kubeconfig")
    parser.add_argument("--context")
    parser.add_argument("--metrics-bind-address", default="")
    parser.add_argument("--health-probe-bind-address", default="")
    parser.add_argument("--lease-duration", type=float, default=15.0)
    parser.add_argument("--renew-deadline", type=float, default=10.0)
    parser.add_argument("--log-level", default="info")
    options = parser.parse_args()
    configure_logging(level=options.log_level)
    async with connect(options.kubeconfig, context=options.context) as transport:
        manager = Manager(
            transport,
            name="plain",
            namespaces=[options.namespace],
            leader_election=LeaderElection(
                name="plain",
                namespace=options.namespace,
                lease_duration=options.lease_duration,
                renew_deadline=options.renew_deadline,
            ),
            metrics_bind_address=options.metrics_bind_address,
            health_probe_bind_address=options.health_probe_bind_address,
        )
        manager.add(Controller("plain", for_=CONFIG_MAPS, reconciler=Nothing()))
        await manager.run()


if __name__ == "__main__":
    run(main())
