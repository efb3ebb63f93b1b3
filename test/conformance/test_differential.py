"""Random sequences of requests are answered alike by a kube-apiserver and by the in-memory server.

What is sent is in `differential.generator`, what may differ in `differential.rules`. A seed that fails is replayed, and
made short, by `python test/conformance/replay.py SEED --shrink`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from differential.campaign import LENGTH, Campaign
from differential.servers import memory, real

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SEEDS = 200
REQUESTS = 20_000


@pytest.fixture
async def campaign() -> AsyncIterator[Campaign]:
    async with real() as left, memory() as right:
        yield Campaign(left, right)


async def test_both_servers_answer_twenty_thousand_random_requests_alike(campaign: Campaign) -> None:
    assert SEEDS * LENGTH >= REQUESTS
    failures = await campaign.failures(range(SEEDS))
    told = "\n\n".join(failure.text for failure in failures[:3])
    assert not failures, f"{len(failures)} of {SEEDS} seeds failed; the first of them:\n\n{told}"
