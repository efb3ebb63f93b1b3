"""The columns of all other groups."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from disvc.testing.memory.builtin.columns.common import (
    AGE,
    CREATED_AT,
    NAME,
    NONE,
    column,
    count,
    field,
    selector_text,
    wide,
    with_more,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from disvc.testing.memory.resource import Column

    Value = dict[str, Any]

__all__ = [
    "BINDING",
    "CLUSTER_ROLE_BINDING",
    "DEFAULT",
    "ENDPOINT_SLICE",
    "HORIZONTAL_POD_AUTOSCALER",
    "INGRESS",
    "INGRESS_CLASS",
    "LEASE",
    "NETWORK_POLICY",
    "POD_DISRUPTION_BUDGET",
    "PRIORITY_CLASS",
    "STORAGE_CLASS",
    "WEBHOOKS",
]

_POLICY: Final = "io.k8s.api.networking.v1.NetworkPolicySpec"
_AUTOSCALER: Final = "io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler"
_STORAGE: Final = "io.k8s.api.storage.v1.StorageClass"
_REFUSES: Final = "If the RoleRef cannot be resolved, the Authorizer must return an error."
_ROLE_REFERENCES: Final = {
    "roleBinding": "RoleRef can reference a Role in the current namespace or a ClusterRole in the global namespace. "
    + _REFUSES,
    "clusterRoleBinding": f"RoleRef can only reference a ClusterRole in the global namespace. {_REFUSES}",
}
_LISTED: Final = 3
_METRICS_LISTED: Final = 2


def _hosts(ingress: Value) -> str:
    rules = ingress["spec"].get("rules", [])
    hosts = [rule["host"] for rule in rules if rule.get("host")]
    if not hosts:
        return "*"
    more = f" + {len(rules) - _LISTED} more..." if len(hosts) >= _LISTED and len(rules) > _LISTED else ""
    return ",".join(hosts[:_LISTED]) + more


def _address(ingress: Value) -> str:
    given = ingress["status"]["loadBalancer"].get("ingress", ())
    return ",".join(sorted({each.get("ip") or each.get("hostname", "") for each in given}))


def _class_name(annotation: str) -> Column:
    """Return the column of a name that tells whether a class is the one that is taken where none is named."""

    def name(obj: Value, _: datetime) -> str:
        is_default = obj["metadata"].get("annotations", {}).get(annotation) == "true"
        return f"{obj['metadata']['name']} (default)" if is_default else str(obj["metadata"]["name"])

    return replace(NAME, cell=name)


def _parameters(class_: Value) -> str:
    given = class_["spec"].get("parameters")
    if given is None:
        return NONE
    group = f".{given['apiGroup']}" if "apiGroup" in given else ""
    return f"{given['kind']}{group}/{given['name']}"


def _slice_ports(slice_: Value) -> str:
    listed = [str(port.get("port") or port.get("name", "*")) for port in slice_["ports"] or ()]
    return with_more(listed, _LISTED) or "<unset>"


def _slice_endpoints(slice_: Value) -> str:
    listed = [address for endpoint in slice_["endpoints"] or () for address in endpoint["addresses"] or ()]
    return with_more(listed, _LISTED) or "<unset>"


def _targets(autoscaler: Value) -> str:
    current = autoscaler["status"].get("currentMetrics") or []
    listed = [
        _target(metric, current[index] if index < len(current) else {})
        for index, metric in enumerate(autoscaler["spec"].get("metrics", ()))
    ]
    return with_more(listed, _METRICS_LISTED, ", ") or NONE


def _target(metric: Value, current: Value) -> str:
    type_ = metric["type"]
    name = type_[:1].lower() + type_[1:]
    target, now = metric[name]["target"], current.get(name, {}).get("current", {})
    if name in {"resource", "containerResource"}:
        if "averageValue" in target:
            return f"{metric[name]['name']}: {now.get('averageValue', '<unknown>')}/{target['averageValue']}"
        wanted = f"{target['averageUtilization']}%" if "averageUtilization" in target else "<auto>"
        reached = f"{now['averageUtilization']}%" if "averageUtilization" in now else "<unknown>"
        return f"{metric[name]['name']}: {reached}/{wanted}"
    if "averageValue" in target:
        suffix = "" if name == "pods" else " (avg)"
        return f"{now.get('averageValue', '<unknown>')}/{target['averageValue']}{suffix}"
    return f"{now.get('value', '<unknown>')}/{target.get('value', '0')}"


def _subjects(kind: str) -> Callable[[Value], str]:
    """Return what lists the subjects of a kind."""

    def listed(binding: Value) -> str:
        subjects = [each for each in binding.get("subjects", ()) if each["kind"] == kind]
        prefix = "{namespace}/" if kind == "ServiceAccount" else ""
        return ", ".join(f"{prefix.format(namespace=each.get('namespace', ''))}{each['name']}" for each in subjects)

    return listed


def _binding(kind: str) -> tuple[Column, ...]:
    return (
        NAME,
        column(
            "Role",
            lambda obj: f"{obj['roleRef']['kind']}/{obj['roleRef']['name']}",
            _ROLE_REFERENCES[kind],
        ),
        AGE,
        wide("Users", _subjects("User"), f"Users in the {kind}"),
        wide("Groups", _subjects("Group"), f"Groups in the {kind}"),
        wide("ServiceAccounts", _subjects("ServiceAccount"), f"ServiceAccounts in the {kind}"),
    )


DEFAULT: Final = (NAME, CREATED_AT)
"""The columns of a kind that has none of its own."""
INGRESS: Final = (
    NAME,
    column(
        "Class",
        field("spec.ingressClassName", NONE),
        "The name of the IngressClass resource that should be used for additional configuration",
    ),
    column("Hosts", _hosts, "Hosts that incoming requests are matched against before the ingress rule"),
    column("Address", _address, "Address is a list containing ingress points for the load-balancer"),
    column("Ports", lambda obj: "80, 443" if obj["spec"].get("tls") else "80", "Ports of TLS configurations that open"),
    AGE,
)
INGRESS_CLASS: Final = (
    _class_name("ingressclass.kubernetes.io/is-default-class"),
    column("Controller", field("spec.controller"), "Controller that is responsible for handling this class"),
    column("Parameters", _parameters, "A reference to a resource with additional parameters"),
    AGE,
)
NETWORK_POLICY: Final = (
    NAME,
    column(
        "Pod-Selector",
        lambda obj: selector_text(obj["spec"]["podSelector"]),
        f"{_POLICY}.podSelector",
    ),
    AGE,
)
ENDPOINT_SLICE: Final = (
    NAME,
    column("AddressType", field("addressType"), "io.k8s.api.discovery.v1.EndpointSlice.addressType"),
    column("Ports", _slice_ports, "io.k8s.api.discovery.v1.EndpointSlice.ports"),
    column("Endpoints", _slice_endpoints, "io.k8s.api.discovery.v1.EndpointSlice.endpoints"),
    AGE,
)
LEASE: Final = (
    NAME,
    column("Holder", field("spec.holderIdentity"), "io.k8s.api.coordination.v1.LeaseSpec.holderIdentity"),
    AGE,
)
HORIZONTAL_POD_AUTOSCALER: Final = (
    NAME,
    column(
        "Reference",
        lambda obj: f"{obj['spec']['scaleTargetRef']['kind']}/{obj['spec']['scaleTargetRef']['name']}",
        f"{_AUTOSCALER}Spec.scaleTargetRef",
    ),
    column("Targets", _targets, f"{_AUTOSCALER}Spec.metrics"),
    column(
        "MinPods",
        lambda obj: str(obj["spec"].get("minReplicas", "<unset>")),
        f"{_AUTOSCALER}Spec.minReplicas",
    ),
    column("MaxPods", field("spec.maxReplicas", 0), f"{_AUTOSCALER}Spec.maxReplicas"),
    column("Replicas", field("status.currentReplicas", 0), f"{_AUTOSCALER}Status.currentReplicas"),
    AGE,
)
POD_DISRUPTION_BUDGET: Final = (
    NAME,
    column(
        "Min Available",
        lambda obj: str(obj["spec"].get("minAvailable", "N/A")),
        "The minimum number of pods that must be available.",
    ),
    column(
        "Max Unavailable",
        lambda obj: str(obj["spec"].get("maxUnavailable", "N/A")),
        "The maximum number of pods that may be unavailable.",
    ),
    column(
        "Allowed Disruptions",
        field("status.disruptionsAllowed", 0),
        "Calculated number of pods that may be disrupted at this time.",
        type="integer",
    ),
    AGE,
)
BINDING: Final = _binding("roleBinding")
CLUSTER_ROLE_BINDING: Final = _binding("clusterRoleBinding")
WEBHOOKS: Final = (
    NAME,
    column(
        "Webhooks",
        count("webhooks"),
        "Webhooks indicates the number of webhooks registered in this configuration",
        type="integer",
    ),
    AGE,
)
PRIORITY_CLASS: Final = (
    NAME,
    column("Value", field("value", 0), "io.k8s.api.scheduling.v1.PriorityClass.value", type="integer"),
    column(
        "Global-Default",
        field("globalDefault", False),
        "io.k8s.api.scheduling.v1.PriorityClass.globalDefault",
        type="boolean",
    ),
    AGE,
    column("PreemptionPolicy", field("preemptionPolicy"), "io.k8s.api.scheduling.v1.PriorityClass.preemptionPolicy"),
)
STORAGE_CLASS: Final = (
    _class_name("storageclass.kubernetes.io/is-default-class"),
    column("Provisioner", field("provisioner"), f"{_STORAGE}.provisioner"),
    column("ReclaimPolicy", field("reclaimPolicy"), f"{_STORAGE}.reclaimPolicy"),
    column("VolumeBindingMode", field("volumeBindingMode"), f"{_STORAGE}.volumeBindingMode"),
    column("AllowVolumeExpansion", field("allowVolumeExpansion", False), f"{_STORAGE}.allowVolumeExpansion"),
    AGE,
)
