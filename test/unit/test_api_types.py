"""The types of the API: what they read, and what they write."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from disvc.api.spec import DeploymentStrategy, DistributedInferenceServiceSpec, StrategyType
from disvc.api.status import DistributedInferenceServiceStatus, Rollout
from disvc.api.types import DistributedInferenceService

TEMPLATE = {"predictor": {"model": {"modelFormat": {"name": "sklearn"}, "name": ""}}}


def test_fields_have_the_names_of_the_api_on_the_wire() -> None:
    strategy = DeploymentStrategy(failed_revision_ttl_seconds=7).model_dump(by_alias=True, exclude_defaults=True)
    assert strategy == {"failedRevisionTTLSeconds": 7}
    assert DeploymentStrategy.model_validate({"failedRevisionTTLSeconds": 7}).failed_revision_ttl_seconds == 7


@pytest.mark.parametrize("spelling", ["inferenceService", "inferenservice"])
def test_the_template_is_the_same_in_either_spelling(spelling: str) -> None:
    assert DistributedInferenceServiceSpec.model_validate({spelling: TEMPLATE}).template == TEMPLATE


def test_what_a_newer_version_has_added_is_passed_over() -> None:
    read = DistributedInferenceService.model_validate(
        {"metadata": {"name": "a", "new": 1}, "spec": {"inferenceService": TEMPLATE, "new": {}}, "new": 1}
    )
    assert read.spec.template == TEMPLATE


def test_what_the_code_cannot_mean_is_refused_at_once() -> None:
    with pytest.raises(ValidationError, match="replicas"):
        DistributedInferenceServiceSpec(replicas=101)
    with pytest.raises(ValidationError, match="frozen"):
        DeploymentStrategy().type = StrategyType.RECREATE


@pytest.mark.parametrize("microsecond", [0, 1, 999_999])
def test_a_time_keeps_its_microseconds(microsecond: int) -> None:
    begun = datetime(2026, 1, 2, 3, 4, 5, microsecond, tzinfo=UTC)
    status = DistributedInferenceServiceStatus(rollout=Rollout(started_at=begun))
    written = status.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    assert written == {"rollout": {"startedAt": f"2026-01-02T03:04:05.{microsecond:06}Z"}}
    assert DistributedInferenceServiceStatus.model_validate(written) == status
