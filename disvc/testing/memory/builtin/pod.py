"""Pods: what the server adds to a new one, and what of it may change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from disvc.testing.memory.builtin.strategy import BuiltinStrategy
from disvc.testing.memory.builtin.validation.pods import pod_changes, pod_spec, tokens
from disvc.testing.memory.causes import forbidden, invalid
from disvc.testing.quantity import amount

if TYPE_CHECKING:
    from collections.abc import Sequence

    from disvc.testing.memory.errors import Cause

    Value = dict[str, Any]

__all__ = ["PodStrategy", "grace_period"]

_PRIORITIES: Final = {"system-node-critical": 2000001000, "system-cluster-critical": 2000000000}
"""The priorities of the classes that every server has."""
_TOLERATION_S: Final = 300
_MEASURED: Final = ("cpu", "memory")


class PodStrategy(BuiltinStrategy):
    """The strategy of Pods, and the admission plugins that every server has on: Priority, DefaultTolerationSeconds."""

    def prepare_for_create(self, obj: Value) -> None:
        """Give a Pod its first status, a priority, and tolerations of nodes that are gone for a while."""
        spec = obj["spec"]
        spec.setdefault("priority", _PRIORITIES.get(spec.get("priorityClassName", ""), 0))
        spec.setdefault("preemptionPolicy", "PreemptLowerPriority")
        _tolerate(spec)
        obj["status"] = {"phase": "Pending", "qosClass": _quality_of_service(spec)}
        if spec.get("schedulingGates"):
            obj["status"]["conditions"] = [
                {
                    "type": "PodScheduled",
                    "status": "False",
                    "lastProbeTime": None,
                    "lastTransitionTime": obj["metadata"].get("creationTimestamp"),
                    "reason": "SchedulingGated",
                    "message": "Scheduling is blocked due to non-empty scheduling gates",
                }
            ]

    def prepare_for_update(self, obj: Value, old: Value) -> None:
        """Keep the status, and the priority where the client does not say it."""
        super().prepare_for_update(obj, old)
        for name in ("priority", "preemptionPolicy"):
            if name in old["spec"]:
                obj["spec"].setdefault(name, old["spec"][name])
        _tolerate(obj["spec"])

    def validate(self, obj: Value, old: Value | None, subresource: str) -> Sequence[Cause]:
        """Return what is wrong."""
        if subresource == "status" and old is not None:
            return _status_changes(obj, old)
        found = [*pod_spec("spec", obj["spec"]), *tokens("spec", obj["spec"])]
        if old is None:
            if obj["spec"].get("ephemeralContainers"):
                found.append(forbidden("spec.ephemeralContainers", "cannot be set on create"))
            return found
        return [*found, *pod_changes(obj["spec"], old["spec"])]


def _status_changes(pod: Value, old: Value) -> list[Cause]:
    quality, before = pod["status"].get("qosClass"), old["status"].get("qosClass")
    return [] if quality == before else [invalid("status.qosClass", quality, "field is immutable")]


def _tolerate(spec: Value) -> None:
    """Let a Pod stay for five minutes on a node that is not ready, unless it says otherwise itself."""
    given = spec.get("tolerations", [])
    for condition in ("not-ready", "unreachable"):
        key = f"node.kubernetes.io/{condition}"
        if not any(each.get("key", key) == key and each.get("effect", "NoExecute") == "NoExecute" for each in given):
            more = {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": _TOLERATION_S}
            spec.setdefault("tolerations", []).append(more)


def _quality_of_service(spec: Value) -> str:
    """Return how well a Pod is served where resources are scarce, from what its containers request and may use."""
    containers = [*(spec["containers"] or ()), *spec.get("initContainers", ())]
    requests = [_amounts(container["resources"].get("requests", {})) for container in containers]
    limits = [_amounts(container["resources"].get("limits", {})) for container in containers]
    if not any(requests) and not any(limits):
        return "BestEffort"
    is_guaranteed = all(set(limit) == set(_MEASURED) for limit in limits) and requests == limits
    return "Guaranteed" if is_guaranteed else "Burstable"


def _amounts(resources: Value) -> dict[str, object]:
    return {name: amount(resources[name]) for name in _MEASURED if name in resources and amount(resources[name]) > 0}


def grace_period(pod: Value, asked_s: int | None) -> int:
    """Return for how many seconds a Pod is terminating: not at all where no kubelet has to stop it."""
    if not pod["spec"].get("nodeName") or pod["status"].get("phase") in {"Failed", "Succeeded"}:
        return 0
    period_s: int = pod["spec"].get("terminationGracePeriodSeconds", 0) if asked_s is None else asked_s
    return period_s if period_s >= 0 else 1
