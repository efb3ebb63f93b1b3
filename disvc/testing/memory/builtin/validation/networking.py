"""Ingresses, IngressClasses and NetworkPolicies."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Any, Final

from disvc.testing.memory import causes, formats
from disvc.testing.memory.builtin.validation.addresses import legacy_ip_address, network
from disvc.testing.memory.builtin.validation.fields import formatted, immutable, label_selector, port, required
from disvc.testing.memory.causes import child, item

if TYPE_CHECKING:
    from collections.abc import Iterator

    from disvc.testing.memory.errors import Cause

    Value = dict[str, Any]

__all__ = ["ingress", "ingress_class", "ingress_status", "network_policy"]

_CLASS_ANNOTATION: Final = "kubernetes.io/ingress.class"
_PATH_TYPES: Final = ("Exact", "ImplementationSpecific", "Prefix")
_NEVER_IN_PATHS: Final = ("//", "/./", "/../", "%2f", "%2F")
_NEVER_AT_END: Final = ("/..", "/.")
_PROTOCOLS: Final = ("TCP", "UDP", "SCTP")
_POLICY_TYPES: Final = ("Ingress", "Egress")
_CONTROLLER_MAX: Final = 250


def ingress(obj: Value, old: Value | None) -> Iterator[Cause]:
    """Check an Ingress."""
    spec = obj["spec"]
    rules, backend = spec.get("rules", []), spec.get("defaultBackend")
    if not rules and backend is None:
        why = "either `defaultBackend` or `rules` must be specified"
        yield causes.invalid("spec", spec.get("rules"), why)
    if backend is not None:
        yield from _backend("spec.defaultBackend", backend)
    for index, rule in enumerate(rules):
        yield from _rule(item("spec.rules", index), rule)
    for index, tls in enumerate(spec.get("tls", ())):
        path = item("spec.tls", index)
        for number, host in enumerate(tls.get("hosts", ())):
            yield from _host(item(f"{path}.hosts", number), host)
        if secret := tls.get("secretName"):
            yield from formatted(f"{path}.secretName", secret, formats.dns_subdomain)
    name = spec.get("ingressClassName")
    if name is not None:
        yield from formatted("spec.ingressClassName", name, formats.dns_subdomain)
    annotation = obj["metadata"].get("annotations", {}).get(_CLASS_ANNOTATION)
    if old is None and None not in {annotation, name} and annotation != name:
        why = "must match `ingressClassName` when both are specified"
        yield causes.invalid(f"annotations.{_CLASS_ANNOTATION}", annotation, why)


def _host(path: str, host: str) -> Iterator[Cause]:
    check = formats.wildcard_subdomain if "*" in host else formats.dns_subdomain
    yield from formatted(path, host, check)


def _rule(path: str, rule: Value) -> Iterator[Cause]:
    if host := rule.get("host"):
        if _is_address(host):
            yield causes.invalid(child(path, "host"), host, "must be a DNS name, not an IP address")
        yield from _host(child(path, "host"), host)
    if (http := rule.get("http")) is None:
        return
    if not http["paths"]:
        yield causes.required(f"{path}.http.paths")
    for index, each in enumerate(http["paths"] or ()):
        yield from _path(item(f"{path}.http.paths", index), each)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _path(at: str, given: Value) -> Iterator[Cause]:
    path, type_ = given.get("path", ""), given["pathType"]
    if type_ is None:
        yield causes.required(child(at, "pathType"), "pathType must be specified")
        return
    if type_ not in _PATH_TYPES:
        yield causes.not_supported(child(at, "pathType"), type_, _PATH_TYPES)
    elif type_ == "ImplementationSpecific":
        if path and not path.startswith("/"):
            yield causes.invalid(child(at, "path"), path, "must be an absolute path")
    else:
        yield from formatted(child(at, "path"), path, _wrong_in_path)
    yield from _backend(child(at, "backend"), given["backend"])


def _wrong_in_path(path: str) -> Iterator[str]:
    if not path.startswith("/"):
        yield "must be an absolute path"
    yield from (f"must not contain '{text}'" for text in _NEVER_IN_PATHS if text in path)
    yield from (f"cannot end with '{text}'" for text in _NEVER_AT_END if path.endswith(text))


def _backend(path: str, backend: Value) -> Iterator[Cause]:
    service, resource = backend.get("service"), backend.get("resource")
    if service is not None and resource is not None:
        yield causes.invalid(path, "", "cannot set both resource and service backends")
    elif resource is not None:
        yield from _reference(child(path, "resource"), resource)
    elif service is not None:
        yield from required(f"{path}.service.name", service["name"], formats.dns_label)
        name, number = service["port"].get("name"), service["port"].get("number")
        if name and number:
            yield causes.invalid(path, "", "cannot set both port name & port number")
        elif name:
            yield from port(f"{path}.service.port.name", name)
        elif number:
            yield from port(f"{path}.service.port.number", number)
        else:
            yield causes.required(path, "port name or number is required")
    else:
        yield causes.invalid(path, "", "resource or service backend is required")


def _reference(path: str, reference: Value) -> Iterator[Cause]:
    if reference.get("apiGroup") is not None:
        yield from formatted(child(path, "apiGroup"), reference["apiGroup"], formats.dns_subdomain)
    for name in ("kind", "name"):
        yield from required(child(path, name), reference[name], formats.path_segment)


def ingress_status(status: Value) -> Iterator[Cause]:
    """Check the status of an Ingress."""
    for index, each in enumerate(status["loadBalancer"].get("ingress", ())):
        path = item("status.loadBalancer.ingress", index)
        if "ip" in each:
            yield from legacy_ip_address(f"{path}.ip", each["ip"])
        if host := each.get("hostname"):
            yield from formatted(f"{path}.hostname", host, formats.dns_subdomain)
            if _is_address(host):
                yield causes.invalid(f"{path}.hostname", host, "must be a DNS name, not an IP address")


def ingress_class(spec: Value, before: Value | None) -> Iterator[Cause]:
    """Check the spec of an IngressClass, and that an update does not change its controller."""
    path, controller = "spec.controller", spec.get("controller", "")
    if before is not None:
        yield from immutable(path, controller, before.get("controller", ""))
    if len(controller) > _CONTROLLER_MAX:
        yield causes.too_long(path, _CONTROLLER_MAX)
    yield from _domain_prefixed_path(path, controller)
    if (parameters := spec.get("parameters")) is not None:
        yield from _reference("spec.parameters", parameters)
        yield from _scope("spec.parameters", parameters)


def _scope(path: str, parameters: Value) -> Iterator[Cause]:
    scope, namespace = parameters["scope"], parameters.get("namespace")
    if scope not in {"Cluster", "Namespace"}:
        yield causes.not_supported(child(path, "scope"), scope, ("Cluster", "Namespace"))
    elif scope == "Namespace" and namespace is None:
        yield causes.required(child(path, "namespace"), "`parameters.scope` is set to 'Namespace'")
    elif scope == "Cluster" and namespace is not None:
        yield causes.forbidden(child(path, "namespace"), "`parameters.scope` is set to 'Cluster'")
    elif namespace is not None:
        yield from formatted(child(path, "namespace"), namespace, formats.dns_label)


def _domain_prefixed_path(path: str, value: str) -> Iterator[Cause]:
    """Check a path under a domain, like `example.com/controller`."""
    domain, _, rest = value.partition("/")
    if not value:
        yield causes.required(path)
    elif not domain or not rest:
        yield causes.invalid(path, value, 'must be a domain-prefixed path (such as "acme.io/foo")')
    else:
        yield from formatted(path, domain, formats.dns_subdomain)
        pattern = r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+"
        if not re.fullmatch(pattern, rest):
            yield causes.invalid(path, rest, formats.regex_error("Invalid path", pattern))


def network_policy(spec: Value) -> Iterator[Cause]:
    """Check the spec of a NetworkPolicy."""
    yield from label_selector("spec.podSelector", spec["podSelector"])
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate(spec.get(direction, ())):
            path = item(f"spec.{direction}", index)
            for number, each in enumerate(rule.get("ports", ())):
                yield from _policy_port(item(f"{path}.ports", number), each)
            for number, peer in enumerate(rule.get(peers, ())):
                yield from _peer(item(f"{path}.{peers}", number), peer)
    for index, type_ in enumerate(spec["policyTypes"]):
        if type_ not in _POLICY_TYPES:
            yield causes.not_supported(item("spec.policyTypes", index), type_, _POLICY_TYPES)


def _policy_port(path: str, given: Value) -> Iterator[Cause]:
    if given["protocol"] not in _PROTOCOLS:
        yield causes.not_supported(child(path, "protocol"), given["protocol"], _PROTOCOLS)
    number, end = given.get("port"), given.get("endPort")
    if number is not None:
        yield from port(child(path, "port"), number)
    if end is not None:
        if number is None:
            yield causes.invalid(child(path, "endPort"), end, "may not be specified when `port` is not specified")
        elif isinstance(number, str):
            yield causes.invalid(child(path, "endPort"), end, "may not be specified when `port` is non-numeric")
        elif end < number:
            yield causes.invalid(child(path, "endPort"), number, "must be greater than or equal to `port`")


def _peer(path: str, peer: Value) -> Iterator[Cause]:
    for name in ("podSelector", "namespaceSelector"):
        yield from label_selector(child(path, name), peer.get(name))
    if (block := peer.get("ipBlock")) is not None:
        yield from _block(child(path, "ipBlock"), block)
    if not peer:
        yield causes.required(path, "must specify a peer")
    elif "ipBlock" in peer and len(peer) > 1:
        yield causes.forbidden(path, "may not specify both ipBlock and another peer")


def _block(path: str, block: Value) -> Iterator[Cause]:
    if not block["cidr"]:
        yield causes.required(child(path, "cidr"))
        return
    malformed = list(network(child(path, "cidr"), block["cidr"]))
    yield from malformed
    for index, each in enumerate(block.get("except", ())):
        at = item(child(path, "except"), index)
        wrong = list(network(at, each))
        yield from wrong
        if not malformed and not wrong and not _is_strictly_within(each, block["cidr"]):
            yield causes.invalid(at, each, "must be a strict subset of `cidr`")


def _is_strictly_within(inner: str, outer: str) -> bool:
    small, large = (ipaddress.ip_network(each, strict=False) for each in (inner, outer))
    return small.version == large.version and small[0] in large and small.prefixlen > large.prefixlen
