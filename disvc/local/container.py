"""One container of a pod: a process that is started, watched, and started again."""

from __future__ import annotations

import asyncio
import signal
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from disvc.local.logs import RunLog, last_words
from disvc.local.processes import ProcessesError
from disvc.testing.kserve.behaviour import ContainerState, Running, Terminated, Waiting

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from disvc.local.containers import Command
    from disvc.local.probe import Probe
    from disvc.local.processes import Process, Processes
    from disvc.local.restarts import CrashLoop

_TAIL_BYTES: Final = 2048
_TAIL_LINES: Final = 80
"""What a kubelet takes of a log for a termination message."""
_START_ERROR: Final = 128
_KILLED: Final = 128


class Container:
    """Runs a command until it succeeds (`until_success`) or until cancelled.

    Each run has a log of its own in `logs`: 0.log, 1.log, … The end of a run that failed is its termination message,
    whatever the container's policy says, as people look at the pod first. `changed` is called when anything has.
    """

    def __init__(
        self,
        name: str,
        command: Command,
        processes: Processes,
        logs: Path,
        *,
        restarts: CrashLoop,
        changed: Callable[[], None],
        probe: Probe | None = None,
    ) -> None:
        self.name = name
        self.state: ContainerState = Waiting("ContainerCreating")
        self.last: Terminated | None = None
        """How the run before the present one ended."""
        self.restarts = 0
        self.ready = False
        self._command = command
        self._processes = processes
        self._logs = logs
        self._crash_loop = restarts
        self._changed = changed
        self._probe = probe
        self._process: Process | None = None
        self._log: RunLog | None = None
        self._last_log: RunLog | None = None

    def log(self, *, previous: bool) -> RunLog | None:
        """Return the log of the run that its state is of, or of the one before; None where that has not run."""
        return self._last_log if previous or isinstance(self.state, Waiting) else self._log

    async def run(self, *, until_success: bool) -> None:
        """Run it, again and again."""
        self._logs.mkdir(parents=True, exist_ok=True)
        while True:
            ended = await self._run_once()
            self._show(ended)
            if until_success and ended.exit_code == 0:
                return
            assert ended.started_at is not None
            assert ended.finished_at is not None
            delay = self._crash_loop.delay((ended.finished_at - ended.started_at).total_seconds())
            self.last, self._last_log = ended, self._log
            if delay:
                self._show(Waiting("CrashLoopBackOff", f"back-off {delay:g}s restarting failed container"))
                await asyncio.sleep(delay)
            self.restarts += 1

    async def stop(self, seconds: float) -> None:
        """End its process: by SIGTERM, and when the seconds are over by SIGKILL. It no longer runs `run`."""
        if self._process is None:
            return
        try:
            async with asyncio.timeout(seconds):
                self._process.signal(signal.SIGTERM)
                await self._process.wait()
        except TimeoutError:
            self._process.signal(signal.SIGKILL)
            await self._process.wait()
        if self._log is not None:
            self._log.ended.set()

    async def _run_once(self) -> Terminated:
        started_at = datetime.now(UTC)
        log = RunLog(self._logs / f"{self.restarts}.log")
        try:
            self._process = await self._processes.start(
                self._command.module, self._command.args, environment=self._command.environment, log=log.path
            )
        except ProcessesError as error:
            self._log = None
            return Terminated("StartError", _START_ERROR, str(error), started_at, datetime.now(UTC))
        self._log = log
        self._show(Running(f"process://{self._process.pid}"))
        probing = asyncio.create_task(self._probe.watch(self._tell_ready)) if self._probe else None
        try:
            code = await self._process.wait()
        finally:
            if probing is not None:
                probing.cancel()
        log.ended.set()
        return _ended(code, log.path, started_at)

    def _tell_ready(self, ready: bool) -> None:
        self.ready = ready
        self._changed()

    def _show(self, state: ContainerState) -> None:
        self.state, self.ready = state, False
        self._changed()


def _ended(code: int, log: Path, started_at: datetime) -> Terminated:
    """Return how a run ended; one that a signal killed has the exit code that a shell gives it."""
    exit_code = code if code >= 0 else _KILLED - code
    reason = "Completed" if exit_code == 0 else "Error"
    message = "" if exit_code == 0 else last_words(log, lines=_TAIL_LINES, most_bytes=_TAIL_BYTES)
    return Terminated(reason, exit_code, message, started_at, datetime.now(UTC))
