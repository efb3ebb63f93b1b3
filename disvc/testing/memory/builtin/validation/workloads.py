"""Deployments, ReplicaSets, ReplicationControllers, StatefulSets, DaemonSets and their ControllerRevisions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from disvc.testing.memory import causes, formats
from disvc.testing.memory.builtin.validation.claims import claim_spec
from disvc.testing.memory.builtin.validation.fields import (
    IMMUTABLE,
    formatted,
    int_or_percent,
    label_selector,
    nonnegative,
    not_more_than_100_percent,
    one_of,
    percent_or_int,
    required,
    selects,
    shown_selector,
)
from disvc.testing.memory.builtin.validation.pods import pod_template
from disvc.testing.memory.causes import item
from disvc.testing.memory.go_text import Struct, json_text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from disvc.testing.memory.errors import Cause

    Value = dict[str, Any]

__all__ = [
    "controller_revision",
    "daemon_set_spec",
    "deployment_spec",
    "replica_set_spec",
    "replication_controller_spec",
    "stateful_set_changes",
    "stateful_set_spec",
    "workload_status",
]

_LABELS: Final = "spec.template.metadata.labels"
_COUNTS: Final = (
    "observedGeneration",
    "replicas",
    "updatedReplicas",
    "fullyLabeledReplicas",
    "readyReplicas",
    "currentReplicas",
    "availableReplicas",
    "unavailableReplicas",
    "collisionCount",
    "currentNumberScheduled",
    "numberMisscheduled",
    "desiredNumberScheduled",
    "numberReady",
    "updatedNumberScheduled",
    "numberAvailable",
    "numberUnavailable",
)
_CHANGEABLE: Final = (
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
)


def deployment_spec(spec: Value) -> Iterator[Cause]:
    """Check the spec of a Deployment."""
    yield from nonnegative("spec", spec, "replicas")
    yield from _selector_and_template(spec, "deployment", "ReplicaSet")
    yield from _deployment_strategy(spec["strategy"])
    yield from nonnegative("spec", spec, "minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds")
    deadline = spec["progressDeadlineSeconds"]
    if deadline <= spec.get("minReadySeconds", 0):
        yield causes.invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds")


def replica_set_spec(spec: Value) -> Iterator[Cause]:
    """Check the spec of a ReplicaSet."""
    yield from nonnegative("spec", spec, "replicas", "minReadySeconds")
    yield from _selector_and_template(spec, "deployment", "ReplicaSet")


def replication_controller_spec(spec: Value) -> Iterator[Cause]:
    """Check the spec of a ReplicationController, whose selector is a map of labels."""
    yield from nonnegative("spec", spec, "minReadySeconds")
    selector, template = spec.get("selector"), spec.get("template")
    if not selector:
        yield causes.required("spec.selector")
    yield from nonnegative("spec", spec, "replicas")
    if template is None:
        yield causes.required("spec.template")
        return
    if selector:
        yield from _matching({"selector": {"matchLabels": selector}, "template": template})
    yield from pod_template("spec.template", template)
    yield from _runs_for_ever(spec, "ReplicationController")


def _selector_and_template(spec: Value, kind: str, of: str, *, more_volumes: Collection[str] = ()) -> Iterator[Cause]:
    """Check that a selector is there and selects the template's Pods, and that these run for ever."""
    selector = spec["selector"]
    malformed: list[Cause] = []
    if selector is None:
        yield causes.required("spec.selector")
    else:
        malformed = list(label_selector("spec.selector", selector))
        yield from malformed
        if not selector:
            yield causes.invalid("spec.selector", selector, f"empty selector is invalid for {kind}")
    if malformed:
        why = "" if kind == "statefulset" else "invalid label selector"
        yield causes.invalid("spec.selector", shown_selector(selector), why)
        return
    yield from _matching(spec)
    yield from pod_template("spec.template", spec["template"], more_volumes=more_volumes)
    yield from _runs_for_ever(spec, of)


def _matching(spec: Value) -> Iterator[Cause]:
    given = spec["template"]["metadata"].get("labels")
    # No selector selects nothing, an empty one everything.
    if spec["selector"] is None or not selects(spec["selector"], given or {}):
        yield causes.invalid(_LABELS, given, "`selector` does not match template `labels`")


def _runs_for_ever(spec: Value, of: str) -> Iterator[Cause]:
    pod = spec["template"]["spec"]
    if pod["restartPolicy"] != "Always":
        yield causes.not_supported("spec.template.spec.restartPolicy", pod["restartPolicy"], ("Always",))
    if "activeDeadlineSeconds" in pod:
        why = f"activeDeadlineSeconds in {of} is not Supported"
        yield causes.forbidden("spec.template.spec.activeDeadlineSeconds", why)


def _deployment_strategy(strategy: Value) -> Iterator[Cause]:
    path = "spec.strategy.rollingUpdate"
    rolling: Any = strategy.get("rollingUpdate")
    match strategy["type"]:
        case "Recreate":
            if rolling is not None:
                yield causes.forbidden(path, "may not be specified when strategy `type` is 'Recreate'")
        case "RollingUpdate":
            unavailable, surge = rolling["maxUnavailable"], rolling["maxSurge"]
            yield from int_or_percent(f"{path}.maxUnavailable", unavailable)
            yield from int_or_percent(f"{path}.maxSurge", surge)
            if percent_or_int(unavailable) == 0 and percent_or_int(surge) == 0:
                yield causes.invalid(f"{path}.maxUnavailable", unavailable, "may not be 0 when `maxSurge` is 0")
            yield from not_more_than_100_percent(f"{path}.maxUnavailable", unavailable)
        case type_:
            shown = Struct(Type=type_, RollingUpdate=_shown_rolling(rolling, "maxUnavailable", "maxSurge"))
            yield causes.not_supported("spec.strategy", shown, ("Recreate", "RollingUpdate"))


def stateful_set_spec(spec: Value, *, is_new: bool) -> Iterator[Cause]:
    """Check the spec of a StatefulSet; an update does not look at what it may not change."""
    if spec["podManagementPolicy"] not in {"OrderedReady", "Parallel"}:
        why = "must be 'OrderedReady' or 'Parallel'"
        yield causes.invalid("spec.podManagementPolicy", spec["podManagementPolicy"], why)
    yield from _stateful_set_strategy(spec["updateStrategy"])
    retention = spec["persistentVolumeClaimRetentionPolicy"]
    for name in ("whenDeleted", "whenScaled"):
        yield from one_of(f"spec.persistentVolumeClaimRetentionPolicy.{name}", retention[name], ("Retain", "Delete"))
    claims = spec.get("volumeClaimTemplates", ())
    for index, claim in enumerate(claims):
        if is_new:
            yield from claim_spec(f"{item('spec.volumeClaimTemplates', index)}.spec", claim["spec"])
        volume, name = item("spec.template.spec.volumes", index), claim["metadata"].get("name", "")
        if not name:
            yield causes.required(f"{volume}.persistentVolumeClaim.claimName")
        yield from required(f"{volume}.name", name, formats.dns_label)
    yield from nonnegative("spec", spec, "replicas", "minReadySeconds")
    if spec.get("ordinals", {}).get("start", 0) < 0:
        yield from nonnegative("spec.ordinals", spec["ordinals"], "start")
    if is_new and (service := spec.get("serviceName")):
        yield from formatted("spec.serviceName", service, formats.dns_label)
    names = {claim["metadata"].get("name", "") for claim in claims}
    yield from _selector_and_template(spec, "statefulset", "StatefulSet", more_volumes=names)


def _stateful_set_strategy(strategy: Value) -> Iterator[Cause]:
    path = "spec.updateStrategy.rollingUpdate"
    rolling: Any = strategy.get("rollingUpdate")
    match strategy["type"]:
        case "OnDelete":
            if rolling is not None:
                yield causes.invalid(path, rolling, "only allowed for updateStrategy 'RollingUpdate'")
        case "RollingUpdate":
            yield from nonnegative(path, rolling or {}, "partition")
        case type_:
            shown = Struct(Type=type_, RollingUpdate=_shown_rolling(rolling, "partition", "maxUnavailable"))
            yield causes.invalid("spec.updateStrategy", shown, "must be 'RollingUpdate' or 'OnDelete'")


def _shown_rolling(rolling: Value | None, *names: str) -> Value | None:
    """Return how messages show the `rollingUpdate` of a strategy, whose fields are given."""
    if rolling is None:
        return None
    return Struct({f"{name[0].upper()}{name[1:]}": rolling.get(name) for name in names})


def stateful_set_changes(spec: Value, before: Value) -> Iterator[Cause]:
    """Check what an update of a StatefulSet changes."""
    fixed, fixed_before = (
        {name: value for name, value in each.items() if name not in _CHANGEABLE} for each in (spec, before)
    )
    if fixed != fixed_before:
        listed = ", ".join(f"'{name}'" for name in _CHANGEABLE[:-1]) + f" and '{_CHANGEABLE[-1]}'"
        why = f"updates to statefulset spec for fields other than {listed} are forbidden"
        yield causes.forbidden("spec", why)


def daemon_set_spec(spec: Value) -> Iterator[Cause]:
    """Check the spec of a DaemonSet."""
    selector = spec["selector"]
    malformed = list(label_selector("spec.selector", selector))
    yield from malformed
    if not malformed:
        yield from _matching(spec)
    if selector == {}:
        yield causes.invalid("spec.selector", selector, "empty selector is invalid for daemonset")
    yield from pod_template("spec.template", spec["template"])
    yield from _runs_for_ever(spec, "DaemonSet")
    yield from nonnegative("spec", spec, "minReadySeconds")
    yield from _daemon_set_strategy(spec["updateStrategy"])
    yield from nonnegative("spec", spec, "revisionHistoryLimit")


def _daemon_set_strategy(strategy: Value) -> Iterator[Cause]:
    path = "spec.updateStrategy.rollingUpdate"
    rolling: Any = strategy.get("rollingUpdate")
    match strategy["type"]:
        case "OnDelete":
            return
        case "RollingUpdate":
            unavailable, surge = rolling["maxUnavailable"], rolling["maxSurge"]
            for check in (int_or_percent, not_more_than_100_percent):
                yield from check(f"{path}.maxUnavailable", unavailable)
                yield from check(f"{path}.maxSurge", surge)
            if percent_or_int(unavailable) and percent_or_int(surge):
                yield causes.invalid(f"{path}.maxSurge", surge, "may not be set when maxUnavailable is non-zero")
            if not percent_or_int(unavailable) and not percent_or_int(surge):
                yield causes.required(f"{path}.maxUnavailable", "cannot be 0 when maxSurge is 0")
        case type_:
            shown = Struct(Type=type_, RollingUpdate=_shown_rolling(rolling, "maxUnavailable", "maxSurge"))
            yield causes.not_supported("spec.updateStrategy", shown, ("RollingUpdate", "OnDelete"))


def controller_revision(revision: Value, old: Value | None) -> Iterator[Cause]:
    """Check a ControllerRevision, and that an update does not change its data."""
    yield from nonnegative("", revision, "revision")
    data = revision["data"]
    if old is not None:
        # Texts, because to Python, true is 1.
        if json_text(data) != json_text(old["data"]):
            yield causes.invalid("data", data, IMMUTABLE)
    elif data is None:
        yield causes.required("data", "data is mandatory")
    elif not isinstance(data, dict):
        yield causes.required("data", "data must be a valid JSON object")


def workload_status(status: Value, before: Value) -> Iterator[Cause]:
    """Check the status of what has replicas: counts fit together."""
    yield from nonnegative("status", status, *_COUNTS)
    replicas, ready = status.get("replicas", 0), status.get("readyReplicas", 0)
    for name in (
        "fullyLabeledReplicas",
        "updatedReplicas",
        "readyReplicas",
        "currentReplicas",
        "availableReplicas",
    ):
        if status.get(name, 0) > replicas:
            yield causes.invalid(f"status.{name}", status.get(name, 0), "cannot be greater than status.replicas")
    if status.get("availableReplicas", 0) > ready:
        why = "cannot be greater than readyReplicas"
        yield causes.invalid("status.availableReplicas", status.get("availableReplicas", 0), why)
    if status.get("collisionCount", 0) < before.get("collisionCount", 0):
        yield causes.invalid("status.collisionCount", status.get("collisionCount", 0), "cannot be decremented")
