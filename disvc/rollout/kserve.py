"""What KServe writes into an InferenceService's status, and what of it can be relied on. Observed on v0.20.

Never compared: `status.observedGeneration`, which counts the Deployment's generations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    Value = Mapping[str, Any]

LOOK_AT_CONTROLLER: Final = "kubectl -n kserve get pods"

BLOCKED: Final = "BlockedByFailedLoad"
INVALID: Final = "InvalidSpec"
READY: Final = "Ready"
STOPPED: Final = "Stopped"
COMPONENTS: Final = {"predictor": "PredictorReady", "transformer": "TransformerReady", "explainer": "ExplainerReady"}
"""The parts of an InferenceService's spec, and the condition of each."""


def conditions(obj: Value) -> dict[str, Value]:
    """Return an object's conditions by their type; None are empty where there is no status yet."""
    found = (obj.get("status") or {}).get("conditions") or ()
    return {condition["type"]: condition for condition in found}


def model_status(isvc: Value) -> Value:
    """Return what KServe says of the model, empty where it has said nothing."""
    return (isvc.get("status") or {}).get("modelStatus") or {}


def is_true(found: Mapping[str, Value], kind: str) -> bool:
    """Whether a condition is there and True."""
    return found.get(kind, {}).get("status") == "True"


def is_ready(isvc: Value) -> bool:
    """Whether KServe holds an InferenceService for ready: needed for traffic, and not enough (`endpoints`).

    - Ready depends on predictor and Ingress only; an InferenceService that is cluster-local has no Ingress to wait
      for the transformer with. So each component that the spec has must be True, too.
    - Ready stays True while old pods serve and a new one cannot load the model, and when the runtime is gone:
      `transitionStatus` says so. It says InProgress for a moment after Ready has turned True.
    - `lastFailureInfo` stays after recovery and counts for nothing here.
    """
    found = conditions(isvc)
    needed = [READY] + [kind for component, kind in COMPONENTS.items() if isvc["spec"].get(component) is not None]
    return (
        all(is_true(found, kind) for kind in needed)
        and not is_true(found, STOPPED)
        and model_status(isvc).get("transitionStatus") not in (BLOCKED, INVALID)
    )
