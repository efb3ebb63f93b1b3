"""A steady load: so many requests a second, each checked against what scikit-learn says.

Requests are sent when they are due, whether or not others have been answered. Only where `_MOST_UNDER_WAY` have not
been, the next one waits: a machine that cannot keep up is asked less, and not more and more at once.
"""

from __future__ import annotations

import asyncio
import itertools
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

from disvc.local.demo.summary import Sample

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from disvc.local.demo.clients import Client
    from disvc.local.demo.questions import Question

_MOST_UNDER_WAY: Final = 32


class Load:
    """Asks clients in turn, `rate` requests a second in all."""

    def __init__(self, clients: Sequence[Client], questions: Sequence[Question], rate: float) -> None:
        self.phase = ""
        """Under which name requests are counted that are sent now."""
        self.samples: list[Sample] = []
        self._clients = itertools.cycle(clients)
        self._questions = itertools.cycle(questions)
        self._interval = 1 / rate
        self._stopping = asyncio.Event()

    def progress(self) -> str:
        """Return how many requests were answered so far, and how many of them failed."""
        failed = sum(bool(sample.problem) for sample in self.samples)
        return f" · {len(self.samples)} requests, {failed} failed"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Ask beside the block, and wait for the last answers after it."""
        task = asyncio.create_task(self._run(), name="load")
        try:
            yield
            self._stopping.set()
            await task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        room = asyncio.Semaphore(_MOST_UNDER_WAY)
        due = loop.time()
        async with asyncio.TaskGroup() as group:
            while not await self._stopped_before(due):
                await room.acquire()
                group.create_task(self._ask()).add_done_callback(lambda _: room.release())
                due = max(due + self._interval, loop.time())

    async def _stopped_before(self, instant: float) -> bool:
        wait = instant - asyncio.get_running_loop().time()
        if wait > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._stopping.wait()
        return self._stopping.is_set()

    async def _ask(self) -> None:
        loop = asyncio.get_running_loop()
        sent = loop.time()
        client, question, phase = next(self._clients), next(self._questions), self.phase
        version = problem = ""
        try:
            classes, _ = await client.ask(question.rows)
        except Exception as error:  # whatever it is, it is one more failure to tell of
            problem = f"{type(error).__name__}: {error}"
        else:
            version = question.version_of(classes)
            if not version:
                problem = f"answered {classes}, where the models say {dict(question.answers)}"
        seconds = loop.time() - sent
        self.samples.append(Sample(phase, client.protocol, client.address, seconds, version, problem))
