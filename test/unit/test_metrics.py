"""Metrics under the names that controller-runtime's dashboards know, all of them there from the start."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.exposition import generate_latest

from disvc.runtime.metrics import RECONCILE_RESULTS, ClientMetrics, Metrics
from disvc.runtime.objects import Key
from disvc.runtime.workqueue import LOW_PRIORITY, Workqueue
from disvc.testing.clock import VirtualClock, in_virtual_time

QUEUE = {"name": "web", "controller": "web"}
CONTROLLER = {"controller": "web"}


def value(metrics: Metrics, name: str, /, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


@in_virtual_time
async def test_every_series_of_a_controller_is_there_at_0_from_the_start() -> None:
    metrics = Metrics()
    metrics.controller("web", 4, Workqueue[Key]("web", clock=VirtualClock()))
    for name in (
        "controller_runtime_reconcile_errors_total",
        "controller_runtime_terminal_reconcile_errors_total",
        "controller_runtime_reconcile_panics_total",
        "controller_runtime_reconcile_timeouts_total",
        "controller_runtime_reconcile_time_seconds_count",
        "controller_runtime_active_workers",
    ):
        assert value(metrics, name, **CONTROLLER) == 0, name
    assert value(metrics, "controller_runtime_max_concurrent_reconciles", **CONTROLLER) == 4
    for result in RECONCILE_RESULTS:
        assert value(metrics, "controller_runtime_reconcile_total", **CONTROLLER, result=result) == 0
    for name in (
        "workqueue_adds_total",
        "workqueue_retries_total",
        "workqueue_queue_duration_seconds_count",
        "workqueue_work_duration_seconds_count",
        "workqueue_unfinished_work_seconds",
        "workqueue_longest_running_processor_seconds",
    ):
        assert value(metrics, name, **QUEUE) == 0, name
    for priority in (0, LOW_PRIORITY):
        assert value(metrics, "workqueue_depth", **QUEUE, priority=str(priority)) == 0


@in_virtual_time
async def test_a_queue_is_read_when_it_is_scraped() -> None:
    metrics = Metrics()
    clock = VirtualClock()
    queue = Workqueue[Key]("web", clock=clock)
    metrics.controller("web", 1, queue)
    for n in range(3):
        queue.add(Key("default", str(n)), n - 1)
    queue.add_rate_limited(Key("default", "later"))
    assert [value(metrics, "workqueue_depth", **QUEUE, priority=p) for p in ("1", "0", "-1")] == [1, 1, 1]
    assert value(metrics, "workqueue_adds_total", **QUEUE) == 3
    assert value(metrics, "workqueue_retries_total", **QUEUE) == 1
    key, _ = await queue.get()
    assert value(metrics, "workqueue_depth", **QUEUE, priority="0") == 1
    assert value(metrics, "workqueue_depth", **QUEUE, priority="1") is None
    queue.queue_durations.observe(0.5)
    queue.done(key)
    queue.queue_durations.observe(2000)
    name = "workqueue_queue_duration_seconds"
    assert value(metrics, f"{name}_count", **QUEUE) == 3
    assert value(metrics, f"{name}_sum", **QUEUE) == pytest.approx(2000.5)
    assert [value(metrics, f"{name}_bucket", **QUEUE, le=le) for le in ("1e-08", "0.1", "1.0", "+Inf")] == [1, 1, 2, 3]


@in_virtual_time
async def test_work_that_hangs_shows_before_it_ends() -> None:
    metrics = Metrics()
    queue = Workqueue[Key]("web", clock=VirtualClock())
    metrics.controller("web", 2, queue)
    for name in "ab":
        queue.add(Key("default", name))
        await queue.get()
        await asyncio.sleep(10)
    assert value(metrics, "workqueue_unfinished_work_seconds", **QUEUE) == pytest.approx(30)
    assert value(metrics, "workqueue_longest_running_processor_seconds", **QUEUE) == pytest.approx(20)


def test_two_managers_in_one_process_do_not_mix() -> None:
    first, second = Metrics(), Metrics()
    first.leader.labels("lease").set(1)
    assert value(second, "leader_election_master_status", name="lease") is None


def test_a_program_adds_its_own_metrics_to_the_same_registry() -> None:
    metrics = Metrics()
    Counter("widgets", "Widgets made.", registry=metrics.registry).inc()
    exposition = generate_latest(metrics.registry).decode()
    assert "widgets_total 1.0" in exposition
    assert "process_resident_memory_bytes" in exposition


def test_a_registry_of_the_programs_own_is_used_as_it_is() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    assert metrics.registry is registry
    assert "process_resident_memory_bytes" not in generate_latest(registry).decode()


def test_requests_are_counted_by_code_method_and_host_and_timed_by_verb() -> None:
    registry = CollectorRegistry()
    metrics = ClientMetrics(registry)
    metrics.request("200", "GET", "LIST", "api:6443", 0.3)
    metrics.request("<error>", "POST", "CREATE", "api:6443", 1.0)
    for code, method in (("200", "GET"), ("<error>", "POST")):
        labels = {"code": code, "method": method, "host": "api:6443"}
        assert registry.get_sample_value("rest_client_requests_total", labels) == 1
    labels = {"verb": "LIST", "host": "api:6443"}
    assert registry.get_sample_value("rest_client_request_duration_seconds_sum", labels) == pytest.approx(0.3)


def test_a_reflectors_series_are_there_from_the_start_and_go_with_it() -> None:
    metrics = Metrics()
    labels = {"resource": "configmaps", "namespace": "default"}
    names = [
        "disvc_reflector_lists_total",
        "disvc_reflector_watches_total",
        "disvc_reflector_failures_total",
        "disvc_reflector_undecodable_objects_total",
        "disvc_reflector_last_event_age_seconds",
    ]
    reflector = metrics.reflector("configmaps", "default")
    assert [value(metrics, name, **labels) for name in names] == [0] * 5
    reflector.heard_since(lambda: 12.5)
    assert value(metrics, names[-1], **labels) == 12.5
    reflector.remove()
    assert [value(metrics, name, **labels) for name in names] == [None] * 5
