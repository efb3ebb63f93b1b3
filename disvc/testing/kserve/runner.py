"""What runs the pods of a `Kubelet`: simulated behaviours, or anything else that can say how a pod is.

The kubelet keeps the pod objects; a runner keeps what stands behind them, and tells the kubelet when that has changed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from disvc.runtime import Key, Object
    from disvc.testing.kserve.behaviour import Stage
    from disvc.testing.kserve.resources import Value


@dataclass(frozen=True)
class PodRun:
    """How a pod is now, for its status.

    `restarts` is how often each container, by name, was started again before those of the stage, and `annotations`
    what the pod is to have before it has its IP.
    """

    stage: Stage
    ip: str
    restarts: Mapping[str, int]
    annotations: Mapping[str, str] = field(default_factory=dict)


class Runner(Protocol):
    """Runs pods. Two pods of one key follow one another: a new UID under a known key means that the old pod is gone."""

    def attach(self, changed: Callable[[Key], None]) -> None:
        """Call `changed` with the key of a pod whenever it is no longer as `run` or `end` said."""

    async def run(self, pod: Object[Any], value: Value) -> PodRun:
        """Start a pod that is bound to the node, if it is new, and say how it is; `value` is the pod, decoded."""

    async def end(self, pod: Object[Any]) -> float:
        """Stop a pod that is being deleted, and return the seconds after which to ask again; 0: it has ended."""

    def forget(self, pod: Key) -> None:
        """Drop the pod of this key, at once: the object is gone."""
