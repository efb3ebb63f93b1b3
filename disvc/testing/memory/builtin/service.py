"""Services: how addresses and ports are given to them, and what an update may change.

There is no allocator: a Service gets the cluster address and the node ports that its namespace and name lead to, the
same in every run. Two Services may thus get the same one; a real server would not do that.
"""

from __future__ import annotations

import hashlib
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any, Final

from disvc.testing.memory import errors
from disvc.testing.memory.builtin.strategy import BuiltinStrategy
from disvc.testing.memory.builtin.validation.services import (
    cluster_addresses,
    is_reachable_from_outside,
    service_changes,
    service_spec,
    service_status,
)
from disvc.testing.memory.causes import invalid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from disvc.testing.memory.errors import Cause

    Value = dict[str, Any]

__all__ = ["ServiceStrategy"]

_WITH_NODE_PORTS: Final = frozenset({"NodePort", "LoadBalancer"})
_NODE_PORTS: Final = range(30000, 32768)
_ADDRESSES: Final = ip_network("10.96.0.0/16")


class ServiceStrategy(BuiltinStrategy):
    """The strategy of Services."""

    def prepare_for_create(self, obj: Value) -> None:
        """Empty the status, and give addresses and ports."""
        super().prepare_for_create(obj)
        spec = obj["spec"]
        if spec.get("clusterIP"):
            spec.setdefault("clusterIPs", [spec["clusterIP"]])
        _allocate(obj, has_addresses=False)

    def prepare_for_update(self, obj: Value, old: Value) -> None:
        """Keep the status, and what was given where the client does not say it again."""
        super().prepare_for_update(obj, old)
        spec, before = obj["spec"], old["spec"]
        if "ExternalName" not in {spec["type"], before["type"]}:
            for name in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
                if _is_unset(spec, name) and name in before:
                    spec[name] = before[name]
            if spec["clusterIP"] != before["clusterIP"] and spec["clusterIPs"] == before["clusterIPs"]:
                spec["clusterIPs"] = [spec["clusterIP"]]
        elif spec.get("clusterIP"):
            spec.setdefault("clusterIPs", [spec["clusterIP"]])
        _keep_node_ports(spec, before)
        _drop_what_the_type_has_not(obj, old)
        _allocate(obj, has_addresses=before["type"] != "ExternalName")

    def validate(self, obj: Value, old: Value | None, subresource: str) -> Sequence[Cause]:
        """Return what is wrong."""
        if subresource == "status":
            return list(service_status(obj))
        changes = [] if old is None else list(service_changes(obj["spec"], old["spec"]))
        return [*changes, *service_spec(obj["spec"])]


def _is_unset(spec: Value, name: str) -> bool:
    """Return whether a field is as Go has it that was not given; the policy is a pointer, so "" was given."""
    return name not in spec or (not spec[name] and name != "ipFamilyPolicy")


def _keep_node_ports(spec: Value, before: Value) -> None:
    if spec["type"] not in _WITH_NODE_PORTS or before["type"] not in _WITH_NODE_PORTS:
        return
    given = {port.get("name", ""): port.get("nodePort") for port in before.get("ports", ())}
    used = {port.get("nodePort") for port in spec.get("ports", ())}
    for port in spec.get("ports", ()):
        number = given.get(port.get("name", ""))
        if "nodePort" not in port and number is not None and number not in used:
            port["nodePort"] = number
    if _checks_health(spec) and _checks_health(before):
        spec.setdefault("healthCheckNodePort", before["healthCheckNodePort"])


def _drop_what_the_type_has_not(obj: Value, old: Value) -> None:
    """Drop what the old type of a Service has and its new one has not, unless the client has changed that too."""
    spec, before = obj["spec"], old["spec"]
    gone: list[str] = []
    if spec["type"] == "ExternalName" and before["type"] != "ExternalName":
        gone += ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"]
    if before["type"] in _WITH_NODE_PORTS and spec["type"] not in _WITH_NODE_PORTS:
        numbers = {port.get("nodePort") for port in before.get("ports", ())}
        if {port["nodePort"] for port in spec.get("ports", ()) if "nodePort" in port} <= numbers:
            for port in spec.get("ports", ()):
                port.pop("nodePort", None)
    if is_reachable_from_outside(before) and not is_reachable_from_outside(spec):
        gone.append("externalTrafficPolicy")
    if _checks_health(before) and not _checks_health(spec):
        gone.append("healthCheckNodePort")
    if before["type"] == "LoadBalancer" and spec["type"] != "LoadBalancer":
        gone += ["allocateLoadBalancerNodePorts", "loadBalancerClass"]
        obj["status"] = {**obj["status"], "loadBalancer": {}}
    for name in gone:
        if name in spec and spec[name] == before.get(name):
            del spec[name]


def _allocate(service: Value, *, has_addresses: bool) -> None:
    """Give a Service what its type needs and it has not; `has_addresses` says whether it had some before."""
    spec = service["spec"]
    if spec["type"] == "ExternalName":
        spec.pop("internalTrafficPolicy", None)
        return
    is_headless = spec.get("clusterIP") == "None"
    if not is_headless or spec.get("selector"):
        spec.setdefault("ipFamilyPolicy", "SingleStack")
        spec.setdefault("ipFamilies", ["IPv4"])
    else:
        # Whoever makes the endpoints of a headless Service without selector may use both families.
        spec.setdefault("ipFamilyPolicy", "RequireDualStack")
        spec.setdefault("ipFamilies", ["IPv4", "IPv6"])
    _check_addresses(service, has_addresses=has_addresses)
    if not spec.get("clusterIP") and not spec.get("clusterIPs"):
        number = _number(service, "clusterIP", range(1, 2**16 - 1))
        spec["clusterIP"] = f"10.96.{number >> 8}.{number & 0xFF}"
        spec["clusterIPs"] = [spec["clusterIP"]]
    is_balanced = spec["type"] == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts")
    if spec["type"] == "NodePort" or is_balanced:
        used = {port["nodePort"] for port in spec.get("ports", ()) if "nodePort" in port}
        for port in spec.get("ports", ()):
            if "nodePort" not in port:
                port["nodePort"] = _unused(service, f"{port['protocol']}/{port['port']}", used)
                used.add(port["nodePort"])
    if _checks_health(spec):
        spec.setdefault("healthCheckNodePort", _number(service, "health", _NODE_PORTS))


def _check_addresses(service: Value, *, has_addresses: bool) -> None:
    """Refuse addresses that cannot be given, before anything else is looked at."""
    spec = service["spec"]
    found = list(cluster_addresses(spec))
    for address in () if found or has_addresses else spec.get("clusterIPs", ()):
        if address != "None" and ip_address(address) not in _ADDRESSES:
            why = f"the provided IP ({address}) is not in the valid range. The range of valid IPs is {_ADDRESSES}"
            shown = spec["clusterIPs"]
            found.append(invalid("spec.clusterIPs", shown, f"failed to allocate IP {address}: {why}"))
    if found:
        raise errors.invalid("", "Service", service["metadata"].get("name", ""), found)


def _checks_health(spec: Value) -> bool:
    return spec["type"] == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def _unused(service: Value, what: str, used: set[int]) -> int:
    """Return a node port that no other port of the Service has."""
    number = _number(service, what, _NODE_PORTS)
    return number if number not in used else _unused(service, f"{what} again", used)


def _number(service: Value, what: str, numbers: range) -> int:
    """Return one of some numbers, always the same for the same Service."""
    metadata = service["metadata"]
    key = f"{metadata.get('namespace')}/{metadata.get('name')}/{what}"
    digest = hashlib.blake2b(key.encode(), digest_size=8).digest()
    return numbers[int.from_bytes(digest) % len(numbers)]
