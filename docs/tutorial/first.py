"""The smallest operator: each Website becomes a ConfigMap with its page."""

from disvc.runtime import Controller, Manager, Request, Resource, connect, run

WEBSITES = Resource("example.com/v1", "Website", "websites")
CONFIG_MAPS = Resource("v1", "ConfigMap", "configmaps")


class Websites:
    def __init__(self, manager: Manager) -> None:
        self.client, self.websites = manager.client, manager.cache(WEBSITES)

    async def reconcile(self, request: Request) -> None:
        website = self.websites.get(request)
        if website is not None:
            data = {"index.html": website.decode()["spec"]["page"]}
            await self.client.apply(CONFIG_MAPS, {"metadata": request._asdict(), "data": data})


async def main() -> None:
    async with connect() as transport:
        manager = Manager(transport, name="website-operator")
        manager.add(Controller("website", for_=WEBSITES, reconciler=Websites(manager)))
        await manager.run()


if __name__ == "__main__":
    run(main())
