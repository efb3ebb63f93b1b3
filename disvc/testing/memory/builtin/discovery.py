"""The group discovery.k8s.io, v1: EndpointSlices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from disvc.testing.memory import causes, formats
from disvc.testing.memory.builtin.columns import others as columns
from disvc.testing.memory.builtin.strategy import BuiltinStrategy, kind
from disvc.testing.memory.builtin.validation.addresses import endpoint_address, ip_address, legacy_ip_address
from disvc.testing.memory.builtin.validation.containers import PROTOCOLS
from disvc.testing.memory.builtin.validation.fields import among, formatted, immutable, labels, one_of
from disvc.testing.memory.causes import item

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from disvc.testing.memory.errors import Cause

    Value = dict[str, Any]

__all__ = ["TYPES"]

_MAX_ENDPOINTS: Final = 1000
_MAX_ADDRESSES: Final = 100
_MAX_PORTS: Final = 20000
_ADDRESS_TYPES: Final = ("FQDN", "IPv4", "IPv6")


class _EndpointSlice(BuiltinStrategy):
    def validate(self, obj: Value, old: Value | None, subresource: str) -> Sequence[Cause]:
        found = [
            *one_of("addressType", obj["addressType"], _ADDRESS_TYPES),
            *_ports(obj["ports"] or []),
        ]
        # What was let in by an older server may stay.
        if old is None or obj["endpoints"] != old["endpoints"]:
            found += _endpoints(obj["endpoints"] or [], obj["addressType"])
        if old is not None:
            found += immutable("addressType", obj["addressType"], old["addressType"])
        return found


def _ports(ports: list[Value]) -> Iterator[Cause]:
    if len(ports) > _MAX_PORTS:
        yield causes.too_many("ports", len(ports), _MAX_PORTS)
        return
    names: set[str] = set()
    for index, port in enumerate(ports):
        path, name = item("ports", index), port["name"]
        if name:
            yield from formatted(f"{path}.name", name, formats.dns_label)
        if name in names:
            yield causes.duplicate(f"{path}.name", name)
        names.add(name)
        yield from among(f"{path}.protocol", port["protocol"], PROTOCOLS)
        if "appProtocol" in port:
            yield from formatted(f"{path}.appProtocol", port["appProtocol"], formats.label_key)


def _endpoints(endpoints: list[Value], address_type: str) -> Iterator[Cause]:
    if len(endpoints) > _MAX_ENDPOINTS:
        yield causes.too_many("endpoints", len(endpoints), _MAX_ENDPOINTS)
        return
    for index, endpoint in enumerate(endpoints):
        path, addresses = item("endpoints", index), endpoint["addresses"] or []
        if not addresses:
            yield causes.required(f"{path}.addresses", "must contain at least 1 address")
        elif len(addresses) > _MAX_ADDRESSES:
            yield causes.too_many(f"{path}.addresses", len(addresses), _MAX_ADDRESSES)
        for number, address in enumerate(addresses):
            yield from _address(f"{path}.addresses", number, address, address_type)
        if "nodeName" in endpoint:
            yield from formatted(f"{path}.nodeName", endpoint["nodeName"], formats.dns_subdomain)
        yield from labels(f"{path}.deprecatedTopology", endpoint.get("deprecatedTopology"))
        if "hostname" in endpoint:
            yield from formatted(f"{path}.hostname", endpoint["hostname"], formats.dns_label)


def _address(path: str, number: int, address: str, address_type: str) -> Iterator[Cause]:
    at = item(path, number)
    if address_type not in _ADDRESS_TYPES:
        return
    if address_type == "FQDN":
        yield from _domain(at, address)
        return
    malformed = list((legacy_ip_address if address_type == "IPv4" else ip_address)(at, address))
    yield from malformed
    if malformed:
        return
    if (":" in address) != (address_type == "IPv6"):
        yield causes.invalid(path, address, f"must be an {address_type} address")
    yield from endpoint_address(at, address)


def _domain(path: str, name: str) -> Iterator[Cause]:
    if not name:
        yield causes.required(path)
        return
    name = name.removesuffix(".")
    if messages := formats.dns_subdomain(name):
        yield causes.invalid(path, name, ",".join(messages))
    elif "." not in name:
        yield causes.invalid(path, name, "should be a domain with at least two segments separated by dots")


def _content(obj: Value) -> object:
    """Return what the generation follows: all but metadata other than labels."""
    return {**obj, "metadata": obj["metadata"].get("labels")}


TYPES: Final = (
    kind(
        "discovery.k8s.io",
        "v1",
        "EndpointSlice",
        "endpointslices",
        _EndpointSlice,
        generation_follows=_content,
        columns=columns.ENDPOINT_SLICE,
    ),
)
