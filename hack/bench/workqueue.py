"""Prints how many keys a second go through a work queue: add, get and done, on one core.

Each figure is the best of several rounds, so that what else the machine does counts little.
Run it as `.venv/bin/python hack/bench/workqueue.py`.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from typing import TYPE_CHECKING

from disvc.runtime.environment import SystemClock
from disvc.runtime.objects import Key
from disvc.runtime.workqueue import Workqueue

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    Scenario = Callable[[list[Key]], Coroutine[None, None, None]]


async def one_at_a_time(keys: list[Key]) -> None:
    """Add a key, get it, and say that it is done, before the next one is added."""
    queue = Workqueue[Key]("bench", clock=SystemClock())
    for key in keys:
        queue.add(key)
        got, _ = await queue.get()
        queue.done(got)


async def in_batches(keys: list[Key]) -> None:
    """Add all keys, then get all of them, as after a relist."""
    queue = Workqueue[Key]("bench", clock=SystemClock())
    for key in keys:
        queue.add(key)
    for _ in keys:
        got, _ = await queue.get()
        queue.done(got)


async def with_a_waiting_worker(keys: list[Key]) -> None:
    """Add keys one by one while a worker waits for each of them: two task switches a key."""
    queue = Workqueue[Key]("bench", clock=SystemClock())

    async def work() -> None:
        for _ in keys:
            got, _ = await queue.get()
            queue.done(got)

    worker = asyncio.create_task(work())
    for key in keys:
        await asyncio.sleep(0)
        queue.add(key)
    await worker


def _rate(scenario: Scenario, keys: list[Key], rounds: int) -> float:
    best = 0.0
    for _ in range(rounds):
        started = time.perf_counter()
        asyncio.run(scenario(keys))
        best = max(best, len(keys) / (time.perf_counter() - started))
    return best


def main() -> None:
    """Print the rate of each scenario with keys of 1 and of 50 namespaces."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, default=100_000, help="keys in each round")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    scenarios: dict[str, Scenario] = {
        "add, get, done, one key at a time": one_at_a_time,
        "add all, then get and done each": in_batches,
        "a worker that waits for each key": with_a_waiting_worker,
    }
    for namespaces in (1, 50):
        keys = [Key(f"namespace-{n % namespaces}", f"name-{n}") for n in range(arguments.keys)]
        for name, scenario in scenarios.items():
            rate = _rate(scenario, keys, arguments.rounds)
            print(f"{name:<36} {namespaces:>3} namespaces {rate:>10,.0f} keys/s")


if __name__ == "__main__":
    main()
