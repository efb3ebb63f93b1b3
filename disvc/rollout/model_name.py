"""Gives the model servers of a member the name that clients call the model by.

KServe names a model after its InferenceService: NAME-v1-0, another one with each revision and member, so that no path
would last. What is said here of servers and of their automatic selection is that of KServe v0.20 (config/runtimes).

| server                                               | how it is told                                             |
| ---------------------------------------------------- | ---------------------------------------------------------- |
| KServe's own, TensorFlow Serving, any unknown one    | `--model_name=X`; the last one wins, and the runtime's is  |
|                                                      | before the InferenceService's                              |
| vLLM (its runtime, not the huggingface one)          | `--served-model-name=X`, likewise; it refuses others       |
| MLServer                                             | the variable MLSERVER_MODEL_NAME                           |
| Triton, TorchServe                                   | not at all: names are those in the model repository        |
| a predictor of the user's own containers             | not at all: it has to serve `modelName` by itself          |
| transformer, explainer                               | `--model_name=X`, where KServe would add the member's name |

A transformer or explainer calls the predictor by the name that it serves itself, so both must have the same one. Where
the predictor cannot be told, `modelName` has to be what it serves. A server that the user has named is left alone.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_ARGUMENT: Final = "--model_name"
_VLLM_ARGUMENT: Final = "--served-model-name"
_MLSERVER_VARIABLE: Final = "MLSERVER_MODEL_NAME"

_BY_RUNTIME: Final[Mapping[str, str | None]] = {
    "mlserver": _MLSERVER_VARIABLE,
    "triton": None,
    "torchserve": None,
    "vllm": _VLLM_ARGUMENT,
}
"""By how a word of the ServingRuntime's name begins: a pmmlserver is no mlserver."""
_BY_FORMAT: Final[Mapping[str, str | None]] = {
    "mlflow": _MLSERVER_VARIABLE,
    "onnx": None,
    "pytorch": None,
    "tensorrt": None,
    "triton": None,
    "vllm": _VLLM_ARGUMENT,
}
"""By the model's format, where KServe selects the ServingRuntime."""
_BY_FORMAT_V2: Final[Mapping[str, str | None]] = {
    "lightgbm": _MLSERVER_VARIABLE,
    "sklearn": _MLSERVER_VARIABLE,
    "xgboost": _MLSERVER_VARIABLE,
    "tensorflow": None,
}
"""Likewise, where the protocol is v2, too."""
FRAMEWORKS: Final = (
    "sklearn",
    "xgboost",
    "tensorflow",
    "pytorch",
    "triton",
    "onnx",
    "huggingface",
    "pmml",
    "lightgbm",
    "paddle",
)
"""Fields of a predictor that are an older spelling of `model`; KServe's webhook rewrites them."""


def with_model_name(spec: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return an InferenceServiceSpec in which the servers are told the model's name."""
    told = copy.deepcopy(dict(spec))
    predictor = told.get("predictor", {})
    for field in ("model", *FRAMEWORKS):
        if (server := predictor.get(field)) is not None:
            _tell(server, _way(field, server), name)
    for component in ("transformer", "explainer"):
        for server in told.get(component, {}).get("containers", [])[:1]:
            _tell(server, _ARGUMENT, name)
    if (server := told.get("explainer", {}).get("art")) is not None:
        _tell(server, _ARGUMENT, name)
    return told


def _way(field: str, server: Mapping[str, Any]) -> str | None:
    """Return the argument or variable that tells a model's server the name, None where there is none."""
    if runtime := server.get("runtime"):
        words = runtime.split("-")
        return next((way for start, way in _BY_RUNTIME.items() if any(w.startswith(start) for w in words)), _ARGUMENT)
    model_format = server.get("modelFormat", {}).get("name", "") if field == "model" else field
    by_format = dict(_BY_FORMAT)
    if "v2" in server.get("protocolVersion", ""):
        by_format.update(_BY_FORMAT_V2)
    return by_format.get(model_format.lower(), _ARGUMENT)


def _tell(server: dict[str, Any], way: str | None, name: str) -> None:
    """Add what tells a container the name, unless the user has told it in any way."""
    told = [argument.partition("=")[0] for argument in server.get("args", [])]
    told += [variable.get("name") for variable in server.get("env", [])]
    if way is None or not {_ARGUMENT, _VLLM_ARGUMENT, _MLSERVER_VARIABLE}.isdisjoint(told):
        return
    if way == _MLSERVER_VARIABLE:
        server["env"] = [*server.get("env", []), {"name": way, "value": name}]
    else:
        server["args"] = [*server.get("args", []), f"{way}={name}"]
