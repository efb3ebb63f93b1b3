"""The members of a revision: InferenceServices NAME-vN-i, all from one record.

`render` is what today's operator makes of a template. It is done once, recorded, and `member` only fills in the
member's name: any change of a running InferenceService's metadata rolls its pods, so neither a later version of the
operator nor an edit of the DISVC's own metadata may change what a live one should be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from disvc.rollout.model_name import with_model_name
from disvc.rollout.names import (
    CLUSTER_LOCAL,
    DISVC_LABEL,
    GROUP_LABEL,
    HASH_ANNOTATION,
    STOP_ANNOTATION,
    VISIBILITY_LABEL,
    member_name,
    revision_name,
)
from disvc.rollout.template import template_hash, template_of, without_nulls

if TYPE_CHECKING:
    from collections.abc import Mapping

    from disvc.api.types import DistributedInferenceService
    from disvc.rollout.revision import Record

KIND: Final = "InferenceService"
DEPLOYMENT_MODE: Final = "serving.kserve.io/deploymentMode"
_MEMBER: Final = "$(member)"
"""Stands for the member's name in recorded label values; no label can have it in its value."""
_MEMBER_LABELS: Final = {"app": f"isvc.{_MEMBER}-predictor", "serving.kserve.io/inferenceservice": _MEMBER}
_LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
_RAW: Final = "RawDeployment"
_MODES: Final = (_RAW, "Standard")
"""KServe's old and new word for the same; its webhook rewrites the old one, which every version knows."""
_KSERVE: Final = "kserve.io"
_OWN: Final = "disvc.serving.kserve.io"
"""Of annotations by which people ask the operator for something, and of the operator's own."""


def render(disvc: DistributedInferenceService, number: int) -> dict[str, Any]:
    """Return what is recorded for a revision: `metadata.labels`, `metadata.annotations` and `spec`."""
    spec, name = disvc.spec, disvc.metadata.name
    labels = {
        **spec.labels,
        DISVC_LABEL: name,
        GROUP_LABEL: revision_name(name, number),
        **_MEMBER_LABELS,
        "component": "predictor",
        VISIBILITY_LABEL: CLUSTER_LOCAL,
    }
    annotations = {**_annotations(disvc), HASH_ANNOTATION: template_hash(template_of(disvc))}
    return {
        "metadata": {"labels": labels, "annotations": annotations},
        "spec": with_model_name(without_nulls(spec.template), spec.model_name or name),
    }


def member(disvc: DistributedInferenceService, record: Record, index: int) -> dict[str, Any]:
    """Return a revision's member: the whole object to create."""
    name = member_name(record.ref.name, index)
    metadata = record.member["metadata"]
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": KIND,
        "metadata": {
            "name": name,
            "namespace": disvc.metadata.namespace,
            "labels": {key: value.replace(_MEMBER, name) for key, value in metadata["labels"].items()},
            "annotations": metadata["annotations"],
            "ownerReferences": [disvc.owner_reference],
        },
        "spec": record.member["spec"],
    }


def rendering_of(isvc: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `render` may have returned for a member that lives, for a record that was lost."""
    metadata = isvc["metadata"]
    annotations = metadata.get("annotations") or {}
    return {
        "metadata": {
            "labels": {**(metadata.get("labels") or {}), **_MEMBER_LABELS},
            "annotations": {key: value for key, value in annotations.items() if key != _LAST_APPLIED},
        },
        "spec": isvc["spec"],
    }


def unsupported(disvc: DistributedInferenceService) -> str | None:
    """Return why a DISVC cannot be served in the deployment mode that it asks for, None where it can."""
    mode = _annotations(disvc)[DEPLOYMENT_MODE]
    if mode in _MODES:
        return None
    return (
        f"the annotation {DEPLOYMENT_MODE} is {mode!r}, and only {' or '.join(_MODES)} is supported, as traffic is "
        "switched by Services that select the pods of Deployments: remove the annotation, or change it"
    )


def _annotations(disvc: DistributedInferenceService) -> dict[str, str]:
    """Return the members' annotations: the spec's, and KServe's of the DISVC itself.

    `serving.kserve.io/stop` on the DISVC is the operator's to act on: it may come and go without a new revision.
    """
    inherited = {
        key: value for key, value in disvc.metadata.annotations.items() if _of_kserve(key) and key != STOP_ANNOTATION
    }
    return {DEPLOYMENT_MODE: _RAW, **inherited, **disvc.spec.annotations}


def _of_kserve(key: str) -> bool:
    domain = key.rpartition("/")[0]
    return (domain == _KSERVE or domain.endswith(f".{_KSERVE}")) and domain != _OWN
