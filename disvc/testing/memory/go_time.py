"""Times of requests, as Go's package time parses them. Pure functions."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

__all__ = ["microseconds", "seconds"]

_DATE: Final = (
    ("2006", r"\d{4}"),
    ("-", "-"),
    ("01", "0[1-9]|1[0-2]"),
    ("-", "-"),
    ("02", "0[1-9]|[12][0-9]|3[01]"),
    ("T", "T"),
    ("15", "[01][0-9]|2[0-3]"),
    (":", ":"),
    ("04", "[0-5][0-9]"),
    (":", ":"),
)
"""The parts of a layout of Go's package time, and what each may be."""
_ZONE: Final = ("Z07:00", r"Z|[+-]\d{2}:\d{2}")
_SECONDS: Final = (*_DATE, ("05", r"[0-5][0-9](?:[.,]\d+)?"), _ZONE)
_MICROSECONDS: Final = (*_DATE, ("05", "[0-5][0-9]"), (".000000", r"[.,]\d{6}(?!\d)"), _ZONE)


def seconds(text: str) -> datetime:
    """Read a metav1.Time. Raises `ValueError`, with Go's message."""
    return _moment(text, _SECONDS)


def microseconds(text: str) -> datetime:
    """Read a metav1.MicroTime. Raises `ValueError`, with Go's message."""
    return _moment(text, _MICROSECONDS)


def _moment(text: str, layout: tuple[tuple[str, str], ...]) -> datetime:
    rest, whole = text, "".join(part for part, _ in layout)
    for part, pattern in layout:
        if (match := re.match(pattern, rest)) is None:
            raise ValueError(f'parsing time "{text}" as "{whole}": cannot parse "{rest}" as "{part}"')
        rest = rest[match.end() :]
    if rest:
        raise ValueError(f'parsing time "{text}": extra text: "{rest}"')
    try:
        return datetime.fromisoformat(text.replace(",", ".")).astimezone(UTC)
    except ValueError:
        raise ValueError(f'parsing time "{text}": day out of range') from None
