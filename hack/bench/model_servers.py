"""Measures what a model server costs to start: from nothing, and forked from a process that has imported everything.

    python hack/bench/model_servers.py [--servers 12]

CPU time counts, as many start at once on few cores; a server is up when its REST port accepts connections.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

import psutil
from rich.console import Console
from rich.table import Table

from disvc.local.addresses import Addresses, Sandbox
from disvc.local.containers import PROGRAMS, SERVER
from disvc.local.models import train
from disvc.local.processes import Processes


class Cost(NamedTuple):
    """What one start took: seconds of CPU, seconds until it was up, and memory of its own in MB."""

    cpu: float
    up: float
    memory: float


def arguments(folder: Path, sandbox: Sandbox) -> list[str]:
    """Return the arguments of a server of the model in a folder."""
    ports = [f"--http_port={sandbox.port(8080)}", f"--grpc_port={sandbox.port(8081)}"]
    return ["--model_name=iris", f"--model_dir={folder}", *ports]


async def until_up(pid: int, sandbox: Sandbox, began: float) -> Cost:
    """Wait until a server is up."""
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", sandbox.port(8080))
        except ConnectionRefusedError:
            await asyncio.sleep(0.02)
            continue
        writer.close()
        process = psutil.Process(pid)
        times = process.cpu_times()
        return Cost(times.user + times.system, time.monotonic() - began, process.memory_full_info().uss / 1e6)


async def from_nothing(model: Path, sandbox: Sandbox) -> Cost:
    """Start a server by the command line, and end it."""
    began = time.monotonic()
    command = [sys.executable, "-m", SERVER, *arguments(model, sandbox)]
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)
    cost = await until_up(process.pid, sandbox, began)
    process.terminate()
    await process.wait()
    return cost


async def main(servers: int) -> None:
    """Measure, and print a table."""
    addresses = Addresses()
    table = Table("", "CPU s", "up after s", "MB", title=f"one model server, median; {servers} forked at once")
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        model = train(folder / "models")[0].folder
        sandboxes = [addresses.open([8080, 8081]) for _ in range(servers)]
        costs = {"from nothing": [await from_nothing(model, sandbox) for sandbox in sandboxes[:3]]}
        processes = await stack.enter_async_context(Processes(PROGRAMS, folder))

        async def fork(sandbox: Sandbox, log: Path) -> Cost:
            began = time.monotonic()
            process = await processes.start(SERVER, arguments(model, sandbox), log=log)
            return await until_up(process.pid, sandbox, began)

        await fork(addresses.open([8080, 8081]), folder / "first.log")  # waits for the imports
        forks = [fork(sandbox, folder / f"{n}.log") for n, sandbox in enumerate(sandboxes)]
        costs["forked"] = await asyncio.gather(*forks)
        for name, measured in costs.items():
            medians = [statistics.median(column) for column in zip(*measured, strict=True)]
            table.add_row(name, *(f"{median:.2f}" for median in medians))
        addresses.close_all()
    Console().print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--servers", type=int, default=12)
    asyncio.run(main(parser.parse_args().servers))
