"""Times as the API writes them."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


def micro_time(instant: datetime) -> str:
    """Return an aware time as a metav1.MicroTime: RFC 3339 in UTC with six digits after the point."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def metav1_time(instant: datetime) -> str:
    """Return an aware time as a metav1.Time: RFC 3339 in UTC, in whole seconds."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
