"""What the operator measures of its own subject, beside what `disvc.runtime` measures of any controller.

The status reconciler reports here what it has written, so a replica that waits for the lease shows nothing of any
object, and sums over replicas are right. Series of single objects are computed from what is known at the scrape:
they are gone with their object, and there are at most `MAX_OBJECTS` of them. How many objects are without one is
a series itself, so that an alert on a phase cannot be blind unnoticed.
"""

from __future__ import annotations

from importlib import metadata
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple, get_args

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from disvc.rollout.machine import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric

    from disvc.api.status import Phase
    from disvc.runtime import Key

MAX_OBJECTS: Final = 10_000
"""Of so many DistributedInferenceServices each has a series of its own."""

# A rollout with the default propagation and drain takes at least 35 s, and is given up after 600 s.
_BUCKETS: Final = (1, 5, 10, 20, 30, 40, 50, 60, 90, 120, 180, 300, 450, 600, 900, 1800, 3600)


class DomainMetrics:
    """`disvc_*` of the operator; make one for each manager, with `manager.metrics.registry`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        info = Gauge("disvc_info", "The version of the operator; always 1.", ("version",), registry=registry)
        info.labels(metadata.version("disvc")).set(1)
        ended = Counter("disvc_rollouts", "Rollouts that ended, by outcome.", ("outcome",), registry=registry)
        seconds = Histogram(
            "disvc_rollout_duration_seconds",
            "How long a rollout took from its start to its end, by outcome.",
            ("outcome",),
            buckets=_BUCKETS,
            registry=registry,
        )
        self._ended = {outcome: (ended.labels(outcome), seconds.labels(outcome)) for outcome in get_args(Outcome)}
        self._objects = _ObjectCollector()
        registry.register(self._objects)

    def observe(self, key: Key, phase: Phase, members_ready: int, members_not_ready: int) -> None:
        """Take what the status of an object says now in place of what it said before."""
        self._objects.known[key] = _Observed(phase, members_ready, members_not_ready)

    def forget(self, key: Key) -> None:
        """Take an object's series away: it is gone. Nothing happens if it is not known."""
        self._objects.known.pop(key, None)

    def rollout_ended(self, outcome: Outcome, seconds: float) -> None:
        """Count a rollout that ended so many seconds after it had started."""
        count, duration = self._ended[outcome]
        count.inc()
        duration.observe(seconds)


class _Observed(NamedTuple):
    phase: Phase
    ready: int
    not_ready: int


class _ObjectCollector(Collector):
    """`disvc_rollout_phase` and `disvc_members`: computed when they are scraped."""

    def __init__(self) -> None:
        self.known: dict[Key, _Observed] = {}

    def collect(self) -> Iterable[Metric]:
        phases = GaugeMetricFamily(
            "disvc_rollout_phase",
            "The phase of a DistributedInferenceService: 1 for the one that it is in.",
            labels=("namespace", "name", "phase"),
        )
        for key, observed in islice(self.known.items(), MAX_OBJECTS):
            phases.add_metric((*key, observed.phase), 1)
        omitted = GaugeMetricFamily(
            "disvc_rollout_phase_omitted",
            "DistributedInferenceServices without a series of their own in disvc_rollout_phase.",
            value=max(0, len(self.known) - MAX_OBJECTS),
        )
        members = GaugeMetricFamily("disvc_members", "InferenceServices of all, by state.", labels=("state",))
        members.add_metric(("ready",), sum(observed.ready for observed in self.known.values()))
        members.add_metric(("not_ready",), sum(observed.not_ready for observed in self.known.values()))
        return phases, omitted, members
