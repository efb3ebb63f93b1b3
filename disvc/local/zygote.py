"""Forks programs from a process that has imported them already: run as `python -m disvc.local.zygote MODULE…`.

Importing kserve and scikit-learn takes about three seconds of CPU; a fork takes some milliseconds. Android calls such
a process the zygote. It imports the modules, and then does what its owner asks on stdin, a JSON object a line:

    {"start": 1, "module": "disvc.local.server", "args": […], "environment": {…}, "log": "/…/0.log"}
    {"signal": 1, "number": 15}

On stdout it tells, in the same way: `{"started": 1, "pid": 123}` and `{"ended": 1, "code": 0}`, where a code below
zero is that of a signal. A module is a program when it has `main(args)`, as one that is run by `python -m`. What a
program writes comes into its log by this process, with times (`cri_log`), and is all there when its end is told.

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
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from disvc.local.output import Output
from disvc.testing.supervisor import die_with_parent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Value = dict[str, Any]
    Main = Callable[[Sequence[str]], None]

_OWNER_POLL_S: Final = 1.0
_ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _Child(NamedTuple):
    """A program that has not ended."""

    number: int
    """The one that the owner gave it."""
    output: Output


class _Zygote:
    def __init__(self, programs: dict[str, Main]) -> None:
        self._programs = programs
        self._pid = os.getpid()
        self._owner = os.getppid()
        self._children: dict[int, _Child] = {}
        """By process id."""
        self._buffer = b""
        self._woken, waker = os.pipe()
        for end in (self._woken, waker):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(waker)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._selector = selectors.DefaultSelector()

    def serve(self) -> None:
        """Do what the owner asks, until it is gone."""
        stdin = sys.stdin.fileno()
        self._selector.register(stdin, selectors.EVENT_READ, self._read)
        self._selector.register(self._woken, selectors.EVENT_READ, self._reap)
        while os.getppid() == self._owner and stdin in self._selector.get_map():
            ready = [key for key, _ in self._selector.select(_OWNER_POLL_S)]
            for key in sorted(ready, key=lambda key: key.fd == self._woken):  # as that closes others
                if not key.data():
                    self._selector.unregister(key.fd)

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
        output = Output(Path(request["log"]))
        signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)  # which end the child only when it has no handlers any more
        pid = os.fork()
        if pid == 0:
            self._become(request, output)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
        os.close(output.sink)
        self._selector.register(output.source, selectors.EVENT_READ, output.pump)
        self._children[pid] = _Child(request["start"], output)
        _tell({"started": request["start"], "pid": pid})

    def _signal(self, number: int, signal_number: int) -> None:
        for pid in [pid for pid, child in self._children.items() if child.number == number]:
            os.kill(pid, signal_number)

    def _reap(self) -> bool:
        os.read(self._woken, 4096)
        for pid in list(self._children):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                number, output = self._children.pop(pid)
                if output.source in self._selector.get_map():
                    self._selector.unregister(output.source)
                output.close()
                _tell({"ended": number, "code": os.waitstatus_to_exitcode(status)})
        return True

    def _become(self, request: Value, output: Output) -> None:
        """Be the program that was asked for, and never return."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, *_ENDING):
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
            die_with_parent(self._pid)
            _redirect(output.sink)
            for each in (output, *(child.output for child in self._children.values())):
                each.abandon()
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


def _redirect(output: int) -> None:
    """Read from nowhere, and write to a file."""
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    os.close(output)


def _tell(answer: Value) -> None:
    os.write(sys.stdout.fileno(), json.dumps(answer).encode() + b"\n")


def main(modules: Sequence[str]) -> None:
    """Import the modules, and serve the parent process."""
    for number in _ENDING:
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
