"""What KServe's webhooks make of an ISVC and of a pod: defaults, refusals, the storage-initializer. Pure functions.

The rules are those of KServe v0.20's defaulter, validator and pod mutator.
"""

from __future__ import annotations

import copy
import re
from typing import TYPE_CHECKING, Final

from disvc.testing.kserve.crd import spec_schema
from disvc.testing.kserve.go_types import round_trip
from disvc.testing.kserve.resources import (
    AUTOSCALER_CLASS,
    DEPLOYMENT_MODE,
    FORMAT_ANNOTATION,
    SERVER_CONTAINER,
    SOURCE_URI,
    STORAGE_INITIALIZER,
)
from disvc.testing.kserve.storage import needs_initializer
from disvc.testing.quantity import canonical

if TYPE_CHECKING:
    from disvc.testing.kserve.resources import Value

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
_IMPLEMENTATIONS: Final = (*FRAMEWORKS, "model")
_V2_FRAMEWORKS: Final = ("triton", "onnx", "huggingface")
_V2_FORMATS: Final = ("triton", "vLLM")
_RENAMED_MODES: Final = {"RawDeployment": "Standard", "Serverless": "Knative"}
_AUTOSCALERS: Final = ("hpa", "external", "keda", "none")
_NAME: Final = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_BLOCKED_VARIABLES: Final = ("PYTHONPATH",)
_COMPONENTS: Final = ("predictor", "transformer", "explainer")
_DEFAULT_RESOURCES: Final = {"cpu": "1", "memory": "2Gi"}


class Refused(Exception):
    """A webhook denies a request; the message is the webhook's."""


def defaulted(isvc: Value, default_mode: str) -> Value:
    """Return the ISVC as the defaulter leaves it.

    Raises `TypeError` for a value of a wrong type, and `ValueError` for a quantity that cannot be read.
    """
    isvc = {**isvc, "spec": round_trip(isvc.get("spec") or {}, spec_schema(), "InferenceService.spec")}
    isvc = copy.deepcopy(isvc)
    metadata, predictor = isvc["metadata"], isvc["spec"]["predictor"]
    annotations = dict(metadata.get("annotations") or {})
    mode = annotations.get(DEPLOYMENT_MODE)
    if mode in _RENAMED_MODES:
        annotations[DEPLOYMENT_MODE] = _RENAMED_MODES[mode]
    elif mode is None and default_mode == "Standard":
        annotations[DEPLOYMENT_MODE] = default_mode
    _default_model(predictor)
    if model_format := (predictor.get("model") or {}).get("modelFormat", {}).get("name"):
        annotations.setdefault(FORMAT_ANNOTATION, model_format)
    for component in _present(isvc):
        for container in _containers(component):
            container.setdefault("resources", {})  # Go writes it, empty or not
        if component.get("containers") and "model" not in component:
            _default_custom(component["containers"])
    _canonicalise(isvc["spec"])
    if annotations:
        metadata["annotations"] = annotations
    return isvc


def _default_model(predictor: Value) -> None:
    """Turn the older spelling of a framework into a `model`, and fill in what Go writes, empty or not."""
    framework = next((name for name in FRAMEWORKS if name in predictor), None)
    if framework is not None:
        predictor["model"] = {**predictor.pop(framework), "modelFormat": {"name": framework}}
    if (model := predictor.get("model")) is not None:
        model.setdefault("name", "")
        model.setdefault("modelFormat", {"name": ""})
        if framework in _V2_FRAMEWORKS or model["modelFormat"]["name"] in _V2_FORMATS:
            model.setdefault("protocolVersion", "v2")


def _default_custom(containers: list[Value]) -> None:
    if len(containers) == 1 or not containers[0]["name"]:
        containers[0]["name"] = SERVER_CONTAINER
    for kind in ("requests", "limits"):
        containers[0]["resources"][kind] = {**_DEFAULT_RESOURCES, **(containers[0]["resources"].get(kind) or {})}


def _canonicalise(part: object) -> None:
    """Rewrite all quantities in a part of a spec."""
    if isinstance(part, list):
        for item in part:
            _canonicalise(item)
    elif isinstance(part, dict):
        for name, value in part.items():
            if name in ("requests", "limits") and isinstance(value, dict):
                part[name] = {resource: canonical(quantity) for resource, quantity in value.items()}
            else:
                _canonicalise(value)


def validate(isvc: Value, old: Value | None) -> None:
    """Raise `Refused` for an ISVC that the validator denies; `old` is what is to be changed (None: a new one)."""
    if isvc["metadata"].get("deletionTimestamp"):
        return
    name, spec = isvc["metadata"]["name"], isvc["spec"]
    annotations = isvc["metadata"].get("annotations") or {}
    if old is not None:
        _validate_change(isvc, old)
    if not _NAME.fullmatch(name):
        raise Refused(
            f'the InferenceService "{name}" is invalid: a InferenceService name must consist of lower case '
            "alphanumeric characters or '-', and must start with alphabetical character. (e.g. \"my-name\" or "
            f"\"abc-123\", regex used for validation is '{_NAME.pattern}')"
        )
    if (autoscaler := annotations.get(AUTOSCALER_CLASS, "none")) not in _AUTOSCALERS:
        raise Refused(f"[{autoscaler}] is not a supported autoscaler class type")
    for component in _present(isvc):
        _validate_variables(name, component)
    predictor = spec["predictor"]
    if (predictor.get("model") or {}).get("name"):
        raise Refused("the 'name' field is not allowed in standard predictor")
    if (predictor.get("model") or {}).get("storageUri") and predictor.get("storageUris"):
        raise Refused("Setting both StorageURI and StorageURIs is not supported.")
    for kind in _COMPONENTS:
        if (component := spec.get(kind)) is not None:
            _validate_component(kind, component)


def _validate_variables(name: str, component: Value) -> None:
    for container in _containers(component):
        for variable in container.get("env") or ():
            if variable["name"] in _BLOCKED_VARIABLES:
                raise Refused(
                    f'the InferenceService "{name}" is invalid: setting {variable["name"]} in container '
                    f'"{container["name"]}" is not allowed for security reasons'
                )


def _validate_change(isvc: Value, old: Value) -> None:
    mode = (old.get("status") or {}).get("deploymentMode")
    wanted = (isvc["metadata"].get("annotations") or {}).get(DEPLOYMENT_MODE)
    if mode and wanted is not None and wanted != mode:
        raise Refused(f"update rejected: deploymentMode cannot be changed from '{mode}' to '{wanted}'")
    new_predictor, old_predictor = isvc["spec"]["predictor"], old["spec"]["predictor"]
    if new_predictor.get("name", "") != old_predictor.get("name", "") and storage_uri(new_predictor) == storage_uri(
        old_predictor
    ):
        raise Refused("predictor.name change requires a model change (e.g. storageUri)")


def _validate_component(kind: str, component: Value) -> None:
    models = [name for name in _IMPLEMENTATIONS if name in component]
    containers = component.get("containers") or ()
    custom = sum(c["name"] == SERVER_CONTAINER for c in containers) if models else min(1, len(containers))
    if len(models) + custom != 1:
        names = ", ".join((*_IMPLEMENTATIONS, "containers"))
        raise Refused(f"exactly one of [{names}] must be specified in {kind.capitalize()}Spec")
    if component.get("containerConcurrency", 0) < 0:
        raise Refused("parallelism cannot be less than 0")
    least, most = component.get("minReplicas", 1), component.get("maxReplicas", 0)
    if least < 0:
        raise Refused("'MinReplicas' cannot be less than 0")
    if most < 0:
        raise Refused("'MaxReplicas' cannot be less than 0")
    if least > most != 0:
        raise Refused("'MinReplicas' cannot be greater than MaxReplicas")


def storage_uri(component: Value) -> str:
    """Return where a component's model is, "" for nowhere: its storageUri, or STORAGE_URI of its own container."""
    if uri := (component.get("model") or {}).get("storageUri"):
        return str(uri)
    for container in component.get("containers") or ():
        if container["name"] == SERVER_CONTAINER:
            return next((v.get("value", "") for v in container.get("env") or () if v["name"] == "STORAGE_URI"), "")
    return ""


def injected(pod: Value) -> Value:
    """Return the pod as the pod mutator leaves it: with a storage-initializer where it is told of a storageUri."""
    uri = (pod["metadata"].get("annotations") or {}).get(SOURCE_URI)
    if not uri or not needs_initializer(uri):
        return pod
    pod = copy.deepcopy(pod)
    spec, mount = pod["spec"], {"name": "kserve-provision-location", "mountPath": "/mnt/models"}
    spec.setdefault("volumes", []).append({"name": mount["name"], "emptyDir": {}})
    spec["containers"][0].setdefault("volumeMounts", []).append({**mount, "readOnly": True})
    initializer = {
        "name": STORAGE_INITIALIZER,
        "image": "kserve/storage-initializer:v0.20.0",
        "args": [uri, mount["mountPath"]],
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [mount],
    }
    spec.setdefault("initContainers", []).append(initializer)
    return pod


def _present(isvc: Value) -> list[Value]:
    return [component for kind in _COMPONENTS if (component := isvc["spec"].get(kind)) is not None]


def _containers(component: Value) -> list[Value]:
    """Return all that a component describes like a container, the model included."""
    models = [component["model"]] if "model" in component else []
    return [*models, *(component.get("containers") or ()), *(component.get("initContainers") or ())]
