"""Which server is told the model's name, and how: kserve.md, "Model name", and KServe v0.20's runtimes."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from disvc.rollout.model_name import with_model_name

ARGUMENT = {"args": ["--model_name=X"]}
VLLM = {"args": ["--served-model-name=X"]}
MLSERVER = {"env": [{"name": "MLSERVER_MODEL_NAME", "value": "X"}]}
NOTHING: dict[str, Any] = {}


def model(model_format: str, protocol: str | None = None, **fields: Any) -> dict[str, Any]:
    protocol_version = {} if protocol is None else {"protocolVersion": protocol}
    return {"modelFormat": {"name": model_format}, **protocol_version, **fields}


def told(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Return which fields differ, and how they are now."""
    return {field: value for field, value in after.items() if before.get(field) != value}


@pytest.mark.parametrize(
    ("server", "way"),
    [
        (model("sklearn", runtime="kserve-sklearnserver"), ARGUMENT),
        (model("sklearn", "v2", runtime="kserve-sklearnserver"), ARGUMENT),
        (model("xgboost", runtime="kserve-xgbserver"), ARGUMENT),
        (model("lightgbm", runtime="kserve-lgbserver"), ARGUMENT),
        (model("paddle", runtime="kserve-paddleserver"), ARGUMENT),
        (model("pmml", runtime="kserve-pmmlserver"), ARGUMENT),
        (model("huggingface", runtime="kserve-huggingfaceserver"), ARGUMENT),
        (model("sklearn", "v2", runtime="kserve-predictiveserver"), ARGUMENT),
        (model("tensorflow", runtime="kserve-tensorflow-serving"), ARGUMENT),
        (model("onnx", runtime="my-own"), ARGUMENT),
        (model("sklearn", runtime="kserve-mlserver"), MLSERVER),
        (model("tensorflow", runtime="kserve-tritonserver"), NOTHING),
        (model("pytorch", runtime="kserve-torchserve"), NOTHING),
        (model("vLLM", runtime="kserve-vllmserver"), VLLM),
    ],
)
def test_a_runtime_that_is_named_is_told_in_its_way(server: dict[str, Any], way: dict[str, Any]) -> None:
    after = with_model_name({"predictor": {"model": server}}, "X")
    assert told(server, after["predictor"]["model"]) == way


@pytest.mark.parametrize(
    ("model_format", "protocol", "way"),
    [
        ("sklearn", None, ARGUMENT),
        ("sklearn", "v1", ARGUMENT),
        ("sklearn", "v2", MLSERVER),
        ("xgboost", "v1", ARGUMENT),
        ("xgboost", "v2", MLSERVER),
        ("lightgbm", "v1", ARGUMENT),
        ("lightgbm", "v2", MLSERVER),
        ("mlflow", "v2", MLSERVER),
        ("paddle", "v2", ARGUMENT),
        ("pmml", "v2", ARGUMENT),
        ("huggingface", "v2", ARGUMENT),
        ("tensorflow", "v1", ARGUMENT),
        ("tensorflow", "grpc-v2", NOTHING),
        ("onnx", "v2", NOTHING),
        ("pytorch", "v1", NOTHING),
        ("triton", None, NOTHING),
        ("tensorrt", "v2", NOTHING),
        ("vLLM", None, VLLM),
        ("my-own", "v2", ARGUMENT),
    ],
)
def test_the_runtime_that_kserve_selects_is_told_in_its_way(
    model_format: str, protocol: str | None, way: dict[str, Any]
) -> None:
    server = model(model_format, protocol)
    assert told(server, with_model_name({"predictor": {"model": server}}, "X")["predictor"]["model"]) == way


@pytest.mark.parametrize(
    ("framework", "protocol", "way"),
    [("sklearn", None, ARGUMENT), ("sklearn", "v2", MLSERVER), ("onnx", None, NOTHING), ("pytorch", "v1", NOTHING)],
)
def test_the_older_spelling_of_a_model_is_understood(framework: str, protocol: str | None, way: dict[str, Any]) -> None:
    server = {"storageUri": "gs://a"} | ({"protocolVersion": protocol} if protocol else {})
    assert told(server, with_model_name({"predictor": {framework: server}}, "X")["predictor"][framework]) == way


@pytest.mark.parametrize(
    "own",
    [
        {"args": ["--model_name=mine"]},
        {"args": ["--model_name", "mine"]},
        {"args": ["--http_port=80", "--served-model-name=mine"]},
        {"env": [{"name": "MLSERVER_MODEL_NAME", "value": "mine"}]},
        {"env": [{"name": "MLSERVER_MODEL_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]},
    ],
)
@pytest.mark.parametrize("runtime", ["kserve-sklearnserver", "kserve-mlserver", "kserve-vllmserver"])
def test_a_name_that_the_user_gives_wins(own: dict[str, Any], runtime: str) -> None:
    spec = {"predictor": {"model": model("sklearn", runtime=runtime, **own)}}
    assert with_model_name(spec, "X") == spec


def test_the_users_own_arguments_and_variables_are_kept_before_ours() -> None:
    spec = {"predictor": {"model": model("sklearn", args=["--model_names=x", "--a"])}}
    assert with_model_name(spec, "X")["predictor"]["model"]["args"] == ["--model_names=x", "--a", "--model_name=X"]
    spec = {"predictor": {"model": model("sklearn", "v2", env=[{"name": "A", "value": "1"}])}}
    env = [{"name": "A", "value": "1"}, {"name": "MLSERVER_MODEL_NAME", "value": "X"}]
    assert with_model_name(spec, "X")["predictor"]["model"]["env"] == env


def test_containers_of_the_users_own_are_left_alone() -> None:
    spec = {"predictor": {"containers": [{"name": "kserve-container", "image": "a", "args": ["--b"]}]}}
    assert with_model_name(spec, "X") == spec


@pytest.mark.parametrize("component", ["transformer", "explainer"])
def test_what_calls_the_predictor_has_the_same_name_as_it_calls_it_by_its_own(component: str) -> None:
    containers = [{"name": "kserve-container", "image": "a", "args": ["--b"]}, {"name": "sidecar"}]
    spec = {"predictor": {"model": model("sklearn")}, component: {"containers": containers, "minReplicas": 2}}
    after = with_model_name(spec, "X")
    assert after["predictor"]["model"]["args"] == ["--model_name=X"]
    assert after[component]["containers"] == [
        {"name": "kserve-container", "image": "a", "args": ["--b", "--model_name=X"]},
        {"name": "sidecar"},
    ]
    assert after[component]["minReplicas"] == 2


@pytest.mark.parametrize("component", ["transformer", "explainer"])
def test_a_transformer_or_explainer_that_the_user_has_named_is_left_alone(component: str) -> None:
    containers = [{"name": "kserve-container", "args": ["--model_name", "mine"]}]
    spec = {"predictor": {"containers": [{"name": "a"}]}, component: {"containers": containers}}
    assert with_model_name(spec, "X") == spec


def test_kserves_own_explainer_has_the_same_name() -> None:
    spec = {"predictor": {"model": model("sklearn")}, "explainer": {"art": {"type": "SquareAttack"}}}
    assert with_model_name(spec, "X")["explainer"]["art"] == {"type": "SquareAttack", "args": ["--model_name=X"]}


def test_the_given_spec_is_not_changed() -> None:
    spec = {"predictor": {"model": model("sklearn", args=["--a"])}, "transformer": {"containers": [{"name": "b"}]}}
    before = copy.deepcopy(spec)
    with_model_name(spec, "X")
    assert spec == before
