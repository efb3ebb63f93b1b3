"""`disvc-manager` as a process, which can be killed and started again."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from disvc.testing.supervisor import Supervisor

if TYPE_CHECKING:
    from types import TracebackType

_START_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.05
_STARTED: Final = "controller started"
_LAST_LINES: Final = 15


class OperatorError(Exception):
    """The operator ended, or did not start; the message has the end of its log."""


class Operator:
    """Runs the operator for one namespace as the user of a kubeconfig; use as `async with`."""

    def __init__(self, kubeconfig: Path, namespace: str) -> None:
        self._command = [
            str(Path(sys.executable).with_name("disvc-manager")),
            f"--kubeconfig={kubeconfig}",
            f"--watch-namespaces={namespace}",
            "--metrics-bind-address=0",
            "--health-probe-bind-address=0",
        ]
        self._starts = 0

    async def __aenter__(self) -> Self:
        self._supervisor = await asyncio.to_thread(Supervisor)
        try:
            await self.start()
        except BaseException:
            await asyncio.to_thread(self._supervisor.close)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self._stop)

    async def start(self) -> None:
        """Start it, and wait until its controllers work. Raises `OperatorError`."""
        self._starts += 1
        self.pid = await asyncio.to_thread(self._supervisor.start, self._name, self._command, self._log)
        try:
            async with asyncio.timeout(_START_SECONDS):
                while _STARTED not in self.log():
                    await self.check()
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            message = f"the operator did not start within {_START_SECONDS:g} s; its log ends with:\n{self.last_words()}"
            raise OperatorError(message) from None

    async def check(self) -> None:
        """Return if it runs. Raises `OperatorError`."""
        if (code := await asyncio.to_thread(self._supervisor.exit_code, self._name)) is not None:
            raise OperatorError(f"the operator ended with {code}; its log ends with:\n{self.last_words()}")

    async def kill(self) -> None:
        """End it by SIGKILL, as a node that fails does."""
        await asyncio.to_thread(self._supervisor.signal, self._name, signal.SIGKILL)
        await asyncio.to_thread(self._supervisor.wait, self._name, _START_SECONDS)

    def log(self) -> str:
        """Return what it has logged since its last start."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def last_words(self) -> str:
        """Return the end of its log."""
        return "\n".join(self.log().splitlines()[-_LAST_LINES:])

    def _stop(self) -> None:
        if self._supervisor.exit_code(self._name) is None:
            self._supervisor.signal(self._name, signal.SIGTERM)
            self._supervisor.wait(self._name, 2.0)
        self._supervisor.close()

    @property
    def _name(self) -> str:
        return f"operator-{self._starts}"

    @property
    def _log(self) -> Path:
        return self._supervisor.folder / f"{self._name}.log"
