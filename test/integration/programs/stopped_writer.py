"""The writer, with a process that is stopped at the worst moment: inside the fence of its nth write.

`STOP_AT=n` is the number of the look at the lease after which it stops; each write looks twice.
"""

from __future__ import annotations

import itertools
import os
import runpy
import signal
from pathlib import Path

from disvc.runtime.leader_election import LeaderElector

look = LeaderElector.check
looks = itertools.count(1)


def look_and_stop(self: LeaderElector) -> float:
    seconds = look(self)
    if next(looks) == int(os.environ["STOP_AT"]):
        os.kill(os.getpid(), signal.SIGSTOP)
    return seconds


LeaderElector.check = look_and_stop  # type: ignore[method-assign]
runpy.run_path(str(Path(__file__).with_name("writer.py")), run_name="__main__")
