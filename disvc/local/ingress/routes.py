"""Where requests go by their Host and path: the rules of all Ingresses, and the addresses of all Services.

As in ingress-nginx, an Ingress leads straight to the endpoints of a Service, whatever that says of affinity, and of
two Ingresses with the same host and path the elder one counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from disvc.runtime import Key

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from disvc.local.ingress.world import Value, World

ANY_HOST: Final = "*"
_CLASS: Final = "nginx"
"""Of the Ingresses that are followed, besides those that have none."""
_NGINX: Final = "nginx.ingress.kubernetes.io"
_CLASS_ANNOTATION: Final = "kubernetes.io/ingress.class"
"""What named the class before `spec.ingressClassName`, and still does."""
_HTTP_PORT: Final = 80
_NGINX_IDLE_SECONDS: Final = 60
"""ingress-nginx' proxy-read-timeout."""
_BY_CLIENT: Final = ("$binary_remote_addr", "$remote_addr")


class Protocol(StrEnum):
    """What a backend is spoken to in."""

    HTTP1 = "http1"
    HTTP2 = "h2c"
    CLIENTS = "clients"
    """What the client speaks: bytes pass through kube-proxy as they are."""


@dataclass(frozen=True)
class Backend:
    """A port of a Service, and how to speak to it."""

    service: Key
    port: int
    port_name: str
    protocol: Protocol
    by_client: bool
    """Whether requests from one client's address go to one endpoint, as long as that is there."""

    def __str__(self) -> str:
        """Return a name that no other backend has."""
        affinity = "client-ip" if self.by_client else "any"
        return f"{self.service}:{self.port} {self.protocol} {affinity}"


@dataclass(frozen=True)
class Route:
    """What becomes of the requests to a host whose path is, or begins with, `path`."""

    path: str
    is_exact: bool
    target: Backend | str
    """Where they go, or with which words they are answered 503."""
    idle_seconds: int = 0
    """After so long without a byte a request is given up; 0: never."""


def ingress_routes(world: World) -> dict[str, list[Route]]:
    """Return the routes of each host of the Ingresses of our class, or of none, in the order in which they count."""
    hosts: dict[str, dict[tuple[str, bool], Route]] = {}
    for ingress in followed(world):
        for host, route in _routes(world, ingress):
            hosts.setdefault(host, {}).setdefault((route.path, route.is_exact), route)
    return {host: sorted(routes.values(), key=_precedence) for host, routes in hosts.items()}


def service_addresses(world: World) -> dict[str, Route]:
    """Return where the cluster's DNS names lead, with and without the number of a port.

    The name alone, or with a port that the Service does not have (a client's, who names that of the ingress), means
    port 80, or else the first one.
    """
    hosts: dict[str, Route] = {}
    for key, service in world.service.items():
        ports = service["spec"].get("ports") or []
        if not ports or service["spec"].get("type") == "ExternalName":
            continue
        affine = service["spec"].get("sessionAffinity") == "ClientIP"
        main = next((port for port in ports if port["port"] == _HTTP_PORT), ports[0])
        for name in (f"{key.name}.{key.namespace}{suffix}" for suffix in ("", ".svc", ".svc.cluster.local")):
            hosts[name] = _service_route(key, main, affine)
            hosts |= {f"{name}:{port['port']}": _service_route(key, port, affine) for port in ports}
    return hosts


def followed(world: World) -> list[Value]:
    """Return the Ingresses of our class, or of none, the eldest first."""
    return sorted(
        (ingress for ingress in world.ingresses if _class_of(ingress) in ("", _CLASS)),
        key=lambda i: (i["metadata"]["creationTimestamp"], i["metadata"]["namespace"], i["metadata"]["name"]),
    )


def _class_of(ingress: Value) -> str:
    annotated = (ingress["metadata"].get("annotations") or {}).get(_CLASS_ANNOTATION)
    return ingress["spec"].get("ingressClassName") or annotated or ""


def _routes(world: World, ingress: Value) -> Iterator[tuple[str, Route]]:
    spec = ingress["spec"]
    rules = [(rule.get("host") or ANY_HOST, rule.get("http") or {}) for rule in spec.get("rules") or ()]
    for host, http in rules:
        for path in http.get("paths") or ():
            # What ImplementationSpecific means is ours to say: Prefix, as in ingress-nginx.
            is_exact = path["pathType"] == "Exact"
            target = _target(world, ingress, path["backend"])
            yield host, Route(path.get("path") or "/", is_exact, target, _NGINX_IDLE_SECONDS)
    if default := spec.get("defaultBackend"):
        for host in {host for host, _ in rules} or {ANY_HOST}:
            target = _target(world, ingress, default)
            yield host, Route("/", is_exact=False, target=target, idle_seconds=_NGINX_IDLE_SECONDS)


def _target(world: World, ingress: Value, backend: Value) -> Backend | str:
    metadata = ingress["metadata"]
    where = f"Ingress {metadata['namespace']}/{metadata['name']}"
    if not (reference := backend.get("service")):
        return f"{where} has a backend that is no Service: only Services are supported here"
    key = Key(metadata["namespace"], reference["name"])
    if (service := world.service.get(key)) is None:
        return f"{where} leads to Service {key.name}, which does not exist"
    wanted = reference["port"]
    for port in service["spec"].get("ports") or ():
        if (
            wanted.get("name", port.get("name")) == port.get("name")
            and wanted.get("number", port["port"]) == port["port"]
        ):
            return _ingress_backend(key, port, metadata.get("annotations") or {})
    return (
        f"{where} leads to port {wanted.get('name') or wanted.get('number')} of Service {key.name}, which has none such"
    )


def _ingress_backend(service: Key, port: Value, annotations: Mapping[str, str]) -> Backend:
    grpc = annotations.get(f"{_NGINX}/backend-protocol", "").upper() in ("GRPC", "GRPCS")
    protocol = Protocol.HTTP2 if grpc or port.get("appProtocol") == "kubernetes.io/h2c" else Protocol.HTTP1
    by_client = annotations.get(f"{_NGINX}/upstream-hash-by") in _BY_CLIENT
    return Backend(service, port["port"], port.get("name") or "", protocol, by_client)


def _service_route(service: Key, port: Value, by_client: bool) -> Route:
    backend = Backend(service, port["port"], port.get("name") or "", Protocol.CLIENTS, by_client)
    return Route("/", is_exact=False, target=backend)


def _precedence(route: Route) -> tuple[bool, int]:
    """Exact paths first, then the longer ones (https://kubernetes.io/docs/concepts/services-networking/ingress)."""
    return not route.is_exact, -len(route.path)
