"""Durations as Go reads them, `1h30m`, and as Scala does, `22 ns` or `3 days`, in schemas with `format: duration`."""

from __future__ import annotations

import re
from fractions import Fraction

__all__ = ["parse_duration"]

_UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_LONG_UNITS: list[tuple[int, tuple[str, ...]]] = [
    (1, ("ns", "nano")),
    (10**3, ("us", "µs", "micro")),
    (10**6, ("ms", "milli")),
    (10**9, ("s", "sec")),
    (60 * 10**9, ("m", "min")),
    (3600 * 10**9, ("h", "hr", "hour")),
    (24 * 3600 * 10**9, ("d", "day")),
    (7 * 24 * 3600 * 10**9, ("w", "wk", "week")),
]
_PART = r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)"
_LARGEST = 2**63 - 1


def parse_duration(text: str) -> int | None:
    """Return a duration in nanoseconds; None for a text that is none."""
    go = _parse_go_duration(text)
    return go if go is not None else _parse_scala_duration(text)


def _parse_go_duration(text: str) -> int | None:
    """Read what Go's time.ParseDuration reads."""
    sign, digits = (-1, text[1:]) if text.startswith("-") else (1, text.removeprefix("+"))
    if digits == "0":
        return 0
    if not re.fullmatch(f"({_PART})+", digits, re.ASCII):
        return None
    nanoseconds = sum(int(Fraction(number) * _UNITS[unit]) for number, unit in re.findall(_PART, digits, re.ASCII))
    return sign * nanoseconds if nanoseconds <= _LARGEST else None


def _parse_scala_duration(text: str) -> int | None:
    """Read what k8s.io/kube-openapi/pkg/validation/strfmt adds: every number with a unit that stands in the text."""
    total, found = 0, False
    for number, unit in re.findall(r"(\d+)\s*([A-Za-zµ]+)", text, re.ASCII):
        for nanoseconds, (*names, stem) in _LONG_UNITS:
            if unit.lower() in names or unit.lower().startswith(stem):
                found = True
                total += int(number) * nanoseconds
    return total if found else None
