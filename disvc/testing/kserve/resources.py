"""The kinds of object that the simulation reads and writes, and the names KServe gives to things."""

from __future__ import annotations

from typing import Any, Final

from disvc.runtime import Resource

Value = dict[str, Any]
"""A decoded object, or a part of one."""

INFERENCE_SERVICES: Final = Resource("serving.kserve.io/v1beta1", "InferenceService", "inferenceservices")
INGRESSES: Final = Resource("networking.k8s.io/v1", "Ingress", "ingresses")
AUTOSCALERS: Final = Resource("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers")

GROUP: Final = "serving.kserve.io"
ISVC_LABEL: Final = f"{GROUP}/inferenceservice"
DEPLOYMENT_MODE: Final = f"{GROUP}/deploymentMode"
AUTOSCALER_CLASS: Final = f"{GROUP}/autoscalerClass"
FORMAT_ANNOTATION: Final = "modelFormat"
STOP: Final = f"{GROUP}/stop"
SOURCE_URI: Final = f"internal.{GROUP}/storage-initializer-sourceuri"
VISIBILITY: Final = "networking.kserve.io/visibility"
FINALIZER: Final = "inferenceservice.finalizers"

SERVER_CONTAINER: Final = "kserve-container"
STORAGE_INITIALIZER: Final = "storage-initializer"


def is_stopped(isvc: Value) -> bool:
    """Whether a person asked for the ISVC's workload to be taken away."""
    return str((isvc["metadata"].get("annotations") or {}).get(STOP)).lower() == "true"
