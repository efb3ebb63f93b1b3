"""What the CRD knows of the InferenceServiceSpec in a DISVC: as much as it takes to refuse what cannot work.

All else is kept as it is, whatever KServe knows or will know: KServe judges it when a member is made. A rule cannot
see a field that the schema does not tell. The fields, and what KServe does with them, are those of v0.20
(pkg/apis/serving/v1beta1).
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import JsonValue, WithJsonSchema

from disvc.api.rules import SELECTED_BY, rule, rules


def _preserved(description: str, properties: dict[str, JsonValue], *entries: dict[str, JsonValue]) -> dict[str, Any]:
    """Return the schema of an object of which some properties are known, and all are kept."""
    schema = {"type": "object", "description": description, "x-kubernetes-preserve-unknown-fields": True}
    return schema | ({"properties": properties} if properties else {}) | (rules(*entries) if entries else {})


_POD_LABELS: dict[str, JsonValue] = {
    "type": "object",
    "description": "Labels of the component's pods. Those that the operator selects pods by are refused.",
    "additionalProperties": {"type": "string"},
    **rules(*SELECTED_BY),
}


def _no_name(why: str) -> dict[str, JsonValue]:
    return rule(
        "!has(self.name) || self.name == ''",
        f"remove it: {why}; to name the model, use spec.modelName",
        reason="Forbidden",
        field=".name",
    )


_NO_TRAFFIC_SPLIT = rule(
    "!has(self.canaryTrafficPercent)",
    "remove it: traffic between revisions is the operator's, and members run in a mode in which KServe splits none;"
    " to hold a new revision back until it has been looked at, use spec.deploymentStrategy.promotion: Manual",
    reason="Forbidden",
    field=".canaryTrafficPercent",
)
_NO_WORKERS = rule(
    "!has(self.workerSpec)",
    "remove it: a model on several nodes is not supported, as requests would be sent to the worker pods too; to serve"
    " more requests, use spec.replicas",
    reason="Forbidden",
    field=".workerSpec",
)
_NO_CANARY = rule(
    "!has(self.canary) || self.canary.size() == 0",
    "remove it: no request would reach a canary of KServe's, as the operator's routes go past it; to hold a new"
    " revision back until it has been looked at, use spec.deploymentStrategy.promotion: Manual",
    reason="Forbidden",
    field=".canary",
)
_COMPONENT: dict[str, JsonValue] = {
    "name": {"type": "string", "description": "Refused unless empty: see spec.modelName."},
    "canaryTrafficPercent": {
        "type": "integer",
        "description": "Refused, as traffic between revisions is the operator's.",
    },
    "labels": _POD_LABELS,
}

_SCHEMA = _preserved(
    "An InferenceServiceSpec of KServe, serving.kserve.io/v1beta1: what each member is made from. It is kept as it is;"
    " `kubectl explain inferenceservice.spec` shows all of its fields, and those shown here are the ones that matter to"
    " the operator.",
    {
        "predictor": _preserved(
            "What serves the model.",
            _COMPONENT
            | {
                "model": _preserved(
                    "The model and its server. The first of `ports` is what the service forwards to; a port whose name"
                    " has grpc or h2c in it makes the service a gRPC one.",
                    {"name": _COMPONENT["name"]},
                    _no_name("KServe refuses a name here"),
                ),
                "workerSpec": _preserved("Refused, as a model on several nodes is not supported.", {}),
            },
            _no_name("KServe would name Deployment and Service after it, as it does for canaries of its own"),
            _NO_TRAFFIC_SPLIT,
            _NO_WORKERS,
        )
        | {"minProperties": 1},
        "transformer": _preserved(
            "What changes requests and answers before and after the predictor; where there is one, requests go to it.",
            _COMPONENT,
            _no_name("KServe has no such field"),
            _NO_TRAFFIC_SPLIT,
        ),
        "explainer": _preserved(
            "What explains predictions.", _COMPONENT, _no_name("KServe has no such field"), _NO_TRAFFIC_SPLIT
        ),
        "canary": {
            "type": "array",
            "description": "Refused, as no request would reach it.",
            "items": _preserved("A canary of KServe's.", {}),
        },
    },
    _NO_CANARY,
) | {"required": ["predictor"]}

Template = Annotated[dict[str, Any], WithJsonSchema(_SCHEMA)]
"""An InferenceServiceSpec, as the user wrote it."""
