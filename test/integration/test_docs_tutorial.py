"""Follows the tutorial as a reader would: the files and commands of the page, in their order, from an empty folder.

What the page says about that is a convention: a fenced block whose info string names a file is saved there, and
further blocks of that name are added to it. In a `console` block, `$` begins a command and `^C` stops the program
that was started last; all else is what must come out, before the first command from the program that runs. A command
that begins with `python` runs on. Of an output line the beginning is compared, and a word with a digit in it, but
for plain numbers, stands for any such word.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest
from markdown_it import MarkdownIt

from disvc.testing.binaries import binary, cache_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial"
SECONDS = 120.0
NUMBER = re.compile(r"\d+(/\d+)?")
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def normal(line: str) -> str:
    """Leave out what differs from run to run: times, names made by the server, and columns' widths."""
    words = COLOURS.sub("", line).split()
    return " ".join("#" if re.search(r"\d", word) and not NUMBER.fullmatch(word) else word for word in words)


def shows(output: str, expected: Iterable[str]) -> bool:
    """Whether the expected lines begin lines of the output, in their order."""
    lines = iter([normal(line) for line in output.splitlines()])
    return all(any(line.startswith(normal(wanted)) for line in lines) for wanted in expected)


class Terminal:
    """A program in a terminal of its own: what it prints there, and Ctrl-C."""

    def __init__(self, command: str, folder: Path, environment: Mapping[str, str]) -> None:
        self.command = command
        self.output = ""
        self._folder = folder
        self._environment = environment
        self._more = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._master, terminal = os.openpty()
        self._process = await asyncio.create_subprocess_exec(
            *self.command.split(),
            cwd=self._folder,
            env=self._environment,
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            start_new_session=True,
        )
        os.close(terminal)
        asyncio.get_running_loop().add_reader(self._master, self._read)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
        asyncio.get_running_loop().remove_reader(self._master)
        os.close(self._master)

    def _read(self) -> None:
        try:
            self.output += os.read(self._master, 65536).decode(errors="replace")
        except OSError:  # the program has ended, and its terminal with it
            asyncio.get_running_loop().remove_reader(self._master)
        self._more.set()

    async def shows(self, expected: Iterable[str]) -> None:
        expected = list(expected)
        try:
            async with asyncio.timeout(SECONDS):
                while not shows(self.output, expected):
                    await self._more.wait()
                    self._more.clear()
        except TimeoutError:
            wanted = "\n".join(expected)
            pytest.fail(f"{self.command}: the page shows\n{wanted}\nand this came out:\n{self.output}")

    async def interrupt(self) -> None:
        self._process.send_signal(signal.SIGINT)
        async with asyncio.timeout(SECONDS):
            assert await self._process.wait() == 0, self.output


async def run(command: str, folder: Path, environment: Mapping[str, str]) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        "bash",
        "-c",
        command,
        cwd=folder,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output = (await process.communicate())[0].decode()
    return process.returncode, output


class Reader:
    """Does what the page says."""

    def __init__(self, folder: Path, terminals: AsyncExitStack) -> None:
        self._folder = folder
        self._terminals = terminals
        self._running: list[Terminal] = []
        programs = folder / "bin"
        programs.mkdir()
        (programs / "kubectl").symlink_to(binary("kubectl"))
        (programs / "python").symlink_to(sys.executable)
        self._environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{programs}:{os.environ['PATH']}",
            "HOME": str(folder),
            "DISVC_CACHE": str(cache_folder().parent),
            "KUBECONFIG": str(folder / "kubeconfig"),
        }
        # The page's ports may be taken on this machine.
        self._addresses = {f"127.0.0.1:{port}": f"127.0.0.1:{free_port()}" for port in (8080, 8081)}

    def _here(self, text: str) -> str:
        for address, free in self._addresses.items():
            text = text.replace(address, free)
        return text

    def save(self, name: str, content: str) -> None:
        file = self._folder / name
        content = self._here(content)
        file.write_text(f"{file.read_text()}\n\n{content}" if file.exists() else content)

    def read(self, name: str) -> str:
        text = (self._folder / name).read_text()
        for address, free in self._addresses.items():
            text = text.replace(free, address)
        return text

    async def type(self, console: str) -> None:
        seen, *steps = re.split(r"^(?=\$ |\^C$)", console, flags=re.MULTILINE)
        if seen:
            await self._running[-1].shows(seen.splitlines())
        for step in steps:
            command, *expected = step.splitlines()
            if command == "^C":
                terminal = self._running.pop()
                await terminal.interrupt()
                await terminal.shows(expected)
            elif command.startswith("$ python "):
                terminal = Terminal(command.removeprefix("$ "), self._folder, self._environment)
                await self._terminals.enter_async_context(terminal)
                self._running.append(terminal)
                await terminal.shows(expected)
            else:
                await self._see(self._here(command.removeprefix("$ ")), expected)

    async def _see(self, command: str, expected: list[str]) -> None:
        # A reader is slower than a cluster; this one looks again.
        looks = SECONDS if command.startswith(("kubectl get", "curl")) else 0.0
        until = time.monotonic() + looks
        while True:
            code, output = await run(command, self._folder, self._environment)
            if code == 0 and shows(output, expected):
                return
            if time.monotonic() >= until:
                break
            await asyncio.sleep(0.5)
        wanted = "\n".join(expected)
        pytest.fail(f"{command}: the page shows\n{wanted}\nand this came out, with exit code {code}:\n{output}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def test_the_tutorial_works_as_it_is_written(tmp_path: Path) -> None:
    names = set()
    async with AsyncExitStack() as terminals:
        reader = Reader(tmp_path, terminals)
        for block in MarkdownIt().parse((TUTORIAL / "README.md").read_text()):
            language, _, name = block.info.partition(" ")
            if block.type != "fence" or language == "sh":
                continue
            if language == "console":
                await reader.type(block.content)
            else:
                reader.save(name, block.content)
                names.add(name)
    for name in names:
        assert reader.read(name) == (TUTORIAL / name).read_text(), f"{name}: the page shows another one"
