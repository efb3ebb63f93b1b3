"""Durations as the server's tables show them: two or three figures that a person takes in at a glance, like `5m10s`.

The rules are those of k8s.io/apimachinery/pkg/util/duration, `HumanDuration`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import timedelta

__all__ = ["human_duration"]

_MINUTE_S = 60
_HOUR_S = 60 * _MINUTE_S
_DAY_S = 24 * _HOUR_S
_YEAR_S = 365 * _DAY_S


def human_duration(duration: timedelta) -> str:
    """Return a duration as the server prints it.

    The longer it is, the coarser. One second below zero counts as now, as clocks differ; less is `<invalid>`.
    """
    seconds = int(duration.total_seconds())
    if seconds < -1:
        return "<invalid>"
    if seconds < 2 * _MINUTE_S:
        return f"{max(seconds, 0)}s"
    for limit, text in (
        (10 * _MINUTE_S, _two(seconds, _MINUTE_S, "m", 1, "s")),
        (3 * _HOUR_S, f"{seconds // _MINUTE_S}m"),
        (8 * _HOUR_S, _two(seconds, _HOUR_S, "h", _MINUTE_S, "m")),
        (2 * _DAY_S, f"{seconds // _HOUR_S}h"),
        (8 * _DAY_S, _two(seconds, _DAY_S, "d", _HOUR_S, "h")),
        (2 * _YEAR_S, f"{seconds // _DAY_S}d"),
        (8 * _YEAR_S, _two(seconds, _YEAR_S, "y", _DAY_S, "d")),
    ):
        if seconds < limit:
            return text
    return f"{seconds // _YEAR_S}y"


def _two(seconds: int, unit_s: int, unit: str, part_s: int, part: str) -> str:
    """Return `5m10s`, or `5m` where no part is left."""
    whole, rest = divmod(seconds, unit_s)
    return f"{whole}{unit}{rest // part_s}{part}" if rest // part_s else f"{whole}{unit}"
