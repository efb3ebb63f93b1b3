"""The ServingRuntimes that the simulated KServe knows, and which of them serves a model.

Names, formats, protocols and arguments are those of KServe v0.20's ClusterServingRuntimes; the images are never pulled.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from disvc.testing.kserve.resources import Value


@dataclass(frozen=True)
class ServingRuntime:
    """What a ClusterServingRuntime says of a model server; `{{.Name}}` in `args` stands for the ISVC's name.

    With `priority` 0 it serves only who names it; otherwise the highest one is selected.
    """

    image: str
    formats: tuple[str, ...]
    protocols: tuple[str, ...] = ("v1", "v2")
    args: tuple[str, ...] = ("--model_name={{.Name}}", "--model_dir=/mnt/models", "--http_port=8080")
    env: Mapping[str, str] = field(default_factory=dict)
    priority: int = 1
    disabled: bool = False

    def container(self) -> Value:
        """Return the runtime's kserve-container."""
        resources = {"cpu": "1", "memory": "2Gi"}
        return {
            "image": self.image,
            "args": list(self.args),
            "env": [{"name": name, "value": value} for name, value in self.env.items()],
            "resources": {"requests": resources, "limits": resources},
        }


KNOWN: Final[Mapping[str, ServingRuntime]] = {
    "kserve-sklearnserver": ServingRuntime("kserve/sklearnserver:v0.20.0", ("sklearn",)),
    "kserve-xgbserver": ServingRuntime("kserve/xgbserver:v0.20.0", ("xgboost",)),
    "kserve-lgbserver": ServingRuntime("kserve/lgbserver:v0.20.0", ("lightgbm",)),
    "kserve-pmmlserver": ServingRuntime("kserve/pmmlserver:v0.20.0", ("pmml",)),
    "kserve-paddleserver": ServingRuntime("kserve/paddleserver:v0.20.0", ("paddle",)),
    "kserve-huggingfaceserver": ServingRuntime(
        "kserve/huggingfaceserver:v0.20.0", ("huggingface",), args=("--model_name={{.Name}}",)
    ),
    "kserve-mlserver": ServingRuntime(
        "seldonio/mlserver:1.5.0",
        ("sklearn", "xgboost", "lightgbm", "mlflow"),
        protocols=("v2",),
        args=(),
        env={"MLSERVER_HTTP_PORT": "8080", "MLSERVER_GRPC_PORT": "9000"},
        priority=2,
    ),
    "kserve-tritonserver": ServingRuntime(
        "nvcr.io/nvidia/tritonserver:23.05-py3",
        ("tensorrt", "tensorflow", "onnx", "pytorch", "triton"),
        protocols=("v2", "grpc-v2"),
        args=("tritonserver", "--model-store=/mnt/models", "--grpc-port=9000", "--http-port=8080"),
    ),
}


class NoRuntime(Exception):
    """No runtime serves a model; `reason` and `message` are what `status.modelStatus.lastFailureInfo` says."""

    def __init__(self, error: str, reason: str, message: str) -> None:
        super().__init__(error)
        self.reason = reason
        self.message = message


def select(model: Value, runtimes: Mapping[str, ServingRuntime]) -> tuple[str, ServingRuntime]:
    """Return the name and the runtime that serve a predictor's `model`. Raises `NoRuntime`."""
    model_format, protocol, name = model["modelFormat"]["name"], model.get("protocolVersion"), model.get("runtime")
    if name is None:
        fitting = [
            (name, runtime)
            for name, runtime in runtimes.items()
            if runtime.priority and not runtime.disabled and _serves(runtime, model_format, protocol or "v1")
        ]
        if not fitting:
            error = f"no runtime found to support predictor with model type: {model['modelFormat']}"
            raise NoRuntime(error, "NoSupportingRuntime", "No runtime found to support specified framework/version")
        return max(fitting, key=lambda item: item[1].priority)
    runtime = runtimes.get(name)
    if runtime is None:
        error = f"No ServingRuntimes or ClusterServingRuntimes with the name: {name}"
        raise NoRuntime(error, "RuntimeNotRecognized", "Waiting for runtime to become available")
    if runtime.disabled:
        raise NoRuntime(f"specified runtime {name} is disabled", "RuntimeDisabled", "Specified runtime is disabled")
    for what, serves in (
        ("protocol version", protocol is None or protocol in runtime.protocols),
        ("framework/version", model_format in runtime.formats),
    ):
        if not serves:
            error = f"specified runtime {name} does not support specified {what}"
            raise NoRuntime(error, "NoSupportingRuntime", f"Specified runtime does not support specified {what}")
    return name, runtime


def _serves(runtime: ServingRuntime, model_format: str, protocol: str) -> bool:
    return model_format in runtime.formats and protocol in runtime.protocols
