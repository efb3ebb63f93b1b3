"""What goes on by itself in a server that runs as a process: garbage, quotas, and old states that are forgotten."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, NoReturn

if TYPE_CHECKING:
    from disvc.testing.memory.server import APIServer

__all__ = ["keep_house"]

_LEAST_SECONDS: Final = 0.05
_SHARE: Final = 0.05
"""Of the time, that this may take."""
_COMPACT_SECONDS: Final = 300.0
"""As a kube-apiserver has etcd do it; what is forgotten then is as old again."""


async def keep_house(server: APIServer) -> NoReturn:
    """Collect garbage and count for quotas whenever something has changed, until cancelled."""
    clock = server.environment.clock
    compacted_at, compacted_to = clock.monotonic(), server.store.revision
    while True:
        started = clock.monotonic()
        seen = server.store.revision
        server.collect_some_garbage()
        server.count_quotas()
        await asyncio.sleep(max(_LEAST_SECONDS, (clock.monotonic() - started) / _SHARE))
        if clock.monotonic() - compacted_at > _COMPACT_SECONDS:
            server.compact(compacted_to)
            compacted_at, compacted_to = clock.monotonic(), server.store.revision
        while server.store.revision == seen:
            await server.store.changed.wait()
