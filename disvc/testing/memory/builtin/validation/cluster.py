"""Namespaces, Nodes and Endpoints."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from disvc.testing.memory import causes, formats
from disvc.testing.memory.builtin.validation.addresses import endpoint_address, legacy_ip_address, network
from disvc.testing.memory.builtin.validation.containers import PROTOCOLS
from disvc.testing.memory.builtin.validation.fields import formatted, one_of, port, required
from disvc.testing.memory.causes import item
from disvc.testing.memory.go_text import Struct

if TYPE_CHECKING:
    from collections.abc import Iterator

    from disvc.testing.memory.errors import Cause

    Value = dict[str, Any]

__all__ = ["endpoints", "finalizers", "node", "node_changes"]

_STANDARD_FINALIZERS: Final = frozenset({"kubernetes", "orphan", "foregroundDeletion"})
_EFFECTS: Final = ("NoSchedule", "PreferNoSchedule", "NoExecute")


def finalizers(path: str, names: list[str]) -> Iterator[Cause]:
    """Check finalizers of a namespace's spec."""
    for name in names:
        yield from formatted(path, name, formats.label_key)
        if "/" not in name and name not in _STANDARD_FINALIZERS:
            why = "name is neither a standard finalizer name nor is it fully qualified"
            yield causes.invalid(path, name, why)


def node(obj: Value) -> Iterator[Cause]:
    """Check a Node."""
    seen: set[tuple[str, str]] = set()
    for index, taint in enumerate(obj["spec"].get("taints", ())):
        path = item("metadata.taints", index)
        yield from formatted(f"{path}.key", taint["key"], formats.label_key)
        if messages := formats.label_value(taint.get("value", "")):
            yield causes.invalid(f"{path}.value", taint["value"], ";".join(messages))
        yield from one_of(f"{path}.effect", taint["effect"], _EFFECTS)
        key = (taint["key"], taint["effect"])
        if key in seen:
            value = Struct(Key=taint["key"], Value=taint.get("value", ""), Effect=taint["effect"], TimeAdded=None)
            twice = causes.duplicate(path, value)
            yield replace(twice, message=f"{twice.message}: taints must be unique by key and effect pair")
        seen.add(key)
    for index, block in enumerate(obj["spec"].get("podCIDRs", ())):
        yield from network(item("spec.podCIDRs", index), block)


def node_changes(spec: Value, before: Value) -> Iterator[Cause]:
    """Check what an update changes of a Node: addresses and identity are given once."""
    if before.get("podCIDRs") and spec.get("podCIDRs") != before["podCIDRs"]:
        yield causes.forbidden("spec.podCIDRs", 'node updates may not change podCIDR except from "" to valid')
    if before.get("providerID") and spec.get("providerID") != before["providerID"]:
        yield causes.forbidden("spec.providerID", 'node updates may not change providerID except from "" to valid')


def endpoints(subsets: list[Value]) -> Iterator[Cause]:
    """Check the subsets of Endpoints."""
    for index, subset in enumerate(subsets):
        path = item("subsets", index)
        if not subset.get("addresses") and not subset.get("notReadyAddresses"):
            yield causes.required(path, "must specify `addresses` or `notReadyAddresses`")
        for name in ("addresses", "notReadyAddresses"):
            for number, address in enumerate(subset.get(name, ())):
                yield from _endpoint_address(item(f"{path}.{name}", number), address)
        ports = subset.get("ports", ())
        for number, each in enumerate(ports):
            yield from _endpoint_port(item(f"{path}.ports", number), each, is_one_of_many=len(ports) > 1)


def _endpoint_address(path: str, address: Value) -> Iterator[Cause]:
    yield from legacy_ip_address(f"{path}.ip", address["ip"])
    if "hostname" in address:
        yield from formatted(f"{path}.hostname", address["hostname"], formats.dns_label)
    if "nodeName" in address:
        yield from formatted(f"{path}.nodeName", address["nodeName"], formats.dns_subdomain)
    yield from endpoint_address(f"{path}.ip", address["ip"])


def _endpoint_port(path: str, given: Value, *, is_one_of_many: bool) -> Iterator[Cause]:
    if given.get("name") or is_one_of_many:
        yield from required(f"{path}.name", given.get("name"), formats.dns_label)
    yield from port(f"{path}.port", given["port"])
    yield from one_of(f"{path}.protocol", given["protocol"], PROTOCOLS)
