"""What the pods of one program share: processes, addresses, a folder, and the models that are on this machine."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self

from disvc.local.addresses import Addresses
from disvc.local.containers import PROGRAMS
from disvc.local.processes import Processes
from disvc.local.restarts import CrashLoop
from disvc.testing.extra import require

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping
    from pathlib import Path
    from types import TracebackType


class Host:
    """Runs processes of pods; use as `async with`. On leaving, all of them are killed.

    Args:
        folder: an empty one for logs and models. A pod's logs are in `NAMESPACE_POD_UID/CONTAINER/RESTARTS.log`, in the
            form of `cri_log`.
        mirror: by storageUri, the folder on this machine with what is there.
        backoff_seconds: how long a container waits that crashed twice; it doubles from then on.

    Entering raises `MissingExtra` where the packages are absent that model servers need.

    """

    def __init__(self, folder: Path, *, mirror: Mapping[str, Path], backoff_seconds: float = 10.0) -> None:
        self.folder = folder
        self.mirror = mirror
        self.addresses = Addresses()
        self.processes = Processes(PROGRAMS, folder)
        self._backoff_seconds = backoff_seconds
        self._tasks: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> Self:
        require("local", "A cluster on this machine")
        await self.processes.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        try:
            results = await asyncio.gather(*self._tasks, return_exceptions=True)
        finally:
            await self.processes.__aexit__(kind, error, trace)
            self.addresses.close_all()
        failures = [r for r in results if isinstance(r, Exception)]
        if failures and error is None:
            raise ExceptionGroup("pods failed for no fault of theirs", failures)

    def crash_loop(self) -> CrashLoop:
        """Return when a container is to be started again that ends."""
        return CrashLoop(self._backoff_seconds)

    def spawn(self, coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run a coroutine until it ends, or this does; leaving raises what it raised."""
        task = asyncio.create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[Any]) -> None:
        if task.cancelled() or task.exception() is None:
            self._tasks.discard(task)
