"""What the library measures, under the names that controller-runtime's dashboards know.

One `Metrics` belongs to one manager and has a registry of its own, so two managers in one process do not
mix; a program adds its own metrics to `Metrics.registry`. Every series of a controller exists, at 0, from the
moment when the controller is added: an alert on a rate must not miss the first failure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prometheus_client import (
    GC_COLLECTOR,
    PLATFORM_COLLECTOR,
    PROCESS_COLLECTOR,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from disvc.runtime.workqueue import LOW_PRIORITY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from prometheus_client.metrics_core import Metric

    from disvc.runtime.workqueue import Durations, Workqueue

_RECONCILE_BUCKETS = (
    0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0,
    1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5, 6, 7, 8, 9, 10, 15, 20, 25, 30, 40, 50, 60,
)  # fmt: skip
_REQUEST_BUCKETS = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)

RECONCILE_RESULTS = ("success", "error", "requeue", "requeue_after")


class ClientMetrics:
    """`rest_client_*`: the requests of one or more clients."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self._requests = Counter(
            "rest_client_requests",
            "Number of HTTP requests, partitioned by status code, method, and host.",
            ("code", "method", "host"),
            registry=registry,
        )
        self._seconds = Histogram(
            "rest_client_request_duration_seconds",
            "Request latency in seconds, until the answer's headers for a watch. Broken down by verb and host.",
            ("verb", "host"),
            buckets=_REQUEST_BUCKETS,
            registry=registry,
        )

    def request(self, code: str, method: str, verb: str, host: str, seconds: float) -> None:
        """Count one request. `code` is `<error>` where there was no answer, as in client-go."""
        self._requests.labels(code, method, host).inc()
        self._seconds.labels(verb, host).observe(seconds)


class ControllerMetrics:
    """`controller_runtime_*` of one controller."""

    def __init__(self, families: Metrics, controller: str, max_concurrent: int) -> None:
        self.results = {result: families.reconcile_total.labels(controller, result) for result in RECONCILE_RESULTS}
        self.errors = families.reconcile_errors.labels(controller)
        self.terminal_errors = families.terminal_errors.labels(controller)
        self.panics = families.panics.labels(controller)
        self.timeouts = families.timeouts.labels(controller)
        self.seconds = families.reconcile_seconds.labels(controller)
        self.active_workers = families.active_workers.labels(controller)
        families.max_concurrent.labels(controller).set(max_concurrent)


class ReflectorMetrics:
    """`disvc_reflector_*` of one reflector, named by its resource and namespace."""

    def __init__(self, families: Metrics, resource: str, namespace: str) -> None:
        self.lists = families.reflector_lists.labels(resource, namespace)
        self.watches = families.reflector_watches.labels(resource, namespace)
        self.failures = families.reflector_failures.labels(resource, namespace)
        self.undecodable = families.reflector_undecodable.labels(resource, namespace)
        self._forget = [
            (family, (resource, namespace))
            for family in (
                families.reflector_lists,
                families.reflector_watches,
                families.reflector_failures,
                families.reflector_undecodable,
                families.reflector_age,
            )
        ]
        self._age = families.reflector_age.labels(resource, namespace)
        # Selections of one name (they differ in their transform or model) share the series.
        self._ages = families.reflector_ages.setdefault((resource, namespace), [])

    def heard_since(self, seconds: Callable[[], float]) -> None:
        """Say how to find out, at each scrape, for how many seconds the reflector has heard nothing."""
        self._seconds, ages = seconds, self._ages
        ages.append(seconds)
        self._age.set_function(lambda: max((age() for age in ages), default=0.0))

    def remove(self) -> None:
        """Take the reflector's series away: it has ended."""
        self._ages.remove(self._seconds)
        if self._ages:
            return
        for family, labels in self._forget:
            family.remove(*labels)


class Metrics:
    """All metrics of one manager."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        if registry is None:
            for collector in (PROCESS_COLLECTOR, PLATFORM_COLLECTOR, GC_COLLECTOR):
                self.registry.register(collector)
        self.client = ClientMetrics(self.registry)
        self._queues = _QueueCollector()
        self.registry.register(self._queues)

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, registry=self.registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(name, text, labels, registry=self.registry)

        prefix = "controller_runtime_"
        self.reconcile_total = counter(
            prefix + "reconcile", "Total number of reconciliations per controller.", "controller", "result"
        )
        self.reconcile_errors = counter(
            prefix + "reconcile_errors", "Total number of reconciliation errors.", "controller"
        )
        self.terminal_errors = counter(
            prefix + "terminal_reconcile_errors",
            "Total number of reconciliation errors that are not tried again.",
            "controller",
        )
        self.panics = counter(
            prefix + "reconcile_panics",
            "Total number of reconciliations that ended in an exception that shows a bug, such as a TypeError.",
            "controller",
        )
        self.timeouts = counter(
            prefix + "reconcile_timeouts", "Total number of reconciliations that ran out of time.", "controller"
        )
        self.reconcile_seconds = Histogram(
            prefix + "reconcile_time_seconds",
            "Length of time per reconciliation.",
            ("controller",),
            buckets=_RECONCILE_BUCKETS,
            registry=self.registry,
        )
        self.max_concurrent = gauge(
            prefix + "max_concurrent_reconciles", "Maximum number of concurrent reconciles.", "controller"
        )
        self.active_workers = gauge(
            prefix + "active_workers", "Number of workers that are reconciling now.", "controller"
        )
        self.leader = gauge(
            "leader_election_master_status",
            "Whether this process holds the lease: 1 if it does, 0 if it waits for it.",
            "name",
        )
        by_reflector = ("resource", "namespace")
        self.reflector_lists = counter(
            "disvc_reflector_lists", "Full synchronisations, streamed or paged.", *by_reflector
        )
        self.reflector_watches = counter("disvc_reflector_watches", "Watches opened.", *by_reflector)
        self.reflector_failures = counter("disvc_reflector_failures", "Lists and watches that failed.", *by_reflector)
        self.reflector_undecodable = counter(
            "disvc_reflector_undecodable_objects", "Objects passed over as they do not decode.", *by_reflector
        )
        self.reflector_age = gauge(
            "disvc_reflector_last_event_age_seconds", "Seconds since the server was last heard.", *by_reflector
        )
        self.reflector_ages: dict[tuple[str, str], list[Callable[[], float]]] = {}
        self.handler_errors = counter(
            "disvc_handler_errors", "Exceptions raised by event handlers; the event is delivered again.", "handler"
        )
        self.events_dropped = counter("disvc_events_dropped", "Kubernetes Events that were given up.", "reason")

    def controller(self, name: str, max_concurrent: int, queue: Workqueue[Any]) -> ControllerMetrics:
        """Return the metrics of a controller, all of them at 0, and begin to show those of its queue."""
        self._queues.add(name, queue)
        return ControllerMetrics(self, name, max_concurrent)

    def reflector(self, resource: str, namespace: str) -> ReflectorMetrics:
        """Return the metrics of a reflector, all of them at 0."""
        return ReflectorMetrics(self, resource, namespace)


class _QueueCollector(Collector):
    """`workqueue_*`: read from the queues when they are scraped."""

    def __init__(self) -> None:
        self._queues: list[tuple[str, Workqueue[Any]]] = []

    def add(self, controller: str, queue: Workqueue[Any]) -> None:
        self._queues.append((controller, queue))

    def collect(self) -> Iterable[Metric]:
        labels = ("name", "controller")
        depth = GaugeMetricFamily(
            "workqueue_depth", "Current depth of workqueue by priority.", labels=(*labels, "priority")
        )
        adds = CounterMetricFamily("workqueue_adds", "Total number of adds handled by workqueue.", labels=labels)
        retries = CounterMetricFamily(
            "workqueue_retries", "Total number of retries handled by workqueue.", labels=labels
        )
        waits = HistogramMetricFamily(
            "workqueue_queue_duration_seconds", "How long a key waits before it is requested.", labels=labels
        )
        works = HistogramMetricFamily(
            "workqueue_work_duration_seconds", "How long processing a key takes.", labels=labels
        )
        unfinished = GaugeMetricFamily(
            "workqueue_unfinished_work_seconds",
            "Seconds of work in progress that work_duration has not observed yet. Large values mean stuck workers.",
            labels=labels,
        )
        longest = GaugeMetricFamily(
            "workqueue_longest_running_processor_seconds",
            "How many seconds the longest running processor has been running.",
            labels=labels,
        )
        for controller, queue in self._queues:
            who = (queue.name, controller)
            for priority, keys in ({0: 0, LOW_PRIORITY: 0} | queue.depths()).items():
                depth.add_metric((*who, str(priority)), keys)
            adds.add_metric(who, queue.adds)
            retries.add_metric(who, queue.retried)
            for family, durations in ((waits, queue.queue_durations), (works, queue.work_durations)):
                family.add_metric(who, _cumulative(durations), durations.total)
            running = list(queue.running_seconds())
            unfinished.add_metric(who, sum(running))
            longest.add_metric(who, max(running, default=0))
        return depth, adds, retries, waits, works, unfinished, longest


def _cumulative(durations: Durations) -> list[tuple[str, float]]:
    counts = durations.counts
    sums = [float(sum(counts[: n + 1])) for n in range(len(counts))]
    return list(zip([*(str(bound) for bound in durations.bounds), "+Inf"], sums, strict=True))
