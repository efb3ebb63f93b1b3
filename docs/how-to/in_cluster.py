"""The tutorial's operator as it runs in a cluster."""

from website import CONFIG_MAPS, DEPLOYMENTS, WEBSITES, Websites

from disvc.runtime import Controller, LeaderElection, Manager, connect, run
from disvc.runtime.predicates import generation_changed


async def main() -> None:
    async with connect() as transport:
        manager = Manager(
            transport,
            name="website-operator",
            leader_election=LeaderElection(name="website-operator"),
            metrics_bind_address=":8080",
            health_probe_bind_address=":8081",
        )
        manager.add(
            Controller(
                "website",
                for_=WEBSITES,
                owns=[CONFIG_MAPS, DEPLOYMENTS],
                predicates=[generation_changed],
                reconciler=Websites(manager),
            )
        )
        await manager.run()


if __name__ == "__main__":
    run(main())
