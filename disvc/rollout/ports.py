"""Which ports of a member's pods the Services forward to: those that KServe's own Service would have.

That is createDefaultSvc in KServe v0.20, pkg/controller/v1beta1/inferenceservice/reconcilers/service. What a
ServingRuntime says of ports cannot be seen from here; KServe's own ones say nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from disvc.rollout.model_name import FRAMEWORKS

if TYPE_CHECKING:
    from collections.abc import Mapping

SERVICE_PORT: Final = 80
_DEFAULT: Final[Mapping[str, Any]] = {"containerPort": 8080}
_AGENT_PORT: Final = 9081
"""Of the sidecar that batches or logs requests on their way to the server."""
_COLLOCATED_TRANSFORMER: Final = "transformer-container"


def entry_point(spec: Mapping[str, Any]) -> str:
    """Return the component of an InferenceServiceSpec that requests go to."""
    return "transformer" if spec.get("transformer") is not None else "predictor"


def service_ports(spec: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the ports of a Service in front of an InferenceServiceSpec's members.

    The first port of the entry point's container becomes 80, further ones keep their number. Where there is more than
    one, the API server asks for names, of us as of KServe.
    """
    component = spec[entry_point(spec)]
    first, *further = _container(component).get("ports") or [_DEFAULT]
    target = _AGENT_PORT if component.get("batcher") or component.get("logger") else first["containerPort"]
    return [
        _port(first, SERVICE_PORT, target),
        *(_port(port, port["containerPort"], port["containerPort"]) for port in further),
    ]


def is_grpc(spec: Mapping[str, Any]) -> bool:
    """Whether port 80 of the Service is a gRPC one."""
    return "appProtocol" in service_ports(spec)[0]


def _container(component: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the container that requests reach first."""
    containers = component.get("containers") or []
    collocated = (container for container in containers if container.get("name") == _COLLOCATED_TRANSFORMER)
    models = (component[field] for field in ("model", *FRAMEWORKS) if component.get(field) is not None)
    return next(collocated, None) or next(models, None) or next(iter(containers), {})


def _port(container_port: Mapping[str, Any], port: int, target: int) -> dict[str, Any]:
    name = container_port.get("name") or ""
    service_port = {"port": port, "targetPort": target, "protocol": container_port.get("protocol") or "TCP"}
    if name:
        service_port["name"] = name
    if "grpc" in name or "h2c" in name:
        service_port["appProtocol"] = "kubernetes.io/h2c"
    return service_port
