"""Cancelling tasks without waiting for ever for one that does not heed it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Collection

CANCEL_SECONDS: Final = 5.0
"""How long what was cancelled may take to clean up after itself."""


async def cancel(tasks: Collection[asyncio.Task[Any]]) -> set[asyncio.Task[Any]]:
    """Cancel tasks and wait for them. Return those that go on nevertheless, `CANCEL_SECONDS` later."""
    if not tasks:
        return set()
    for task in tasks:
        task.cancel()
    _, deaf = await asyncio.wait(tasks, timeout=CANCEL_SECONDS)
    return deaf


def goes_on(what: str) -> str:
    """Return what to say of what was cancelled and goes on."""
    return f"{what} goes on {CANCEL_SECONDS:g} s after it was cancelled; it must let asyncio.CancelledError pass"
