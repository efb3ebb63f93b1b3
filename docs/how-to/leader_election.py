"""Any number of replicas, of which one works."""

from disvc.runtime import LeaderElection, Manager, connect, run


class Beat:
    """A background task that needs the lease; controllers need it by default."""

    needs_leader_election = True

    async def run(self) -> None:
        print("I lead", flush=True)


async def main() -> None:
    async with connect() as transport:
        election = LeaderElection(name="website-operator", namespace="default")
        manager = Manager(transport, leader_election=election)
        manager.add(Beat())
        await manager.run()


if __name__ == "__main__":
    run(main())
