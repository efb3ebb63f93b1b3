"""A watch that is given up is gone at once, whatever the server does."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psutil

from disvc.runtime import Manager, Resource, connect

if TYPE_CHECKING:
    from disvc.testing.controlplane import ControlPlane

CONFIG_MAPS = Resource("v1", "ConfigMap", "configmaps")


def connections_to(url: str) -> int:
    here, port = os.getpid(), urlsplit(url).port
    return sum(c.pid == here and c.raddr[1:] == (port,) for c in psutil.net_connections("tcp"))


async def test_no_connection_outlives_a_manager(control_plane: ControlPlane) -> None:
    # They did, until the server had ended TLS too: a program whose loop ended before left them unclosed.
    # How soon it answers is chance, hence ten times.
    before = connections_to(control_plane.url)
    for _ in range(10):
        async with connect(control_plane.admin.kubeconfig) as transport:
            manager, stop = Manager(transport), asyncio.Event()
            manager.cache(CONFIG_MAPS)
            async with asyncio.TaskGroup() as group:
                group.create_task(manager.run(stop=stop, handle_signals=False))
                await manager.informers.synced()
                assert connections_to(control_plane.url) > before
                stop.set()
        for _ in range(2):  # turns of the loop
            await asyncio.sleep(0)
        assert connections_to(control_plane.url) == before
