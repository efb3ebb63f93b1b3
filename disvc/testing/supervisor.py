"""Processes that end when the one that asked for them ends, however that ends.

Promise: what a `Supervisor` started is killed, and its temporary folder removed, when `close()` is called,
when the owning process ends, and also when that is killed with SIGKILL. A small process of its own (this
file, run as a script; standard library only) is the parent of all of them. It notices its owner's end by the
end of the pipe between them and, as a forked child of the owner may hold that open, by its own parent's id.

It runs in a session of its own: Ctrl-C in a terminal goes to the owner, which then stops in order.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Supervisor", "SupervisorError", "die_with_parent"]

_PARENT_POLL_S = 1.0
_CLOSE_S = 20.0
_PR_SET_PDEATHSIG = 1  # prctl(2)


class SupervisorError(Exception):
    """The supervising process is gone, or could not do what it was asked."""


class Supervisor:
    """The owner's side: starts, signals and watches processes, each under a name of its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Not a context manager, as it lives until close().
        self._process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-I", "-S", __file__, str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        self.folder = Path(self._answer()["folder"])
        """A temporary folder, which is removed with the processes; readable by this user only."""

    @property
    def pid(self) -> int:
        """The process id of the supervising process."""
        return self._process.pid

    def start(self, name: str, command: Sequence[str], log: Path) -> int:
        """Start a process in the folder, its output appended to a file, and return its process id.

        Raises:
            SupervisorError: it cannot be executed, or one of this name still runs.

        """
        pid: int = self._ask({"do": "start", "name": name, "command": list(command), "log": str(log)})["pid"]
        return pid

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a process; nothing happens if it has ended."""
        self._ask({"do": "signal", "name": name, "signal": int(number)})

    def exit_code(self, name: str) -> int | None:
        """How the process ended (minus the signal's number if it was killed), or None while it runs."""
        code: int | None = self._ask({"do": "poll", "name": name})["code"]
        return code

    def wait(self, name: str, timeout: float) -> int | None:
        """Wait up to `timeout` seconds for a process to end; the same answers as `exit_code`."""
        deadline = time.monotonic() + timeout
        while (code := self.exit_code(name)) is None and time.monotonic() < deadline:
            time.sleep(0.02)
        return code

    def close(self) -> None:
        """Kill every process and remove the folder; nothing happens the second time."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(_CLOSE_S)
        finally:
            self._process.stdout.close()

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        with self._lock:
            try:
                self._process.stdin.write(json.dumps(request).encode() + b"\n")
                self._process.stdin.flush()
            except (OSError, ValueError) as error:
                msg = f"the supervisor of the test processes (pid {self.pid}) is gone, and they with it"
                raise SupervisorError(msg) from error
            return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            msg = f"the supervisor of the test processes (pid {self.pid}) is gone, and they with it"
            raise SupervisorError(msg)
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise SupervisorError(answer["error"])
        return answer


class _Children:
    """The supervising process' side."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def handle(self, request: dict[str, Any]) -> dict[str, Any]:
        name = request["name"]
        if request["do"] == "start":
            return self._start(name, request["command"], request["log"])
        child = self._children[name]
        if request["do"] == "signal":
            child.send_signal(request["signal"])
        return {"code": child.poll()}

    def _start(self, name: str, command: list[str], log: str) -> dict[str, Any]:
        if name in self._children and self._children[name].poll() is None:
            return {"error": f"{name} is running already (pid {self._children[name].pid})"}
        try:
            with Path(log).open("ab") as output:
                child = subprocess.Popen(  # noqa: S603 - the command is our owner's
                    command,
                    cwd=self._folder,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    # Safe here, as this process has one thread.
                    preexec_fn=partial(die_with_parent, os.getpid()),  # noqa: PLW1509
                )
        except OSError as error:
            return {"error": f"{name} cannot be started: {error}"}
        self._children[name] = child
        return {"pid": child.pid}

    def kill(self) -> None:
        for child in self._children.values():
            child.kill()
        for child in self._children.values():
            child.wait()


def die_with_parent(parent: int) -> None:
    """Let the kernel kill this process when its parent ends; where the kernel cannot (not Linux), nothing happens."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before
            os._exit(1)


def _requests(parent: int) -> Iterator[dict[str, Any]]:
    """Yield what the owner asks, until it is gone."""
    buffer = b""
    while os.getppid() == parent:
        if not select.select([0], [], [], _PARENT_POLL_S)[0]:
            continue
        chunk = os.read(0, 65536)
        if not chunk:
            return
        *lines, buffer = (buffer + chunk).split(b"\n")
        for line in lines:
            yield json.loads(line)


def _reply(answer: dict[str, Any]) -> None:
    os.write(1, json.dumps(answer).encode() + b"\n")


def _supervise(parent: int) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory(prefix="disvc-", ignore_cleanup_errors=True) as folder:
        children = _Children(folder)
        try:
            _reply({"folder": folder})
            for request in _requests(parent):
                _reply(children.handle(request))
        except BrokenPipeError:
            pass  # the owner is gone
        finally:
            children.kill()


if __name__ == "__main__":
    _supervise(int(sys.argv[1]))
