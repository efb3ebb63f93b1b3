"""The conditions of an ISVC, as Knative's "living condition set" keeps them for KServe.

What it promises, all of which an observer of a real ISVC can see:
- Ready depends on PredictorReady and IngressReady, and on nothing else: TransformerReady and Stopped are only
  informative, and carry `severity: Info`.
- A dependent that turns False takes Ready with it, reason and message included; the last one to be set wins.
- A condition is written anew only when something besides its lastTransitionTime differs; the time is that of the
  last such write. They stand in the order of their types.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from disvc.runtime.timestamps import metav1_time

if TYPE_CHECKING:
    from datetime import datetime

    from disvc.testing.kserve.resources import Value

Status = Literal["True", "False", "Unknown"]

READY: Final = "Ready"
PREDICTOR_READY: Final = "PredictorReady"
INGRESS_READY: Final = "IngressReady"
STOPPED: Final = "Stopped"

_DEPENDENTS: Final = (PREDICTOR_READY, INGRESS_READY)


class Conditions:
    """The conditions in a status, which it changes in place."""

    def __init__(self, status: Value, now: datetime) -> None:
        self._status = status
        self._now = now

    def get(self, kind: str) -> Value | None:
        """Return a condition, or None where it is not set."""
        found: list[Value] = [c for c in self._status.get("conditions") or () if c["type"] == kind]
        return found[0] if found else None

    def is_true(self, kind: str) -> bool:
        """Whether a condition is set and True."""
        return self._is(kind, "True")

    def initialize(self) -> None:
        """Make Ready and what it depends on Unknown, as far as they are not set."""
        for kind in (READY, *_DEPENDENTS):
            if self.get(kind) is None:
                self._put(kind, "Unknown")

    def set(self, kind: str, status: Status, reason: str = "", message: str = "") -> None:
        """Set a condition, and Ready with it where that depends on it."""
        self._put(kind, status, reason, message)
        if status == "True":
            self._recompute()
        elif kind in _DEPENDENTS and (status == "False" or not any(self._is(d, "False") for d in _DEPENDENTS)):
            self._put(READY, status, reason, message)

    def _recompute(self) -> None:
        set_ones = [c for kind in _DEPENDENTS if (c := self.get(kind)) is not None]
        for status in ("False", "Unknown"):
            for condition in set_ones:
                if condition["status"] == status:
                    self._put(READY, condition["status"], condition.get("reason", ""), condition.get("message", ""))
                    return
        self._put(READY, "True" if len(set_ones) == len(_DEPENDENTS) else "Unknown")

    def _is(self, kind: str, status: Status) -> bool:
        condition = self.get(kind)
        return condition is not None and condition["status"] == status

    def _put(self, kind: str, status: Status, reason: str = "", message: str = "") -> None:
        condition: Value = {"type": kind, "status": status}
        if kind not in (READY, *_DEPENDENTS):
            condition["severity"] = "Info"
        if reason:
            condition["reason"] = reason
        if message:
            condition["message"] = message
        old = self.get(kind)
        if old is not None and {**old, "lastTransitionTime": None} == {**condition, "lastTransitionTime": None}:
            return
        condition["lastTransitionTime"] = metav1_time(self._now)
        others = [c for c in self._status.get("conditions") or () if c["type"] != kind]
        self._status["conditions"] = sorted([*others, condition], key=lambda c: c["type"])
