"""Compares two answers, or two streams of events, as deep as they go; what is let pass stands in `rules`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from differential.absent import ABSENT
from differential.rules import ARRANGED, RULES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from differential.learned import Learned
    from differential.step import Step

    Path = tuple[str, ...]

__all__ = ["Difference", "Reply", "compare_events", "compare_replies"]

_HEADERS: Final = ("content-type", "warning", "retry-after", "allow")


@dataclass(frozen=True)
class Reply:
    """A whole answer; `body` is decoded JSON, or text."""

    status: int
    headers: Mapping[str, str]
    body: Any
    is_next_page: bool = False
    """Whether the request went on with a list."""


@dataclass(frozen=True)
class Difference:
    """Two values at the same place of two answers."""

    place: str
    left: object
    right: object

    def __str__(self) -> str:
        """Return it in three lines."""
        return f"{self.place}\n    left:  {_text(self.left)}\n    right: {_text(self.right)}"


def _text(value: object) -> str:
    if value is ABSENT:
        return repr(value)
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 2000 else f"{text[:2000]}…"


def compare_replies(step: Step, left: Reply, right: Reply, learned: Learned) -> Iterator[Difference]:
    """Yield what is different between two answers to one request."""
    learned.at(step, is_next_page=left.is_next_page)
    if left.status != right.status:
        yield Difference("code", left.status, right.status)
    for name in _HEADERS:
        yield from _compare(("header", name), left.headers.get(name, ABSENT), right.headers.get(name, ABSENT), learned)
    yield from _compare((_root(left.body),), left.body, right.body, learned)


def compare_events(step: Step, left: Sequence[Any], right: Sequence[Any], learned: Learned) -> Iterator[Difference]:
    """Yield what is different between two streams of watch events; bookmarks that end no initial list are chance."""
    learned.at(step)
    lefts, rights = ([event for event in events if not _is_passing_bookmark(event)] for events in (left, right))
    for number, (one, other) in enumerate(zip(lefts, rights, strict=False)):
        yield from _compare_event(number, one, other, learned)
    for number in range(min(len(lefts), len(rights)), max(len(lefts), len(rights))):
        one, other = (events[number] if number < len(events) else ABSENT for events in (lefts, rights))
        yield Difference(f"event {number}", one, other)


def _compare_event(number: int, left: Any, right: Any, learned: Learned) -> Iterator[Difference]:
    root = "list" if left["type"] == "BOOKMARK" else _root(left["object"])
    for difference in _compare((root,), left, right, learned):
        yield Difference(f"event {number} {difference.place}", difference.left, difference.right)


def _is_passing_bookmark(event: Any) -> bool:
    annotations = event["object"].get("metadata", {}).get("annotations") or {}
    return event["type"] == "BOOKMARK" and "k8s.io/initial-events-end" not in annotations


def _root(body: object) -> str:
    """Return `list` where the revision in a body's metadata is a point in time, `object` where it is a change."""
    is_object = not isinstance(body, dict) or not ("items" in body or "rows" in body)
    return "object" if is_object else "list"


def _compare(path: Path, left: Any, right: Any, learned: Learned) -> Iterator[Difference]:
    for arranged in ARRANGED:
        if arranged.applies(path):
            left, right = (arranged.arrange(value) for value in (left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        left = {key if key in right else learned.translated(key): value for key, value in left.items()}
        for key in (*left, *(key for key in right if key not in left)):
            yield from _compare((*path, key), left.get(key, ABSENT), right.get(key, ABSENT), learned)
    elif isinstance(left, list) and isinstance(right, list):
        yield from _compare_lists(path, left, right, learned)
    elif left is not right and (left is ABSENT or right is ABSENT or not _agree(path, left, right, learned)):
        yield Difference("/".join(path), left, right)


def _compare_lists(path: Path, left: list[Any], right: list[Any], learned: Learned) -> Iterator[Difference]:
    # What is an item of a list is an object again.
    inner = ("object", *path[1:]) if path[-1] in {"items", "rows"} else path
    for number in range(max(len(left), len(right))):
        one, other = (items[number] if number < len(items) else ABSENT for items in (left, right))
        yield from _compare((*inner, str(number)), one, other, learned)


def _agree(path: Path, left: Any, right: Any, learned: Learned) -> bool:
    for rule in RULES:
        if rule.applies(path, left, right):
            return rule.agree(path, left, right, learned)
    return type(left) is type(right) and left == right
