"""A control plane leaves no process and no file behind, however the tests that hold it end."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import ANY

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator

HOLDER = """
import os, sys, time
from disvc.testing.controlplane import ControlPlane
plane = ControlPlane().start()
if "fork" in sys.argv and os.fork() == 0:
    time.sleep(600)  # holds every pipe of its parent
print(plane.folder, flush=True)
sys.stdin.read()
"""


@dataclass
class Holder:
    process: subprocess.Popen[str]
    folder: Path
    supervisor: psutil.Process
    servers: list[psutil.Process]


@contextmanager
def holder(*options: str) -> Iterator[Holder]:
    """A process of its own that has started a control plane, and ends when its stdin does."""
    command = [sys.executable, "-W", "ignore::ResourceWarning", "-c", HOLDER, *options]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process, ExitStack() as cleanup:
        cleanup.callback(process.kill)
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        children = psutil.Process(process.pid).children()
        supervisor = next(child for child in children if "supervisor.py" in " ".join(child.cmdline()))
        for fork in set(children) - {supervisor}:
            cleanup.callback(fork.kill)
        servers = supervisor.children()
        assert {server.name().split("-v")[0] for server in servers} == {"etcd", "kube-apiserver"}
        yield Holder(process, folder, supervisor, servers)


async def gone(held: Holder) -> None:
    processes = [held.supervisor, *held.servers]
    assert await asyncio.to_thread(psutil.wait_procs, processes, timeout=30) == (ANY, [])
    assert not held.folder.exists()


async def test_nothing_is_left_when_the_tests_are_killed() -> None:
    with holder() as held:
        os.kill(held.process.pid, signal.SIGKILL)
        await gone(held)


async def test_nothing_is_left_when_the_tests_are_killed_and_a_fork_of_theirs_lives_on() -> None:
    with holder("fork") as held:
        os.kill(held.process.pid, signal.SIGKILL)
        await gone(held)


async def test_nothing_is_left_when_the_tests_end_without_stopping_it() -> None:
    with holder() as held:
        assert held.process.stdin is not None
        held.process.stdin.close()
        await gone(held)


async def test_nothing_is_left_when_the_supervisor_is_told_to_end() -> None:
    with holder() as held:
        held.supervisor.terminate()
        assert await asyncio.to_thread(psutil.wait_procs, held.servers, timeout=30) == (ANY, [])
        held.process.kill()  # only then is its child, the supervisor, gone too
        await gone(held)


async def test_no_process_is_left_when_even_the_supervisor_is_killed() -> None:
    with holder() as held:
        held.supervisor.kill()
        assert await asyncio.to_thread(psutil.wait_procs, held.servers, timeout=30) == (ANY, [])
        shutil.rmtree(held.folder)
