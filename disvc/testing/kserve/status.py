"""What KServe writes into an ISVC's status, from what it sees of Deployments and pods. Pure functions.

The order of writes that people see is not made here: it follows from when KServe looks, and from these rules being
those of KServe v0.20.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from disvc.testing.controllers.kinds import is_ready
from disvc.testing.kserve.resources import SERVER_CONTAINER, STORAGE_INITIALIZER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from disvc.testing.kserve.conditions import Conditions
    from disvc.testing.kserve.conditions import Status as ConditionStatus
    from disvc.testing.kserve.resources import Value
    from disvc.testing.kserve.workload import Kind

READY_CONDITIONS: Final[dict[str, str]] = {"predictor": "PredictorReady", "transformer": "TransformerReady"}


def propagate_deployment(status: Value, conditions: Conditions, kind: Kind, deployment: Value, url: str) -> None:
    """Make of a Deployment's conditions the readiness of a component; its counter is the ISVC's observedGeneration.

    A Deployment that its controller has not observed counts as one without conditions.
    """
    observed = deployment.get("status") or {}
    generation = observed.get("observedGeneration", 0)
    found = {c["type"]: c for c in observed.get("conditions") or ()} if generation else {}
    verdict = _verdict(found.get("Available", {}), found.get("Progressing", {}), found.get("ReplicaFailure", {}))
    conditions.set(READY_CONDITIONS[kind], *verdict)
    component = status.setdefault("components", {}).setdefault(kind, {})
    if verdict[0] == "True":
        component["url"] = url
    if generation:
        status["observedGeneration"] = generation
    else:
        status.pop("observedGeneration", None)


def _verdict(available: Value, progressing: Value, failure: Value) -> tuple[ConditionStatus, str, str]:
    """Return status, reason and message of a component's readiness."""
    if failure.get("status") == "True":
        return "False", *_why(failure)
    if available.get("status") == "False":
        return "False", *_why(available)
    if progressing.get("status") == "False" and progressing.get("message"):
        return "False", *_why(progressing)
    if progressing.get("status") == "True" and progressing.get("reason") == "NewReplicaSetAvailable":
        return "True", *_why(progressing)
    if available.get("status") == "True":
        return "True", *_why(available)
    if progressing.get("status") == "True":
        return "Unknown", *_why(progressing)
    return "False", "", ""


def _why(condition: Value) -> tuple[str, str]:
    return condition.get("reason", ""), condition.get("message", "")


def propagate_model(status: Value, *, ready: bool, pods: Sequence[Value], deployment: Value) -> bool:
    """Make of the pods what `modelStatus` says; False where KServe looks again in a second and writes nothing.

    Only the first pod is looked at. `ready` is whether the ISVC is.
    """
    model = status["modelStatus"]
    copies = {"failedCopies": 0, "totalCopies": sum(is_ready(p) for p in pods)}
    model["copies"] = {name: n for name, n in copies.items() if n or name == "failedCopies"}
    if not pods:
        _model_state(model, "Pending")
        return True
    initializer = _container_status(pods[0], "initContainerStatuses", STORAGE_INITIALIZER)
    state, last = initializer.get("state", {}), initializer.get("lastState", {}).get("terminated")
    if "running" in state:
        if last:
            return False
        _model_state(model, "Loading")
        return True
    if failure := _failure(state, last):
        _model_state(model, "FailedToLoad", failure)
        return True
    if ready:
        _model_state(model, "Loaded")
        return True
    server = _container_status(pods[0], "containerStatuses", SERVER_CONTAINER)
    if server:
        # Nothing tells KServe of a container's end while the Deployment makes progress, and what it reads in that
        # time it reads before a server had the time to end. So a crash shows at the progress deadline.
        last = server.get("lastState", {}).get("terminated")
        failure = None if _progresses(deployment) else _failure(server.get("state", {}), last)
        _model_state(model, "FailedToLoad" if failure else "Pending", failure)
    return True


def _progresses(deployment: Value) -> bool:
    conditions = (deployment.get("status") or {}).get("conditions") or ()
    progressing = next((c for c in conditions if c["type"] == "Progressing"), {"status": "True"})
    return progressing["status"] == "True" and progressing.get("reason") != "NewReplicaSetAvailable"


def _failure(state: Value, last: Value | None) -> Value | None:
    """Return the failure info of a container that has failed, None for another."""
    ended = state.get("terminated")
    if ended is not None and ended.get("reason") != "Error":
        ended = None
    if state.get("waiting", {}).get("reason") == "CrashLoopBackOff":
        ended = last
    if ended is None:
        return None
    info: dict[str, Any] = {"reason": "ModelLoadFailed"}
    if message := ended.get("message"):
        info["message"] = message
    if exit_code := ended.get("exitCode"):
        info["exitCode"] = exit_code
    return info


def _container_status(pod: Value, field: str, name: str) -> Value:
    statuses: Sequence[Value] = (pod.get("status") or {}).get(field) or ()
    return next((s for s in statuses if s["name"] == name), {})


def _model_state(model: Value, state: str, failure: Value | None = None) -> None:
    states = model.setdefault("states", {"activeModelState": ""})
    states["targetModelState"] = state
    if state == "Loaded":
        states["activeModelState"] = state
    model["transitionStatus"] = {"Loaded": "UpToDate", "FailedToLoad": "BlockedByFailedLoad"}.get(state, "InProgress")
    if failure is not None:
        model["lastFailureInfo"] = failure


def invalid_spec(status: Value, reason: str, message: str) -> None:
    """Say that the spec cannot be served, and why."""
    model = status["modelStatus"]
    model["transitionStatus"] = "InvalidSpec"
    model.setdefault("states", {"activeModelState": ""})["targetModelState"] = "FailedToLoad"
    model["lastFailureInfo"] = {"reason": reason, "message": message}
