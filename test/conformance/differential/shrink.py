"""Makes a failing sequence short: drops steps while a difference at the same place stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from differential.run import Finding
    from differential.step import Step

    Run = Callable[[Sequence[Step]], Awaitable[Finding | None]]

__all__ = ["shrunk"]


async def shrunk(steps: Sequence[Step], finding: Finding, run: Run) -> tuple[list[Step], Finding]:
    """Return a short part of the steps that is still answered differently in the same way, and that difference.

    Args:
        steps: the sequence.
        finding: what was found in it.
        run: sends steps to both servers, each time in fresh namespaces.

    """
    kept = [step for step in steps if step.number <= finding.step.number or step is finding.step]
    if isinstance(finding.left, list):
        kept = list(steps)  # a watch is compared when all is over
    size = max(1, len(kept) // 2)
    while True:
        place = 0
        while place < len(kept):
            fewer = kept[:place] + kept[place + size :]
            found = await run(fewer)
            if found is not None and _alike(found, finding):
                kept, finding = fewer, found
            else:
                place += size
        if size == 1:
            return kept, finding
        size //= 2


def _alike(one: Finding, other: Finding) -> bool:
    return one.step.number == other.step.number and one.differences[0].place == other.differences[0].place
