"""Forks programs from a process that has imported them already: run as `python -m disvc.local.zygote MODULE…`.

Importing kserve and scikit-learn takes about three seconds of CPU; a fork takes some milliseconds. Android calls such
a process the zygote. It imports the modules, and then does what its owner asks on stdin, a JSON object a line:

    {"start": 1, "module": "disvc.local.server", "args": […], "environment": {…}, "log": "/…/0.log"}
    {"signal": 1, "number": 15}

On stdout it tells, in the same way: `{"started": 1, "pid": 123}` and `{"ended": 1, "code": 0}`, where a code below
zero is that of a signal. A module is a program when it has `main(args)`, as one that is run by `python -m`.

Promise: it has one thread, so that a fork is safe; imports may start none, and gRPC is only used after the fork. When
its owner ends, however that ends, or asks for it by the end of stdin, it kills what it started and ends; when it is
killed itself, the kernel kills them (Linux).
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import selectors
import signal
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from disvc.testing.supervisor import die_with_parent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Value = dict[str, Any]
    Main = Callable[[Sequence[str]], None]

_OWNER_POLL_S: Final = 1.0


class _Zygote:
    def __init__(self, programs: dict[str, Main]) -> None:
        self._programs = programs
        self._pid = os.getpid()
        self._owner = os.getppid()
        self._children: dict[int, int] = {}
        """The number that the owner gave it, by process id, of each child that has not ended."""
        self._buffer = b""
        self._woken, waker = os.pipe()
        for end in (self._woken, waker):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(waker)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def serve(self) -> None:
        """Do what the owner asks, until it is gone."""
        with selectors.DefaultSelector() as selector:
            for source in (sys.stdin.fileno(), self._woken):
                selector.register(source, selectors.EVENT_READ)
            while os.getppid() == self._owner:
                for key, _ in selector.select(_OWNER_POLL_S):
                    if key.fd == self._woken:
                        os.read(self._woken, 4096)
                        self._reap()
                    elif not self._read():
                        return

    def kill(self) -> None:
        """Kill the children, and wait for their end."""
        for pid in self._children:
            os.kill(pid, signal.SIGKILL)
        for pid in self._children:
            os.waitpid(pid, 0)

    def _read(self) -> bool:
        """Read and handle requests; False at their end."""
        chunk = os.read(sys.stdin.fileno(), 65536)
        *lines, self._buffer = (self._buffer + chunk).split(b"\n")
        for line in lines:
            request = json.loads(line)
            if "start" in request:
                self._start(request)
            else:
                self._signal(request["signal"], request["number"])
        return bool(chunk)

    def _start(self, request: Value) -> None:
        pid = os.fork()
        if pid == 0:
            self._become(request)
        self._children[pid] = request["start"]
        _tell({"started": request["start"], "pid": pid})

    def _signal(self, number: int, signal_number: int) -> None:
        for pid in [pid for pid, known in self._children.items() if known == number]:
            os.kill(pid, signal_number)

    def _reap(self) -> None:
        for pid in list(self._children):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                _tell({"ended": self._children.pop(pid), "code": os.waitstatus_to_exitcode(status)})

    def _become(self, request: Value) -> None:
        """Be the program that was asked for, and never return."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            die_with_parent(self._pid)
            _redirect(Path(request["log"]))
            os.environ.update(request["environment"])
            sys.argv = [request["module"], *request["args"]]
            self._programs[request["module"]](request["args"])
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
            if isinstance(end.code, str):
                sys.stderr.write(f"{end.code}\n")
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)


def _redirect(log: Path) -> None:
    """Read from nowhere, and write to a file."""
    null, output = os.open(os.devnull, os.O_RDONLY), os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for source, target in ((null, 0), (output, 1), (output, 2)):
        os.dup2(source, target)


def _tell(answer: Value) -> None:
    os.write(sys.stdout.fileno(), json.dumps(answer).encode() + b"\n")


def main(modules: Sequence[str]) -> None:
    """Import the modules, and serve the parent process."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    zygote = _Zygote({name: importlib.import_module(name).main for name in modules})
    gc.freeze()  # what was imported stays shared memory
    try:
        zygote.serve()
    except BrokenPipeError:
        pass  # the owner is gone
    finally:
        zygote.kill()


if __name__ == "__main__":
    main(sys.argv[1:])
