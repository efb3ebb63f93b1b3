"""What the reconcilers ran into, for the status reconciler to tell; and how an API error becomes that.

Kept in memory: an obstacle that lasts is run into again by the next process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from disvc.rollout.observation import Obstacle
from disvc.runtime import ApiError, Forbidden, Invalid, NotFound
from disvc.runtime.errors import BadRequest, InternalError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from disvc.runtime import Key

WEBHOOK_UNAVAILABLE: Final = "WebhookUnavailable"


class Obstacles:
    """Of each DISVC, what is in the way of which child."""

    def __init__(self) -> None:
        self.changed: Callable[[Key], None] = lambda _: None
        """Is called with the DISVC whose obstacles have changed."""
        self._found: dict[Key, dict[str, Mapping[str, Obstacle]]] = {}

    def tell(self, key: Key, kind: str, found: Mapping[str, Obstacle]) -> None:
        """Replace what is known about a DISVC's children of one kind: child's name to obstacle."""
        if dict(self._found.get(key, {}).get(kind, {})) == dict(found):
            return
        self._found.setdefault(key, {})[kind] = dict(found)
        self.changed(key)

    def of(self, key: Key) -> dict[str, Obstacle]:
        """Return the obstacles of a DISVC by the child's name."""
        return {name: obstacle for found in self._found.get(key, {}).values() for name, obstacle in found.items()}

    def forget(self, key: Key) -> None:
        """Drop what is known about a DISVC that is gone."""
        self._found.pop(key, None)


def name_conflict(kind: str, name: str) -> Obstacle:
    """Return the obstacle that an object of somebody else's has a child's name."""
    message = (
        f"{kind} {name} exists and does not belong to this DistributedInferenceService; it is left alone: "
        "delete or rename it, or use another name for this one"
    )
    return Obstacle("NameConflict", message, needs_person=True, retry_seconds=10)


def former_child(kind: str, name: str) -> Obstacle:
    """Return the obstacle that a deleted DISVC of the same name has left a child that is not gone yet."""
    message = f"waiting until {kind} {name} of the deleted DistributedInferenceService of this name is gone"
    return Obstacle("WaitingForGarbageCollection", message, needs_person=False, retry_seconds=5)


def refusal(error: ApiError) -> Obstacle | None:
    """Return what a refused write means, None where it is a passing failure that back-off is for."""
    text = str(error)
    if isinstance(error, Invalid | BadRequest):
        return Obstacle("Refused", text, needs_person=True, retry_seconds=60)
    if isinstance(error, InternalError) and "webhook" in error.message:
        return Obstacle(WEBHOOK_UNAVAILABLE, text, needs_person=False, retry_seconds=2)
    if isinstance(error, NotFound):
        return Obstacle("KindNotInstalled", text, needs_person=True, retry_seconds=30)
    if isinstance(error, Forbidden):
        if "exceeded quota" in error.message or "status unknown for quota" in error.message:
            return Obstacle("QuotaExceeded", text, needs_person=True, retry_seconds=15)
        if any(cause.reason == "NamespaceTerminating" for cause in error.causes):
            return Obstacle("NamespaceTerminating", text, needs_person=False, retry_seconds=60)
        if "denied the request" in error.message:
            return Obstacle("Refused", text, needs_person=True, retry_seconds=60)
        return Obstacle("Forbidden", text, needs_person=True, retry_seconds=30)
    return None
