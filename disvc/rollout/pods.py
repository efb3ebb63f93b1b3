"""What is wrong with a member's pods. KServe says it minutes later, or never.

A container that crashes goes round: running, terminated, waiting in CrashLoopBackOff. A pull that fails alternates,
too. Each is told in the same words at every point of its round, with the time at which the pod stopped being ready,
so that the status is not rewritten each time.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from disvc.rollout.kserve import conditions, is_true
from disvc.rollout.observation import Problem
from disvc.rollout.reading import instant, one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    Value = Mapping[str, Any]

MEMBER_LABEL: Final = "serving.kserve.io/inferenceservice"
"""KServe sets it on the pods of all components, to the InferenceService's name."""

_BACK_OFF_RESET: Final = timedelta(minutes=10)
"""A kubelet takes a container that has run for so long for a healthy one: its next crash is the first of its kind."""
_PULL: Final = (
    "ErrImagePull",
    "ImagePullBackOff",
    "ErrImageNeverPull",
    "InvalidImageName",
    "ImageInspectError",
    "RegistryUnavailable",
    "SignatureValidationFailed",
)
_NOT_STARTED: Final = (
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
    "PreStartHookError",
    "PostStartHookError",
)
_STARTING: Final = ("", "ContainerCreating", "PodInitializing")
_BACK_OFF_PULLING: Final = re.compile(r'^Back-off pulling image(?: "[^"]*")?(?:: ErrImagePull: )?')


class _Container(NamedTuple):
    """A container of a pod, its status beside its spec."""

    pod: Value
    status: Value
    spec: Value
    is_init: bool

    @property
    def called(self) -> str:
        return f"{'init container' if self.is_init else 'container'} {self.status['name']}"

    @property
    def state(self) -> Value:
        return self.status.get("state") or {}

    @property
    def last(self) -> Value | None:
        """How its last run ended, None where this is its first."""
        return (self.status.get("lastState") or {}).get("terminated")

    @property
    def is_well(self) -> bool:
        """Of an init container also: whether it has done its work."""
        return bool(self.status["ready"])

    def logs(self) -> str:
        previous = " --previous" if self.last is not None else ""
        return f"{_kubectl(self.pod)} logs {self.pod['metadata']['name']} -c {self.status['name']}{previous}"


def of_member(pods: Iterable[Value], namespace: str, name: str) -> list[Value]:
    """Return the pods of an InferenceService, by name. Those on their way out have nothing to say any more."""
    mine = [
        pod
        for pod in pods
        if (pod["metadata"].get("labels") or {}).get(MEMBER_LABEL) == name
        and pod["metadata"]["namespace"] == namespace
        and not pod["metadata"].get("deletionTimestamp")
    ]
    return sorted(mine, key=lambda pod: str(pod["metadata"]["name"]))


def trouble(pods: Sequence[Value]) -> Problem | None:
    """Return what is wrong with one of the pods, first what waiting will not mend."""
    found = [problem for pod in pods for problem in _troubles(pod, pods)]
    return min(found, key=lambda problem: not problem.failing, default=None)


def starting(pods: Sequence[Value]) -> Problem | None:
    """Return what the first pod that is not ready does, where that may be just what starting up looks like."""
    return next((_progress(pod) for pod in pods if _is_live(pod) and not is_true(conditions(pod), "Ready")), None)


def ready_since(pods: Sequence[Value]) -> datetime | None:
    """Return since when all of the pods have been ready, None where one is not, or there is none."""
    found = [conditions(pod) for pod in pods if _is_live(pod)]
    if not all(is_true(one, "Ready") for one in found):
        return None
    return max((time for one in found if (time := instant(one["Ready"].get("lastTransitionTime")))), default=None)


def _troubles(pod: Value, pods: Sequence[Value]) -> Iterator[Problem]:
    if (pod.get("status") or {}).get("phase") == "Failed" and not _is_superseded(pod, pods):
        yield _failed(pod)
    if not _is_live(pod):
        return
    for container in _containers(pod):
        if (problem := _container_trouble(container)) is not None:
            yield problem
    scheduled = conditions(pod).get("PodScheduled", {})
    if scheduled.get("status") == "False":
        yield Problem(
            scheduled.get("reason", "Unschedulable"),
            one_line(f"pod waits for a node: {scheduled.get('message', '')}"),
            look_at=_describe(pod),
            since=instant(scheduled.get("lastTransitionTime")),
            failing=False,
        )


def _container_trouble(container: _Container) -> Problem | None:
    if container.is_well:
        return None
    waiting, ended = container.state.get("waiting") or {}, container.state.get("terminated")
    reason = waiting.get("reason", "")
    if reason == "CrashLoopBackOff":
        return _crash(container, container.last or {}, backs_off=True)
    if reason in _PULL:
        return _not_pulled(container, reason, waiting.get("message", ""))
    if reason not in _STARTING:
        return Problem(
            reason,
            one_line(f"{container.called}: {reason}: {waiting.get('message', '')}"),
            look_at=_describe(container.pod),
            since=_unready_since(container.pod),
            failing=reason in _NOT_STARTED,
        )
    if ended is not None:
        return _crash(container, ended)
    if container.last is not None and not _has_recovered(container):
        return _crash(container, container.last)
    return None


def _crash(container: _Container, ended: Value, *, backs_off: bool = False) -> Problem:
    """Tell how a container ended. One crash after a long healthy run is no loop: it is being started again."""
    began, finished = instant(ended.get("startedAt")), instant(ended.get("finishedAt"))
    was_short = began is None or finished is None or finished - began < _BACK_OFF_RESET
    loops = backs_off or (was_short and container.status["restartCount"] > 0)
    why = ended.get("reason") or "Error"
    facts = []
    if why == "OOMKilled":
        reason = why
    else:
        reason = "CrashLoopBackOff" if loops else why
        facts += [why] if why not in (reason, "Error", "Completed") else []
    if "exitCode" in ended:
        facts.append(f"exit code {ended['exitCode']}")
    limit = ((container.spec.get("resources") or {}).get("limits") or {}).get("memory")
    if why == "OOMKilled" and limit:
        facts.append(f"memory limit {limit}")
    told = f"{container.called}: {reason}" + (f" ({', '.join(facts)})" if facts else "")
    return Problem(
        reason,
        one_line(f"{told}: {ended['message']}" if ended.get("message") else told),
        look_at=container.logs(),
        since=_unready_since(container.pod),
        failing=loops or (was_short and why == "OOMKilled"),
    )


def _not_pulled(container: _Container, reason: str, message: str) -> Problem:
    detail = _BACK_OFF_PULLING.sub("", message)
    reason = "ImagePullBackOff" if reason == "ErrImagePull" else reason
    told = f"{container.called}: {reason} of {container.status.get('image', '')}"
    return Problem(
        reason,
        one_line(f"{told}: {detail}" if detail else told),
        look_at=_describe(container.pod),
        since=_unready_since(container.pod),
    )


def _failed(pod: Value) -> Problem:
    status = pod["status"]
    reason = status.get("reason") or "PodFailed"
    told = f"pod {pod['metadata']['name']}: {reason}"
    return Problem(
        reason,
        one_line(f"{told}: {status['message']}" if status.get("message") else told),
        look_at=_describe(pod),
        since=_unready_since(pod),
        failing=False,  # its ReplicaSet makes another
    )


def _progress(pod: Value) -> Problem:
    for container in _containers(pod):
        if container.is_well:
            continue
        if (running := container.state.get("running")) is not None:
            return Problem(
                "PodInitializing" if container.is_init else "ContainersNotReady",
                f"{container.called} runs" + (", and has not ended yet" if container.is_init else ", and is not ready"),
                look_at=container.logs().removesuffix(" --previous"),
                since=instant(running.get("startedAt")),
                failing=False,
            )
        reason = (container.state.get("waiting") or {}).get("reason", "ContainerCreating")
        return _waiting(pod, reason, f"{container.called}: {reason}")
    ready = conditions(pod).get("Ready", {})
    return _waiting(pod, ready.get("reason") or "Pending", ready.get("message") or "pod has not started yet")


def _waiting(pod: Value, reason: str, told: str) -> Problem:
    return Problem(reason, one_line(told), look_at=_describe(pod), since=_unready_since(pod), failing=False)


def _is_live(pod: Value) -> bool:
    return (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")


def _is_superseded(pod: Value, pods: Sequence[Value]) -> bool:
    """Whether a younger pod has started any container. A node that turns pods away fails them before that."""
    return any(list(_containers(other)) and _created(other) > _created(pod) for other in pods)


def _created(pod: Value) -> str:
    return str(pod["metadata"].get("creationTimestamp", ""))


def _containers(pod: Value) -> Iterator[_Container]:
    status = pod.get("status") or {}
    for specs, statuses, is_init in (
        ("initContainers", "initContainerStatuses", True),
        ("containers", "containerStatuses", False),
    ):
        by_name = {spec["name"]: spec for spec in pod["spec"].get(specs) or ()}
        for one in status.get(statuses) or ():
            spec = by_name.get(one["name"], {})
            yield _Container(pod, one, spec, is_init and spec.get("restartPolicy") != "Always")  # that is a sidecar


def _has_recovered(container: _Container) -> bool:
    """Whether the pod was ready after the container's present run began: its last crash is over."""
    began = instant((container.state.get("running") or {}).get("startedAt"))
    unready = _unready_since(container.pod)
    return began is not None and unready is not None and unready > began


def _unready_since(pod: Value) -> datetime | None:
    ready = conditions(pod).get("Ready", {})
    written = ready.get("lastTransitionTime") if ready.get("status") != "True" else None
    return instant(written) or instant(pod["metadata"].get("creationTimestamp"))


def _kubectl(pod: Value) -> str:
    return f"kubectl -n {pod['metadata']['namespace']}"


def _describe(pod: Value) -> str:
    return f"{_kubectl(pod)} describe pod {pod['metadata']['name']}"
