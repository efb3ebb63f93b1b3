"""What KServe makes of one component of an ISVC in Standard mode: Deployment, Service, autoscaler. Pure functions."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from disvc.testing.kserve.admission import storage_uri
from disvc.testing.kserve.resources import (
    AUTOSCALER_CLASS,
    FORMAT_ANNOTATION,
    ISVC_LABEL,
    SERVER_CONTAINER,
    SOURCE_URI,
)

if TYPE_CHECKING:
    from disvc.testing.kserve.resources import Value
    from disvc.testing.kserve.runtimes import ServingRuntime

Kind = Literal["predictor", "transformer"]

NOT_COPIED: Final = (
    "autoscaling.knative.dev/min-scale",
    "autoscaling.knative.dev/max-scale",
    SOURCE_URI,
    "kubectl.kubernetes.io/last-applied-configuration",
    FORMAT_ANNOTATION,
)
"""The annotations of an ISVC that do not go to its Deployments, pods and Services: KServe's default configuration."""

_NOT_OF_A_CONTAINER: Final = (
    "modelFormat",
    "storageUri",
    "storage",
    "runtime",
    "runtimeVersion",
    "protocolVersion",
    "confidential",
)
_NOT_OF_A_POD: Final = (
    "autoScaling",
    "batcher",
    "canaryTrafficPercent",
    "containerConcurrency",
    "deploymentStrategy",
    "labels",
    "annotations",
    "logger",
    "maxReplicas",
    "minReplicas",
    "model",
    "name",
    "scaleMetric",
    "scaleMetricType",
    "scaleTarget",
    "storageContainerName",
    "storageUris",
    "timeout",
    "workerSpec",
)
_ROLLING_UPDATE: Final = {"maxUnavailable": "25%", "maxSurge": "25%"}


def component_name(isvc: Value, kind: Kind) -> str:
    """Return the name of a component's Deployment, Service and autoscaler."""
    own = isvc["spec"]["predictor"].get("name") if kind == "predictor" else None
    return "-".join(filter(None, (isvc["metadata"]["name"], own, kind)))


@dataclass(frozen=True)
class Component:
    """One component of an ISVC: what it is called, its metadata and its pods."""

    kind: Kind
    spec: Value
    metadata: Value
    pod_spec: Value

    @property
    def name(self) -> str:
        """Return the name of its Deployment, Service and autoscaler."""
        return str(self.metadata["name"])

    @property
    def app(self) -> str:
        """Return the label `app` of its pods, by which Deployment and Service find them."""
        return str(self.metadata["labels"]["app"])

    @property
    def _scales(self) -> bool:
        return bool(self.metadata["annotations"].get(AUTOSCALER_CLASS, "hpa") == "hpa")

    def deployment(self, progress_deadline_seconds: int) -> Value:
        """Return the Deployment; its replicas are left to the autoscaler where there is one."""
        template_metadata = {"labels": self.metadata["labels"], "annotations": self.metadata["annotations"]}
        spec: Value = {
            "selector": {"matchLabels": {"app": self.app}},
            "template": {"metadata": template_metadata, "spec": self.pod_spec},
        }
        if (strategy := self.spec.get("deploymentStrategy")) is not None:
            spec["strategy"] = strategy
        else:
            spec["strategy"] = {"type": "RollingUpdate", "rollingUpdate": _ROLLING_UPDATE}
            spec["progressDeadlineSeconds"] = progress_deadline_seconds
        if self.metadata["annotations"].get(AUTOSCALER_CLASS) == "none" and "minReplicas" in self.spec:
            spec["replicas"] = self.spec["minReplicas"]
        return {"metadata": self.metadata, "spec": spec}

    def service(self) -> Value:
        """Return the Service: the first port of the first container becomes 80, further ones keep their number."""
        ports = self.pod_spec["containers"][0].get("ports") or ()
        service_ports = [
            {
                "port": 80 if index == 0 else port["containerPort"],
                "targetPort": port["containerPort"],
                "protocol": port.get("protocol", "TCP"),
                **({"name": port["name"]} if port.get("name") else {}),
                **({"appProtocol": "kubernetes.io/h2c"} if _is_grpc(port.get("name", "")) else {}),
            }
            for index, port in enumerate(ports)
        ] or [{"name": self.name, "port": 80, "targetPort": 8080, "protocol": "TCP"}]
        return {
            "metadata": self.metadata,
            "spec": {"selector": {"app": self.app}, "ports": service_ports},
        }

    def autoscaler(self) -> Value | None:
        """Return the HorizontalPodAutoscaler, None where the ISVC wants another or none."""
        if not self._scales:
            return None
        least = max(1, self.spec.get("minReplicas", 1))
        target = {"type": "Utilization", "averageUtilization": self.spec.get("scaleTarget", 80)}
        metric = {"type": "Resource", "resource": {"name": self.spec.get("scaleMetric", "cpu"), "target": target}}
        return {
            "metadata": self.metadata,
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": self.name},
                "minReplicas": least,
                "maxReplicas": max(least, self.spec.get("maxReplicas", 0)),
                "metrics": [metric],
            },
        }


def predictor(isvc: Value, runtime: ServingRuntime | None) -> Component:
    """Return the predictor; `runtime` is what serves its `model`, None where it has containers of its own."""
    spec = isvc["spec"]["predictor"]
    containers: list[Value] = copy.deepcopy(spec.get("containers") or [])
    if runtime is not None:
        containers.insert(0, _merged(runtime.container(), spec["model"], isvc["metadata"]["name"]))
    metadata = _metadata(isvc, "predictor")
    if uri := storage_uri(spec):
        metadata["annotations"][SOURCE_URI] = uri
    return Component("predictor", spec, metadata, _pod_spec(isvc, spec, containers))


def transformer(isvc: Value) -> Component | None:
    """Return the transformer, None where the ISVC has none."""
    spec = isvc["spec"].get("transformer")
    if spec is None:
        return None
    name, namespace = isvc["metadata"]["name"], isvc["metadata"]["namespace"]
    containers: list[Value] = copy.deepcopy(spec["containers"])
    host = f"{component_name(isvc, 'predictor')}.{namespace}"
    args = containers[0].get("args") or []
    containers[0]["args"] = [*args, "--model_name", name, "--predictor_host", host, "--http_port", "8080"]
    return Component("transformer", spec, _metadata(isvc, "transformer"), _pod_spec(isvc, spec, containers))


def _metadata(isvc: Value, kind: Kind) -> Value:
    """Return what Deployment, pods and Service have in common: the ISVC's labels and annotations, and KServe's own."""
    own, extension = isvc["metadata"], isvc["spec"][kind]
    name = component_name(isvc, kind)
    annotations = {**(own.get("annotations") or {}), **(extension.get("annotations") or {})}
    return {
        "name": name,
        "namespace": own["namespace"],
        "labels": {
            **(own.get("labels") or {}),
            **(extension.get("labels") or {}),
            ISVC_LABEL: own["name"],
            "component": kind,
            "app": f"isvc.{name}",
        },
        "annotations": {key: value for key, value in annotations.items() if key not in NOT_COPIED},
    }


def _pod_spec(isvc: Value, spec: Value, containers: list[Value]) -> Value:
    for container in containers:
        name = {"name": "INFERENCE_SERVICE_NAME", "value": isvc["metadata"]["name"]}
        container["env"] = _merged_env(container.get("env") or [], [name])
    server = containers[0]
    port = server["ports"][0]["containerPort"] if server.get("ports") else 8080
    server.setdefault("readinessProbe", {"tcpSocket": {"port": port}})
    pod_fields = {name: copy.deepcopy(value) for name, value in spec.items() if name not in _NOT_OF_A_POD}
    return {**pod_fields, "containers": containers}


def _merged(runtime: Value, model: Value, name: str) -> Value:
    """Return the runtime's container with what the ISVC says of it: arguments are appended, the rest is replaced."""
    own = {field: value for field, value in copy.deepcopy(model).items() if field not in _NOT_OF_A_CONTAINER}
    resources = {
        kind: {**(runtime["resources"].get(kind) or {}), **((own.get("resources") or {}).get(kind) or {})}
        for kind in ("requests", "limits")
    }
    return {
        **runtime,
        **own,
        "name": SERVER_CONTAINER,
        "args": [arg.replace("{{.Name}}", name) for arg in (*runtime["args"], *(own.get("args") or ()))],
        "env": _merged_env(runtime["env"], own.get("env") or []),
        "resources": resources,
    }


def _merged_env(first: list[Value], second: list[Value]) -> list[Value]:
    return list({variable["name"]: variable for variable in (*first, *second)}.values())


def _is_grpc(port: str) -> bool:
    return "grpc" in port or "h2c" in port
