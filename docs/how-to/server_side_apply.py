"""Two managers of one ConfigMap's fields."""

from disvc.runtime import Client, Conflict, Resource, connect, run

CONFIG_MAPS = Resource("v1", "ConfigMap", "configmaps")
METADATA = {"name": "shared", "namespace": "default"}


async def main() -> None:
    async with connect() as transport:
        operator = Client(transport, field_manager="operator")
        person = Client(transport, field_manager="person")

        # Creates it, and owns the fields `colour` and `size`.
        await operator.apply(CONFIG_MAPS, {"metadata": METADATA, "data": {"colour": "red", "size": "1"}})
        # Owns `shape`; the others are not touched, as they are not mentioned.
        await person.apply(CONFIG_MAPS, {"metadata": METADATA, "data": {"shape": "round"}})

        try:
            await person.apply(CONFIG_MAPS, {"metadata": METADATA, "data": {"shape": "round", "colour": "blue"}})
        except Conflict as conflict:
            print(conflict.causes[0])

        # A field that is left out now and was there before is removed.
        shared = await operator.apply(CONFIG_MAPS, {"metadata": METADATA, "data": {"colour": "red"}})
        print(shared.decode()["data"])

        # Takes the field away from its owner.
        shared = await person.apply(CONFIG_MAPS, {"metadata": METADATA, "data": {"colour": "blue"}}, force=True)
        print(shared.decode()["data"])
        await person.delete(CONFIG_MAPS, "shared", "default")


if __name__ == "__main__":
    run(main())
