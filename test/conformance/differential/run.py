"""Sends one sequence of steps to two servers and compares all that they answer, up to the first difference."""

from __future__ import annotations

import asyncio
import json
import traceback
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from differential.comparison import Difference, Reply, compare_events, compare_replies
from differential.learned import Learned
from differential.sight import Sight
from differential.step import WATCH
from differential.watching import Watching, decoded
from disvc.runtime.errors import AnswerLost

if TYPE_CHECKING:
    from collections.abc import Sequence

    from differential.step import Step
    from disvc.runtime.transport import Transport

__all__ = ["Finding", "Side", "run"]

_TIMEOUT_S: Final = 60.0
_POLL_S: Final = 0.03
_QUIET_POLLS: Final = 4
_PATIENCE_POLLS: Final = 60
CRASHED: Final = Reply(0, {}, None)
"""In place of an answer: the server has dropped the connection. A kube-apiserver does that on a few odd requests, for
which a Go nil pointer stands in its log. The sequence ends there, as there is nothing to compare to: one of the servers
may have acted on the request."""


@dataclass(frozen=True)
class Finding:
    """A step that two servers answered differently."""

    step: Step
    left: object
    right: object
    """What they answered: a Reply, or the events of a watch."""
    differences: Sequence[Difference]


@dataclass
class Side:
    """One server under comparison."""

    name: str
    transport: Transport
    is_cached: bool = False
    """Whether it answers some reads from a cache that may be late by milliseconds."""


@dataclass
class _Course:
    """A side during one run."""

    side: Side
    sight: Sight = field(default_factory=Sight)
    watches: dict[int, Watching] = field(default_factory=dict)

    async def take(self, step: Step) -> Reply:
        """Send a step and return the answer."""
        query = {key: text for key, value in step.query.items() if (text := self.sight.resolve(value)) != ""}
        headers = {"Accept": step.accept, "User-Agent": "differential/1"}
        if step.method == WATCH or (step.method == "GET" and step.query.get("resourceVersion", "") != ""):
            await self._wait_for_cache(step)
        if step.method == WATCH:
            watch = Watching(self.side.transport, step.path, query | {"watch": "1"}, headers)
            self.watches[step.number] = watch
            reply = await watch.opened()
            if "timeoutSeconds" in query:
                await watch.finished()
            return reply
        body = self._body(step)
        if body is not None:
            headers["Content-Type"] = step.content_type
        try:
            answer = await self.side.transport.request(
                step.method, step.path, query=query, headers=headers, body=body, timeout=_TIMEOUT_S, fence=None
            )
        except AnswerLost:
            return CRASHED
        except Exception:
            return Reply(0, {}, traceback.format_exc())  # the in-memory server is code of this process, and has a bug
        reply = Reply(answer.status, answer.headers, decoded(answer.body), is_next_page="continue" in query)
        if 200 <= answer.status < 300 and not step.query.get("dryRun"):
            self.sight.see(step, reply.body)
        return reply

    def _body(self, step: Step) -> bytes | None:
        if step.body is None or isinstance(step.body, bytes):
            return step.body
        return json.dumps(self.sight.resolve(step.body), separators=(",", ":"), sort_keys=True).encode()

    async def _wait_for_cache(self, step: Step) -> None:
        """Wait until the server's cache has what this side has seen of the kind."""
        if not self.side.is_cached or self.sight.is_untouched(step.collection):
            return
        query = {"limit": "1"}
        if newest := self.sight.newest_revision(step.collection):
            query |= {"resourceVersion": newest, "resourceVersionMatch": "NotOlderThan"}
        answer = await self.side.transport.request(
            "GET", step.collection, query=query, headers={}, body=None, timeout=_TIMEOUT_S, fence=None
        )
        if not newest and answer.status == 200:
            self.sight.see_newest(step.collection, decoded(answer.body)["metadata"]["resourceVersion"])


async def run(steps: Sequence[Step], left: Side, right: Side) -> Finding | None:
    """Return the first step that is answered differently, None where there is none."""
    courses = (_Course(left), _Course(right))
    try:
        return await _answers(steps, *courses)
    finally:
        for course in courses:
            for watch in course.watches.values():
                await watch.close()


async def _answers(steps: Sequence[Step], left: _Course, right: _Course) -> Finding | None:
    learned = Learned()
    for step in steps:
        replies = await asyncio.gather(left.take(step), right.take(step))
        if CRASHED in replies:
            return None
        if differences := list(compare_replies(step, *replies, learned)):
            return Finding(step, *replies, differences)
    await _settle(left, right)
    by_number = {step.number: step for step in steps}
    for number, one in left.watches.items():
        other = right.watches[number]
        differences = list(compare_events(by_number[number], one.events, other.events, learned))
        if one.ended != other.ended:
            differences.append(Difference("ended by the server", one.ended, other.ended))
        if differences:
            return Finding(by_number[number], one.events, other.events, differences)
    return None


async def _settle(left: _Course, right: _Course) -> None:
    """Wait until the watches of both sides are quiet, and equally far unless that takes long."""
    last: Any = None
    quiet = 0
    for _ in range(_PATIENCE_POLLS):
        seen = [_progress(course) for course in (left, right)]
        quiet = quiet + 1 if seen == last else 0
        last = seen
        if quiet >= _QUIET_POLLS and seen[0] == seen[1]:
            return
        await asyncio.sleep(_POLL_S)


def _progress(course: _Course) -> list[tuple[int, bool]]:
    """Return how far the watches are; bookmarks come when they like."""
    return [
        (sum(event["type"] != "BOOKMARK" for event in watch.events), watch.ended) for watch in course.watches.values()
    ]
