"""Benchmarks the in-memory API server beside a real kube-apiserver: create, list and watch, in objects a second.

`make bench-apiserver` runs it with 10,000 ConfigMaps of 1 KB; `--objects` takes another number. One client, which is
disvc.runtime's, does the same to each server: to the in-memory one by direct call and over HTTP, and to a real one with
its etcd on memory that is not synced. What the client costs is in all figures. Compare the rows; absolute figures
depend on the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from disvc.runtime import Client, Resource, configure_logging, connect, run
from disvc.runtime.environment import Environment
from disvc.testing.controlplane import ControlPlane
from disvc.testing.memory import APIServer
from disvc.testing.memory.builtin import TYPES
from disvc.testing.memory.controlplane import MemoryControlPlane

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
    from contextlib import AbstractAsyncContextManager

    from disvc.runtime.transport import Transport
    from disvc.testing.plane import Plane

CONFIG_MAPS = Resource("v1", "ConfigMap", "configmaps")
IN_FLIGHT = 16
MEASURES = ("create", "list", "initial events", "patch, watched", "delete")
console = Console()


def config_map(number: int) -> dict[str, Any]:
    """Return one that is 1 KB large once the server has added its part."""
    return {
        "metadata": {"name": f"settings-{number}", "labels": {"app": f"app-{number % 10}"}},
        "data": {"a": "x" * 500},
    }


async def each(work: Callable[[int], Awaitable[object]], numbers: Iterable[int]) -> None:
    """Do something for all numbers, so many at a time."""
    left = iter(numbers)

    async def take_turns() -> None:
        for number in left:
            await work(number)

    async with asyncio.TaskGroup() as group:
        for _ in range(IN_FLIGHT):
            group.create_task(take_turns())


async def measure(client: Client, count: int) -> AsyncIterator[float]:
    """Yield how many objects a second each of the measures makes."""
    namespace = "default"

    async def create(number: int) -> None:
        await client.create(CONFIG_MAPS, config_map(number), namespace)

    async def patch(number: int) -> None:
        await client.patch(CONFIG_MAPS, f"settings-{number}", {"data": {"a": "y"}}, namespace)

    async def delete(number: int) -> None:
        await client.delete(CONFIG_MAPS, f"settings-{number}", namespace)

    async def see(events: int, *, version: str = "", ready: asyncio.Event | None = None) -> None:
        """Read a watch until so many events have come."""
        is_new = not version
        async with client.watch(
            CONFIG_MAPS, namespace, resource_version=version, initial_events=is_new, timeout_seconds=600
        ) as pieces:
            if ready is not None:
                ready.set()
            async for piece in pieces:
                events -= sum(event.type != "BOOKMARK" for event in piece)
                if events <= 0:
                    return

    async def patch_watched() -> None:
        version = (await client.list(CONFIG_MAPS, namespace, limit=1)).resource_version
        ready = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(see(count, version=version, ready=ready))
            await ready.wait()
            group.create_task(each(patch, range(count)))

    for work in (
        lambda: each(create, range(count)),
        lambda: client.list(CONFIG_MAPS, namespace),
        lambda: see(count),
        patch_watched,
        lambda: each(delete, range(count)),
    ):
        started = time.perf_counter()
        await work()
        yield count / (time.perf_counter() - started)


@asynccontextmanager
async def over_http(plane: Plane) -> AsyncIterator[Transport]:
    """Start a control plane, and connect to it."""
    async with plane, connect(plane.admin.kubeconfig) as transport:
        yield transport


@asynccontextmanager
async def by_direct_call() -> AsyncIterator[Transport]:
    """Give a way to a server in this process."""
    yield APIServer(Environment(), TYPES).transport()


async def main() -> None:
    """Print the rates of all three, side by side."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, default=10_000, help="how many (default: %(default)s)")
    count = parser.parse_args().objects
    contenders: dict[str, Callable[[], AbstractAsyncContextManager[Transport]]] = {
        "memory, direct": by_direct_call,
        "memory, HTTP": lambda: over_http(MemoryControlPlane()),
        "real, HTTP": lambda: over_http(ControlPlane()),
    }
    table = Table(title=f"{count:,} ConfigMaps: objects a second, {IN_FLIGHT} requests at a time")
    for heading in ("", *MEASURES):
        table.add_column(heading, justify="right" if heading else "left")
    with Progress(console=console, transient=True) as progress:
        doing = progress.add_task("", total=len(contenders) * len(MEASURES))
        for name, transport in contenders.items():
            rates = []
            progress.update(doing, description=name)
            async with transport() as way:
                async for rate in measure(Client(way), count):
                    rates.append(f"{rate:,.0f}")
                    progress.advance(doing)
            table.add_row(name, *rates)
    console.print(table)


if __name__ == "__main__":
    configure_logging(level="warning")
    run(main())
