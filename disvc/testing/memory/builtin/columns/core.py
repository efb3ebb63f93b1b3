"""The columns of the core group, but for Pods."""

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
    since,
    sorted_labels,
    timed,
    wide,
    with_more,
)

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    Value = dict[str, Any]

__all__ = [
    "CONFIG_MAP",
    "ENDPOINTS",
    "EVENT",
    "LIMIT_RANGE",
    "NAMESPACE",
    "NODE",
    "PERSISTENT_VOLUME",
    "PERSISTENT_VOLUME_CLAIM",
    "RESOURCE_QUOTA",
    "SECRET",
    "SERVICE",
    "SERVICE_ACCOUNT",
]

_CORE: Final = "io.k8s.api.core.v1"
_ROLE_PREFIX: Final = "node-role.kubernetes.io/"
_ACCESS_MODES: Final = {
    "ReadWriteOnce": "RWO",
    "ReadOnlyMany": "ROX",
    "ReadWriteMany": "RWX",
    "ReadWriteOncePod": "RWOP",
}
_LISTED: Final = 3


def _external_address(service: Value) -> str:
    spec, external = service["spec"], service["spec"].get("externalIPs", [])
    match spec["type"]:
        case "ExternalName":
            return str(spec.get("externalName", ""))
        case "LoadBalancer":
            ingress = service["status"]["loadBalancer"].get("ingress", ())
            balancers = {each.get("ip") or each.get("hostname", "") for each in ingress}
            return ",".join([*sorted(balancers), *external]) or "<pending>"
        case _:
            return ",".join(external) or NONE


def _ports(service: Value) -> str:
    return (
        ",".join(
            f"{port['port']}:{port['nodePort']}/{port['protocol']}"
            if "nodePort" in port
            else f"{port['port']}/{port['protocol']}"
            for port in service["spec"].get("ports", ())
        )
        or NONE
    )


def _endpoints(endpoints: Value) -> str:
    if not endpoints.get("subsets"):
        return NONE
    listed = [
        f"{address['ip']}:{port['port']}" if port else address["ip"]
        for subset in endpoints["subsets"]
        for port in subset.get("ports") or [None]
        for address in subset.get("addresses", ())
    ]
    return with_more(listed, _LISTED)


def _node_status(node: Value) -> str:
    ready = [each["status"] for each in node["status"].get("conditions", ()) if each["type"] == "Ready"]
    status = ("Ready" if ready[-1] == "True" else "NotReady") if ready else "Unknown"
    return f"{status},SchedulingDisabled" if node["spec"].get("unschedulable") else status


def _node_roles(node: Value) -> str:
    labels = node["metadata"].get("labels", {})
    roles = {key.removeprefix(_ROLE_PREFIX) for key in labels if key.startswith(_ROLE_PREFIX)}
    roles.add(labels.get("kubernetes.io/role", ""))
    return ",".join(sorted(filter(None, roles))) or NONE


def _node_address(node: Value, type_: str) -> str:
    addresses = [each["address"] for each in node["status"].get("addresses", ()) if each["type"] == type_]
    return addresses[0] if addresses else NONE


def _kernel(node: Value) -> str:
    info = node["status"]["nodeInfo"]
    architecture = f" ({info['architecture']})" if info["architecture"] else ""
    return (info["kernelVersion"] or "<unknown>") + architecture


def _node_info(name: str) -> Any:
    return lambda node: node["status"]["nodeInfo"][name] or "<unknown>"


def _phase(claim: Value) -> str:
    return "Terminating" if "deletionTimestamp" in claim["metadata"] else claim["status"].get("phase", "")


def _capacity(claim: Value) -> str:
    return claim["status"].get("capacity", {}).get("storage", "0") if claim["spec"].get("volumeName") else ""


def _access_modes(claim: Value) -> str:
    return _modes_text(claim["status"].get("accessModes", ()) if claim["spec"].get("volumeName") else ())


def _modes_text(given: Collection[str]) -> str:
    return ",".join(short for mode, short in _ACCESS_MODES.items() if mode in given)


def _claim(volume: Value) -> str:
    claim = volume["spec"].get("claimRef")
    return f"{claim.get('namespace', '')}/{claim.get('name', '')}" if claim else ""


def _usage(quota: Value, *, of_limits: bool) -> str:
    hard, used = quota["status"].get("hard", {}), quota["status"].get("used", {})
    names = [name for name in sorted(hard) if name.startswith("limits.") == of_limits]
    return ", ".join(f"{name}: {used.get(name, '0')}/{hard[name]}" for name in names)


def _first_seen(event: Value, now: datetime) -> str:
    return since(event.get("firstTimestamp") or event.get("eventTime"), now)


def _last_seen(event: Value, now: datetime) -> str:
    if "series" in event:
        return since(event["series"].get("lastObservedTime"), now)
    last = event.get("lastTimestamp")
    return since(last, now) if last else _first_seen(event, now)


def _event_count(event: Value) -> int:
    if "series" in event:
        return int(event["series"].get("count", 0))
    return int(event.get("count", 1))


def _event_object(event: Value) -> str:
    involved = event["involvedObject"]
    kind, name = involved.get("kind", "").lower(), involved.get("name", "")
    return f"{kind}/{name}" if name else kind


def _event_source(event: Value) -> str:
    source = event["source"]
    component = source.get("component") or event.get("reportingComponent", "")
    host = source.get("host") or event.get("reportingInstance", "")
    return f"{component}, {host}" if host else component


NAMESPACE: Final = (NAME, column("Status", field("status.phase"), "The status of the namespace"), AGE)
SERVICE: Final = (
    NAME,
    column("Type", field("spec.type"), f"{_CORE}.ServiceSpec.type"),
    column(
        "Cluster-IP", lambda service: (service["spec"].get("clusterIPs") or [NONE])[0], f"{_CORE}.ServiceSpec.clusterIP"
    ),
    column("External-IP", _external_address, f"{_CORE}.ServiceSpec.externalIPs"),
    column("Port(s)", _ports, f"{_CORE}.ServiceSpec.ports"),
    AGE,
    wide("Selector", lambda service: sorted_labels(service["spec"].get("selector")), f"{_CORE}.ServiceSpec.selector"),
)
ENDPOINTS: Final = (NAME, column("Endpoints", _endpoints, f"{_CORE}.Endpoints.subsets"), AGE)
CONFIG_MAP: Final = (
    NAME,
    column("Data", lambda obj: len(obj.get("data", ())) + len(obj.get("binaryData", ())), f"{_CORE}.ConfigMap.data"),
    AGE,
)
SECRET: Final = (
    NAME,
    column("Type", field("type"), f"{_CORE}.Secret.type"),
    column("Data", count("data"), f"{_CORE}.Secret.data"),
    AGE,
)
SERVICE_ACCOUNT: Final = (NAME, AGE)
NODE: Final = (
    NAME,
    column("Status", _node_status, "The status of the node"),
    column("Roles", _node_roles, "The roles of the node"),
    AGE,
    column("Version", field("status.nodeInfo.kubeletVersion"), f"{_CORE}.NodeSystemInfo.kubeletVersion"),
    wide("Internal-IP", lambda node: _node_address(node, "InternalIP"), f"{_CORE}.NodeStatus.addresses"),
    wide("External-IP", lambda node: _node_address(node, "ExternalIP"), f"{_CORE}.NodeStatus.addresses"),
    wide("OS-Image", _node_info("osImage"), f"{_CORE}.NodeSystemInfo.osImage"),
    wide("Kernel-Version", _kernel, f"{_CORE}.NodeSystemInfo.kernelVersion"),
    wide("Container-Runtime", _node_info("containerRuntimeVersion"), f"{_CORE}.NodeSystemInfo.containerRuntimeVersion"),
)
PERSISTENT_VOLUME: Final = (
    NAME,
    column("Capacity", field("spec.capacity.storage", "0"), f"{_CORE}.PersistentVolumeSpec.capacity"),
    column(
        "Access Modes",
        lambda volume: _modes_text(volume["spec"].get("accessModes", ())),
        f"{_CORE}.PersistentVolumeSpec.accessModes",
    ),
    column(
        "Reclaim Policy",
        field("spec.persistentVolumeReclaimPolicy"),
        f"{_CORE}.PersistentVolumeSpec.persistentVolumeReclaimPolicy",
    ),
    column("Status", _phase, f"{_CORE}.PersistentVolumeStatus.phase"),
    column("Claim", _claim, f"{_CORE}.PersistentVolumeSpec.claimRef"),
    column("StorageClass", field("spec.storageClassName"), "StorageClass of the pv"),
    column(
        "VolumeAttributesClass",
        field("spec.volumeAttributesClassName", "<unset>"),
        "VolumeAttributesClass of the pv",
    ),
    column("Reason", field("status.reason"), f"{_CORE}.PersistentVolumeStatus.reason"),
    AGE,
    wide("VolumeMode", field("spec.volumeMode", "<unset>"), f"{_CORE}.PersistentVolumeSpec.volumeMode"),
)
PERSISTENT_VOLUME_CLAIM: Final = (
    NAME,
    column("Status", _phase, f"{_CORE}.PersistentVolumeClaimStatus.phase"),
    column("Volume", field("spec.volumeName"), f"{_CORE}.PersistentVolumeClaimSpec.volumeName"),
    column("Capacity", _capacity, f"{_CORE}.PersistentVolumeClaimStatus.capacity"),
    column("Access Modes", _access_modes, f"{_CORE}.PersistentVolumeClaimStatus.accessModes"),
    column("StorageClass", field("spec.storageClassName"), "StorageClass of the pvc"),
    column(
        "VolumeAttributesClass",
        field("spec.volumeAttributesClassName", "<unset>"),
        "VolumeAttributesClass of the pvc",
    ),
    AGE,
    wide("VolumeMode", field("spec.volumeMode", "<unset>"), f"{_CORE}.PersistentVolumeClaimSpec.volumeMode"),
)
RESOURCE_QUOTA: Final = (
    NAME,
    column(
        "Request",
        lambda quota: _usage(quota, of_limits=False),
        "Request represents a minimum amount of cpu/memory that a container may consume.",
    ),
    column(
        "Limit",
        lambda quota: _usage(quota, of_limits=True),
        "Limits control the maximum amount of cpu/memory that a container may use independent of contention on the "
        "node.",
    ),
    AGE,
)
LIMIT_RANGE: Final = (NAME, CREATED_AT)
EVENT: Final = (
    timed("Last Seen", _last_seen, f"{_CORE}.Event.lastTimestamp"),
    column("Type", field("type"), f"{_CORE}.Event.type"),
    column("Reason", field("reason"), f"{_CORE}.Event.reason"),
    column("Object", _event_object, f"{_CORE}.Event.involvedObject"),
    wide("Subobject", field("involvedObject.fieldPath"), f"{_CORE}.ObjectReference.fieldPath"),
    wide("Source", _event_source, f"{_CORE}.Event.source"),
    column("Message", lambda event: event.get("message", "").strip(), f"{_CORE}.Event.message"),
    timed("First Seen", _first_seen, f"{_CORE}.Event.firstTimestamp", priority=1),
    wide("Count", _event_count, f"{_CORE}.Event.count"),
    replace(NAME, priority=1),
)
