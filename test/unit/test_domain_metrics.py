"""What the operator measures of DistributedInferenceServices, as it is scraped."""

from __future__ import annotations

from importlib import metadata

import pytest
from prometheus_client import CollectorRegistry

from disvc.api.status import Phase
from disvc.reconcilers import metrics as module
from disvc.reconcilers.metrics import DomainMetrics
from disvc.runtime import Key

A, B = Key("default", "a"), Key("default", "b")


class Scraped:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.metrics = DomainMetrics(self.registry)

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)

    @property
    def phases(self) -> dict[str, str]:
        (family,) = (family for family in self.registry.collect() if family.name == "disvc_rollout_phase")
        assert all(sample.value == 1 for sample in family.samples)
        return {f"{s.labels['namespace']}/{s.labels['name']}": s.labels["phase"] for s in family.samples}


@pytest.fixture
def scraped() -> Scraped:
    return Scraped()


def test_the_version_is_told(scraped: Scraped) -> None:
    assert scraped.value("disvc_info", version=metadata.version("disvc")) == 1


def test_an_object_has_one_series_which_is_of_the_phase_it_is_in(scraped: Scraped) -> None:
    scraped.metrics.observe(A, Phase.PROGRESSING, 1, 1)
    scraped.metrics.observe(B, Phase.STABLE, 1, 0)
    scraped.metrics.observe(A, Phase.SWITCHING, 2, 0)
    assert scraped.phases == {"default/a": "Switching", "default/b": "Stable"}


def test_members_are_added_up_over_all_objects(scraped: Scraped) -> None:
    scraped.metrics.observe(A, Phase.STABLE, 2, 1)
    scraped.metrics.observe(B, Phase.STABLE, 5, 3)
    scraped.metrics.observe(A, Phase.STABLE, 3, 0)
    assert scraped.value("disvc_members", state="ready") == 8
    assert scraped.value("disvc_members", state="not_ready") == 3


def test_a_forgotten_object_leaves_nothing(scraped: Scraped) -> None:
    scraped.metrics.observe(A, Phase.STABLE, 2, 1)
    scraped.metrics.forget(A)
    scraped.metrics.forget(A)
    assert scraped.phases == {}
    assert scraped.value("disvc_members", state="ready") == 0


def test_rollouts_are_counted_by_outcome_and_each_outcome_is_there_from_the_start(scraped: Scraped) -> None:
    for outcome in ("Succeeded", "Failed", "Superseded", "Aborted"):
        assert scraped.value("disvc_rollouts_total", outcome=outcome) == 0
        assert scraped.value("disvc_rollout_duration_seconds_count", outcome=outcome) == 0
    scraped.metrics.rollout_ended("Succeeded", 45.0)
    assert scraped.value("disvc_rollouts_total", outcome="Succeeded") == 1
    assert scraped.value("disvc_rollout_duration_seconds_sum", outcome="Succeeded") == 45
    assert scraped.value("disvc_rollout_duration_seconds_bucket", outcome="Succeeded", le="40.0") == 0
    assert scraped.value("disvc_rollout_duration_seconds_bucket", outcome="Succeeded", le="50.0") == 1
    assert scraped.value("disvc_rollouts_total", outcome="Failed") == 0


def test_series_of_single_objects_are_bounded_and_those_left_out_are_counted(
    scraped: Scraped, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_OBJECTS", 2)
    for number in range(5):
        scraped.metrics.observe(Key("default", f"n{number}"), Phase.STABLE, 1, 0)
    assert list(scraped.phases) == ["default/n0", "default/n1"]
    assert scraped.value("disvc_rollout_phase_omitted") == 3
    assert scraped.value("disvc_members", state="ready") == 5
    scraped.metrics.forget(Key("default", "n0"))
    assert list(scraped.phases) == ["default/n1", "default/n2"]
    assert scraped.value("disvc_rollout_phase_omitted") == 2
