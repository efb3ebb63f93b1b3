"""Defaults that depend on other fields, of all but Pods and their parts."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Value = dict[str, Any]

__all__ = ["RULES"]

_CORE: Final = "io.k8s.api.core.v1"
_APPS: Final = "io.k8s.api.apps.v1"
_RBAC: Final = "rbac.authorization.k8s.io"
_MAX_INT32: Final = 2**31 - 1


def _service(service: Value) -> None:
    spec = service["spec"]
    spec.setdefault("sessionAffinity", "None")
    if spec["sessionAffinity"] == "None":
        spec.pop("sessionAffinityConfig", None)
    elif spec["sessionAffinity"] == "ClientIP" and _client_ip_timeout(spec) is None:
        spec["sessionAffinityConfig"] = {"clientIP": {"timeoutSeconds": 10800}}
    type_ = spec.setdefault("type", "ClusterIP")
    for port in spec.get("ports", ()):
        port.setdefault("protocol", "TCP")
        if port.get("targetPort") in {0, "", None}:
            port["targetPort"] = port["port"]
    if type_ in {"NodePort", "LoadBalancer"} or (type_ == "ClusterIP" and spec.get("externalIPs")):
        spec.setdefault("externalTrafficPolicy", "Cluster")
    if type_ in {"ClusterIP", "NodePort", "LoadBalancer"}:
        spec.setdefault("internalTrafficPolicy", "Cluster")
    if type_ == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)
        for ingress in service["status"]["loadBalancer"].get("ingress", ()):
            if "ip" in ingress:
                ingress.setdefault("ipMode", "VIP")


def _client_ip_timeout(spec: Value) -> object:
    return spec.get("sessionAffinityConfig", {}).get("clientIP", {}).get("timeoutSeconds")


def _secret(secret: Value) -> None:
    """Move stringData to data, as the server does when it reads a Secret."""
    if texts := secret.pop("stringData", None):
        encoded = {key: base64.b64encode(text.encode()).decode() for key, text in texts.items()}
        secret["data"] = {**secret.get("data", {}), **encoded}


def _namespace(namespace: Value) -> None:
    if name := namespace["metadata"].get("name"):
        namespace["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = name


def _node_spec(spec: Value) -> None:
    """Make podCIDR, which came first, and podCIDRs agree."""
    first, several = spec.get("podCIDR"), spec.get("podCIDRs")
    if first and (not several or several[0] != first):
        spec["podCIDRs"] = [first]
    elif several:
        spec["podCIDR"] = several[0]


def _node_status(status: Value) -> None:
    if capacity := status.get("capacity"):
        status.setdefault("allocatable", dict(capacity))


def _limit_range_item(item: Value) -> None:
    if item["type"] != "Container":
        return
    if default := {**item.get("max", {}), **item.get("default", {})}:
        item["default"] = default
    if request := {**item.get("min", {}), **default, **item.get("defaultRequest", {})}:
        item["defaultRequest"] = request


def _deployment_strategy(strategy: Value) -> None:
    if strategy.get("type", "RollingUpdate") == "RollingUpdate":
        strategy.setdefault("rollingUpdate", {})


def _stateful_set_spec(spec: Value) -> None:
    strategy = spec["updateStrategy"]
    if "type" not in strategy:
        strategy["type"] = "RollingUpdate"
        strategy.setdefault("rollingUpdate", {})
    if strategy["type"] == "RollingUpdate" and "rollingUpdate" in strategy:
        strategy["rollingUpdate"].setdefault("partition", 0)
    for claim in spec.get("volumeClaimTemplates", ()):
        claim["apiVersion"], claim["kind"] = "v1", "PersistentVolumeClaim"


def _job(job: Value) -> None:
    spec = job["spec"]
    if "completions" not in spec and "parallelism" not in spec:
        spec["completions"] = 1
    spec.setdefault("parallelism", 1)
    spec.setdefault("backoffLimit", _MAX_INT32 if "backoffLimitPerIndex" in spec else 6)
    if labels := spec["template"]["metadata"].get("labels"):
        job["metadata"].setdefault("labels", dict(labels))
    spec.setdefault("completionMode", "NonIndexed")
    spec.setdefault("suspend", False)
    spec.setdefault("podReplacementPolicy", "Failed" if "podFailurePolicy" in spec else "TerminatingOrFailed")
    spec.setdefault("manualSelector", False)


def _replication_controller(controller: Value) -> None:
    spec = controller["spec"]
    if labels := spec.get("template", {}).get("metadata", {}).get("labels"):
        spec.setdefault("selector", dict(labels))
        controller["metadata"].setdefault("labels", dict(labels))


def _network_policy_spec(spec: Value) -> None:
    spec.setdefault("policyTypes", ["Ingress", *(["Egress"] if spec.get("egress") else ())])


def _role_reference(role: Value) -> None:
    role["apiGroup"] = role["apiGroup"] or _RBAC


def _subject(subject: Value) -> None:
    if subject["kind"] in {"User", "Group"}:
        subject.setdefault("apiGroup", _RBAC)


def _autoscaler_spec(spec: Value) -> None:
    if "metrics" not in spec:
        target = {"type": "Utilization", "averageUtilization": 80}
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    if (behavior := spec.get("behavior")) is not None:
        percent = {"type": "Percent", "value": 100, "periodSeconds": 15}
        up = [{"type": "Pods", "value": 4, "periodSeconds": 15}, percent]
        given = behavior.get("scaleUp", {})
        behavior["scaleUp"] = {"stabilizationWindowSeconds": 0, "selectPolicy": "Max", "policies": up, **given}
        behavior["scaleDown"] = {"selectPolicy": "Max", "policies": [dict(percent)], **behavior.get("scaleDown", {})}


RULES: Final[Mapping[str, Callable[[Value], None]]] = {
    f"{_CORE}.Service": _service,
    f"{_CORE}.Secret": _secret,
    f"{_CORE}.Namespace": _namespace,
    f"{_CORE}.NodeSpec": _node_spec,
    f"{_CORE}.NodeStatus": _node_status,
    f"{_CORE}.LimitRangeItem": _limit_range_item,
    f"{_CORE}.ReplicationController": _replication_controller,
    f"{_APPS}.DeploymentStrategy": _deployment_strategy,
    f"{_APPS}.DaemonSetUpdateStrategy": _deployment_strategy,
    f"{_APPS}.StatefulSetSpec": _stateful_set_spec,
    "io.k8s.api.batch.v1.Job": _job,
    "io.k8s.api.networking.v1.NetworkPolicySpec": _network_policy_spec,
    "io.k8s.api.rbac.v1.RoleRef": _role_reference,
    "io.k8s.api.rbac.v1.Subject": _subject,
    "io.k8s.api.autoscaling.v2.HorizontalPodAutoscalerSpec": _autoscaler_spec,
}
