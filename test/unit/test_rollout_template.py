"""Which templates are the same, and the hashes that must never change: another hash rolls everybody's service."""

from __future__ import annotations

import json
from typing import Any

import pytest

from disvc.api.types import DistributedInferenceService
from disvc.rollout.template import same_template, template_hash, template_of

MODEL = {"predictor": {"model": {"modelFormat": {"name": "sklearn"}, "name": "", "storageUri": "gs://models/iris"}}}


def template(**spec: Any) -> dict[str, Any]:
    spec = {"inferenceService": MODEL, **spec}
    return template_of(DistributedInferenceService.model_validate({"metadata": {"name": "iris"}, "spec": spec}))


@pytest.mark.parametrize(
    ("spec", "known"),
    [
        ({}, "7f69ab2e1e"),
        ({"annotations": {"version": "v1"}}, "e2a3bb9896"),
        ({"annotations": {"version": "v2"}}, "73561ec50b"),
        ({"labels": {"team": "größe"}}, "f24910cc37"),
        ({"modelName": "flowers"}, "2ced82557f"),
        ({"inferenceService": {"predictor": {"minReplicas": 1, "timeout": 1.5, "x": [True, "1"]}}}, "0ecd66b1d3"),
    ],
)
def test_the_hash_of_a_template_is_the_same_for_ever(spec: dict[str, Any], known: str) -> None:
    assert template_hash(template(**spec)) == known


@pytest.mark.parametrize(
    "spec",
    [
        {"inferenceService": None, "inferenservice": MODEL},
        {"annotations": {}, "labels": {}},
        {"modelName": "iris"},
        {"modelName": None},
        {"inferenceService": {**MODEL, "transformer": None}},
        {"inferenceService": json.loads(json.dumps(MODEL, sort_keys=True))},
        {
            "replicas": 3,
            "paused": True,
            "routing": {"host": "a.example.com"},
            "deploymentStrategy": {"drainSeconds": 0},
        },
    ],
)
def test_what_says_the_same_is_the_same_template(spec: dict[str, Any]) -> None:
    assert same_template(template(**spec), template())
    assert template_hash(template(**spec)) == template_hash(template())


@pytest.mark.parametrize(
    "spec",
    [
        {"annotations": {"version": "v1"}},
        {"labels": {"version": "v1"}},
        {"modelName": "flowers"},
        {"inferenceService": {"predictor": {"model": {"modelFormat": {"name": "sklearn"}}}}},
        {"inferenceService": {**MODEL, "transformer": {}}},
        {"inferenceService": {"predictor": {"model": {**MODEL["predictor"]["model"], "env": []}}}},
    ],
)
def test_what_says_something_else_is_another_template(spec: dict[str, Any]) -> None:
    assert not same_template(template(**spec), template())
    assert template_hash(template(**spec)) != template_hash(template())


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (1, 1.0, True),  # the API server stores 1 for both
        (1e21, 10**21, True),
        (9007199254740993, 9007199254740992.0, False),
        (0.0, -0.0, True),
        (1, True, False),  # which Python takes for equal
        (0, False, False),
        (1, "1", False),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        ([1, 2], [2, 1], False),
        ("ü", "ue", False),
    ],
)
def test_json_values_are_compared_as_the_api_server_stores_them(one: object, other: object, same: bool) -> None:
    templates = [template(inferenceService={"predictor": {"x": value}}) for value in (one, other)]
    assert same_template(*templates) is same
    assert (template_hash(templates[0]) == template_hash(templates[1])) is same


def test_nulls_are_left_out_and_empty_values_are_kept() -> None:
    spec: dict[str, Any] = {
        "predictor": {"volumes": [{"name": "a", "emptyDir": {}, "secret": None}], "tolerations": None, "name": ""}
    }
    wanted = {"predictor": {"volumes": [{"name": "a", "emptyDir": {}}], "name": ""}}
    assert template(inferenceService=spec) == {"inferenceService": wanted}
