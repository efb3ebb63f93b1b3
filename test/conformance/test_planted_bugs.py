"""The differential test finds bugs that are planted in the answers of one of two in-memory servers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from differential.campaign import Campaign
from differential.mutants import BUGS, EVENT_BUGS, STATUS_BUGS, Mutant
from differential.run import Side
from differential.servers import memory

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

SEEDS = range(12)


@pytest.fixture
async def sides() -> AsyncIterator[tuple[Side, Side]]:
    async with memory() as left, memory() as right:
        yield left, right


async def finds(left: Side, mutant: Mutant) -> bool:
    campaign = Campaign(left, Side("mutant", mutant), lanes=1)
    for seed in SEEDS:
        if await campaign.failures([seed]):
            return True
    return False


async def test_two_servers_without_bugs_are_not_told_apart(sides: tuple[Side, Side]) -> None:
    assert [failure.text for failure in await Campaign(*sides).failures(SEEDS)] == []


@pytest.mark.parametrize("bug", BUGS)
async def test_a_bug_in_answers_is_found(sides: tuple[Side, Side], bug: str) -> None:
    left, right = sides
    assert await finds(left, Mutant(right.transport, bug=BUGS[bug]))


@pytest.mark.parametrize("bug", STATUS_BUGS)
async def test_a_wrong_code_is_found(sides: tuple[Side, Side], bug: str) -> None:
    left, right = sides
    assert await finds(left, Mutant(right.transport, status=STATUS_BUGS[bug]))


@pytest.mark.parametrize("bug", EVENT_BUGS)
async def test_a_bug_in_a_watch_is_found(sides: tuple[Side, Side], bug: str) -> None:
    left, right = sides
    assert await finds(left, Mutant(right.transport, events=EVENT_BUGS[bug]))


async def test_a_difference_is_told_with_the_requests_before_it_on_the_same(sides: tuple[Side, Side]) -> None:
    left, right = sides
    mutant = Side("mutant", Mutant(right.transport, status=lambda _, status: 418 if status == 409 else status))
    [failure, *_] = await Campaign(left, mutant, shrink=True).failures(SEEDS)
    lines = failure.text.splitlines()
    assert lines[0].startswith(f"seed {failure.seed}, request ")
    assert lines[2:6] == ["Differences:", "  code", "    left:  409", "    right: 418"]
    assert any(line.startswith("memory answered") for line in lines)
    assert len(lines) - lines.index("Requests before it on the same:") <= 4


def test_the_steps_of_a_seed_are_always_the_same(steps_of: Callable[[int], list[str]]) -> None:
    assert steps_of(5) == steps_of(5)
    assert steps_of(5) != steps_of(6)
