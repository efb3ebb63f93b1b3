"""Numbers as Go writes them in JSON: a whole one has no point, and is an integer to whoever reads it back."""

from __future__ import annotations

from typing import Any, Final

__all__ = ["as_go_writes"]

_INT64: Final = 2**63


def as_go_writes(value: Any) -> Any:
    """Return JSON in which whole floats that are an int64 are integers; it shares what need not change."""
    match value:
        case dict():
            read = {name: as_go_writes(part) for name, part in value.items()}
            return read if any(read[name] is not value[name] for name in read) else value
        case list():
            items = [as_go_writes(part) for part in value]
            return items if any(one is not other for one, other in zip(items, value, strict=True)) else value
        case float() if value.is_integer() and -_INT64 <= value < _INT64:
            return int(value)
        case _:
            return value
