"""What other people's objects say, made fit for a message of ours."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

LONGEST: Final = 300
"""Characters of a message. What is told beyond that is for `kubectl`."""

_ELLIPSIS: Final = " … "


def one_line(text: str) -> str:
    """Return a text as one line of at most `LONGEST` characters, without a full stop.

    What cannot be shown becomes a space: control characters, line ends, halves of surrogate pairs. A long text loses
    its middle: an error's subject stands at its start, and the end of a log is where the error is.
    """
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split()).rstrip(". ")
    if len(line) <= LONGEST:
        return line
    half = (LONGEST - len(_ELLIPSIS)) // 2
    return line[:half].rstrip() + _ELLIPSIS + line[-half:].lstrip()


def instant(written: str | None) -> datetime | None:
    """Return a metav1.Time or MicroTime; None for what is no time, and for the zero of a container runtime's clock."""
    try:
        time = datetime.fromisoformat(written or "")
    except ValueError:
        return None
    return time.astimezone(UTC) if time.tzinfo is not None and time.year > 1970 else None
