"""Runs a program as a process of its own, and reads its log: for tests of what only a process can show.

Signals, exit codes, and two managers that share nothing but an API server. A program is a Python file that
logs JSON lines to stderr, as `disvc.runtime` does where that is no terminal. When the block ends,
the process is killed if it still runs, also where it was stopped (SIGSTOP).
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING, Any, Self

import msgspec

if TYPE_CHECKING:
    import signal
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["Program", "ProgramError"]

_LONGEST_LINE = 2**20


class ProgramError(Exception):
    """A program did not do in time what was waited for, or ended before; the message has the end of its log."""


class Program:
    """`async with Program(file, *args, environment={"KUBECONFIG": …}) as program`.

    Besides `environment`, the program sees only PATH and HOME of this process's environment.
    """

    lines: list[str]
    """What it wrote to stderr so far, line by line."""

    def __init__(self, file: Path, *args: str, environment: Mapping[str, str]) -> None:
        self._command = (sys.executable, str(file), *args)
        self._environment = {**{name: os.environ[name] for name in ("PATH", "HOME")}, **environment}
        self.lines = []
        self._more = asyncio.Condition()

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            env=self._environment,
            stdin=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            limit=_LONGEST_LINE,
        )
        self._reading = asyncio.create_task(self._read(), name=f"stderr of {self._command[1]}")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        await self._reading

    async def _read(self) -> None:
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            async with self._more:
                self.lines.append(line.decode(errors="replace").rstrip("\n"))
                self._more.notify_all()
        async with self._more:
            self._more.notify_all()

    @property
    def pid(self) -> int:
        """Return its process id."""
        return self._process.pid

    @property
    def log(self) -> list[dict[str, Any]]:
        """Return the lines of its log that are JSON objects."""
        entries = []
        for line in self.lines:
            try:
                entries.append(msgspec.json.decode(line, type=dict[str, Any]))
            except msgspec.DecodeError:
                continue  # a traceback, or a warning of the interpreter's
        return entries

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def entries(self, event: str, **fields: object) -> list[dict[str, Any]]:
        """Return what it logged so far with this event and these fields."""
        wanted = {"event": event, **fields}
        return [entry for entry in self.log if wanted.items() <= entry.items()]

    async def logged(self, event: str, *, within: float = 60.0, times: int = 1, **fields: object) -> dict[str, Any]:
        """Wait until it has logged `event` with these fields so many `times`, and return the last of them.

        Raises `ProgramError` after `within` seconds, or where it ends without having done so.
        """
        try:
            async with asyncio.timeout(within), self._more:
                while len(found := self.entries(event, **fields)) < times:
                    if self._reading.done() or self._process.stderr is None or self._process.stderr.at_eof():
                        raise ProgramError(self._in_words(f"ended and did not log {event!r} {fields or ''}"))
                    await self._more.wait()
        except TimeoutError:
            message = self._in_words(f"did not log {event!r} {fields or ''} within {within:g} s")
            raise ProgramError(message) from None
        return found[times - 1]

    async def ended(self, *, within: float = 60.0) -> int:
        """Wait for its end, and return the exit code, or the negative number of the signal that killed it.

        Raises `ProgramError` after `within` seconds.
        """
        try:
            async with asyncio.timeout(within):
                code = await self._process.wait()
        except TimeoutError:
            raise ProgramError(self._in_words(f"did not end within {within:g} s")) from None
        await asyncio.shield(self._reading)
        return code

    def _in_words(self, what: str) -> str:
        return "\n".join([f"{self._command[1]} {what}; its log ends with:", *self.lines[-20:]])
