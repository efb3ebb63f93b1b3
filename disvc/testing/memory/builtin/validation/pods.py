"""Pods, and the templates of Pods in Deployments and the like."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Final

from disvc.testing.memory import causes, formats
from disvc.testing.memory.builtin.validation.containers import containers, init_containers, security_context
from disvc.testing.memory.builtin.validation.fields import annotation_keys, formatted, labels, one_of
from disvc.testing.memory.builtin.validation.volumes import volumes
from disvc.testing.memory.causes import child, item

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from disvc.testing.memory.errors import Cause

    Value = dict[str, Any]

__all__ = ["pod_changes", "pod_spec", "pod_template", "tokens", "tolerations"]

_RESTART_POLICIES: Final = ("Always", "OnFailure", "Never")
_DNS_POLICIES: Final = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_EFFECTS: Final = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_MAX_INT32: Final = 2**31 - 1
_CHANGEABLE: Final = (
    "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,"
    "`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def pod_template(path: str, template: Value, *, more_volumes: Collection[str] = ()) -> Iterator[Cause]:
    """Check a PodTemplateSpec whose Pods get volumes of some more names from whoever makes them."""
    metadata = template["metadata"]
    yield from labels(child(path, "labels"), metadata.get("labels"))
    yield from annotation_keys(child(path, "annotations"), metadata.get("annotations"))
    yield from pod_spec(child(path, "spec"), template["spec"], more_volumes=more_volumes)
    if template["spec"].get("ephemeralContainers"):
        why = "ephemeral containers not allowed in pod template"
        yield causes.forbidden(f"{path}.spec.ephemeralContainers", why)


def pod_spec(path: str, spec: Value, *, more_volumes: Collection[str] = ()) -> Iterator[Cause]:
    """Check the spec of a Pod."""
    wrong, names = volumes(child(path, "volumes"), spec.get("volumes", []))
    yield from wrong
    names = {*names, *more_volumes}
    regular = spec["containers"] or []
    yield from containers(child(path, "containers"), regular, names)
    yield from init_containers(child(path, "initContainers"), spec.get("initContainers", []), regular, names)
    if spec.get("hostNetwork"):
        yield from _host_network(child(path, "containers"), regular)
    yield from one_of(child(path, "restartPolicy"), spec["restartPolicy"], _RESTART_POLICIES)
    yield from one_of(child(path, "dnsPolicy"), spec["dnsPolicy"], _DNS_POLICIES)
    yield from labels(child(path, "nodeSelector"), spec.get("nodeSelector"))
    yield from security_context(child(path, "securityContext"), spec["securityContext"])
    yield from _gates(path, spec)
    for name in ("serviceAccountName", "nodeName"):
        if value := spec.get(name):
            yield from formatted(child(path, name), value, formats.dns_subdomain)
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline <= _MAX_INT32:
        why = f"must be between 1 and {_MAX_INT32}, inclusive"
        yield causes.invalid(child(path, "activeDeadlineSeconds"), deadline, why)
    for name in ("hostname", "subdomain"):
        if value := spec.get(name):
            yield from formatted(child(path, name), value, formats.dns_label)
    yield from tolerations(child(path, "tolerations"), spec.get("tolerations", []))
    if value := spec.get("priorityClassName"):
        yield from formatted(child(path, "priorityClassName"), value, formats.dns_subdomain)
    if "preemptionPolicy" in spec:
        policies = ("PreemptLowerPriority", "Never")
        yield from one_of(child(path, "preemptionPolicy"), spec["preemptionPolicy"], policies)


def tokens(path: str, spec: Value) -> Iterator[Cause]:
    """Check that a Pod whose volumes have tokens of its service account says which one that is."""
    if spec.get("serviceAccountName"):
        return
    for index, volume in enumerate(spec.get("volumes", ())):
        for number, source in enumerate(volume.get("projected", {}).get("sources") or ()):
            if "serviceAccountToken" in source:
                at = f"{item(child(path, 'volumes'), index)}.projected.sources[{number}].serviceAccountToken"
                yield causes.forbidden(at, "must not be specified when serviceAccountName is not set")


def _gates(path: str, spec: Value) -> Iterator[Cause]:
    for index, gate in enumerate(spec.get("readinessGates", ())):
        at = f"{item(child(path, 'readinessGates'), index)}.conditionType"
        yield from formatted(at, gate["conditionType"], formats.label_key)
    for index, gate in enumerate(spec.get("schedulingGates", ())):
        yield from formatted(item(child(path, "schedulingGates"), index), gate["name"], formats.label_key)


def _host_network(path: str, given: list[Value]) -> Iterator[Cause]:
    for index, container in enumerate(given):
        for number, port in enumerate(container.get("ports", ())):
            if port.get("hostPort", port["containerPort"]) != port["containerPort"]:
                at = f"{item(path, index)}.ports[{number}].hostPort"
                yield causes.invalid(at, port["hostPort"], "must match `containerPort` when `hostNetwork` is true")


def tolerations(path: str, given: list[Value]) -> Iterator[Cause]:
    """Check the tolerations of a Pod."""
    for index, toleration in enumerate(given):
        at = item(path, index)
        key, operator = toleration.get("key"), toleration.get("operator", "")
        effect, value = toleration.get("effect", ""), toleration.get("value", "")
        if key:
            yield from formatted(child(at, "key"), key, formats.label_key)
        elif operator != "Exists":
            why = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
            yield causes.invalid(child(at, "operator"), operator, why)
        if "tolerationSeconds" in toleration and effect != "NoExecute":
            why = "effect must be 'NoExecute' when `tolerationSeconds` is set"
            yield causes.invalid(child(at, "effect"), effect, why)
        if operator not in {"", "Equal", "Exists"}:
            yield causes.not_supported(child(at, "operator"), operator, ("Equal", "Exists"))
        elif operator == "Exists" and value:
            yield causes.invalid(child(at, "operator"), value, "value must be empty when `operator` is 'Exists'")
        elif operator != "Exists" and (messages := formats.label_value(value)):
            yield causes.invalid(child(at, "operator"), value, ";".join(messages))
        if effect:
            yield from one_of(child(at, "effect"), effect, _EFFECTS)


def pod_changes(new: Value, old: Value) -> Iterator[Cause]:
    """Check what an update changes in the spec of a Pod: images, a deadline and more tolerations are all it may."""
    for name in ("containers", "initContainers"):
        if len(new.get(name) or ()) != len(old.get(name) or ()):
            yield causes.forbidden(f"spec.{name}", "pod updates may not add or remove containers")
            return
    yield from _deadline_change(new.get("activeDeadlineSeconds"), old.get("activeDeadlineSeconds"))
    kept = [_without_seconds(each) for each in new.get("tolerations", ())]
    if any(_without_seconds(each) not in kept for each in old.get("tolerations", ())):
        why = "existing toleration can not be modified except its tolerationSeconds"
        yield causes.forbidden("spec.tolerations", why)
    else:
        yield from tolerations("spec.tolerations", new.get("tolerations", []))
    if _fixed(new) != _fixed(old):
        yield causes.forbidden("spec", f"pod updates may not change fields other than {_CHANGEABLE}\n")


def _without_seconds(toleration: Value) -> Value:
    return {name: value for name, value in toleration.items() if name != "tolerationSeconds"}


def _deadline_change(new: int | None, old: int | None) -> Iterator[Cause]:
    path = "spec.activeDeadlineSeconds"
    if new is None and old is not None:
        yield causes.invalid(path, None, "must not update from a positive integer to nil value")
    elif new is not None and old is not None and new > old:
        yield causes.invalid(path, new, "must be less than or equal to previous value")


def _fixed(spec: Value) -> Value:
    """Return what of a Pod's spec may not change."""
    fixed = copy.deepcopy(spec)
    for name in ("activeDeadlineSeconds", "tolerations", "schedulingGates"):
        fixed.pop(name, None)
    for container in [*(fixed["containers"] or ()), *fixed.get("initContainers", ())]:
        container.pop("image", None)
    return fixed
