"""The columns of apps and batch."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from disvc.testing.memory.builtin.columns.common import (
    AGE,
    NAME,
    NONE,
    column,
    containers,
    count,
    field,
    selector_text,
    since,
    sorted_labels,
    timed,
    wide,
)
from disvc.testing.memory.durations import human_duration

if TYPE_CHECKING:
    from collections.abc import Callable

    from disvc.testing.memory.resource import Column

    Value = dict[str, Any]

__all__ = [
    "CONTROLLER_REVISION",
    "CRON_JOB",
    "DAEMON_SET",
    "DEPLOYMENT",
    "JOB",
    "REPLICATION_CONTROLLER",
    "REPLICA_SET",
    "STATEFUL_SET",
]

_APPS: Final = "io.k8s.api.apps.v1"
_BATCH: Final = "io.k8s.api.batch.v1"
_CONTAINERS: Final = "spec.template.spec.containers"
_READY: Final = "Number of the pod with ready state"
_CONDITIONS: Final = (
    ("Complete", "Complete"),
    ("Failed", "Failed"),
    ("", "Terminating"),
    ("Suspended", "Suspended"),
    ("FailureTarget", "FailureTarget"),
    ("SuccessCriteriaMet", "SuccessCriteriaMet"),
)
"""A Job's condition, and the status that it means; "" for a Job that is being deleted."""


def _ready(obj: Value) -> str:
    return f"{obj['status'].get('readyReplicas', 0)}/{obj['spec']['replicas']}"


def _selector(obj: Value) -> str:
    return selector_text(obj["spec"].get("selector"))


def _controller(revision: Value) -> str:
    for owner in revision["metadata"].get("ownerReferences", ()):
        if owner.get("controller"):
            group = owner["apiVersion"].rpartition("/")[0]
            kind = owner["kind"].lower()
            return f"{kind}.{group}/{owner['name']}" if group else f"{kind}/{owner['name']}"
    return NONE


def _job_status(job: Value) -> str:
    conditions = {each["type"] for each in job["status"].get("conditions", ()) if each["status"] == "True"}
    if "deletionTimestamp" in job["metadata"]:
        conditions.add("")
    return next((status for type_, status in _CONDITIONS if type_ in conditions), "Running")


def _completions(job: Value) -> str:
    succeeded, parallelism = job["status"].get("succeeded", 0), job["spec"].get("parallelism", 0)
    if "completions" in job["spec"]:
        return f"{succeeded}/{job['spec']['completions']}"
    return f"{succeeded}/1 of {parallelism}" if parallelism > 1 else f"{succeeded}/1"


def _duration(job: Value, now: datetime) -> str:
    start, end = job["status"].get("startTime"), job["status"].get("completionTime")
    if not start:
        return ""
    return human_duration((datetime.fromisoformat(end) if end else now) - datetime.fromisoformat(start))


def _last_schedule(job: Value, now: datetime) -> str:
    time = job["status"].get("lastScheduleTime")
    return since(time, now) if time else NONE


DEPLOYMENT: Final = (
    NAME,
    column("Ready", _ready, _READY),
    column("Up-to-date", field("status.updatedReplicas", 0), f"{_APPS}.DeploymentStatus.updatedReplicas"),
    column("Available", field("status.availableReplicas", 0), f"{_APPS}.DeploymentStatus.availableReplicas"),
    AGE,
    *containers(_CONTAINERS),
    wide("Selector", _selector, f"{_APPS}.DeploymentSpec.selector"),
)


def _replicas(kind: str, selector: Callable[[Value], str]) -> tuple[Column, ...]:
    """Return the columns of what keeps a number of Pods; `kind` is the definition of it."""
    return (
        NAME,
        column("Desired", field("spec.replicas", 0), f"{kind}Spec.replicas", type="integer"),
        column("Current", field("status.replicas", 0), f"{kind}Status.replicas", type="integer"),
        column("Ready", field("status.readyReplicas", 0), f"{kind}Status.readyReplicas", type="integer"),
        AGE,
        *containers(_CONTAINERS),
        wide("Selector", selector, f"{kind}Spec.selector"),
    )


REPLICA_SET: Final = _replicas(f"{_APPS}.ReplicaSet", _selector)
REPLICATION_CONTROLLER: Final = _replicas(
    "io.k8s.api.core.v1.ReplicationController",
    lambda controller: selector_text({"matchLabels": controller["spec"].get("selector")}),
)
STATEFUL_SET: Final = (NAME, column("Ready", _ready, _READY), AGE, *containers(_CONTAINERS))
DAEMON_SET: Final = (
    NAME,
    *(
        column(name, field(f"status.{of}", 0), f"{_APPS}.DaemonSetStatus.{of}", type="integer")
        for name, of in (
            ("Desired", "desiredNumberScheduled"),
            ("Current", "currentNumberScheduled"),
            ("Ready", "numberReady"),
            ("Up-to-date", "updatedNumberScheduled"),
            ("Available", "numberAvailable"),
        )
    ),
    column(
        "Node Selector",
        lambda obj: sorted_labels(obj["spec"]["template"]["spec"].get("nodeSelector")),
        "io.k8s.api.core.v1.PodSpec.nodeSelector",
    ),
    AGE,
    *containers(_CONTAINERS),
    wide("Selector", _selector, f"{_APPS}.DaemonSetSpec.selector"),
)
CONTROLLER_REVISION: Final = (
    NAME,
    column("Controller", _controller, "Controller of the object"),
    column("Revision", field("revision", 0), f"{_APPS}.ControllerRevision.revision"),
    AGE,
)
JOB: Final = (
    NAME,
    column("Status", _job_status, "Status of the job."),
    column("Completions", _completions, f"{_BATCH}.JobStatus.succeeded"),
    timed("Duration", _duration, "Time required to complete the job."),
    AGE,
    *containers(_CONTAINERS),
    wide("Selector", _selector, f"{_BATCH}.JobSpec.selector"),
)
CRON_JOB: Final = (
    NAME,
    column("Schedule", field("spec.schedule"), f"{_BATCH}.CronJobSpec.schedule"),
    column("Timezone", field("spec.timeZone", NONE), f"{_BATCH}.CronJobSpec.timeZone"),
    column("Suspend", lambda job: str(job["spec"].get("suspend")), f"{_BATCH}.CronJobSpec.suspend", type="boolean"),
    column("Active", count("status.active"), f"{_BATCH}.CronJobStatus.active", type="integer"),
    timed("Last Schedule", _last_schedule, f"{_BATCH}.CronJobStatus.lastScheduleTime"),
    AGE,
    *containers("spec.jobTemplate.spec.template.spec.containers"),
    wide(
        "Selector",
        lambda job: selector_text(job["spec"]["jobTemplate"]["spec"].get("selector")),
        f"{_BATCH}.JobSpec.selector",
    ),
)
