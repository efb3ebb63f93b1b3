"""The columns of Pods; their status is what their containers do rather than the phase."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from disvc.testing.memory.builtin.columns.common import AGE, NAME, NONE, column, field, since, wide
from disvc.testing.memory.resource import Column

if TYPE_CHECKING:
    from datetime import datetime

    Value = dict[str, Any]

__all__ = ["POD"]

_STATUS: Final = "io.k8s.api.core.v1.PodStatus"
_SPEC: Final = "io.k8s.api.core.v1.PodSpec"


@dataclass
class _Summary:
    """What a Pod's containers do, all in all."""

    reason: str
    ready: int = 0
    restarts: int = 0
    last_restart: str = ""
    """A time, "" where there was none."""

    def count_restarts(self, status: Value) -> None:
        self.restarts += status.get("restartCount", 0)
        finished = status.get("lastState", {}).get("terminated", {}).get("finishedAt") or ""
        self.last_restart = max(self.last_restart, finished)


def _summary(pod: Value) -> _Summary:
    status = pod["status"]
    summary = _Summary(status.get("reason") or status.get("phase", ""))
    if any(_is(each, "PodScheduled", reason="SchedulingGated") for each in status.get("conditions", ())):
        summary.reason = "SchedulingGated"
    is_initializing = _initialize(summary, pod)
    if not is_initializing or any(_is(each, "Initialized", "True") for each in status.get("conditions", ())):
        _run(summary, pod)
    if "deletionTimestamp" in pod["metadata"]:
        if status.get("reason") == "NodeLost":
            summary.reason = "Unknown"
        elif status.get("phase") not in {"Failed", "Succeeded"}:
            summary.reason = "Terminating"
    return summary


def _is(condition: Value, type_: str, status: str = "", reason: str = "") -> bool:
    if condition["type"] != type_:
        return False
    return status in {"", condition["status"]} and reason in {"", condition.get("reason")}


def _initialize(summary: _Summary, pod: Value) -> bool:
    """Tell of init containers, and return whether one of them is not done."""
    init = pod["spec"].get("initContainers", ())
    stays = {each["name"] for each in init if each.get("restartPolicy") == "Always"}
    for index, status in enumerate(pod["status"].get("initContainerStatuses", ())):
        summary.count_restarts(status)
        terminated = status.get("state", {}).get("terminated")
        if terminated is not None and terminated["exitCode"] == 0:
            continue
        if status["name"] in stays and status.get("started"):
            summary.ready += bool(status.get("ready"))
            continue
        waiting = status.get("state", {}).get("waiting", {}).get("reason", "")
        if terminated is not None:
            summary.reason = f"Init:{_end(terminated)}"
        elif waiting and waiting != "PodInitializing":
            summary.reason = f"Init:{waiting}"
        else:
            summary.reason = f"Init:{index}/{len(init)}"
        return True
    return False


def _run(summary: _Summary, pod: Value) -> None:
    """Tell of the containers, and no longer of init containers that are done."""
    summary.restarts, summary.last_restart = 0, ""
    stays = {each["name"] for each in pod["spec"].get("initContainers", ()) if each.get("restartPolicy") == "Always"}
    for status in pod["status"].get("initContainerStatuses", ()):
        if status["name"] in stays:
            summary.count_restarts(status)
    is_running, failure = False, ""
    for status in reversed(pod["status"].get("containerStatuses", ())):
        summary.count_restarts(status)
        state = status.get("state", {})
        terminated = state.get("terminated")
        if waiting := state.get("waiting", {}).get("reason"):
            summary.reason = waiting
        elif terminated is not None:
            summary.reason = _end(terminated)
            failure = summary.reason if terminated["exitCode"] else failure
        elif status["ready"] and "running" in state:
            is_running = True
            summary.ready += 1
    if summary.reason == "Completed" and (is_running or failure):
        is_ready = any(_is(each, "Ready", "True") for each in pod["status"].get("conditions", ()))
        summary.reason = "Running" if is_running and is_ready else failure or "NotReady"


def _end(terminated: Value) -> str:
    """Return how a container ended."""
    if reason := terminated.get("reason"):
        return str(reason)
    if signal := terminated.get("signal"):
        return f"Signal:{signal}"
    return f"ExitCode:{terminated['exitCode']}"


def _ready(pod: Value) -> str:
    stays = [each for each in pod["spec"].get("initContainers", ()) if each.get("restartPolicy") == "Always"]
    return f"{_summary(pod).ready}/{len(pod['spec']['containers']) + len(stays)}"


def _restarts(pod: Value, now: datetime) -> str:
    summary = _summary(pod)
    if summary.restarts and summary.last_restart:
        return f"{summary.restarts} ({since(summary.last_restart, now)} ago)"
    return str(summary.restarts)


def _address(pod: Value) -> str:
    addresses = pod["status"].get("podIPs") or [{}]
    return addresses[0].get("ip") or NONE


def _gates(pod: Value) -> str:
    gates = [gate["conditionType"] for gate in pod["spec"].get("readinessGates", ())]
    conditions = {each["type"]: each["status"] for each in pod["status"].get("conditions", ())}
    passed = [gate for gate in gates if conditions.get(gate) == "True"]
    return f"{len(passed)}/{len(gates)}" if gates else NONE


_RESTARTS: Final = (
    "The number of times the containers in this pod have been restarted and when the last container in this pod has "
    "restarted."
)

POD: Final = (
    NAME,
    column("Ready", _ready, "The aggregate readiness state of this pod for accepting traffic."),
    column("Status", lambda pod: _summary(pod).reason, "The aggregate status of the containers in this pod."),
    Column("Restarts", "string", _restarts, description=_RESTARTS),
    AGE,
    wide("IP", _address, f"{_STATUS}.podIP"),
    wide("Node", field("spec.nodeName", NONE), f"{_SPEC}.nodeName"),
    wide("Nominated Node", field("status.nominatedNodeName", NONE), f"{_STATUS}.nominatedNodeName"),
    wide("Readiness Gates", _gates, f"{_SPEC}.readinessGates"),
)
