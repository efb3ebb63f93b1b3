"""A pod's status, as a kubelet writes it, from the stage that the pod is in. Pure functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from disvc.runtime.timestamps import metav1_time
from disvc.testing.kserve.behaviour import Running, Stage, Terminated, Waiting
from disvc.testing.kserve.resources import STORAGE_INITIALIZER

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from disvc.testing.kserve.behaviour import ContainerState
    from disvc.testing.kserve.resources import Value


def has_storage_initializer(pod: Value) -> bool:
    """Whether one of the pod's init containers is KServe's storage-initializer."""
    return any(c["name"] == STORAGE_INITIALIZER for c in pod["spec"].get("initContainers") or ())


def restarts_of(pod: Value) -> dict[str, int]:
    """Return how often each container was started again, by name."""
    status = pod.get("status") or {}
    statuses = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    return {s["name"]: s["restartCount"] for s in statuses}


def pod_status(
    pod: Value, stage: Stage, restarts: Mapping[str, int], addresses: tuple[str, str], now: datetime
) -> Value:
    """Return the status of a pod in a stage.

    Args:
        pod: as it is; what has not changed of its status keeps its times.
        stage: how it shall be.
        restarts: how often each container was started again before the behaviour began.
        addresses: the pod's IP and that of its node.
        now: the time of what changes.

    """
    old = pod.get("status") or {}
    pod_ip, host_ip = addresses
    initialized = isinstance(stage.init, Terminated)
    waits = not initialized or (isinstance(stage.server, Waiting) and stage.last is None)
    in_trouble = stage.server if initialized else stage.init

    def container_statuses(field: str, state: ContainerState, *, ready: bool) -> list[Value]:
        before = {s["name"]: s for s in old.get(f"{field[:-1]}Statuses") or ()}
        return [
            _container_status(
                pod["metadata"],
                container,
                before.get(container["name"], {}),
                state,
                ready=ready,
                last=stage.last if state is in_trouble else None,
                restarts=restarts.get(container["name"], 0) + (stage.restarts if state is in_trouble else 0),
                now=now,
            )
            for container in pod["spec"].get(field) or ()
        ]

    servers = [c["name"] for c in pod["spec"]["containers"]]
    inits = [c["name"] for c in pod["spec"].get("initContainers") or ()]
    unready = "" if stage.ready else f"containers with unready status: [{' '.join(servers)}]"
    unfinished = "" if initialized else f"containers with incomplete status: [{' '.join(inits)}]"
    conditions = [
        ("PodReadyToStartContainers", True, "", ""),
        ("Initialized", initialized, "ContainersNotInitialized", unfinished),
        ("Ready", stage.ready, "ContainersNotReady", unready),
        ("ContainersReady", stage.ready, "ContainersNotReady", unready),
        ("PodScheduled", True, "", ""),
    ]
    return {
        "phase": "Pending" if waits else "Running",
        "conditions": list(_conditions(old.get("conditions") or (), conditions, now)),
        "hostIP": host_ip,
        "hostIPs": [{"ip": host_ip}],
        "podIP": pod_ip,
        "podIPs": [{"ip": pod_ip}],
        "startTime": old.get("startTime") or metav1_time(now),
        "qosClass": old.get("qosClass", "BestEffort"),
        "initContainerStatuses": container_statuses("initContainers", stage.init, ready=initialized),
        "containerStatuses": container_statuses("containers", stage.server, ready=stage.ready),
    }


def _conditions(old: Iterable[Value], new: list[tuple[str, bool, str, str]], now: datetime) -> Iterable[Value]:
    before = {c["type"]: c for c in old}
    for kind, holds, reason, message in new:
        condition = {"type": kind, "status": "True" if holds else "False", "lastProbeTime": None}
        if not holds:
            condition |= {"reason": reason, "message": message}
        changed = before.get(kind, {}).get("status") != condition["status"]
        condition["lastTransitionTime"] = metav1_time(now) if changed else before[kind]["lastTransitionTime"]
        yield condition


def _container_status(
    pod: Value,
    container: Value,
    old: Value,
    state: ContainerState,
    *,
    ready: bool,
    last: Terminated | None,
    restarts: int,
    now: datetime,
) -> Value:
    where = f"{container['name']} pod={pod['name']}_{pod['namespace']}({pod['uid']})"
    same_run = old.get("restartCount") == restarts
    last_state = old.get("lastState", {})
    if last is not None and not (same_run and last_state and last.started_at is None):
        last_state = _state(last, {}, where, now)
    container_id = {"containerID": state.container_id} if isinstance(state, Running) and state.container_id else {}
    return {
        **container_id,
        "name": container["name"],
        "image": container["image"],
        "imageID": "" if isinstance(state, Waiting) else f"simulated/{container['image']}",
        "ready": ready,
        "started": isinstance(state, Running),
        "restartCount": restarts,
        "state": _state(state, old.get("state", {}) if same_run else {}, where, now),
        "lastState": last_state,
    }


def _state(state: ContainerState, old: Value, where: str, now: datetime) -> Value:
    """Return a ContainerState; what goes on from `old` keeps its times, and a back-off says `where` it is."""
    time = metav1_time(now)
    match state:
        case Running():
            return {"running": old.get("running") or {"startedAt": time}}
        case Waiting(reason, message):
            message += f"={where}" if reason == "CrashLoopBackOff" else ""
            return {"waiting": {"reason": reason} | ({"message": message} if message else {})}
        case Terminated(reason, exit_code, message, started_at, finished_at):
            terminated = {
                "exitCode": exit_code,
                "reason": reason,
                "startedAt": metav1_time(started_at or now),
                "finishedAt": metav1_time(finished_at or now),
            }
            terminated |= {"message": message} if message else {}
            return {"terminated": (old.get("terminated") if started_at is None else None) or terminated}
