"""How a program ends: real processes, on uvloop and on asyncio's own loop."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

SECONDS = 60.0
"""By then a process has done what it is going to do, however busy the machine."""

PROGRAM = """
import asyncio, math, sys
{before}
from disvc.runtime import ConfigurationError, Controller, LeaderElection, Manager, Resource, connect, run
from disvc.runtime.leader_election import LEASES
from disvc.testing.stub import StubServer

SITES = Resource("example.com/v1", "Site", "sites")
server = StubServer()

def holder():
    return server.get(LEASES, "operator", "prod")["spec"]["holderIdentity"]

class Reconciler:
    async def reconcile(self, request):
        print("reconciling", flush=True)
        {reconcile}

async def main():
    server.put(SITES, "a", "default")
    election = LeaderElection(name="operator", namespace="prod", identity="me")
    manager = Manager(server.transport(), leader_election=election, grace_seconds={grace})
    manager.add(Controller("sites", for_=SITES, reconciler=Reconciler()))
    await manager.run()
    print("loop of", type(asyncio.get_running_loop()).__module__.split(".")[0])
    print("holder", repr(holder()))

{main}
"""

NO_UVLOOP = "sys.modules['uvloop'] = None"
IMPATIENT = """
import disvc.runtime.cancellation
disvc.runtime.cancellation.CANCEL_SECONDS = 0.2
"""
DEAF = """
        while True:
            try:
                await asyncio.sleep(math.inf)
            except asyncio.CancelledError:
                pass
"""
LOOPS = pytest.mark.parametrize(("before", "loop"), [("", "uvloop"), (NO_UVLOOP, "asyncio")], ids=["uvloop", "asyncio"])


def program(*, before: str = "", reconcile: str = "pass", grace: float = 30, main: str = "run(main())") -> str:
    return PROGRAM.format(before=before, reconcile=reconcile.strip(), grace=grace, main=main)


@contextmanager
def started(text: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", text],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for(process: subprocess.Popen[str], word: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if word in line:
            return
    raise AssertionError(f"the process ended without {word!r}: {process.communicate()[1]}")


def wait_for_log(process: subprocess.Popen[str], event: str) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if json.loads(line)["event"] == event:
            return
    raise AssertionError(f"the process ended without logging {event!r}")


def lines_of(log: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.splitlines()]


@LOOPS
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_process_with_0_and_the_lease_is_given_back(
    before: str, loop: str, number: signal.Signals
) -> None:
    with started(program(before=before)) as process:
        wait_for(process, "reconciling")
        process.send_signal(number)
        out, log = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, log
    assert f"loop of {loop}" in out
    assert "holder ''" in out
    assert [line["signal"] for line in lines_of(log) if line["event"] == "stopping"] == [number.name]


@LOOPS
def test_a_running_reconcile_finishes_within_the_grace(before: str, loop: str) -> None:
    reconcile = "await asyncio.sleep(1); print('finished', flush=True)"
    with started(program(before=before, reconcile=reconcile)) as process:
        wait_for(process, "reconciling")
        process.terminate()
        out, log = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, log
    assert "finished" in out


@LOOPS
def test_a_second_sigterm_kills_the_process(before: str, loop: str) -> None:
    with started(program(before=before, reconcile="await asyncio.sleep(math.inf)", grace=600)) as process:
        wait_for(process, "reconciling")
        process.terminate()
        wait_for_log(process, "stopping")
        process.terminate()
        assert process.wait(SECONDS) == -signal.SIGTERM


TWO_MANAGERS = """
import os, signal

began = asyncio.Event()

async def one(name, reconcile, stop=None):
    manager = Manager(server.transport(), name=name, grace_seconds={grace})
    manager.add(Controller(name, for_=SITES, reconciler=Reconciler(reconcile)))
    await manager.run(stop=stop)
    print("the end of", name, flush=True)

class Reconciler:
    def __init__(self, function):
        self.function = function

    async def reconcile(self, request):
        print("reconciling", flush=True)
        began.set()
        await self.function()

async def at_once():
    pass

async def for_ever():
    await asyncio.sleep(math.inf)
"""


def two_managers(main: str, *, before: str = "", grace: float = 30) -> str:
    lines = [
        "async def both():",
        "    server.put(SITES, 'a', 'default')",
        *(f"    {line}" for line in main.splitlines()),
    ]
    return program(before=before, main="\n".join([TWO_MANAGERS.format(grace=grace), *lines, "run(both())"]))


@LOOPS
def test_a_signal_ends_all_managers_of_the_process(before: str, loop: str) -> None:
    main = "await asyncio.gather(one('first', at_once), one('second', at_once))"
    with started(two_managers(main, before=before)) as process:
        wait_for(process, "reconciling")
        wait_for(process, "reconciling")
        process.terminate()
        out, log = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, log
    assert sorted(out.splitlines()) == ["the end of first", "the end of second"]
    assert [line["signal"] for line in lines_of(log) if line["event"] == "stopping"] == ["SIGTERM"]


@LOOPS
def test_a_manager_that_has_ended_leaves_the_signals_to_the_others(before: str, loop: str) -> None:
    main = """
stop = asyncio.Event()
stop.set()
other = asyncio.create_task(one('other', at_once))
await Manager(server.transport()).run(stop=stop)
print("one has ended", flush=True)
await other"""
    with started(two_managers(main, before=before)) as process:
        wait_for(process, "one has ended")
        process.terminate()
        out, log = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, log
    assert "the end of other" in out


@LOOPS
def test_a_manager_that_begins_while_another_is_stopping_for_a_signal_stops_at_once(before: str, loop: str) -> None:
    main = """
release, stopping = asyncio.Event(), asyncio.Event()
slow = asyncio.create_task(one("slow", release.wait, stopping))
await began.wait()
os.kill(os.getpid(), signal.SIGTERM)
await stopping.wait()
await one("late", for_ever)
release.set()
await slow
began.clear()
after = asyncio.create_task(one("after", at_once))
await began.wait()
os.kill(os.getpid(), signal.SIGTERM)
await after"""
    with started(two_managers(main, before=before)) as process:
        out, log = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, log
    assert [line for line in out.splitlines() if line != "reconciling"] == [
        "the end of late",
        "the end of slow",
        "the end of after",
    ]
    assert out.count("reconciling") == 2  # not by the late one


@LOOPS
def test_a_second_signal_kills_a_process_of_two_managers(before: str, loop: str) -> None:
    main = "await asyncio.gather(one('first', at_once), one('second', for_ever))"
    with started(two_managers(main, before=before, grace=600)) as process:
        wait_for(process, "reconciling")
        wait_for(process, "reconciling")
        process.terminate()
        wait_for(process, "the end of first")
        process.terminate()
        assert process.wait(SECONDS) == -signal.SIGTERM


@LOOPS
def test_a_manager_outside_the_main_thread_says_that_it_gets_no_signals(before: str, loop: str) -> None:
    main = "manager = Manager(server.transport())\nawait asyncio.to_thread(asyncio.run, manager.run())"
    with started(two_managers(main, before=before)) as process:
        _, log = process.communicate(timeout=SECONDS)
    assert process.returncode == 1
    assert "RuntimeError: signals reach the main thread only: run the manager there, or with handle_signals" in log


@LOOPS
def test_a_second_ctrl_c_ends_the_process(before: str, loop: str) -> None:
    with started(program(before=before, reconcile="await asyncio.sleep(math.inf)", grace=600)) as process:
        wait_for(process, "reconciling")
        process.send_signal(signal.SIGINT)
        wait_for_log(process, "stopping")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=SECONDS)
    assert process.returncode == -signal.SIGINT


@LOOPS
def test_a_reconcile_that_ignores_its_cancellation_does_not_keep_the_process_alive(before: str, loop: str) -> None:
    with started(program(before=before + IMPATIENT, reconcile=DEAF, grace=0.1)) as process:
        wait_for(process, "reconciling")
        process.terminate()
        _, log = process.communicate(timeout=SECONDS)
    assert process.returncode == 1, log
    events = {line["event"]: line for line in lines_of(log)}
    assert "controller sites: 1 reconciles go on" in events["exiting"]["error"]
    assert "default/a" in events["exiting"]["error"]
    tasks = events["exiting without the tasks that go on though they were cancelled"]["tasks"]
    assert tasks == ["controller sites worker 0"]


def test_an_error_of_this_library_is_one_line_in_the_log_and_exit_code_1() -> None:
    with started(program(main="async def fail():\n    raise ConfigurationError('no such context')\nrun(fail())")) as p:
        _, log = p.communicate(timeout=SECONDS)
    assert p.returncode == 1
    (line,) = lines_of(log)
    assert (line["event"], line["error"], line["kind"], line["level"]) == (
        "exiting",
        "no such context",
        "ConfigurationError",
        "error",
    )


BACKGROUND = """
class Sweeper:
    needs_leader_election = True

    async def run(self):
        raise {error}

async def sweep():
    manager = Manager(server.transport())
    manager.add(Sweeper())
    await manager.run()

run(sweep())
"""


@LOOPS
def test_a_background_task_that_fails_ends_the_process_with_one_traceback_and_its_name(before: str, loop: str) -> None:
    with started(program(before=before, main=BACKGROUND.format(error="LookupError('a bug')"))) as process:
        _, log = process.communicate(timeout=SECONDS)
    assert process.returncode == 1
    assert log.count("Traceback") == 1
    assert log.endswith("LookupError: a bug\nraised by runnable Sweeper\n")


def test_a_background_task_that_fails_with_an_error_of_this_library_is_named_in_the_last_line_of_the_log() -> None:
    with started(program(main=BACKGROUND.format(error="ConfigurationError('no such file')"))) as process:
        _, log = process.communicate(timeout=SECONDS)
    assert process.returncode == 1
    last = lines_of(log)[-1]
    assert (last["event"], last["error"], last["notes"]) == ("exiting", "no such file", ["raised by runnable Sweeper"])


def test_any_other_error_is_a_traceback_and_exit_code_1() -> None:
    with started(program(main="async def fail():\n    raise LookupError('a bug')\nrun(fail())")) as process:
        _, log = process.communicate(timeout=SECONDS)
    assert process.returncode == 1
    assert log.startswith("Traceback")
    assert log.endswith("LookupError: a bug\n")


@LOOPS
def test_a_reconciler_that_exits_ends_the_process_with_its_code_and_gives_the_lease_back(
    before: str, loop: str
) -> None:
    end = "try:\n    run(main())\nfinally:\n    print('holder', repr(holder()))"
    with started(program(before=before, reconcile="sys.exit(3)", main=end)) as process:
        out, log = process.communicate(timeout=SECONDS)
    assert process.returncode == 3, log
    assert "holder ''" in out


def test_a_kubeconfig_that_is_not_there_is_told_and_is_exit_code_1() -> None:
    main = "async def work():\n    async with connect():\n        pass\nrun(work())"
    with started(program(main=main), KUBECONFIG="/nonexistent/config") as process:
        _, log = process.communicate(timeout=SECONDS)
    assert process.returncode == 1
    (line,) = lines_of(log)
    assert line["kind"] == "ConfigurationError"
    assert "/nonexistent/config" in line["error"]


def test_logging_that_the_program_has_set_up_is_left_alone() -> None:
    main = (
        "from disvc.runtime import configure_logging\nconfigure_logging(output='console', stream=sys.stdout)\n"
        "async def fail():\n    raise ConfigurationError('no such context')\nrun(fail())"
    )
    with started(program(main=main)) as process:
        out, log = process.communicate(timeout=SECONDS)
    assert log == ""
    assert "exiting" in out
    assert not out.startswith("{")


def test_importing_the_library_does_not_import_kubernetes_asyncio() -> None:
    text = "import disvc.runtime, sys; print([m for m in sys.modules if m.startswith('kubernetes')])"
    with started(text) as process:
        out, _ = process.communicate(timeout=SECONDS)
    assert out == "[]\n"
