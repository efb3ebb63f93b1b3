"""A cluster on this machine tells when a part of it has ended."""

from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from disvc.local.cluster import PartEnded, local_cluster
from disvc.local.demo.run import rights
from disvc.runtime import TransportError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Until = Callable[..., Awaitable[None]]

RBAC = Path(__file__).parents[2] / "config/rbac"


def kill(argument: str) -> None:
    """Kill the child of this process that was started with an argument."""
    (found,) = (each for each in psutil.Process().children(recursive=True) if argument in each.cmdline())
    found.kill()


async def test_whichever_part_ends_is_named(until: Until) -> None:
    with pytest.raises(TransportError):  # there is no API server in the end, from which a node could be removed
        await kill_part_by_part(until)


async def kill_part_by_part(until: Until) -> None:
    async with local_cluster("parts", rights=rights(RBAC), mirror={}) as cluster:

        async def tells(words: str) -> bool:
            try:
                await cluster.check()
            except PartEnded as error:
                return words in str(error)
            return False

        await cluster.check()
        os.kill(cluster.operator.pid, signal.SIGKILL)
        await until(partial(tells, "the operator ended with -9"))
        kill("--disable-hot-restart")
        await until(partial(tells, "Envoy ended with -9"))
        kill("disvc.local.zygote")
        await until(partial(tells, "the process that starts model servers"))
        kill("disvc.testing.memory.serve")
        await until(partial(tells, "ended with -9; its log ends with"))
