"""Logs of containers in the form in which a container runtime writes them and a kubelet reads them. Pure functions.

A record is a line: `2026-01-01T00:00:00.000000000Z stdout F text`. It tells when the text was written, to which stream,
and whether it is a whole line of the container (F) or a part of one that goes on (P). The form is that of the CRI,
https://github.com/kubernetes/design-proposals-archive/blob/main/node/kubelet-cri-logging.md
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import mmap

_NANOSECONDS = 10**9


class Record(NamedTuple):
    """One line of a log file."""

    time: bytes
    """In UTC with nine digits after the point, so that times compare as bytes do."""
    is_whole: bool
    text: bytes

    @classmethod
    def read(cls, line: bytes) -> Record:
        """Read a line of a file; its end may be there or not."""
        time, _, tag, text = line.rstrip(b"\n").split(b" ", 3)
        return cls(time, tag == b"F", text)

    def line(self) -> bytes:
        """Return it as a line of a file; standard output and standard error are one stream here."""
        return b"%s stdout %s %s\n" % (self.time, b"F" if self.is_whole else b"P", self.text)

    def written(self) -> bytes:
        """Return what the container wrote."""
        return self.text + b"\n" if self.is_whole else self.text


def time_of(nanoseconds: int) -> bytes:
    """Return a time since the epoch as records have it."""
    seconds, rest = divmod(nanoseconds, _NANOSECONDS)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09}Z".encode()


def start_of_tail(content: bytes | mmap.mmap, lines: int) -> int:
    """Return where in a file its last lines begin; one that is not at its end yet is not counted."""
    end = content.rfind(b"\n")
    for _ in range(lines):
        if end < 0:
            break
        end = content.rfind(b"\n", 0, end)
    return end + 1
