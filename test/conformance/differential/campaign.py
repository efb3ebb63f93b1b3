"""Runs the sequences of many seeds on two servers, some at a time."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Final

from differential.account import account
from differential.generator import sequence
from differential.kinds import KINDS
from differential.run import run
from differential.servers import make_namespace
from differential.shrink import shrunk

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from differential.kinds import Kind
    from differential.run import Finding, Side
    from differential.step import Step

__all__ = ["LENGTH", "Campaign", "Failure"]

LENGTH: Final = 100
"""Requests of a sequence."""


@dataclass(frozen=True)
class Failure:
    """A seed whose sequence is answered differently; `text` tells all about it."""

    seed: int
    finding: Finding
    text: str

    @property
    def what(self) -> str:
        """Return what kind of difference it is: the same for seeds that probably fail for the same reason."""
        place = "/".join(part for part in self.finding.differences[0].place.split("/") if not part.isdigit())
        return f"{self.finding.step.method} {self.finding.step.plural} {place}"


@dataclass
class Campaign:
    """Two servers, and what to send to them. Each sequence runs in a namespace of its own."""

    left: Side
    right: Side
    length: int = LENGTH
    lanes: int = 6
    """Sequences at a time: a list makes a kube-apiserver wait up to 0.1 s for its cache."""
    kinds: Sequence[Kind] = KINDS
    shrink: bool = False
    """Whether a failing sequence is made as short as it can be, which takes many runs of it."""
    requests: int = 0
    """How many each server has answered."""
    _run: str = field(default_factory=lambda: secrets.token_hex(3))
    _attempts: Iterator[int] = field(default_factory=count)

    async def failures(self, seeds: Iterable[int]) -> list[Failure]:
        """Run the sequences of the seeds and return those that are answered differently."""
        waiting = iter(seeds)
        failures: list[Failure] = []

        async def lane() -> None:
            for seed in waiting:
                failures.extend(await self._failures(seed))

        async with asyncio.TaskGroup() as lanes:
            for _ in range(self.lanes):
                lanes.create_task(lane())
        return failures

    async def _failures(self, seed: int) -> list[Failure]:
        async def attempt(steps: Sequence[Step]) -> Finding | None:
            namespace = f"seed-{seed}-{self._run}-{next(self._attempts)}"
            for side in (self.left, self.right):
                await make_namespace(side.transport, namespace)
            numbers = {step.number for step in steps}
            return await run(
                [step for step in self._steps(seed, namespace) if step.number in numbers], self.left, self.right
            )

        steps = self._steps(seed, "any")
        finding = await attempt(steps)
        self.requests += finding.step.number if finding else len(steps)
        if finding is None:
            return []
        if self.shrink:
            steps, finding = await shrunk(steps, finding, attempt)
        return [Failure(seed, finding, account(seed, steps, finding, (self.left.name, self.right.name)))]

    def _steps(self, seed: int, namespace: str) -> list[Step]:
        return sequence(seed, self.length, namespace, self.kinds)
