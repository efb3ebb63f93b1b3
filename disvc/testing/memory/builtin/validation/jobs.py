"""Jobs and CronJobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from disvc.testing.memory import causes
from disvc.testing.memory.builtin import gotypes
from disvc.testing.memory.builtin.validation.fields import (
    among,
    immutable,
    label_selector,
    nonnegative,
    one_of,
    selects,
    shown_selector,
)
from disvc.testing.memory.builtin.validation.pods import pod_template
from disvc.testing.memory.causes import item

if TYPE_CHECKING:
    from collections.abc import Iterator

    from disvc.testing.memory.errors import Cause

    Value = dict[str, Any]

__all__ = ["NAME_LABELS", "UID_LABELS", "cron_job_spec", "generated", "job_changes", "job_spec"]

UID_LABELS: Final = ("controller-uid", "batch.kubernetes.io/controller-uid")
NAME_LABELS: Final = ("job-name", "batch.kubernetes.io/job-name")
_NUMBERS: Final = (
    "parallelism",
    "completions",
    "activeDeadlineSeconds",
    "backoffLimit",
    "ttlSecondsAfterFinished",
    "backoffLimitPerIndex",
    "maxFailedIndexes",
)
_REPLACEMENT_POLICIES: Final = ("Failed", "TerminatingOrFailed")
_MODES: Final = ("NonIndexed", "Indexed")
_FIXED: Final = ("completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy")
_SCHEDULE_FIELDS: Final = 5
_TEMPLATE: Final = "io.k8s.api.core.v1.PodTemplateSpec"


def generated(job: Value) -> Iterator[Cause]:
    """Check the labels and the selector that the server has made for a Job, unless the client has."""
    spec, metadata = job["spec"], job["metadata"]
    if spec.get("manualSelector") or spec.get("selector") is None:
        return
    labels, expected = spec["template"]["metadata"].get("labels"), {}
    for pair in zip(UID_LABELS, NAME_LABELS, strict=True):
        for label, value in zip(pair, (metadata["uid"], metadata.get("name", "")), strict=True):
            expected[label], path = value, item("spec.template.metadata.labels", label)
            if label not in (labels or {}):
                yield causes.required(path, f"must be '{value}'")
            elif labels[label] != value:
                yield causes.invalid(path, labels, f"must be '{value}'")
    malformed = list(label_selector("", spec["selector"]))
    if not malformed and not selects(spec["selector"], expected):
        yield causes.invalid("spec.selector", shown_selector(spec["selector"]), "`selector` not auto-generated")


def job_spec(spec: Value) -> Iterator[Cause]:
    """Check the spec of a Job."""
    yield from _common("spec", spec)
    selector, labels = spec.get("selector"), spec["template"]["metadata"].get("labels")
    if selector is None:
        yield causes.required("spec.selector")
        malformed: list[Cause] = []
    else:
        malformed = list(label_selector("spec.selector", selector))
        yield from malformed
    if not malformed and (selector is None or not selects(selector, labels or {})):
        yield causes.invalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`")


def _common(path: str, spec: Value) -> Iterator[Cause]:
    """Check what the spec of a Job and that of a CronJob's template have in common."""
    yield from nonnegative(path, spec, *_NUMBERS)
    mode = spec.get("completionMode", "NonIndexed")
    if mode not in _MODES:
        yield causes.not_supported(f"{path}.completionMode", mode, _MODES)
    if mode == "Indexed" and "completions" not in spec:
        yield causes.required(f"{path}.completions", "when completion mode is Indexed")
    for name in ("backoffLimitPerIndex", "maxFailedIndexes"):
        if mode == "NonIndexed" and name in spec:
            yield causes.invalid(f"{path}.{name}", spec[name], "requires indexed completion mode")
    supported = ("Failed",) if "podFailurePolicy" in spec else _REPLACEMENT_POLICIES
    yield from among(f"{path}.podReplacementPolicy", spec.get("podReplacementPolicy"), supported)
    yield from pod_template(f"{path}.template", spec["template"])
    restart, at = spec["template"]["spec"]["restartPolicy"], f"{path}.template.spec.restartPolicy"
    if restart == "Always":
        yield causes.required(at, 'valid values: "OnFailure", "Never"')
    elif restart not in {"OnFailure", "Never"}:
        yield causes.not_supported(at, restart, ("OnFailure", "Never"))


def job_changes(spec: Value, before: Value) -> Iterator[Cause]:
    """Check what an update changes of a Job: how many Pods run at a time, and little else."""
    new, old = spec.get("completions"), before.get("completions")
    if spec["completionMode"] != "Indexed":
        yield from immutable("spec.completions", new, old)
    elif new != old and new is not None and new != spec["parallelism"]:
        why = "can only be modified in tandem with spec.parallelism"
        yield causes.invalid("spec.completions", new, why)
    yield from immutable("spec.selector", shown_selector(spec.get("selector")), shown_selector(before.get("selector")))
    if not before.get("suspend"):
        templates = (gotypes.shown(_TEMPLATE, each["template"]) for each in (spec, before))
        yield from immutable("spec.template", *templates)
    for name in _FIXED:
        yield from immutable(f"spec.{name}", spec.get(name), before.get(name))


def cron_job_spec(spec: Value) -> Iterator[Cause]:
    """Check the spec of a CronJob; of the schedule, that it has as many fields as it must."""
    schedule = spec["schedule"]
    fields = schedule.split()
    if not schedule:
        yield causes.required("spec.schedule")
    elif "TZ" in schedule:
        why = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
        yield causes.invalid("spec.schedule", schedule, why)
    elif not schedule.startswith("@") and len(fields) != _SCHEDULE_FIELDS:
        why = f"expected exactly {_SCHEDULE_FIELDS} fields, found {len(fields)}: [{' '.join(fields)}]"
        yield causes.invalid("spec.schedule", schedule, why)
    yield from nonnegative("spec", spec, "startingDeadlineSeconds")
    yield from one_of("spec.concurrencyPolicy", spec["concurrencyPolicy"], ("Allow", "Forbid", "Replace"))
    job = spec["jobTemplate"]["spec"]
    yield from _common("spec.jobTemplate.spec", job)
    if "selector" in job:
        selector = shown_selector(job["selector"])
        yield causes.invalid("spec.jobTemplate.spec.selector", selector, "`selector` will be auto-generated")
    yield from nonnegative("spec", spec, "successfulJobsHistoryLimit", "failedJobsHistoryLimit")
