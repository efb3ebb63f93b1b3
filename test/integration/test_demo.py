"""`make demo`, as a person runs it: to its end, beside another one, and stopped on the way."""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import shlex
import signal
import socket
import sys
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from google.protobuf import json_format
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from kserve.protocol.grpc import grpc_predict_v2_pb2 as v2

from disvc.testing.binaries import binary

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

pytestmark = pytest.mark.alone

ROOT = Path(__file__).parents[2]
LISTENS = r"the ingress listens on 127\.0\.0\.1:(\d+), and (\d+) for TLS"
SECONDS = 600.0


class Demo:
    """A running demo, and what it has written."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.text = ""

    async def until(self, pattern: str) -> re.Match[str]:
        """Wait until it has written something."""
        assert self.process.stdout is not None
        while True:
            if found := re.search(pattern, self.text):
                return found
            line = await self.process.stdout.readline()
            assert line, f"it ended and did not write {pattern!r}:\n{self.text}"
            self.text += line.decode()

    async def end(self) -> int:
        """Wait for its end, and return its exit code."""
        assert self.process.stdout is not None
        self.text += (await self.process.stdout.read()).decode()
        return await self.process.wait()

    def processes(self) -> list[psutil.Process]:
        """Return all that it has started, and that started."""
        return psutil.Process(self.process.pid).children(recursive=True)


@asynccontextmanager
async def demo(folder: Path, *arguments: str) -> AsyncIterator[Demo]:
    """Run a demo beside the block, with a folder of its own for temporary files; it takes SECONDS at most."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(ROOT / "hack/demo.py"),
        *arguments,
        env={**os.environ, "TMPDIR": str(folder)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        limit=2**20,
    )
    try:
        async with asyncio.timeout(SECONDS):
            yield Demo(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.fixture
def folder() -> Path:
    """Return an empty folder with a short path, as Unix sockets have in it."""
    return Path(tempfile.mkdtemp(prefix="t-", dir="/tmp"))


def assert_nothing_is_left(processes: list[psutil.Process], folder: Path) -> None:
    _, alive = psutil.wait_procs(processes, timeout=20)
    assert alive == []
    assert list(folder.iterdir()) == []


async def assert_the_commands_work(text: str) -> None:
    """Run what a person is told to type. There is no grpcurl here: what it is given is read as it would."""
    export, *commands = re.findall(r"^(?:export|kubectl|curl|grpcurl) .*$", text, re.MULTILINE)
    path = f"{binary('kubectl').parent}:{os.environ['PATH']}"
    answers = {}
    for command in commands:
        if not command.startswith("grpcurl"):
            answers[command] = await shell(f"{export}\n{command}", path)
    listed, described, logged, _, *asked = answers.values()
    assert "iris-rest" in listed
    assert "RolledBack" in described
    assert re.fullmatch(r"(\[pod/iris-rest-v2-0-predictor-\S+/kserve-container\] .*\n){2}", logged)
    assert len(asked) == 2
    for answer in asked:
        assert "x-served-by: iris-rest-v2-" in answer
        assert '"data":[2,2]' in answer
    calls = [command for command in commands if command.startswith("grpcurl")]
    assert len(calls) == 2
    for call in map(shlex.split, calls):
        given = dict(itertools.pairwise(call))
        messages = await asyncio.to_thread(Path(given["-protoset"]).read_bytes)
        described_by = FileDescriptorSet.FromString(messages)
        assert [service.name for file in described_by.file for service in file.service] == ["GRPCInferenceService"]
        json_format.Parse(given["-d"], v2.ModelInferRequest())


async def shell(script: str, path: str) -> str:
    process = await asyncio.create_subprocess_exec(
        "bash", "-ec", script, env={**os.environ, "PATH": path}, stdout=asyncio.subprocess.PIPE
    )
    answer, _ = await process.communicate()
    assert process.returncode == 0, f"{script}\n{answer.decode()}"
    return answer.decode()


async def test_it_ends_with_0_and_every_promise_held(folder: Path) -> None:
    async with demo(folder, "--keep") as running:
        await running.until("It stays up until Ctrl-C")
        await running.until("Logs of pods: ")
        await assert_the_commands_work(running.text.partition("It stays up until Ctrl-C")[2])
        processes = running.processes()
        running.process.send_signal(signal.SIGINT)
        code = await running.end()
    text = running.text
    assert code == 0, text
    assert "NOT SO" not in text
    for promise in (
        r"REST iris-rest-models\.example\.com: .* are \[1, 1\]; scikit-learn says \[1, 1\] \(model 1\)",
        r"REST iris-rest\.models\.svc\.cluster\.local: .* scikit-learn says",
        r"gRPC iris-grpc-models\.example\.com \(TLS\): ServerReady",
        r"gRPC iris-grpc\.models\.svc\.cluster\.local: .* scikit-learn says",
        r"each of \d+ clients stays with one member",
        r"together they meet 3 members",
        r"iris-rest-v2 is rolled out, and nothing of iris-rest-v1 is left",
        r"disvc-manager \(pid \d+\) is killed with SIGKILL",
        r"iris-grpc-v2 is rolled out, and nothing of iris-grpc-v1 is left",
        r"iris-rest is Failed, and iris-rest-v2 serves on",
        r"the template of iris-rest-v2 again is no rollout: it serves, and is Stable",
        r"its status names the member that does not load, and why",
        r"✓ 0 of \d{4,} requests failed",
        r"✓ they were 5000 at least",
        r"✓ 0 answers were another model's",
    ):
        assert re.search(promise, text), f"{promise} is not in:\n{text}"
    assert "\x1b" not in text, "plain lines, as this is no terminal"
    assert_nothing_is_left(processes, folder)


async def test_two_at_once_have_ports_of_their_own_and_ctrl_c_leaves_nothing(folder: Path) -> None:
    async with demo(folder) as one, demo(folder) as two:
        ports = [(await running.until(LISTENS)).groups() for running in (one, two)]
        assert len({port for pair in ports for port in pair}) == 4
        await one.until("InferenceService iris-rest-v1-0 is ready")
        processes = [*one.processes(), *two.processes()]
        for running in (one, two):
            running.process.send_signal(signal.SIGINT)
        assert [await running.end() for running in (one, two)] == [130, 130]
    assert "Traceback" not in one.text + two.text
    assert one.text.endswith("Stopped; nothing is left running.\n")
    assert_nothing_is_left(processes, folder)


@pytest.mark.parametrize("moment", ["Ctrl-C stops everything", "training the models", "starting an API server"])
async def test_ctrl_c_stops_it_while_it_starts(folder: Path, moment: str) -> None:
    async with demo(folder) as running:
        await running.until(moment)
        processes = running.processes()
        running.process.send_signal(signal.SIGINT)
        assert await running.end() == 130, running.text
    assert "Traceback" not in running.text
    assert_nothing_is_left(processes, folder)


async def test_kill_9_leaves_nothing(folder: Path, until: Callable[..., Awaitable[None]]) -> None:
    async with demo(folder) as running:
        await running.until("InferenceService iris-rest-v1-0 is ready")
        processes = running.processes()
        running.process.kill()
        await until(lambda: not list(folder.iterdir()))
    assert_nothing_is_left(processes, folder)


async def test_a_port_that_was_asked_for_and_is_in_use_is_named(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with demo(folder, f"--http-port={port}") as running:
            assert await running.end() == 1
    assert running.text.splitlines()[-1].startswith(f"port {port} of 127.0.0.1 is in use: stop what listens there")
    assert_nothing_is_left([], folder)
