"""Which addresses requests to a port of a Service go to: those that kube-proxy would choose."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from disvc.local.addresses import loopback
from disvc.runtime import Key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from disvc.local.ingress.world import Value, World


class Address(NamedTuple):
    """Where a server listens, and whose it is."""

    host: str
    port: int
    name: str
    """The pod's name, or the endpoint's address where it is no pod's."""


def addresses(world: World, service: Key, port_name: str) -> list[Address]:
    """Return where the endpoints of a Service's port listen, in an order that does not depend on the slices'.

    Ready endpoints; where there are none, those that still serve while they terminate, as in kube-proxy
    (https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/#conditions). A pod's address is
    translated to that of its process on this machine. An endpoint whose pod is not known yet is left out until it is.
    """
    endpoints = list(_endpoints(world, service, port_name))
    for is_chosen in (_is_ready, _serves_while_terminating):
        if chosen := set(_translated(world, service.namespace, endpoints, is_chosen)):
            return sorted(chosen)
    return []


def _endpoints(world: World, service: Key, port_name: str) -> Iterator[tuple[Value, int]]:
    """Yield the endpoints of one address family, IPv4 if there is any, with the port's number."""
    slices = world.slices_of.get(service, ())
    families = {one["addressType"] for one in slices if one.get("endpoints")}
    family = "IPv4" if "IPv4" in families else "IPv6"
    for one in slices:
        if one["addressType"] == family:
            for port in one.get("ports") or ():
                if (port.get("name") or "") == port_name and port.get("port"):
                    yield from ((endpoint, port["port"]) for endpoint in one.get("endpoints") or ())


def _translated(
    world: World, namespace: str, endpoints: Iterable[tuple[Value, int]], is_chosen: Callable[[Value], bool]
) -> Iterator[Address]:
    for endpoint, port in endpoints:
        if not is_chosen(endpoint.get("conditions") or {}):
            continue
        target = endpoint.get("targetRef") or {}
        address = endpoint["addresses"][0]
        if target.get("kind") != "Pod":
            yield Address(address, port, address)
        elif pod := world.pod.get(Key(namespace, target["name"])):
            host, number = loopback(pod).get(port, (address, port))
            yield Address(host, number, target["name"])


def _is_ready(conditions: Value) -> bool:
    return conditions.get("ready") is not False


def _serves_while_terminating(conditions: Value) -> bool:
    return bool(conditions.get("serving") and conditions.get("terminating"))
