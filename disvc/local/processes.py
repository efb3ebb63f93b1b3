"""Processes of programs that take long to import: the owner's side of the `zygote`.

    async with Processes(["disvc.local.server"], folder) as processes:
        process = await processes.start("disvc.local.server", ["--http_port=0"], log=folder / "server.log")
        code = await process.wait()

Entering starts the zygote and does not wait for its imports; the first `start` does. On leaving, all are killed.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import sys
from typing import TYPE_CHECKING, Any, Final, Self

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_ONE_THREAD: Final = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""A process that forks may have one thread only, and a dozen servers shall not start a pool for each core."""


class ProcessesError(Exception):
    """The zygote is gone, and the processes with it; the message says why, where it said so."""


class Process:
    """A process that was started, with its id; it may have ended since."""

    def __init__(self, processes: Processes, number: int, pid: int) -> None:
        self._processes = processes
        self._number = number
        self._code: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.pid = pid

    async def wait(self) -> int:
        """Wait for its end, and return its exit code; below zero: the signal that killed it."""
        return await asyncio.shield(self._code)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal; nothing happens if it has ended."""
        if not self._code.done():
            self._processes.ask({"signal": self._number, "number": int(number)})

    def ended(self, code: int) -> None:
        """Tell those who wait for its end."""
        if not self._code.done():
            self._code.set_result(code)


class Processes:
    """Starts programs; `modules` are those that it can start. The zygote's own log goes to the folder."""

    def __init__(self, modules: Sequence[str], folder: Path) -> None:
        self._modules = modules
        self._log = folder / "zygote.log"
        self._numbers = itertools.count()
        self._starting: dict[int, asyncio.Future[Process]] = {}
        self._running: dict[int, Process] = {}

    async def __aenter__(self) -> Self:
        with self._log.open("ab") as log:
            self._zygote = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "disvc.local.zygote", *self._modules),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env={**os.environ, **_ONE_THREAD},
                start_new_session=True,  # Ctrl-C is its owner's
            )
        self._reading = asyncio.create_task(self._read(), name="answers of the zygote")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._zygote.stdin is not None
        self._zygote.stdin.close()
        await self._zygote.wait()
        await self._reading

    async def start(
        self, module: str, args: Sequence[str], *, log: Path, environment: Mapping[str, str] | None = None
    ) -> Process:
        """Start a program, with its output appended to a file (`cri_log`); `environment` is added to this process's.

        Raises `ProcessesError`.
        """
        number = next(self._numbers)
        started: asyncio.Future[Process] = asyncio.get_running_loop().create_future()
        self._starting[number] = started
        request = {"module": module, "args": list(args), "environment": dict(environment or {}), "log": str(log)}
        self.ask({"start": number, **request})
        try:
            return await started
        except asyncio.CancelledError:
            if not started.cancelled() and started.exception() is None:  # it was started at the same moment
                started.result().signal(signal.SIGKILL)
            raise

    def ask(self, request: dict[str, Any]) -> None:
        """Send the zygote a request.

        Raises `ProcessesError`.
        """
        assert self._zygote.stdin is not None
        self.check()
        self._zygote.stdin.write(msgspec.json.encode(request) + b"\n")

    def check(self) -> None:
        """Return if the zygote runs. Raises `ProcessesError`."""
        if self._reading.done():
            raise self._gone()

    async def _read(self) -> None:
        assert self._zygote.stdout is not None
        async for line in self._zygote.stdout:
            match msgspec.json.decode(line):
                case {"started": number, "pid": pid}:
                    self._started(number, pid)
                case {"ended": number, "code": code}:
                    self._running.pop(number).ended(code)
        for process in self._running.values():
            process.ended(-signal.SIGKILL)
        for started in self._starting.values():
            if not started.cancelled():
                started.set_exception(self._gone())

    def _started(self, number: int, pid: int) -> None:
        process = self._running[number] = Process(self, number, pid)
        started = self._starting.pop(number)
        if started.cancelled():
            process.signal(signal.SIGKILL)
        else:
            started.set_result(process)

    def _gone(self) -> ProcessesError:
        words = self._log.read_text(errors="replace").strip()
        return ProcessesError(
            f"the process that starts model servers (pid {self._zygote.pid}) is gone, and they with it"
            + (f"; it wrote:\n{words}" if words else "")
        )
