"""A manager that runs beside a block of code: for simulations, and programs that are more than controllers."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from disvc.runtime import Manager

__all__ = ["running"]


@asynccontextmanager
async def running(manager: Manager) -> AsyncIterator[None]:
    """Run a manager beside the block, from when its caches are filled; raise what it ended with."""
    stop = asyncio.Event()
    task = asyncio.create_task(manager.run(stop=stop, handle_signals=False))
    synced = asyncio.create_task(manager.informers.synced())
    try:
        await asyncio.wait([task, synced], return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            yield
    finally:
        synced.cancel()
        stop.set()
        await task
