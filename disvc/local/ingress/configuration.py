"""Envoy's configuration for a state of the world: a pure function to the resources of xDS, as JSON has them.

The names and fields are those of https://www.envoyproxy.io/docs/envoy/latest/api-v3/api. Three rules keep requests
from getting lost:

- A cluster never changes, as its name says all that it is made from: what differs is another cluster. So `discovery`
  can have the new one ready before a route leads to it, and take the old one away when none does.
- Only endpoints change in place. One that leaves gets no new request, and finishes those that it has.
- Envoy gives up an idle connection to a server before the server does (uvicorn: after 5 s), so that no request is
  sent into one that is being closed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from disvc.local.ingress.endpoints import addresses
from disvc.local.ingress.routes import ANY_HOST, Backend, Protocol, Route, ingress_routes, service_addresses

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from disvc.local.ingress.certificates import Certificate
    from disvc.local.ingress.endpoints import Address
    from disvc.local.ingress.world import World

    Value = dict[str, Any]

_TYPES: Final = "type.googleapis.com/envoy"
CLUSTER: Final = f"{_TYPES}.config.cluster.v3.Cluster"
ENDPOINTS: Final = f"{_TYPES}.config.endpoint.v3.ClusterLoadAssignment"
LISTENER: Final = f"{_TYPES}.config.listener.v3.Listener"
ROUTES: Final = f"{_TYPES}.config.route.v3.RouteConfiguration"
_HTTP: Final = f"{_TYPES}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ROUTER: Final = f"{_TYPES}.extensions.filters.http.router.v3.Router"
_ACCESS_LOG: Final = f"{_TYPES}.extensions.access_loggers.file.v3.FileAccessLog"
_TLS: Final = f"{_TYPES}.extensions.transport_sockets.tls.v3.DownstreamTlsContext"
_TLS_INSPECTOR: Final = f"{_TYPES}.extensions.filters.listener.tls_inspector.v3.TlsInspector"
_UPSTREAM: Final = f"{_TYPES}.extensions.upstreams.http.v3.HttpProtocolOptions"

ROUTE_TABLE: Final = "all"
"""Name of the one route configuration, which both ports use."""
SERVED_BY: Final = "x-served-by"
"""Header of an answer that names the pod that gave it."""
_METADATA: Final = "disvc.local"
_CONNECT_SECONDS: Final = 5
_IDLE_CONNECTION_SECONDS: Final = 2
_NO_HOST: Final = "default backend - 404: no Ingress and no Service has this host\n"
_LOG_LINE: Final = (
    "%START_TIME% %PROTOCOL% %REQ(:METHOD)% %REQ(:AUTHORITY)%%REQ(:PATH)% %RESPONSE_CODE% %GRPC_STATUS% "
    "%RESPONSE_CODE_DETAILS% %DURATION% ms %DOWNSTREAM_REMOTE_ADDRESS% > %UPSTREAM_HOST%\n"
)

SOURCE: Final[Mapping[str, Any]] = {
    "resource_api_version": "V3",
    "api_config_source": {
        "api_type": "REST",
        "transport_api_version": "V3",
        "cluster_names": ["xds"],
        # `discovery` holds an answer back until there is news: this is only the time from one question to the next.
        "refresh_delay": "0.01s",
        "request_timeout": "60s",
    },
}
"""How Envoy asks for its configuration."""


@dataclass(frozen=True)
class Ports:
    """Where clients connect to, on one address."""

    address: str
    http: int
    https: int


@dataclass(frozen=True)
class Configuration:
    """All resources of xDS that Envoy is to have, by name; those of `endpoints` are named like their clusters."""

    listeners: Mapping[str, Value] = field(default_factory=dict)
    clusters: Mapping[str, Value] = field(default_factory=dict)
    endpoints: Mapping[str, Value] = field(default_factory=dict)
    routes: Mapping[str, Value] = field(default_factory=dict)


def configuration(
    world: World,
    *,
    ports: Ports,
    certificates: Mapping[str, Certificate],
    default_certificate: Certificate,
    access_log: str,
) -> Configuration:
    """Return what Envoy needs to serve a world.

    `certificates` are those of hosts, for which others get `default_certificate`; `access_log` is the path of a file.
    """
    hosts = _hosts(world)
    backends = {r.target for routes in hosts.values() for r in routes if isinstance(r.target, Backend)}
    listeners = (
        _plain_listener(ports, access_log),
        _tls_listener(ports, certificates, default_certificate, access_log),
    )
    return Configuration(
        listeners={listener["name"]: listener for listener in listeners},
        clusters={str(backend): _cluster(backend) for backend in backends},
        endpoints={
            str(backend): _endpoints(backend, addresses(world, backend.service, backend.port_name))
            for backend in backends
        },
        routes={ROUTE_TABLE: _route_table(hosts)},
    )


def _hosts(world: World) -> dict[str, Sequence[Route]]:
    """Return the routes by Envoy's domains; what an Ingress says counts before the name of a Service."""
    hosts: dict[str, Sequence[Route]] = {}
    for name, route in service_addresses(world).items():
        hosts[name] = [route]
        if ":" not in name:
            hosts[f"{name}:*"] = [route]
    for host, routes in ingress_routes(world).items():
        hosts[host] = routes
        if host != ANY_HOST:
            hosts[f"{host}:*"] = routes
    return hosts


def _route_table(hosts: Mapping[str, Sequence[Route]]) -> Value:
    unknown = {
        "name": ANY_HOST,
        "domains": [ANY_HOST],
        "routes": [{"match": {"prefix": "/"}, **_answer(404, _NO_HOST)}],
    }
    virtual_hosts = [
        {"name": host, "domains": [host], "routes": [_route(route) for route in routes]}
        for host, routes in sorted(hosts.items())
    ]
    if ANY_HOST not in hosts:
        virtual_hosts.append(unknown)
    server = {"key": SERVED_BY, "value": f"%UPSTREAM_METADATA({_METADATA}:name)%"}
    return {
        "@type": ROUTES,
        "name": ROUTE_TABLE,
        "virtual_hosts": virtual_hosts,
        "response_headers_to_add": [{"header": server, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}],
    }


def _route(route: Route) -> Value:
    if isinstance(route.target, str):
        return {"match": _match(route), **_answer(503, f"{route.target}\n")}
    action: Value = {"cluster": str(route.target), "timeout": "0s", "idle_timeout": f"{route.idle_seconds}s"}
    if route.target.by_client:
        action["hash_policy"] = [{"connection_properties": {"source_ip": True}}]
    return {"match": _match(route), "route": action}


def _match(route: Route) -> Value:
    if route.is_exact:
        return {"path": route.path}
    prefix = route.path.rstrip("/")
    return {"path_separated_prefix": prefix} if prefix else {"prefix": "/"}


def _answer(status: int, text: str) -> Value:
    return {"direct_response": {"status": status, "body": {"inline_string": text}}}


def _cluster(backend: Backend) -> Value:
    protocol: Mapping[Protocol, Value] = {
        Protocol.HTTP1: {"explicit_http_config": {"http_protocol_options": {}}},
        Protocol.HTTP2: {"explicit_http_config": {"http2_protocol_options": {}}},
        Protocol.CLIENTS: {"use_downstream_protocol_config": {"http2_protocol_options": {}}},
    }
    options = {
        "@type": _UPSTREAM,
        "common_http_protocol_options": {"idle_timeout": f"{_IDLE_CONNECTION_SECONDS}s"},
        **protocol[backend.protocol],
    }
    return {
        "@type": CLUSTER,
        "name": str(backend),
        "type": "EDS",
        "eds_cluster_config": {"eds_config": SOURCE},
        "connect_timeout": f"{_CONNECT_SECONDS}s",
        "lb_policy": "RING_HASH" if backend.by_client else "ROUND_ROBIN",
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options},
    }


def _endpoints(backend: Backend, listening: Iterable[Address]) -> Value:
    servers = [
        {
            "endpoint": {"address": _socket(address.host, address.port)},
            "metadata": {"filter_metadata": {_METADATA: {"name": address.name}}},
        }
        for address in listening
    ]
    return {"@type": ENDPOINTS, "cluster_name": str(backend), "endpoints": [{"lb_endpoints": servers}]}


def _plain_listener(ports: Ports, access_log: str) -> Value:
    return _listener("http", ports.address, ports.http, filter_chains=[_filter_chain(access_log)])


def _tls_listener(
    ports: Ports, certificates: Mapping[str, Certificate], default: Certificate, access_log: str
) -> Value:
    chains = [
        {
            "name": host,
            "filter_chain_match": {"server_names": [host]},
            **_filter_chain(access_log),
            "transport_socket": _tls(certificate),
        }
        for host, certificate in sorted(certificates.items())
    ]
    return _listener(
        "https",
        ports.address,
        ports.https,
        filter_chains=chains,
        default_filter_chain={"name": "default", **_filter_chain(access_log), "transport_socket": _tls(default)},
        listener_filters=[{"name": "tls_inspector", "typed_config": {"@type": _TLS_INSPECTOR}}],
    )


def _listener(name: str, address: str, port: int, **fields: Any) -> Value:
    # With SO_REUSEPORT a second Envoy would get on this port too, and half of the requests.
    return {"@type": LISTENER, "name": name, "address": _socket(address, port), "enable_reuse_port": False, **fields}


def _filter_chain(access_log: str) -> Value:
    log_line = {"text_format_source": {"inline_string": _LOG_LINE}}
    http = {
        "@type": _HTTP,
        "stat_prefix": "http",
        "rds": {"route_config_name": ROUTE_TABLE, "config_source": SOURCE},
        "http_filters": [{"name": "router", "typed_config": {"@type": _ROUTER, "suppress_envoy_headers": True}}],
        # The address of the connection is the client's; X-Forwarded-For is not believed, as in ingress-nginx.
        "use_remote_address": True,
        "stream_idle_timeout": "0s",
        "server_header_transformation": "PASS_THROUGH",
        "access_log": [
            {"name": "file", "typed_config": {"@type": _ACCESS_LOG, "path": access_log, "log_format": log_line}}
        ],
    }
    return {"filters": [{"name": "http", "typed_config": http}]}


def _tls(certificate: Certificate) -> Value:
    pair = {
        "certificate_chain": {"inline_string": certificate.chain},
        "private_key": {"inline_string": certificate.key},
    }
    context = {"alpn_protocols": ["h2", "http/1.1"], "tls_certificates": [pair]}
    return {"name": "tls", "typed_config": {"@type": _TLS, "common_tls_context": context}}


def _socket(address: str, port: int) -> Value:
    return {"socket_address": {"address": address, "port_value": port}}
