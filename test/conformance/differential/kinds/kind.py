"""What a sequence needs to know of a kind, and small helpers to say what a random object looks like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    Value = dict[str, Any]

__all__ = ["Kind", "chance", "some"]


@dataclass(frozen=True)
class Kind:
    """One kind of namespaced object; `content` and `status` make a random one, mostly valid."""

    api_version: str
    kind: str
    plural: str
    content: Callable[[Random], Value]
    """What stands beside apiVersion, kind and metadata."""
    status: Callable[[Random], Value] | None = None
    """A status, for kinds with that subresource."""
    has_scale: bool = False
    is_custom: bool = False
    field_selectors: tuple[str, ...] = ()
    """Beside those for metadata.name and metadata.namespace."""

    def collection(self, namespace: str) -> str:
        """Return the path of its objects in a namespace, or in all for ""."""
        root = "/apis" if "/" in self.api_version else "/api"
        within = f"/namespaces/{namespace}" if namespace else ""
        return f"{root}/{self.api_version}{within}/{self.plural}"

    def manifest(self, name: str, content: Value) -> Value:
        """Return a whole object."""
        return {"apiVersion": self.api_version, "kind": self.kind, "metadata": {"name": name}, **content}


def chance(random: Random, probability: float) -> bool:
    """Return True with a probability."""
    return random.random() < probability


def some(random: Random, **fields: Callable[[Random], Any]) -> Value:
    """Return an object with about half of the fields."""
    return {name: make(random) for name, make in fields.items() if chance(random, 0.5)}
