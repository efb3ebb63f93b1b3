"""The Services of a DISVC: NAME, the stable one, and NAME-vN, one for each revision.

They never have the labels `component` or `serving.kserve.io/inferenceservice`: KServe deletes Services that have them
and that it does not know, whoever owns them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from disvc.api.spec import AffinityType
from disvc.rollout.names import DISVC_LABEL, GROUP_LABEL, SERVICE_GROUP_LABEL
from disvc.rollout.ports import entry_point, service_ports

if TYPE_CHECKING:
    from collections.abc import Mapping

    from disvc.api.types import DistributedInferenceService
    from disvc.rollout.revision import Record

EXACT: Final = (("spec", "selector"), ("spec", "ports"), ("spec", "sessionAffinityConfig"))
"""Where nothing may stand but what is wanted."""


def stable(disvc: DistributedInferenceService, record: Record) -> dict[str, Any]:
    """Return Service NAME, which sends requests to one revision: never to one that nobody has promoted."""
    name = disvc.metadata.name
    selector = {DISVC_LABEL: name, GROUP_LABEL: record.ref.name}
    return _service(disvc, record, name, {DISVC_LABEL: name}, selector)


def revision_service(disvc: DistributedInferenceService, record: Record) -> dict[str, Any]:
    """Return Service NAME-vN of a revision."""
    return _service(disvc, record, record.ref.name, {}, {GROUP_LABEL: record.ref.name})


def selected_revision(service: Mapping[str, Any]) -> str | None:
    """Return the name of the revision that a Service sends requests to, None where it selects none."""
    revision: str | None = (service.get("spec", {}).get("selector") or {}).get(GROUP_LABEL)
    return revision


def _service(
    disvc: DistributedInferenceService, record: Record, name: str, labels: dict[str, str], selector: dict[str, str]
) -> dict[str, Any]:
    template = record.member["spec"]
    if template.get("transformer") is not None or template.get("explainer") is not None:
        # KServe gives the members' labels to the pods of all components.
        selector = {**selector, "component": entry_point(template)}
    spec = {
        "type": "ClusterIP",
        "selector": selector,
        "ports": service_ports(template),
        "sessionAffinity": str(disvc.spec.routing.session_affinity.type),
    }
    affinity = disvc.spec.routing.session_affinity
    if affinity.type is AffinityType.CLIENT_IP:
        spec["sessionAffinityConfig"] = {"clientIP": {"timeoutSeconds": affinity.timeout_seconds}}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": name,
            "namespace": disvc.metadata.namespace,
            "labels": {SERVICE_GROUP_LABEL: name, **labels},
            "ownerReferences": [disvc.owner_reference],
        },
        "spec": spec,
    }
