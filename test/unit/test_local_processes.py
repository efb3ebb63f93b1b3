"""Processes that are forked from one that has imported their programs: how they start, end, and are never left over."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil
import pytest

from disvc.local.logs import last_words
from disvc.local.processes import Processes, ProcessesError

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
import os, sys, time

imported_by = os.getpid()


def main(args):
    print("args", *args, os.environ["GREETING"])
    print("imported by its parent", imported_by == os.getppid())
    match args[0]:
        case "sleep":
            time.sleep(600)
        case "fail":
            raise RuntimeError("no such model")
        case "murmur":
            print("no line", end="")
        case "exit":
            sys.exit(3)
"""

OWNER = """
import asyncio, pathlib, sys
from disvc.local.processes import Processes

async def main(folder):
    async with Processes(["a_program"], folder) as processes:
        for _ in range(2):
            process = await processes.start("a_program", ["sleep"], environment={"GREETING": ""}, log=folder / "log")
            print(process.pid, flush=True)
        await asyncio.sleep(600)

asyncio.run(main(pathlib.Path(sys.argv[1])))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a program, `a_program`, which can be imported."""
    (tmp_path / "a_program.py").write_text(PROGRAM)
    path = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{path}" if path else str(tmp_path))
    return tmp_path


async def run(processes: Processes, folder: Path, *args: str) -> tuple[int, str]:
    """Run the program, and return its exit code and what it wrote."""
    log = folder / f"{args[0]}.log"
    process = await processes.start("a_program", args, environment={"GREETING": "hello"}, log=log)
    return await process.wait(), last_words(log, lines=100, most_bytes=10_000)


async def test_a_program_is_forked_with_arguments_environment_and_log_and_its_end_is_told(folder: Path) -> None:
    async with Processes(["a_program"], folder) as processes:
        assert await run(processes, folder, "go", "on") == (0, "args go on hello\nimported by its parent True\n")
        assert (await run(processes, folder, "exit"))[0] == 3
        assert (await run(processes, folder, "murmur"))[1].endswith("\nno line")
        code, log = await run(processes, folder, "fail")
        assert code == 1
        assert log.endswith("RuntimeError: no such model\n")


async def test_a_process_can_be_signalled_and_is_killed_when_its_owner_leaves(folder: Path) -> None:
    environment = {"GREETING": ""}
    async with Processes(["a_program"], folder) as processes:
        first, second = [
            await processes.start("a_program", ["sleep"], environment=environment, log=folder / "log") for _ in range(2)
        ]
        first.signal(signal.SIGTERM)
        assert await first.wait() == -signal.SIGTERM
        first.signal(signal.SIGTERM)  # to nobody
        assert psutil.pid_exists(second.pid)
    assert not psutil.pid_exists(second.pid)
    assert await second.wait() == -signal.SIGKILL


@pytest.mark.parametrize("victim", ["owner", "zygote"])
def test_when_the_owner_or_the_zygote_is_killed_nothing_is_left(folder: Path, victim: str) -> None:
    with subprocess.Popen([sys.executable, "-c", OWNER, str(folder)], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        processes = [psutil.Process(int(owner.stdout.readline())) for _ in range(2)]
        zygote = processes[0].parent()
        assert zygote is not None
        (psutil.Process(owner.pid) if victim == "owner" else zygote).kill()
        _, left = psutil.wait_procs([*processes, zygote], timeout=30)
        owner.kill()
    assert left == []


async def test_a_module_that_cannot_be_imported_is_told_by_who_wants_to_run_it(folder: Path) -> None:
    async with Processes(["a_program", "no_such_module"], folder) as processes:
        with pytest.raises(ProcessesError, match="No module named 'no_such_module'"):
            await processes.start("a_program", ["go"], log=folder / "log")
        with pytest.raises(ProcessesError, match="is gone"):
            await processes.start("a_program", ["go"], log=folder / "log")


async def test_a_start_that_is_given_up_leaves_no_process(folder: Path) -> None:
    async with Processes(["a_program"], folder) as processes:
        start = processes.start("a_program", ["sleep"], environment={"GREETING": "given up"}, log=folder / "log")
        starting = asyncio.create_task(start)
        await asyncio.sleep(0)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        code, _ = await run(processes, folder, "go")  # by then the other one has been started, too
        assert code == 0
        (zygote,) = psutil.Process().children()
        _, left = psutil.wait_procs(zygote.children(), timeout=30)
        assert left == []
