"""The spec and the status of a Service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from disvc.testing.memory import causes, formats
from disvc.testing.memory.builtin.validation.addresses import endpoint_address, legacy_ip_address, network
from disvc.testing.memory.builtin.validation.containers import PROTOCOLS
from disvc.testing.memory.builtin.validation.fields import among, formatted, labels, one_of, port, required
from disvc.testing.memory.causes import item
from disvc.testing.memory.go_text import Struct

if TYPE_CHECKING:
    from collections.abc import Iterator

    from disvc.testing.memory.errors import Cause

    Value = dict[str, Any]

__all__ = ["cluster_addresses", "is_reachable_from_outside", "service_changes", "service_spec", "service_status"]

_TYPES: Final = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_POLICIES: Final = ("Cluster", "Local")
_DISTRIBUTIONS: Final = ("PreferClose", "PreferSameZone", "PreferSameNode")
_AFFINITY_TIMEOUT: Final = range(1, 86400 + 1)
_ONLY_LOAD_BALANCERS: Final = "may only be used when `type` is 'LoadBalancer'"
_FIXED: Final = "may not change once set"


def service_spec(spec: Value) -> Iterator[Cause]:
    """Check the spec of a Service."""
    yield from _kind_of_service(spec)
    ports = spec.get("ports", [])
    names: set[str] = set()
    for index, each in enumerate(ports):
        yield from _port(item("spec.ports", index), each, names, is_one_of_many=len(ports) > 1)
    yield from labels("spec.selector", spec.get("selector"))
    yield from one_of("spec.sessionAffinity", spec["sessionAffinity"], ("ClientIP", "None"))
    if spec["sessionAffinity"] == "ClientIP":
        seconds = spec["sessionAffinityConfig"]["clientIP"]["timeoutSeconds"]
        if seconds not in _AFFINITY_TIMEOUT:
            why = "must be greater than 0 and less than 86400"
            yield causes.invalid("spec.sessionAffinityConfig.clientIP.timeoutSeconds", seconds, why)
    if spec["type"] != "ExternalName":
        yield from cluster_addresses(spec)
    for index, address in enumerate(spec.get("externalIPs", ())):
        path = item("spec.externalIPs", index)
        malformed = list(legacy_ip_address(path, address))
        yield from malformed or endpoint_address(path, address)
    yield from one_of("spec.type", spec["type"], _TYPES)
    yield from _uniqueness(spec)
    yield from _load_balancer(spec)
    yield from _traffic(spec)


def _kind_of_service(spec: Value) -> Iterator[Cause]:
    is_headless = spec.get("clusterIP") == "None"
    if not spec.get("ports") and not is_headless and spec["type"] != "ExternalName":
        yield causes.required("spec.ports")
    if is_headless and spec["type"] in {"LoadBalancer", "NodePort"}:
        why = f"may not be set to 'None' for {spec['type']} services"
        yield causes.invalid("spec.clusterIPs[0]", "None", why)
    if spec["type"] == "ExternalName":
        for name in ("clusterIPs", "ipFamilies", "ipFamilyPolicy"):
            if name in spec:
                yield causes.forbidden(f"spec.{name}", "may not be set for ExternalName services")
        yield from required("spec.externalName", spec.get("externalName", "").removesuffix("."), formats.dns_subdomain)


def _port(path: str, given: Value, names: set[str], *, is_one_of_many: bool) -> Iterator[Cause]:
    name = given.get("name", "")
    if name or is_one_of_many:
        yield from required(f"{path}.name", name, formats.dns_label)
    if name and name in names:
        yield causes.duplicate(f"{path}.name", name)
    names.add(name)
    yield from port(f"{path}.port", given["port"])
    yield from one_of(f"{path}.protocol", given["protocol"], PROTOCOLS)
    yield from port(f"{path}.targetPort", given["targetPort"])
    if "appProtocol" in given:
        yield from formatted(f"{path}.appProtocol", given["appProtocol"], formats.label_key)


def cluster_addresses(spec: Value) -> Iterator[Cause]:
    """Check the addresses of a Service under which the cluster reaches it, and their families."""
    path, addresses = "spec.clusterIPs", spec.get("clusterIPs", [])
    if spec.get("clusterIP") and addresses and addresses[0] != spec["clusterIP"]:
        yield causes.invalid(path, addresses, "first value must match `clusterIP`")
    elif not spec.get("clusterIP") and addresses:
        yield causes.invalid(path, addresses, "must be empty when `clusterIP` is not specified")
    for index, family in enumerate(spec.get("ipFamilies", ())):
        yield from among(item("spec.ipFamilies", index), family, ("IPv4", "IPv6"))
    policies = ("PreferDualStack", "RequireDualStack", "SingleStack")
    yield from among("spec.ipFamilyPolicy", spec["ipFamilyPolicy"], policies)
    for index, address in enumerate(addresses):
        if address != "None":
            yield from legacy_ip_address(item(path, index), address)
        elif len(addresses) > 1:
            yield causes.invalid(path, addresses, "'None' must be the first and only value")
    if len(addresses) > 2:
        yield causes.invalid(path, addresses, "may only hold up to 2 values")


def _uniqueness(spec: Value) -> Iterator[Cause]:
    ports = spec.get("ports", ())
    if spec["type"] == "ClusterIP":
        for index, each in enumerate(ports):
            if "nodePort" in each:
                why = "may not be used when `type` is 'ClusterIP'"
                yield causes.forbidden(f"{item('spec.ports', index)}.nodePort", why)
    seen: set[tuple[str, str, int]] = set()
    for name in ("nodePort", "port"):
        for index, each in enumerate(ports):
            key = (name, each["protocol"], each.get(name, 0))
            if (name == "port" or name in each) and key in seen:
                yield _twice(item("spec.ports", index), name, each)
            seen.add(key)


def _twice(path: str, name: str, port: Value) -> Cause:
    if name == "nodePort":
        return causes.duplicate(f"{path}.nodePort", port["nodePort"])
    protocol, number = port["protocol"], port["port"]
    shown = Struct(Name="", Protocol=protocol, AppProtocol=None, Port=number, TargetPort=0, NodePort=0)
    return causes.duplicate(path, shown)


def _load_balancer(spec: Value) -> Iterator[Cause]:
    if spec["type"] == "LoadBalancer":
        for index, given in enumerate(spec.get("loadBalancerSourceRanges", ())):
            yield from network(item("spec.LoadBalancerSourceRanges", index), given.strip())
        if "loadBalancerClass" in spec:
            yield from formatted("spec.loadBalancerClass", spec["loadBalancerClass"], formats.label_key)
        return
    if spec.get("loadBalancerSourceRanges"):
        yield causes.forbidden("spec.LoadBalancerSourceRanges", _ONLY_LOAD_BALANCERS)
    for name in ("allocateLoadBalancerNodePorts", "loadBalancerClass"):
        if name in spec:
            yield causes.forbidden(f"spec.{name}", _ONLY_LOAD_BALANCERS)


def _traffic(spec: Value) -> Iterator[Cause]:
    external = spec.get("externalTrafficPolicy")
    if is_reachable_from_outside(spec):
        yield from one_of("spec.externalTrafficPolicy", external, _POLICIES)
    elif external:
        why = "may only be set for externally-accessible services"
        yield causes.invalid("spec.externalTrafficPolicy", external, why)
    if "healthCheckNodePort" in spec:
        yield from _health_port(spec)
    yield from among("spec.internalTrafficPolicy", spec.get("internalTrafficPolicy"), _POLICIES)
    yield from among("spec.trafficDistribution", spec.get("trafficDistribution"), _DISTRIBUTIONS)


def _health_port(spec: Value) -> Iterator[Cause]:
    path, number = "spec.healthCheckNodePort", spec["healthCheckNodePort"]
    if spec["type"] == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local":
        yield from port(path, number)
    else:
        why = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
        yield causes.invalid(path, number, why)


def is_reachable_from_outside(spec: Value) -> bool:
    """Return whether a Service may have a policy for traffic from outside the cluster."""
    if spec["type"] == "ClusterIP":
        return bool(spec.get("externalIPs"))
    return spec["type"] in {"NodePort", "LoadBalancer"}


def service_changes(spec: Value, before: Value) -> Iterator[Cause]:
    """Check what an update changes: addresses stay, unless the Service has none before or after."""
    is_headless, was_headless = spec.get("clusterIP") == "None", before.get("clusterIP") == "None"
    has_addresses = "ExternalName" not in {spec["type"], before["type"]} and not (is_headless and was_headless)
    if has_addresses:
        addresses = spec.get("clusterIPs", [])
        for index, address in enumerate(before.get("clusterIPs", ())):
            if address not in addresses[index : index + 1]:
                yield causes.invalid(item("spec.clusterIPs", index), addresses, _FIXED)
        if is_headless == was_headless and spec["ipFamilies"][:1] != before["ipFamilies"][:1]:
            yield causes.invalid("spec.ipFamilies[0]", spec["ipFamilies"], _FIXED)
    if spec["type"] == before["type"] == "LoadBalancer":
        name = "loadBalancerClass"
        if spec.get(name) != before.get(name):
            yield causes.invalid(f"spec.{name}", spec.get(name), _FIXED)
        ports = {each["healthCheckNodePort"] for each in (spec, before) if "healthCheckNodePort" in each}
        if len(ports) > 1:
            yield causes.forbidden("spec.healthCheckNodePort", "field is immutable")


def service_status(service: Value) -> Iterator[Cause]:
    """Check the status of a Service."""
    path, ingress = "status.loadBalancer.ingress", service["status"]["loadBalancer"].get("ingress", [])
    if ingress and service["spec"]["type"] != "LoadBalancer":
        yield causes.forbidden(path, "may only be used when `spec.type` is 'LoadBalancer'")
        return
    for index, each in enumerate(ingress):
        at = item(path, index)
        if "ip" in each:
            yield from legacy_ip_address(f"{at}.ip", each["ip"])
        if "hostname" in each:
            yield from formatted(f"{at}.hostname", each["hostname"], formats.dns_subdomain)
