"""The groups of one or two kinds each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from disvc.testing.memory.builtin.strategy import kind, spec
from disvc.testing.memory.formats import path_segment
from disvc.testing.memory.structural.definition.strategy import DefinitionStrategy

if TYPE_CHECKING:
    Value = dict[str, Any]

__all__ = ["TYPES"]

_RBAC: Final = "rbac.authorization.k8s.io"
_ADMISSION: Final = "admissionregistration.k8s.io"


def _content(obj: Value) -> object:
    """Return what an EndpointSlice's generation follows: all but what is not its own."""
    metadata = obj["metadata"]
    return {**obj, "metadata": (metadata.get("labels"), metadata.get("annotations"))}


def _webhooks(obj: Value) -> object:
    return obj.get("webhooks")


def _nothing(obj: Value) -> object:
    """Return what the generation of a kind follows in which it is always 1."""
    return None


TYPES: Final = (
    kind("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", generation_follows=_content),
    kind(
        "coordination.k8s.io",
        "v1",
        "Lease",
        "leases",
        allows_create_on_update=True,
        allows_unconditional_update=False,
    ),
    kind("events.k8s.io", "v1", "Event", "events", short_names=("ev",), allows_create_on_update=True),
    kind(
        "autoscaling",
        "v2",
        "HorizontalPodAutoscaler",
        "horizontalpodautoscalers",
        short_names=("hpa",),
        categories=("all",),
    ),
    kind(
        "autoscaling",
        "v1",
        "HorizontalPodAutoscaler",
        "horizontalpodautoscalers",
        short_names=("hpa",),
        categories=("all",),
    ),
    kind(
        "policy",
        "v1",
        "PodDisruptionBudget",
        "poddisruptionbudgets",
        short_names=("pdb",),
        generation_follows=spec,
        allows_unconditional_update=False,
    ),
    kind(_RBAC, "v1", "Role", "roles", check_name=path_segment, allows_create_on_update=True),
    kind(
        _RBAC,
        "v1",
        "ClusterRole",
        "clusterroles",
        namespaced=False,
        check_name=path_segment,
        allows_create_on_update=True,
    ),
    kind(_RBAC, "v1", "RoleBinding", "rolebindings", check_name=path_segment, allows_create_on_update=True),
    kind(
        _RBAC,
        "v1",
        "ClusterRoleBinding",
        "clusterrolebindings",
        namespaced=False,
        check_name=path_segment,
        allows_create_on_update=True,
    ),
    kind(
        _ADMISSION,
        "v1",
        "MutatingWebhookConfiguration",
        "mutatingwebhookconfigurations",
        namespaced=False,
        categories=("api-extensions",),
        generation_follows=_webhooks,
        allows_unconditional_update=False,
    ),
    kind(
        _ADMISSION,
        "v1",
        "ValidatingWebhookConfiguration",
        "validatingwebhookconfigurations",
        namespaced=False,
        categories=("api-extensions",),
        generation_follows=_webhooks,
        allows_unconditional_update=False,
    ),
    kind(
        "apiextensions.k8s.io",
        "v1",
        "CustomResourceDefinition",
        "customresourcedefinitions",
        DefinitionStrategy,
        namespaced=False,
        short_names=("crd", "crds"),
        categories=("api-extensions",),
        generation_follows=spec,
        allows_unconditional_update=False,
    ),
    kind(
        "scheduling.k8s.io",
        "v1",
        "PriorityClass",
        "priorityclasses",
        namespaced=False,
        short_names=("pc",),
        generation_follows=_nothing,
    ),
    kind(
        "storage.k8s.io",
        "v1",
        "StorageClass",
        "storageclasses",
        namespaced=False,
        short_names=("sc",),
        answers_deleted_object=True,
    ),
)
