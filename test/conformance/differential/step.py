"""One request of a random sequence, before it is known what the servers have answered to those before it.

A sequence is made ahead of all answers, from a seed alone. What a client would take from an earlier answer (a
resourceVersion, a UID, a continue token, the whole object) stands in a step as a symbol, which each side replaces by
what that side has answered.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["WATCH", "Continue", "Revision", "Seen", "Step", "Symbol", "Uid", "plural_of"]

WATCH = "WATCH"


@dataclass(frozen=True)
class Revision:
    """A resourceVersion that was in an answer about `path`, an object or a collection; "" where there was none."""

    path: str
    back: int = 0
    """How many newer ones there may be."""
    plus: int = 0
    """Added to it."""


@dataclass(frozen=True)
class Uid:
    """The UID that the object at `path` was last seen with; "" where it never was."""

    path: str


@dataclass(frozen=True)
class Continue:
    """The newest continue token of the list at `path`; "" where there is none."""

    path: str


@dataclass(frozen=True)
class Seen:
    """The object at `path` as it was last seen, changed by a merge patch; `otherwise` where it never was."""

    path: str
    change: Mapping[str, Any]
    otherwise: Mapping[str, Any]
    back: int = 0


Symbol = Revision | Uid | Continue | Seen


@dataclass(frozen=True)
class Step:
    """One request."""

    number: int
    method: str
    """HTTP's, or `WATCH`: a GET that stays open until the sequence ends."""
    path: str
    collection: str
    """The path of the collection that it is about, or whose object."""
    name: str = ""
    """Of the object that it is about, "" where it is about the collection."""
    query: Mapping[str, str | Symbol] = field(default_factory=dict)
    body: object = None
    """JSON with symbols in it, bytes as they are, None for none."""
    content_type: str = "application/json"
    accept: str = "application/json"

    @property
    def subject(self) -> str:
        """Return the path of the object or, without a name, of the collection that it is about."""
        return f"{self.collection}/{self.name}" if self.name else self.collection

    @property
    def plural(self) -> str:
        """Return the name of the resource that it is about."""
        return plural_of(self.collection)

    def __str__(self) -> str:
        """Return it in one line, as a person would note it."""
        query = "&".join(f"{key}={_short(value)}" for key, value in self.query.items())
        parts = [f"#{self.number}", self.method, self.path + (f"?{query}" if query else "")]
        if self.body is not None:
            parts.append(f"{self.content_type.removeprefix('application/')} {_short(self.body)}")
        if self.accept != "application/json":
            parts.append(f"(accept {self.accept})")
        return " ".join(parts)


def _short(value: object) -> str:
    if isinstance(value, str | bytes):
        return str(value)
    if isinstance(value, Symbol):
        return f"<{value}>"
    return json.dumps(value, default=lambda symbol: f"<{symbol}>", ensure_ascii=False)


def plural_of(path: str) -> str:
    """Return the name of the resource in the path of a collection or of an object."""
    parts = path.split("/")
    if "namespaces" in parts:
        return parts[parts.index("namespaces") + 2]
    return parts[3 if parts[1] == "api" else 4]
