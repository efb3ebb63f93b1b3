"""What stands where there is nothing, as null is something."""

from __future__ import annotations

from typing import Final

__all__ = ["ABSENT"]


class _Absent:
    def __repr__(self) -> str:
        return "(absent)"


ABSENT: Final = _Absent()
