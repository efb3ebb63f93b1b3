"""Pods that nothing runs: they are as their behaviour says, which may change at any time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from disvc.testing.controllers.kinds import is_ready
from disvc.testing.kserve.behaviour import Behaviour, Healthy, ImageNotPulled, InitFailure
from disvc.testing.kserve.pod_status import has_storage_initializer, restarts_of
from disvc.testing.kserve.runner import PodRun

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from disvc.runtime import Key, Object
    from disvc.runtime.environment import Clock
    from disvc.testing.kserve.resources import Value

    Choose = Callable[[Object[Any]], Awaitable[Behaviour | None]]


@dataclass(frozen=True)
class _Life:
    """What is remembered of a pod: since when it has which behaviour, in the clock's monotonic seconds."""

    uid: str
    behaviour: Behaviour
    since: float
    restarts: dict[str, int]


class SimulatedPods:
    """The runner of simulated pods.

    Args:
        clock: of the kubelet's environment.
        choose: says how a pod behaves (None: as it did).
        termination_seconds: how long a pod goes on after its deletion began, where its grace period is not shorter.

    """

    def __init__(self, clock: Clock, choose: Choose, *, termination_seconds: float) -> None:
        self._clock = clock
        self._choose = choose
        self._termination_seconds = termination_seconds
        self._lives: dict[Key, _Life] = {}
        self._ending: dict[Key, tuple[str, float]] = {}
        self._addresses = 0

    def attach(self, changed: Callable[[Key], None]) -> None:
        """Do nothing: a stage says itself how long it lasts."""

    async def run(self, pod: Object[Any], value: Value) -> PodRun:
        """Return the stage that the pod's behaviour is in; a pod keeps the IP that it has."""
        life = await self._life(pod, value)
        stage = life.behaviour.stage(self._clock.monotonic() - life.since)
        ip = (value.get("status") or {}).get("podIP") or self._new_address()
        return PodRun(stage, ip, life.restarts)

    async def end(self, pod: Object[Any]) -> float:
        """Let the pod go on for its time or its grace, whichever is shorter."""
        now = self._clock.monotonic()
        uid, since = self._ending.get(pod.key, ("", 0.0))
        if uid != pod.metadata.uid:
            since = now
            self._ending[pod.key] = (pod.metadata.uid, since)
        seconds = min(self._termination_seconds, pod.metadata.deletion_grace_period_seconds or 0)
        return max(0.0, since + seconds - now)

    def forget(self, pod: Key) -> None:
        """Remember nothing of it any more."""
        self._lives.pop(pod, None)
        self._ending.pop(pod, None)

    async def _life(self, pod: Object[Any], value: Value) -> _Life:
        known = self._lives.get(pod.key)
        if known is not None and known.uid != pod.metadata.uid:
            known = None
        behaviour = await self._choose(pod)
        if behaviour is None:
            behaviour = known.behaviour if known else Healthy()
        if isinstance(behaviour, ImageNotPulled | InitFailure) and is_ready(value):
            behaviour = Healthy()  # it has started, and neither happens to it any more
        if isinstance(behaviour, InitFailure) and not has_storage_initializer(value):
            behaviour = Healthy()
        if known is not None and known.behaviour == behaviour:
            return known
        stays_ready = isinstance(behaviour, Healthy) and is_ready(value)
        since = -math.inf if stays_ready else self._clock.monotonic()
        life = self._lives[pod.key] = _Life(pod.metadata.uid, behaviour, since, restarts_of(value))
        return life

    def _new_address(self) -> str:
        self._addresses += 1
        return f"10.244.{self._addresses // 250 % 250}.{self._addresses % 250 + 1}"
