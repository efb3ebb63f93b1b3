"""Measures one cold synchronisation of disvc.runtime's informer, in this process; prints one JSON object.

Run by `runtime.py`, beside the same of client-go (`go/main.go`).
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from pathlib import Path
from typing import Any

import uvloop

from disvc.runtime import Client, Delta, Resource, Selection, connect, drop_managed_fields
from disvc.runtime.informers import Informers
from disvc.runtime.metrics import Metrics

ISVCS = Resource("serving.kserve.io/v1beta1", "InferenceService", "inferenceservices")


def status(field: str) -> int:
    """Return a figure of /proc/self/status in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * 1024
    raise KeyError(field)


async def main(kubeconfig: str, kept: str) -> None:
    """Synchronise, and print what it took."""
    selection = Selection(ISVCS, transform=drop_managed_fields if kept == "slim" else None)
    handled = 0

    def count(_: Delta[Any]) -> None:
        nonlocal handled
        handled += 1

    async with connect(kubeconfig) as transport, asyncio.TaskGroup() as group:
        metrics = Metrics()
        informers = Informers(Client(transport, metrics=metrics.client), metrics)
        subscription = informers.subscribe(selection, count, "bench")
        gc.collect()
        before = status("VmRSS")
        started = time.perf_counter()
        task = group.create_task(informers.run())
        await subscription.synced()
        seconds = time.perf_counter() - started
        gc.collect()
        result = {
            "objects": len(subscription.cache),
            "seconds": seconds,
            "bytes": status("VmRSS") - before,
            "peak": status("VmHWM"),
        }
        assert handled == len(subscription.cache)
        task.cancel()
    print(json.dumps(result))


uvloop.run(main(sys.argv[1], sys.argv[2]))
