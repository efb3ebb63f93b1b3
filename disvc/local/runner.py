"""The runner that a simulated KServe's kubelet needs to run pods as processes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from disvc.local.logs import NoLog
from disvc.local.pod import Pod

if TYPE_CHECKING:
    from collections.abc import Callable

    from disvc.local.host import Host
    from disvc.local.logs import RunLog
    from disvc.runtime import Key, Object
    from disvc.testing.kserve.resources import Value
    from disvc.testing.kserve.runner import PodRun


class ProcessRunner:
    """Runs the pods of one kubelet as processes of a host.

    `drain_seconds` is how long a server goes on as if nothing had happened after its pod's deletion began: the time
    for those who route to it to see that, as a preStop hook that sleeps gives it in a cluster. Together with what the
    server then takes to end it is at most the pod's grace period.
    """

    def __init__(self, host: Host, *, drain_seconds: float = 2.0) -> None:
        self._host = host
        self._drain_seconds = drain_seconds
        self._pods: dict[Key, Pod] = {}
        self._changed: Callable[[Key], None] = lambda key: None

    def attach(self, changed: Callable[[Key], None]) -> None:
        """Call `changed` when a pod's state is another, or it has ended."""
        self._changed = changed

    async def run(self, pod: Object[Any], value: Value) -> PodRun:
        """Start the pod's containers, if it is new, and say how they are."""
        known = self._pods.get(pod.key)
        if known is None or known.uid != pod.metadata.uid:
            self.forget(pod.key)
            known = self._pods[pod.key] = Pod(value, self._host, lambda: self._changed(pod.key))
        return known.run

    async def end(self, pod: Object[Any]) -> float:
        """Begin the end of the pod's processes, if it has not begun, and say whether they have ended."""
        known = self._pods.get(pod.key)
        if known is None or known.uid != pod.metadata.uid or known.has_ended:
            return 0.0
        known.end(pod.metadata.deletion_grace_period_seconds or 0, self._drain_seconds)
        return math.inf  # `changed` tells of it

    def log(self, pod: Key, container: str, *, previous: bool) -> RunLog:
        """Return the log of a container's run, or of the one before. Raises `NoLog`."""
        known = self._pods.get(pod)
        if known is None:
            raise NoLog(f'pod "{pod.name}" does not exist', 404)
        return known.log(container, previous=previous)

    def forget(self, pod: Key) -> None:
        """Kill what runs of a pod that is gone."""
        known = self._pods.pop(pod, None)
        if known is not None and not known.has_ended:
            known.kill()
