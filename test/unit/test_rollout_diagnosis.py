"""What is told of a member that is not well, from objects as kubelets, KServe v0.20 and the scheduler write them."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from disvc.rollout.diagnosis import SILENCE
from disvc.rollout.members import member
from disvc.rollout.observation import Member, Problem

Value = dict[str, Any]

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
CREATED = "2026-03-01T10:00:00Z"
POD_MADE = "2026-03-01T10:00:01Z"
CRASHED = "2026-03-01T10:04:03Z"
POD = "m-v2-1-predictor-7f9c-abcde"
LOGS = f"kubectl -n ns logs {POD} -c kserve-container"
DESCRIBE_POD = f"kubectl -n ns describe pod {POD}"
DESCRIBE = "kubectl -n ns describe isvc m-v2-1"
LOOK_AT_KSERVE = "kubectl -n kserve get pods"


def at(written: str) -> datetime:
    return datetime.fromisoformat(written)


def condition(
    kind: str, status: str, reason: str = "", message: str = "", since: str = "2026-03-01T10:00:02Z"
) -> Value:
    found = {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": since}
    return {key: value for key, value in found.items() if value}


def waiting(reason: str, message: str = "") -> Value:
    return {"waiting": {"reason": reason, **({"message": message} if message else {})}}


def running(since: str = "2026-03-01T10:00:05Z") -> Value:
    return {"running": {"startedAt": since}}


def ended(
    code: int, reason: str = "Error", message: str = "", began: str = "2026-03-01T10:03:55Z", finished: str = CRASHED
) -> Value:
    told = {
        "exitCode": code,
        "reason": reason,
        "startedAt": began,
        "finishedAt": finished,
        "containerID": "containerd://1",
    }
    return {"terminated": told | ({"message": message} if message else {})}


def container(
    state: Value, last: Value | None = None, *, name: str = "kserve-container", restarts: int = 0, ready: bool = False
) -> Value:
    return {
        "name": name,
        "image": "kserve/sklearnserver:v0.20.0",
        "imageID": "",
        "ready": ready,
        "started": "running" in state,
        "restartCount": restarts,
        "state": state,
        "lastState": last or {},
    }


DONE = container(ended(0, "Completed"), name="storage-initializer", ready=True)
UP = container(running(), ready=True)
BACK_OFF = waiting("CrashLoopBackOff", "back-off 40s restarting failed container=kserve-container pod=m-v2-1_ns(u)")


def pod(
    *containers: Value,
    init: Value = DONE,
    name: str = POD,
    isvc: str = "m-v2-1",
    ready: bool = False,
    ready_since: str = POD_MADE,
    status: Value | None = None,
    created: str = POD_MADE,
    **metadata: Any,
) -> Value:
    initialized = bool(init["ready"])
    conditions = [
        condition("Initialized", str(initialized), since=POD_MADE),
        condition("Ready", str(ready), "" if ready else "ContainersNotReady", since=ready_since),
        condition("ContainersReady", str(ready), "" if ready else "ContainersNotReady", since=ready_since),
        condition("PodScheduled", "True", since=POD_MADE),
    ]
    limits = {"limits": {"cpu": "1", "memory": "2Gi"}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "ns",
            "creationTimestamp": created,
            "labels": {
                "app": f"isvc.{isvc}-predictor",
                "component": "predictor",
                "serving.kserve.io/inferenceservice": isvc,
                "disvc": "m",
                "disvc.group": isvc.rpartition("-")[0],
                "pod-template-hash": "7f9c",
            },
            **metadata,
        },
        "spec": {
            "nodeName": "node",
            "initContainers": [{"name": "storage-initializer", "image": "kserve/storage-initializer:v0.20.0"}],
            "containers": [{"name": one["name"], "image": one["image"], "resources": limits} for one in containers],
        },
        "status": {
            "phase": "Running" if initialized else "Pending",
            "conditions": conditions,
            "startTime": POD_MADE,
            "initContainerStatuses": [init],
            "containerStatuses": list(containers),
            **(status or {}),
        },
    }


def up(name: str = "m-v2-1-predictor-5d4b-aaaaa", **more: Any) -> Value:
    return pod(UP, name=name, ready=True, **more)


NOT_AVAILABLE = ("MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
STARTING = [
    condition("IngressReady", "True"),
    condition("PredictorReady", "False", *NOT_AVAILABLE),
    condition("Ready", "False", *NOT_AVAILABLE),
    condition("Stopped", "False"),
]
ALL_TRUE = [condition(kind, "True") for kind in ("IngressReady", "PredictorReady", "Ready")]
NOTHING_SAID = [condition(kind, "Unknown", since=POD_MADE) for kind in ("IngressReady", "PredictorReady", "Ready")]


def isvc(
    conditions: list[Value] | None, model: Value | None = None, spec: Value | None = None, **metadata: Any
) -> Value:
    pending = {"transitionStatus": "InProgress", "states": {"activeModelState": "", "targetModelState": "Pending"}}
    status = {"deploymentMode": "Standard", "modelStatus": model or pending, "conditions": conditions}
    model_spec = {"modelFormat": {"name": "sklearn"}, "runtime": "kserve-sklearnserver", "storageUri": "gs://x/y"}
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {
            "name": "m-v2-1",
            "namespace": "ns",
            "uid": "11",
            "creationTimestamp": CREATED,
            "finalizers": ["inferenceservice.finalizers"],
            "labels": {"disvc": "m", "disvc.group": "m-v2"},
            "annotations": {},
            **metadata,
        },
        "spec": spec or {"predictor": {"model": model_spec}},
        **({} if conditions is None else {"status": status}),
    }


def event(
    reason: str, message: str, *, first: str = POD_MADE, last: str = POD_MADE, name: str = "e", **more: Any
) -> Value:
    return {
        "metadata": {"name": name, "namespace": "ns", "creationTimestamp": first},
        "involvedObject": {"kind": "InferenceService", "name": "m-v2-1", "namespace": "ns", "uid": "11"},
        "type": "Warning",
        "reason": reason,
        "message": message,
        "source": {"component": "v1beta1Controllers"},
        "firstTimestamp": first,
        "lastTimestamp": last,
        "count": 8,
        "eventTime": None,
        **more,
    }


def look(obj: Value, *pods: Value, events: tuple[Value, ...] = (), now: datetime = NOW) -> Member:
    return member(obj, pods, events, now=now)


def told(obj: Value, *pods: Value, events: tuple[Value, ...] = (), now: datetime = NOW) -> Problem:
    problem = look(obj, *pods, events=events, now=now).problem
    assert problem is not None
    return problem


# Containers.

TRACEBACK = 'Traceback (most recent call last):\n  File "/app.py", line 1\nValueError: no such model.\n'
PULL_ERROR = (
    'rpc error: code = NotFound desc = failed to pull and unpack image "kserve/sklearnserver:v0.20.0": not found'
)
FETCH_ERROR = "RuntimeError: Failed to fetch model. No model found in gs://x/y."


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(
            container(BACK_OFF, ended(1), restarts=3),
            Problem(
                "CrashLoopBackOff", "container kserve-container: CrashLoopBackOff (exit code 1)", f"{LOGS} --previous"
            ),
            id="it crashes again and again",
        ),
        pytest.param(
            container(BACK_OFF, ended(1, message=TRACEBACK), restarts=3),
            Problem(
                "CrashLoopBackOff",
                "container kserve-container: CrashLoopBackOff (exit code 1): Traceback (most recent call last): "
                'File "/app.py", line 1 ValueError: no such model',
                f"{LOGS} --previous",
            ),
            id="it left words when it crashed",
        ),
        pytest.param(
            container(BACK_OFF, ended(0, "Completed"), restarts=3),
            Problem(
                "CrashLoopBackOff", "container kserve-container: CrashLoopBackOff (exit code 0)", f"{LOGS} --previous"
            ),
            id="a server that ends without an error",
        ),
        pytest.param(
            container(BACK_OFF, ended(128, "StartError", "exec: no such file", "1970-01-01T00:00:00Z"), restarts=1),
            Problem(
                "CrashLoopBackOff",
                "container kserve-container: CrashLoopBackOff (StartError, exit code 128): exec: no such file",
                f"{LOGS} --previous",
            ),
            id="its command does not exist",
        ),
        pytest.param(
            container(BACK_OFF, ended(1, began="2026-02-01T10:00:00Z"), restarts=1),
            Problem(
                "CrashLoopBackOff", "container kserve-container: CrashLoopBackOff (exit code 1)", f"{LOGS} --previous"
            ),
            id="a kubelet's word is taken for a loop",
        ),
        pytest.param(
            container(ended(1, began="2026-03-01T09:54:04Z"), ended(1), restarts=1),
            Problem(
                "CrashLoopBackOff", "container kserve-container: CrashLoopBackOff (exit code 1)", f"{LOGS} --previous"
            ),
            id="the second crash, after less than ten minutes",
        ),
        pytest.param(
            container(ended(1, began="2026-03-01T09:54:03Z"), ended(1), restarts=1),
            Problem("Error", "container kserve-container: Error (exit code 1)", f"{LOGS} --previous", failing=False),
            id="a crash after ten minutes",
        ),
        pytest.param(
            container(ended(0, "Completed")),
            Problem("Completed", "container kserve-container: Completed (exit code 0)", LOGS, failing=False),
            id="a server that ends",
        ),
        pytest.param(
            container(ended(137, "OOMKilled", began="2026-02-01T10:00:00Z")),
            Problem(
                "OOMKilled",
                "container kserve-container: OOMKilled (exit code 137, memory limit 2Gi)",
                LOGS,
                failing=False,
            ),
            id="out of memory after it had served for a month",
        ),
        pytest.param(
            container(ended(1)),
            Problem("Error", "container kserve-container: Error (exit code 1)", LOGS, failing=False),
            id="the first crash may be the last",
        ),
        pytest.param(
            container(ended(137, "OOMKilled")),
            Problem("OOMKilled", "container kserve-container: OOMKilled (exit code 137, memory limit 2Gi)", LOGS),
            id="out of memory as soon as it runs",
        ),
        pytest.param(
            container(BACK_OFF, ended(137, "OOMKilled"), restarts=2),
            Problem(
                "OOMKilled",
                "container kserve-container: OOMKilled (exit code 137, memory limit 2Gi)",
                f"{LOGS} --previous",
            ),
            id="out of memory again and again",
        ),
        pytest.param(
            container(running(CRASHED), ended(255, "Unknown", began="2026-02-01T10:00:00Z"), restarts=1),
            Problem(
                "Unknown", "container kserve-container: Unknown (exit code 255)", f"{LOGS} --previous", failing=False
            ),
            id="its node was started again after it had served for a month",
        ),
        pytest.param(
            container(waiting("ErrImagePull", PULL_ERROR)),
            Problem(
                "ImagePullBackOff",
                f"container kserve-container: ImagePullBackOff of kserve/sklearnserver:v0.20.0: {PULL_ERROR}",
                DESCRIBE_POD,
            ),
            id="the image cannot be pulled",
        ),
        pytest.param(
            container(waiting("ImagePullBackOff", 'Back-off pulling image "kserve/sklearnserver:v0.20.0"')),
            Problem(
                "ImagePullBackOff",
                "container kserve-container: ImagePullBackOff of kserve/sklearnserver:v0.20.0",
                DESCRIBE_POD,
            ),
            id="an older kubelet says no more of a pull",
        ),
        pytest.param(
            container(waiting("InvalidImageName", 'Failed to apply default image tag "A B": invalid reference format')),
            Problem(
                "InvalidImageName",
                "container kserve-container: InvalidImageName of kserve/sklearnserver:v0.20.0: "
                'Failed to apply default image tag "A B": invalid reference format',
                DESCRIBE_POD,
            ),
            id="the image's name is none",
        ),
        pytest.param(
            container(waiting("CreateContainerConfigError", 'secret "s3-credentials" not found')),
            Problem(
                "CreateContainerConfigError",
                'container kserve-container: CreateContainerConfigError: secret "s3-credentials" not found',
                DESCRIBE_POD,
            ),
            id="a secret is missing",
        ),
        pytest.param(
            container(waiting("CreateContainerError", "context deadline exceeded")),
            Problem(
                "CreateContainerError",
                "container kserve-container: CreateContainerError: context deadline exceeded",
                DESCRIBE_POD,
            ),
            id="the container cannot be made",
        ),
        pytest.param(
            container(waiting("RunContainerError", "exec: python9: not found")),
            Problem(
                "RunContainerError",
                "container kserve-container: RunContainerError: exec: python9: not found",
                DESCRIBE_POD,
            ),
            id="the container cannot be started",
        ),
        pytest.param(
            container(waiting("SomethingNew", "of a later kubelet")),
            Problem(
                "SomethingNew",
                "container kserve-container: SomethingNew: of a later kubelet",
                DESCRIBE_POD,
                failing=False,
            ),
            id="a reason that is not known",
        ),
        pytest.param(
            container(waiting("ContainerCreating")),
            Problem("ContainerCreating", "container kserve-container: ContainerCreating", DESCRIBE_POD, failing=False),
            id="it is being made",
        ),
    ],
)
def test_what_a_container_is_in_is_told(found: Value, expected: Problem) -> None:
    problem = told(isvc(STARTING), pod(found))
    assert problem == Problem(
        expected.reason, expected.message, expected.look_at, since=at(POD_MADE), failing=expected.failing
    )


def test_a_server_that_runs_and_is_not_ready_may_be_starting() -> None:
    problem = told(isvc(STARTING), pod(container(running())))
    assert problem == Problem(
        "ContainersNotReady",
        "container kserve-container runs, and is not ready",
        LOGS,
        since=at("2026-03-01T10:00:05Z"),
        failing=False,
    )


@pytest.mark.parametrize(
    "reason",
    [
        "ErrImageNeverPull",
        "ImageInspectError",
        "RegistryUnavailable",
        "SignatureValidationFailed",
        "PreStartHookError",
        "PostStartHookError",
    ],
)
def test_other_things_that_keep_a_container_from_starting_are_failing(reason: str) -> None:
    problem = told(isvc(STARTING), pod(container(waiting(reason, "words"))))
    assert (problem.reason, problem.failing) == (reason, True)
    assert problem.message.endswith(": words")


def test_a_container_without_limits_that_the_node_runs_out_of_memory_with_has_no_limit_to_tell() -> None:
    found = pod(container(ended(137, "OOMKilled")))
    found["spec"] = {"containers": [{"name": "kserve-container", "image": "x"}]}
    assert told(isvc(STARTING), found).message == "container kserve-container: OOMKilled (exit code 137)"


def initializer(state: Value, last: Value | None = None, restarts: int = 0) -> Value:
    init = container(state, last, name="storage-initializer", restarts=restarts)
    return pod(container(waiting("PodInitializing")), init=init)


def test_a_storage_initializer_that_fails_is_told_with_its_last_words() -> None:
    problem = told(isvc(STARTING), initializer(BACK_OFF, ended(1, message=FETCH_ERROR), 2))
    assert problem == Problem(
        "CrashLoopBackOff",
        f"init container storage-initializer: CrashLoopBackOff (exit code 1): {FETCH_ERROR.rstrip('.')}",
        f"kubectl -n ns logs {POD} -c storage-initializer --previous",
        since=at(POD_MADE),
    )


def test_a_storage_initializer_that_runs_is_what_the_pod_is_busy_with() -> None:
    problem = told(isvc(STARTING), initializer(running()))
    assert (problem.reason, problem.failing) == ("PodInitializing", False)
    assert problem.message == "init container storage-initializer runs, and has not ended yet"
    assert problem.look_at == f"kubectl -n ns logs {POD} -c storage-initializer"


def test_a_container_that_comes_next_is_told_when_all_init_containers_are_done() -> None:
    problem = told(isvc(STARTING), pod(container(waiting("PodInitializing"))))
    assert (problem.reason, problem.failing) == ("PodInitializing", False)
    assert problem.message == "container kserve-container: PodInitializing"


def test_a_sidecar_that_crashes_is_told_while_the_server_runs() -> None:
    proxy = container(BACK_OFF, ended(2), name="istio-proxy", restarts=4)
    problem = told(isvc(STARTING), pod(UP, proxy))
    assert problem.message == "container istio-proxy: CrashLoopBackOff (exit code 2)"
    assert problem.look_at == f"kubectl -n ns logs {POD} -c istio-proxy --previous"


def test_a_sidecar_among_the_init_containers_is_not_said_to_end() -> None:
    starting = pod(container(waiting("PodInitializing")), init=container(running(), name="istio-proxy"))
    starting["spec"]["initContainers"] = [{"name": "istio-proxy", "restartPolicy": "Always"}]
    assert told(isvc(STARTING), starting).message == "container istio-proxy runs, and is not ready"


@pytest.mark.parametrize("reason", ["Error", "OOMKilled"])
def test_a_crash_loop_is_told_in_the_same_words_all_the_way_round(reason: str) -> None:
    crash = ended(137, reason, "killed")
    round_trip = [
        container(BACK_OFF, crash, restarts=2),
        container(running("2026-03-01T10:04:33Z"), crash, restarts=3),
        container(ended(137, reason, "killed", "2026-03-01T10:04:33Z", "2026-03-01T10:04:40Z"), crash, restarts=3),
        container(waiting("ContainerCreating"), crash, restarts=3),
        container(waiting("CrashLoopBackOff", "back-off 5m0s"), crash, restarts=9),
    ]
    assert len({told(isvc(STARTING), pod(one)) for one in round_trip}) == 1


def test_a_pull_that_fails_is_told_in_the_same_words_between_two_tries() -> None:
    image = "kserve/sklearnserver:v0.20.0"
    tries = [
        waiting("ErrImagePull", PULL_ERROR),
        waiting("ImagePullBackOff", f'Back-off pulling image "{image}": ErrImagePull: {PULL_ERROR}'),
    ]
    assert len({told(isvc(STARTING), pod(container(one))) for one in tries}) == 1


def test_the_crash_of_a_run_that_the_pod_has_recovered_from_is_not_told_when_it_turns_unready_again() -> None:
    serving_again = container(running("2026-03-01T10:05:00Z"), ended(137, "OOMKilled"), restarts=1)
    problem = told(isvc(STARTING), pod(serving_again, ready_since="2026-03-01T11:00:00Z"))
    assert problem.reason == "ContainersNotReady"


def test_a_crash_in_the_second_in_which_the_container_is_started_again_is_told() -> None:
    again = container(running("2026-03-01T10:05:00Z"), ended(137, "OOMKilled"), restarts=1)
    assert told(isvc(STARTING), pod(again, ready_since="2026-03-01T10:05:00Z")).reason == "OOMKilled"


def test_restarts_of_a_container_that_is_ready_now_are_history() -> None:
    recovered = container(running(), ended(137, "OOMKilled"), restarts=5, ready=True)
    assert look(isvc(ALL_TRUE), pod(recovered, ready=True)).problem is None


# Pods.

NO_NODE = (
    "0/3 nodes are available: 3 Insufficient nvidia.com/gpu. preemption: 0/3 nodes are available: 3 No preemption."
)


def unscheduled(name: str = POD, created: str = POD_MADE) -> Value:
    found = condition("PodScheduled", "False", "Unschedulable", NO_NODE, since=POD_MADE)
    return pod(
        name=name, created=created, status={"phase": "Pending", "conditions": [found], "initContainerStatuses": []}
    )


def test_a_pod_that_waits_for_a_node_is_told_in_the_schedulers_words_and_not_as_failing() -> None:
    problem = told(isvc(STARTING), unscheduled())
    assert problem == Problem(
        "Unschedulable",
        f"pod waits for a node: {NO_NODE.rstrip('.')}",
        DESCRIBE_POD,
        since=at(POD_MADE),
        failing=False,
    )


def test_a_pod_that_was_just_made_is_pending() -> None:
    new = pod(status={"phase": "Pending", "conditions": [], "containerStatuses": [], "initContainerStatuses": []})
    problem = told(isvc(STARTING), new)
    assert (problem.reason, problem.message, problem.failing) == ("Pending", "pod has not started yet", False)
    assert problem.since == at(POD_MADE)


def test_a_pod_that_a_person_or_quota_controller_holds_back_says_so() -> None:
    gated = condition("PodScheduled", "False", "SchedulingGated", "Scheduling is blocked due to non-empty gates")
    assert told(isvc(STARTING), pod(status={"phase": "Pending", "conditions": [gated]})).reason == "SchedulingGated"


def test_a_pod_that_waits_for_its_readiness_gates_says_so() -> None:
    gate = 'corresponding condition of pod readiness gate "lb" does not exist.'
    waits = pod(UP, status={"conditions": [condition("Ready", "False", "ReadinessGatesNotReady", gate)]})
    problem = told(isvc(STARTING), waits)
    assert (problem.reason, problem.message, problem.failing) == ("ReadinessGatesNotReady", gate.rstrip("."), False)


def evicted(created: str = POD_MADE) -> Value:
    words = "The node was low on resource: memory. Threshold quantity: 100Mi, available: 80Mi."
    return pod(
        name="m-v2-1-predictor-7f9c-00000",
        created=created,
        status={"phase": "Failed", "reason": "Evicted", "message": words, "containerStatuses": []},
    )


def test_an_evicted_pod_is_told_and_not_as_failing_as_another_is_made() -> None:
    problem = told(isvc(STARTING), evicted())
    assert (problem.reason, problem.failing) == ("Evicted", False)
    assert problem.message.startswith("pod m-v2-1-predictor-7f9c-00000: Evicted: The node was low on resource: memory.")
    assert problem.look_at == "kubectl -n ns describe pod m-v2-1-predictor-7f9c-00000"


def test_a_failed_pod_without_a_reason_is_told_too() -> None:
    problem = told(isvc(STARTING), pod(UP, status={"phase": "Failed"}))
    assert (problem.reason, problem.message) == ("PodFailed", f"pod {POD}: PodFailed")


def test_of_failed_pods_the_youngest_is_told() -> None:
    younger = pod(UP, name="younger", created="2026-03-01T11:00:00Z", status={"phase": "Failed", "reason": "NodeLost"})
    assert told(isvc(STARTING), evicted(), younger).reason == "NodeLost"


def test_an_evicted_pod_is_history_once_its_successor_has_started() -> None:
    assert look(isvc(ALL_TRUE), evicted(), up(created="2026-03-01T11:00:00Z")).problem is None
    waits = unscheduled(created="2026-03-01T11:00:00Z")
    assert told(isvc(STARTING), evicted(), waits).reason == "Evicted"  # it has not
    assert told(isvc(STARTING), evicted("2026-03-01T11:00:00Z"), up()).reason == "Evicted"  # it is older


@pytest.mark.parametrize(
    "unrelated",
    [
        pod(container(BACK_OFF, ended(1), restarts=3), deletionTimestamp="2026-03-01T11:59:00Z"),
        pod(container(BACK_OFF, ended(1), restarts=3), isvc="m-v1-1"),
        pod(container(BACK_OFF, ended(1), restarts=3), labels=None),
        pod(container(BACK_OFF, ended(1), restarts=3), namespace="other"),
        pod(container(ended(0, "Completed")), status={"phase": "Succeeded"}),
    ],
    ids=["deleted", "of another revision", "without labels", "of another namespace", "ended"],
)
def test_pods_that_are_not_the_members_or_on_their_way_out_have_no_say(unrelated: Value) -> None:
    assert look(isvc(ALL_TRUE), unrelated).problem is None
    assert told(isvc(STARTING), unrelated).reason == "MinimumReplicasUnavailable"


def test_of_several_pods_the_one_that_waiting_will_not_mend_is_told() -> None:
    starts = pod(container(running()), name="m-v2-1-predictor-7f9c-aaaaa")
    crashes = pod(container(BACK_OFF, ended(1), restarts=1), name="m-v2-1-predictor-7f9c-bbbbb")
    first_crash = pod(container(ended(3)), name="m-v2-1-predictor-7f9c-ccccc")
    pods = [starts, unscheduled(), crashes, first_crash, up()]
    assert told(isvc(STARTING), *pods).look_at.startswith("kubectl -n ns logs m-v2-1-predictor-7f9c-bbbbb ")
    assert told(isvc(STARTING), starts, first_crash).reason == "Error"


def test_the_order_in_which_pods_and_events_are_seen_changes_nothing() -> None:
    pods = [pod(container(BACK_OFF, ended(i), restarts=1), name=f"p-{i}") for i in range(5)]
    events = [event("InternalError", f"words {i}", name=f"e-{i}") for i in range(5)]
    shuffle = random.Random(1).sample
    assert len({told(isvc(STARTING), *shuffle(pods, 5)) for _ in range(9)}) == 1
    assert len({told(isvc(NOTHING_SAID), events=tuple(shuffle(events, 5))) for _ in range(9)}) == 1


# A member that is ready.


def test_a_ready_member_tells_of_the_new_pods_of_an_update_within_kserve_that_crash_while_the_old_ones_serve() -> None:
    old = up("m-v2-1-predictor-5d4b-aaaaa", created="2026-02-01T10:00:00Z")
    found = look(isvc(ALL_TRUE), old, pod(container(BACK_OFF, ended(1), restarts=3)))
    assert found.ready
    assert found.problem is not None
    assert found.problem.reason == "CrashLoopBackOff"


def test_a_ready_member_tells_of_a_pod_that_finds_no_node() -> None:
    assert told(isvc(ALL_TRUE), up(), unscheduled()).reason == "Unschedulable"


def test_a_ready_member_says_nothing_of_a_pod_that_starts() -> None:
    assert look(isvc(ALL_TRUE), up(), pod(container(running()))).problem is None


def test_a_ready_member_says_nothing_of_old_events_and_failures() -> None:
    model = {"transitionStatus": "UpToDate", "lastFailureInfo": {"reason": "ModelLoadFailed", "exitCode": 1}}
    old = event("InternalError", "fails to reconcile component: timeout")
    found = look(isvc(ALL_TRUE, model), up(), events=(old,))
    assert found.ready
    assert found.problem is None


# What KServe says.


def failed(transition: str, reason: str, message: str = "", **more: Any) -> Value:
    return {
        "transitionStatus": transition,
        "states": {"activeModelState": "", "targetModelState": "FailedToLoad"},
        "copies": {"failedCopies": 0},
        "lastFailureInfo": {"reason": reason, **({"message": message} if message else {}), **more},
    }


def test_a_model_that_failed_to_load_is_told_where_the_pod_has_nothing_to_say() -> None:
    problem = told(isvc(STARTING, failed("BlockedByFailedLoad", "ModelLoadFailed", FETCH_ERROR, exitCode=1)))
    assert problem == Problem(
        "ModelLoadFailed",
        f"ModelLoadFailed (exit code 1): {FETCH_ERROR.rstrip('.')}",
        DESCRIBE,
        since=at("2026-03-01T10:00:02Z"),
    )


def test_a_failure_is_told_with_its_place_and_time_where_they_are_known() -> None:
    model = failed("BlockedByFailedLoad", "ModelLoadFailed", location="pod-1", time="2026-03-01T10:09:00Z")
    problem = told(isvc(STARTING, model))
    assert problem.message == "ModelLoadFailed (in pod-1)"
    assert problem.since == at("2026-03-01T10:09:00Z")


def test_a_failed_load_without_any_details_is_told_by_kserves_word_for_it() -> None:
    assert told(isvc(STARTING, {"transitionStatus": "BlockedByFailedLoad"})).reason == "BlockedByFailedLoad"


def test_the_pod_tells_more_of_a_failed_load_and_kserve_that_it_will_not_get_better() -> None:
    blocked = isvc(STARTING, failed("BlockedByFailedLoad", "ModelLoadFailed", FETCH_ERROR, exitCode=1))
    problem = told(blocked, initializer(ended(1, message=FETCH_ERROR)))
    assert problem.message.startswith("init container storage-initializer: Error (exit code 1)")
    assert problem.failing


def test_a_member_whose_new_pods_fail_to_load_is_not_ready_though_the_old_ones_serve() -> None:
    found = look(isvc(ALL_TRUE, failed("BlockedByFailedLoad", "ModelLoadFailed")), up())
    assert not found.ready
    assert found.problem is not None
    assert found.problem.reason == "ModelLoadFailed"


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("RuntimeNotRecognized", "Waiting for runtime to become available"),
        ("RuntimeDisabled", "Specified runtime is disabled"),
        ("NoSupportingRuntime", "Specified runtime does not support specified framework/version"),
    ],
)
def test_a_runtime_that_is_not_to_be_had_is_told_with_its_name(reason: str, message: str) -> None:
    problem = told(isvc(NOTHING_SAID, failed("InvalidSpec", reason, message)), events=(event("InternalError", "x"),))
    assert problem == Problem(
        reason,
        f"runtime kserve-sklearnserver: {reason}: {message}",
        "kubectl -n ns get servingruntimes,clusterservingruntimes",
        since=at(POD_MADE),
    )


def test_no_runtime_for_a_template_that_names_none() -> None:
    spec = {"predictor": {"model": {"modelFormat": {"name": "abc"}}}}
    invalid = failed("InvalidSpec", "NoSupportingRuntime", "No runtime found to support specified framework/version")
    assert told(isvc(NOTHING_SAID, invalid, spec)).message.startswith("NoSupportingRuntime: No runtime found")


def test_another_invalid_spec_is_told_in_kserves_words() -> None:
    words = "failed to find kserve-container in ServingRuntime containers"
    problem = told(isvc(NOTHING_SAID, failed("InvalidSpec", "InvalidPredictorSpec", words)))
    assert (problem.message, problem.look_at) == (f"InvalidPredictorSpec: {words}", DESCRIBE)
    assert told(isvc(NOTHING_SAID, {"transitionStatus": "InvalidSpec"})).reason == "InvalidSpec"


def test_a_runtime_is_named_only_where_the_template_has_one() -> None:
    spec: Value = {"predictor": {"containers": [{"name": "kserve-container", "image": "x"}]}}
    invalid = failed("InvalidSpec", "RuntimeDisabled", "words")
    assert told(isvc(NOTHING_SAID, invalid, spec)).message == "RuntimeDisabled: words"


def test_a_runtime_that_is_gone_is_told_before_a_crash() -> None:
    invalid = isvc(ALL_TRUE, failed("InvalidSpec", "RuntimeNotRecognized", "Waiting for runtime to become available"))
    assert told(invalid, pod(container(BACK_OFF, ended(1), restarts=3))).reason == "RuntimeNotRecognized"


def test_a_failure_that_is_over_is_not_told_while_the_member_starts_again() -> None:
    model = failed("InProgress", "ModelLoadFailed", FETCH_ERROR)
    assert told(isvc(STARTING, model), pod(container(running()))).reason == "ContainersNotReady"


# Events.

UNSUPPORTED = (
    "StorageURI not supported: storageUri, must be one of: [gs://, s3://, pvc://, file://, https://, http://, hdfs://, "
    "webhdfs://, oci://, hf://] or match https://{}.blob.core.windows.net/{}/{} or be an absolute or relative local "
    "path. StorageUri [abc://x/y] is not supported."
)


def test_an_unsupported_storage_uri_shows_in_an_event_only_and_is_told_from_it() -> None:
    problem = told(isvc(NOTHING_SAID), events=(event("InternalError", UNSUPPORTED, last="2026-03-01T10:30:00Z"),))
    assert (problem.reason, problem.failing, problem.look_at) == ("InternalError", True, DESCRIBE)
    assert problem.message.startswith("InternalError: StorageURI not supported")
    assert problem.message.endswith("StorageUri [abc://x/y] is not supported")
    assert problem.since == at(POD_MADE), "and not of its last repetition, which changes"


def test_a_deployment_mode_that_the_cluster_does_not_have_shows_in_an_event_only() -> None:
    words = "It is not possible to use Knative deployment mode when Knative Services are not available"
    assert told(isvc(NOTHING_SAID), events=(event("ServerlessModeRejected", words),)).reason == "ServerlessModeRejected"


def test_of_several_events_the_newest_is_told() -> None:
    older, newer = (event("InternalError", f"at {t}", last=f"2026-03-01T10:0{t}:00Z", name=f"e{9 - t}") for t in (1, 2))
    assert told(isvc(NOTHING_SAID), events=(newer, older)).message == "InternalError: at 2"


@pytest.mark.parametrize(
    "times",
    [
        {"lastTimestamp": None, "firstTimestamp": None, "eventTime": "2026-03-01T10:05:00.000001Z"},
        {
            "lastTimestamp": None,
            "firstTimestamp": None,
            "eventTime": "2026-03-01T10:00:00.000000Z",
            "series": {"count": 3, "lastObservedTime": "2026-03-01T10:05:00.000000Z"},
        },
    ],
    ids=["single", "series"],
)
def test_an_event_of_the_newer_recorder_is_read_too(times: Value) -> None:
    newer = event("InternalError", "newer", name="a") | times
    older = event("InternalError", "older", last="2026-03-01T10:04:00Z", name="b")
    problem = told(isvc(NOTHING_SAID), events=(newer, older))
    assert (problem.message, problem.since) == ("InternalError: newer", at(newer["eventTime"]))


def test_an_event_that_kserve_has_got_past_is_not_told() -> None:
    words = "fails to reconcile component: etcdserver: request timed out"
    passing = event("InternalError", words, last=STARTING[-1]["lastTransitionTime"])
    assert told(isvc(STARTING), events=(passing,)).reason == "MinimumReplicasUnavailable"


def test_an_event_after_kserves_last_word_is_told_and_may_pass() -> None:
    later = event("InternalError", "fails to reconcile component: request timed out", last="2026-03-01T10:10:00Z")
    problem = told(isvc(STARTING), events=(later,))
    assert (problem.reason, problem.failing) == ("InternalError", False)
    crashing = told(isvc(STARTING), pod(container(BACK_OFF, ended(1), restarts=3)), events=(later,))
    assert crashing.reason == "CrashLoopBackOff"


@pytest.mark.parametrize(
    "other",
    [
        event("InternalError", UNSUPPORTED, involvedObject={"kind": "InferenceService", "name": "m-v2-1", "uid": "10"}),
        event("InternalError", UNSUPPORTED, involvedObject={}),
        event("InferenceServiceReady", "InferenceService [m-v2-1] is Ready", type="Normal"),
        event("InferenceServiceNotReady", "InferenceService [m-v2-1] is no longer Ready because of: PredictorReady"),
        event("VirtualServiceCRDNotFound", "Istio VirtualService CRD not present; reconciliation skipped."),
        event("UpdateFailed", 'Failed to update status for InferenceService "m-v2-1": etcdserver: request timed out'),
        event(
            "InternalError", "Operation cannot be fulfilled on deployments.apps: the object has been modified; please"
        ),
    ],
    ids=["of an earlier member", "of nothing", "normal", "an echo", "advice", "of a write", "a conflict"],
)
def test_events_that_explain_nothing_are_not_told(other: Value) -> None:
    assert told(isvc(NOTHING_SAID), events=(other,)).reason == "PredictorNotReady"


# Conditions.


@pytest.mark.parametrize(
    ("conditions", "reason", "message", "failing"),
    [
        pytest.param(
            STARTING,
            "MinimumReplicasUnavailable",
            "PredictorReady is False: MinimumReplicasUnavailable: Deployment does not have minimum availability",
            False,
            id="starting",
        ),
        pytest.param(
            [
                condition("IngressReady", "False", "Predictor ingress not created"),
                condition("PredictorReady", "False"),
                condition("Ready", "False", "Predictor ingress not created"),
            ],
            "PredictorNotReady",
            "PredictorReady is False",
            False,
            id="the first write",
        ),
        pytest.param(
            [
                condition("IngressReady", "False", "Predictor ingress not created"),
                condition("PredictorReady", "True"),
                condition("Ready", "False", "Predictor ingress not created"),
            ],
            "IngressNotReady",
            "IngressReady is False: Predictor ingress not created",
            False,
            id="a reason that is a sentence",
        ),
        pytest.param(
            [
                condition("PredictorReady", "False", "ReconcileFailed", "invalid domain name: must be no more than 63"),
                condition("Ready", "False", "ReconcileFailed", "invalid domain name: must be no more than 63"),
            ],
            "ReconcileFailed",
            "PredictorReady is False: ReconcileFailed: invalid domain name: must be no more than 63",
            True,
            id="a name that is too long for KServe",
        ),
        pytest.param(
            [
                condition(
                    "PredictorReady", "False", "ReconcileFailed", "Operation: the object has been modified; please"
                )
            ],
            "ReconcileFailed",
            "PredictorReady is False: ReconcileFailed: Operation: the object has been modified; please",
            False,
            id="a conflict of KServe's",
        ),
        pytest.param(
            [condition("PredictorReady", "False", "FailedCreate", 'pods "m" is forbidden: exceeded quota: pods')],
            "FailedCreate",
            'PredictorReady is False: FailedCreate: pods "m" is forbidden: exceeded quota: pods',
            True,
            id="no quota for pods",
        ),
        pytest.param(
            [
                condition("PredictorReady", "Unknown", "NewReplicaSetCreated", "Created new replica set"),
                condition("TransformerReady", "False", "FailedCreate", "no quota"),
            ],
            "FailedCreate",
            "TransformerReady is False: FailedCreate: no quota",
            True,
            id="the transformer fails while the predictor starts",
        ),
        pytest.param(
            NOTHING_SAID, "PredictorNotReady", "PredictorReady is Unknown", False, id="KServe has said nothing"
        ),
        pytest.param(
            [condition("PredictorReady", "True"), condition("Ready", "False", "SomethingNew", "of a later KServe")],
            "SomethingNew",
            "Ready is False: SomethingNew: of a later KServe",
            False,
            id="only Ready is not True",
        ),
        pytest.param(
            [condition("PredictorReady", "True"), condition("IngressReady", "True")],
            "NotReady",
            "KServe has not said that it is ready",
            False,
            id="Ready is missing",
        ),
    ],
)
def test_a_condition_is_told_where_nothing_tells_more(
    conditions: list[Value], reason: str, message: str, failing: bool
) -> None:
    problem = told(isvc(conditions))
    assert (problem.reason, problem.message, problem.failing) == (reason, message, failing)
    assert problem.look_at == DESCRIBE


def test_the_transformer_of_a_cluster_local_member_is_told_though_ready_is_true() -> None:
    transformer = condition("TransformerReady", "False", *NOT_AVAILABLE) | {"severity": "Info"}
    spec: Value = {"predictor": {}, "transformer": {"containers": []}}
    assert told(isvc([*ALL_TRUE, transformer], spec=spec)).message.startswith("TransformerReady is False")


def test_what_a_late_deployment_waits_for_is_told_and_now_as_failing() -> None:
    late = ("ProgressDeadlineExceeded", 'ReplicaSet "m-v2-1-predictor-7f9c" has timed out progressing.')
    conditions = [condition("PredictorReady", "False", *late), condition("Ready", "False", *late)]
    assert told(isvc(conditions)).reason == "ProgressDeadlineExceeded"
    problem = told(isvc(conditions), unscheduled())
    assert (problem.reason, problem.failing) == ("Unschedulable", True)
    assert told(isvc(conditions), pod(container(running()))).failing


def test_a_stopped_member_says_by_what() -> None:
    stopped = [
        condition("IngressReady", "False", "Stopped"),
        condition("PredictorReady", "False", "Stopped"),
        condition("Ready", "False", "Stopped"),
        condition("Stopped", "True"),
    ]
    problem = told(isvc(stopped))
    assert (problem.reason, problem.failing) == ("Stopped", True)
    assert "serving.kserve.io/stop" in problem.message


def test_a_member_that_is_being_deleted_says_what_it_waits_for() -> None:
    problem = told(isvc(ALL_TRUE, deletionTimestamp="2026-03-01T11:59:00Z"), pod(container(ended(1))))
    assert problem == Problem(
        "Terminating",
        "is being deleted, and waits for its finalizers: inferenceservice.finalizers",
        LOOK_AT_KSERVE,
        since=at("2026-03-01T11:59:00Z"),
        failing=False,
    )


# KServe's silence.


@pytest.mark.parametrize("obj", [isvc(None), isvc([]), {**isvc(None), "status": None}])
def test_a_kserve_that_never_answers_is_told_after_a_while(obj: Value) -> None:
    created = at(CREATED)
    soon = told(obj, now=created + SILENCE - timedelta(seconds=1))
    assert (soon.reason, soon.message, soon.failing) == ("Pending", "KServe has written no status yet", False)
    assert told(obj, now=created + SILENCE) == Problem(
        "KServeSilent",
        "KServe has written no status; is its controller running",
        LOOK_AT_KSERVE,
        since=created,
    )


def test_a_kserve_that_falls_silent_before_it_has_seen_the_pods_ready_is_told() -> None:
    ready = "2026-03-01T10:20:00Z"
    pods = [up(ready_since="2026-03-01T10:10:00Z"), up("m-v2-1-predictor-5d4b-b", ready_since=ready)]
    assert told(isvc(STARTING), *pods, now=at(ready) + timedelta(seconds=1)).reason == "MinimumReplicasUnavailable"
    problem = told(isvc(STARTING), *pods, now=at(ready) + SILENCE)
    assert (problem.reason, problem.since, problem.look_at) == ("KServeSilent", at(ready), LOOK_AT_KSERVE)


@pytest.mark.parametrize("spoke", ["2026-03-01T10:20:00Z", "2026-03-01T10:30:00Z"])
def test_a_kserve_that_has_spoken_since_the_pods_are_ready_is_not_silent(spoke: str) -> None:
    spoken = [condition("PredictorReady", "True"), condition("IngressReady", "False", "x y", since=spoke)]
    assert told(isvc(spoken), up(ready_since="2026-03-01T10:20:00Z")).reason == "IngressNotReady"


def test_time_that_passes_changes_no_word_of_a_problem_that_lasts() -> None:
    cases: list[tuple[Value, ...]] = [
        (isvc(None),),
        (isvc(STARTING), up()),
        (isvc(STARTING), pod(container(BACK_OFF, ended(1), restarts=3))),
        (isvc(NOTHING_SAID),),
    ]
    for obj, *pods in cases:
        assert told(obj, *pods, now=NOW) == told(obj, *pods, now=NOW + timedelta(days=30))


# What people and newer versions may write.


@pytest.mark.parametrize("broken", [None, {}, {"containerStatuses": None, "conditions": None}])
def test_a_pod_that_says_nothing_breaks_nothing(broken: Value | None) -> None:
    silent = {**pod(UP), "status": broken}
    assert told(isvc(STARTING), silent).reason == "Pending"
    assert look(isvc(ALL_TRUE), silent).problem is None


def test_a_container_state_that_says_nothing_breaks_nothing() -> None:
    bare: Value = {"name": "kserve-container", "ready": False, "restartCount": 0, "image": "", "imageID": ""}
    nothing: tuple[Value, ...] = ({}, {"state": {}, "lastState": {}}, {"state": None, "lastState": None})
    for said in (*nothing, {"state": {"waiting": {}}}):
        assert told(isvc(STARTING), pod(bare | said)).reason == "ContainerCreating"
    bare_states: tuple[Value, ...] = ({"terminated": {}}, waiting("CrashLoopBackOff"), waiting("ImagePullBackOff"))
    for state in bare_states:
        assert told(isvc(STARTING), pod(bare | {"state": state})).message.startswith("container kserve-container: ")


def test_words_of_any_length_and_kind_become_one_line() -> None:
    noise = "\x1b[31mError\ud83d\x00\r\n" * 1000
    for obj, pods, events in (
        (isvc(STARTING), [pod(container(BACK_OFF, ended(1, message=noise), restarts=3))], ()),
        (isvc(STARTING), [pod(container(waiting("ErrImagePull", noise)))], ()),
        (isvc(STARTING, failed("BlockedByFailedLoad", "ModelLoadFailed", noise)), [], ()),
        (isvc(NOTHING_SAID, failed("InvalidSpec", "InvalidPredictorSpec", noise)), [], ()),
        (isvc(NOTHING_SAID), [], (event("InternalError", noise),)),
        (isvc([condition("PredictorReady", "False", "ReconcileFailed", noise)]), [], ()),
    ):
        message = told(obj, *pods, events=events).message
        assert len(message) <= 300
        assert message.isprintable()
