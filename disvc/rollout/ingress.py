"""The Ingress of a DISVC: NAME, from outside the cluster to the Service of one revision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from disvc.api.spec import AffinityType
from disvc.rollout.addresses import host
from disvc.rollout.ports import SERVICE_PORT, is_grpc

if TYPE_CHECKING:
    from collections.abc import Mapping

    from disvc.api.types import DistributedInferenceService
    from disvc.rollout.configuration import RoutingDefaults
    from disvc.rollout.revision import Record

EXACT: Final = (("spec", "rules"), ("spec", "tls"), ("spec", "defaultBackend"), ("spec", "ingressClassName"))
"""Where nothing may stand but what is wanted, or what the API server has chosen itself."""
_NGINX: Final = "nginx.ingress.kubernetes.io"


def ingress(disvc: DistributedInferenceService, record: Record, defaults: RoutingDefaults) -> dict[str, Any]:
    """Return the Ingress of an exposed DISVC, with a revision's Service as its backend."""
    routing, outside = disvc.spec.routing, host(disvc, defaults)
    grpc = is_grpc(record.member["spec"])
    annotations = {}
    if grpc:
        annotations[f"{_NGINX}/backend-protocol"] = "GRPC"
    if routing.session_affinity.type is AffinityType.CLIENT_IP:
        # ingress-nginx sends to pods, past the Service and its affinity.
        annotations[f"{_NGINX}/upstream-hash-by"] = "$binary_remote_addr"
    backend = {"service": {"name": record.ref.name, "port": {"number": SERVICE_PORT}}}
    path = {"path": "/", "pathType": "Prefix", "backend": backend}
    spec: dict[str, Any] = {"rules": [{"host": outside, "http": {"paths": [path]}}]}
    if class_name := routing.class_name or defaults.ingress_class:
        spec["ingressClassName"] = class_name
    # Clients speak HTTP/2 to an ingress controller only over TLS, so gRPC is not without it.
    if secret := routing.tls.secret_name if routing.tls else grpc and defaults.grpc_tls_secret:
        spec["tls"] = [{"hosts": [outside], "secretName": secret}]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {
            "name": disvc.metadata.name,
            "namespace": disvc.metadata.namespace,
            "annotations": annotations | routing.annotations,
            "ownerReferences": [disvc.owner_reference],
        },
        "spec": spec,
    }


def backend_revision(ingress: Mapping[str, Any], name: str) -> str | None:
    """Return the revision of DISVC `name` whose Service all of an Ingress leads to, None where that is not so."""
    spec = ingress.get("spec") or {}
    paths = [path for rule in spec.get("rules") or [] for path in (rule.get("http") or {}).get("paths") or []]
    backends = [*(path["backend"] for path in paths), *filter(None, [spec.get("defaultBackend")])]
    services = {backend.get("service", {}).get("name", "") for backend in backends}
    service: str = services.pop() if len(services) == 1 else ""
    number = service.removeprefix(f"{name}-v")
    return service if number != service and number.isascii() and number.isdecimal() else None
