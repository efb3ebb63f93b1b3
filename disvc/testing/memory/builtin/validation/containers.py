"""The containers of a Pod."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from disvc.testing.memory import causes, formats
from disvc.testing.memory.builtin.validation.downward import IN_ENVIRONMENT, field_reference
from disvc.testing.memory.builtin.validation.fields import among, formatted, nonnegative, one_of, port, required
from disvc.testing.memory.builtin.validation.resources import resource_requirements
from disvc.testing.memory.builtin.validation.volumes import volume_mounts
from disvc.testing.memory.causes import child, item

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from disvc.testing.memory.errors import Cause

    Value = dict[str, Any]

__all__ = ["PROTOCOLS", "containers", "init_containers", "security_context"]

PROTOCOLS: Final = ("SCTP", "TCP", "UDP")
_HANDLERS: Final = ("exec", "httpGet", "tcpSocket", "grpc", "sleep")
_PROBES: Final = ("livenessProbe", "readinessProbe", "startupProbe")
_PULL_POLICIES: Final = ("Always", "IfNotPresent", "Never")
_RESTART_POLICIES: Final = ("Always", "Never", "OnFailure")
_IDS: Final = range(2**31)
_SOURCES: Final = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")
_ONE_AT_A_TIME: Final = "may not have more than one field specified at a time"


def containers(path: str, given: list[Value], volumes: Collection[str]) -> Iterator[Cause]:
    """Check the containers of a Pod that has volumes of those names."""
    if not given:
        yield causes.required(path)
    names: set[str] = set()
    for index, container in enumerate(given):
        at = item(path, index)
        yield from _named_container(at, container, volumes, names)
        yield from _behaviour(at, container)
    yield from _host_ports(path, given)


def init_containers(path: str, given: list[Value], others: list[Value], volumes: Collection[str]) -> Iterator[Cause]:
    """Check the init containers of a Pod beside its other containers."""
    names = {container["name"] for container in others}
    for index, container in enumerate(given):
        at = item(path, index)
        yield from _named_container(at, container, volumes, names)
        if container.get("restartPolicy") == "Always":
            yield from _behaviour(at, container)
            continue
        for name in ("lifecycle", *_PROBES):
            if name in container:
                why = "may not be set for init containers without restartPolicy=Always"
                yield causes.forbidden(child(at, name), why)


def _named_container(at: str, container: Value, volumes: Collection[str], names: set[str]) -> Iterator[Cause]:
    """Check a container, whose name is to be none of `names`; it is added to them."""
    yield from _container(at, container, volumes)
    if container["name"] in names:
        yield causes.duplicate(child(at, "name"), container["name"])
    names.add(container["name"])


def _container(path: str, container: Value, volumes: Collection[str]) -> Iterator[Cause]:
    yield from required(child(path, "name"), container["name"], formats.dns_label)
    if not container.get("image"):
        yield causes.required(child(path, "image"))
    policies = ("File", "FallbackToLogsOnError")
    yield from one_of(child(path, "terminationMessagePolicy"), container["terminationMessagePolicy"], policies)
    yield from _ports(child(path, "ports"), container.get("ports", []))
    yield from _environment(child(path, "env"), container.get("env", []))
    yield from _environment_sources(child(path, "envFrom"), container.get("envFrom", []))
    yield from volume_mounts(child(path, "volumeMounts"), container.get("volumeMounts", []), volumes)
    yield from one_of(child(path, "imagePullPolicy"), container["imagePullPolicy"], _PULL_POLICIES)
    yield from resource_requirements(child(path, "resources"), container["resources"])
    yield from security_context(child(path, "securityContext"), container.get("securityContext", {}))
    yield from among(child(path, "restartPolicy"), container.get("restartPolicy"), _RESTART_POLICIES)


def security_context(path: str, context: Value) -> Iterator[Cause]:
    """Check the users and groups of a security context, of a Pod or of a container."""
    for name in ("fsGroup", "runAsUser", "runAsGroup"):
        if context.get(name, 0) not in _IDS:
            why = f"must be between 0 and {_IDS[-1]}, inclusive"
            yield causes.invalid(child(path, name), context[name], why)


def _ports(path: str, ports: list[Value]) -> Iterator[Cause]:
    names: set[str] = set()
    for index, each in enumerate(ports):
        at = item(path, index)
        if name := each.get("name"):
            if messages := formats.port_name(name):
                yield from (causes.invalid(child(at, "name"), name, message) for message in messages)
            elif name in names:
                yield causes.duplicate(child(at, "name"), name)
            names.add(name)
        if each["containerPort"] == 0:
            yield causes.required(child(at, "containerPort"))
        else:
            yield from port(child(at, "containerPort"), each["containerPort"])
        if "hostPort" in each:
            yield from port(child(at, "hostPort"), each["hostPort"])
        yield from one_of(child(at, "protocol"), each["protocol"], PROTOCOLS)


def _host_ports(path: str, given: list[Value]) -> Iterator[Cause]:
    seen: set[str] = set()
    for index, container in enumerate(given):
        for number, each in enumerate(container.get("ports", ())):
            if "hostPort" not in each:
                continue
            key = f"{each['protocol']}/{each.get('hostIP', '')}/{each['hostPort']}"
            if key in seen:
                yield causes.duplicate(f"{item(path, index)}.ports[{number}].hostPort", key)
            seen.add(key)


def _environment(path: str, variables: list[Value]) -> Iterator[Cause]:
    for index, variable in enumerate(variables):
        at = item(path, index)
        yield from required(child(at, "name"), variable["name"], formats.environment_name)
        if (source := variable.get("valueFrom")) is not None:
            yield from _value_from(child(at, "valueFrom"), source, variable.get("value", ""))


def _value_from(path: str, source: Value, value: str) -> Iterator[Cause]:
    for name in ("configMapKeyRef", "secretKeyRef"):
        if (selector := source.get(name)) is not None:
            yield from formatted(child(child(path, name), "name"), selector.get("name", ""), formats.dns_subdomain)
            yield from required(child(child(path, name), "key"), selector["key"], formats.config_key)
    if (reference := source.get("fieldRef")) is not None:
        yield from field_reference(child(path, "fieldRef"), reference, IN_ENVIRONMENT)
    if not source:
        listed = ", ".join(f"`{name}`" for name in _SOURCES[:-1])
        yield causes.invalid(path, "", f"must specify one of: {listed} or `{_SOURCES[-1]}`")
    elif value:
        yield causes.invalid(path, "", "may not be specified when `value` is not empty")
    elif len(source) > 1:
        yield causes.invalid(path, "", _ONE_AT_A_TIME)


def _environment_sources(path: str, sources: list[Value]) -> Iterator[Cause]:
    for index, source in enumerate(sources):
        at = item(path, index)
        if prefix := source.get("prefix"):
            yield from formatted(child(at, "prefix"), prefix, formats.environment_name)
        given = [name for name in ("configMapRef", "secretRef") if name in source]
        for name in given:
            yield from required(child(child(at, name), "name"), source[name].get("name"), formats.dns_subdomain)
        if not given:
            yield causes.invalid(path, "", "must specify one of: `configMapRef` or `secretRef`")
        elif len(given) > 1:
            yield causes.invalid(path, "", _ONE_AT_A_TIME)


def _behaviour(path: str, container: Value) -> Iterator[Cause]:
    """Check what a container that runs on does: its hooks, and how its health is probed."""
    lifecycle = container.get("lifecycle", {})
    for name in ("postStart", "preStop"):
        if name in lifecycle:
            yield from _handler(f"{path}.lifecycle.{name}", lifecycle[name])
    for name in _PROBES:
        if (probe := container.get(name)) is None:
            continue
        at = child(path, name)
        yield from _probe(at, probe)
        if name == "readinessProbe":
            if (seconds := probe.get("terminationGracePeriodSeconds")) is not None:
                why = "must not be set for readinessProbes"
                yield causes.invalid(child(at, "terminationGracePeriodSeconds"), seconds, why)
        elif probe["successThreshold"] != 1:
            yield causes.invalid(child(at, "successThreshold"), probe["successThreshold"], "must be 1")


def _probe(path: str, probe: Value) -> Iterator[Cause]:
    yield from _handler(path, probe)
    yield from nonnegative(
        path, probe, "initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"
    )
    if (seconds := probe.get("terminationGracePeriodSeconds")) is not None and seconds <= 0:
        yield causes.invalid(child(path, "terminationGracePeriodSeconds"), seconds, "must be greater than 0")


def _handler(path: str, handler: Value) -> Iterator[Cause]:
    given = [name for name in _HANDLERS if name in handler]
    for name in given[:1]:
        yield from _action(child(path, name), name, handler[name])
    for name in given[1:]:
        yield causes.forbidden(child(path, name), "may not specify more than 1 handler type")
    if not given:
        yield causes.required(path, "must specify a handler type")


def _action(path: str, name: str, action: Value) -> Iterator[Cause]:
    if name == "exec" and not action.get("command"):
        yield causes.required(child(path, "command"))
    if name in {"httpGet", "tcpSocket", "grpc"}:
        yield from port(child(path, "port"), action["port"])
    if name == "httpGet":
        if action["scheme"] not in {"HTTP", "HTTPS"}:
            yield causes.not_supported(child(path, "scheme"), action["scheme"], ("HTTP", "HTTPS"))
        for header in action.get("httpHeaders", ()):
            yield from formatted(child(path, "httpHeaders"), header["name"], formats.header_name)
