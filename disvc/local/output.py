"""What a process writes, on its way to its log: the zygote's part of a container runtime."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Final

from disvc.local.cri_log import Record, time_of

if TYPE_CHECKING:
    from pathlib import Path

_CHUNK_BYTES: Final = 65536
_LONGEST_LINE: Final = 16384
"""A longer one is kept in parts."""


class Output:
    """A pipe; what is written to `sink` comes into the file, each line with the time at which it came out of `source`.

    The process that writes has `sink` alone, and the other one closes its own after the fork.
    """

    def __init__(self, log: Path) -> None:
        self._file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.source, self.sink = os.pipe()
        os.set_blocking(self.source, False)
        self._rest = b""

    def pump(self) -> bool:
        """Write what has come, and return whether more may come."""
        chunk = self._read()
        if chunk is not None:
            self._write(chunk)
        return chunk != b""

    def close(self) -> None:
        """Write what is left, as the process has ended."""
        while chunk := self._read():
            self._write(chunk)
        self._write(b"")
        self.abandon()

    def abandon(self) -> None:
        """Give up the files; what is left is another process's to write."""
        os.close(self.source)
        os.close(self._file)

    def _read(self) -> bytes | None:
        """Return what has come, b"" at its end, None where there is nothing now."""
        try:
            return os.read(self.source, _CHUNK_BYTES)
        except BlockingIOError:
            return None

    def _write(self, chunk: bytes) -> None:
        """Write whole lines; one that is too long, or the last one, in parts."""
        now = time_of(time.time_ns())
        *lines, rest = (self._rest + chunk).split(b"\n")
        records = [Record(now, True, line) for line in lines]
        if rest and (not chunk or len(rest) > _LONGEST_LINE):
            records.append(Record(now, False, rest))
            rest = b""
        self._rest = rest
        os.write(self._file, b"".join(record.line() for record in records))
