"""The log of a container, as a kubelet gives it: which lines of it, and how long it is followed."""

from __future__ import annotations

import asyncio
import mmap
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from disvc.local.cri_log import Record, start_of_tail, time_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from pathlib import Path
    from typing import BinaryIO

    from disvc.testing.memory.log_options import LogOptions

_BLOCK_BYTES: Final = 65536
_POLL_SECONDS: Final = 0.1
_NANOSECONDS: Final = 10**9


class NoLog(Exception):
    """There is no such log; the message and the HTTP status are those of a kubelet."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, eq=False)
class RunLog:
    """The log of one run of a container: a file of `cri_log`, which grows until the run has ended."""

    path: Path
    ended: asyncio.Event = field(default_factory=asyncio.Event)


async def read(log: RunLog, options: LogOptions) -> AsyncIterator[bytes]:
    """Yield what is asked for of a log; one that is followed ends with its run.

    Raises `NoLog` where the file is gone.
    """
    selection = _Selection(options)
    with _opened(log.path) as file:
        if options.tail_lines is not None:
            file.seek(_start_of_tail(file, options.tail_lines))
        rest = b""
        while not selection.is_full:
            is_last = log.ended.is_set() or not options.follow
            block = file.read(_BLOCK_BYTES)
            *lines, rest = (rest + block).split(b"\n")
            if text := selection.take(lines):
                yield text
            if block:
                continue
            if is_last:
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(_POLL_SECONDS):
                    await log.ended.wait()


def last_words(log: Path, *, lines: int, most_bytes: int) -> str:
    """Return the end of what was written to a log."""
    with log.open("rb") as file:
        file.seek(_start_of_tail(file, lines))
        written = b"".join(Record.read(line).written() for line in file)
    return written[-most_bytes:].decode(errors="replace")


class _Selection:
    """Chooses of the records of a file, one after the other, what is to be shown."""

    def __init__(self, options: LogOptions) -> None:
        self._since = b""
        if options.since_seconds is not None:
            self._since = time_of(time.time_ns() - options.since_seconds * _NANOSECONDS)
        elif options.since_time is not None:
            self._since = options.since_time.removesuffix("Z").encode()
        self._shows_times = options.timestamps
        self._left = options.limit_bytes
        self._is_at_start = True
        """Whether the next record begins a line."""

    @property
    def is_full(self) -> bool:
        """Whether nothing more is to be shown."""
        return self._left == 0

    def take(self, lines: Iterable[bytes]) -> bytes:
        """Return what is to be shown of the next lines of the file."""
        text = b"".join(self._shown(Record.read(line)) for line in lines)[: self._left]
        if self._left is not None:
            self._left -= len(text)
        return text

    def _shown(self, record: Record) -> bytes:
        is_at_start, self._is_at_start = self._is_at_start, record.is_whole
        if record.time < self._since:
            return b""
        prefix = record.time + b" " if self._shows_times and is_at_start else b""
        return prefix + record.written()


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except FileNotFoundError as error:
        raise NoLog(f'failed to open log file "{path}": no such file or directory', 500) from error


def _start_of_tail(file: BinaryIO, lines: int) -> int:
    if not file.seek(0, 2):  # an empty file cannot be mapped
        return 0
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return start_of_tail(content, lines)
