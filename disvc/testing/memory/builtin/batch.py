"""The group batch, v1."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from disvc.testing.memory import causes
from disvc.testing.memory.builtin import selectable
from disvc.testing.memory.builtin.columns import workloads as columns
from disvc.testing.memory.builtin.strategy import BuiltinStrategy, kind, spec
from disvc.testing.memory.builtin.validation.jobs import (
    NAME_LABELS,
    UID_LABELS,
    cron_job_spec,
    generated,
    job_changes,
    job_spec,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from disvc.testing.memory.errors import Cause

    Value = dict[str, Any]

__all__ = ["TYPES"]

_CRON_JOB_NAME_MAX: Final = 52


class _Job(BuiltinStrategy):
    def prepare_for_create(self, obj: Value) -> None:
        """Empty the status, and have the Job select the Pods that bear its UID.

        A Job that has the labels of its Pods, as by default, has those that are added here, too.
        """
        super().prepare_for_create(obj)
        metadata, spec = obj["metadata"], obj["spec"]
        if spec["manualSelector"]:
            return
        labels = spec["template"]["metadata"].setdefault("labels", {})
        shares_labels = metadata.get("labels") == labels
        for names, value in ((NAME_LABELS, metadata.get("name", "")), (UID_LABELS, metadata["uid"])):
            for name in names:
                labels.setdefault(name, value)
        selector = spec.setdefault("selector", {})
        selector.setdefault("matchLabels", {}).setdefault(UID_LABELS[1], metadata["uid"])
        if shares_labels or "labels" not in metadata:
            metadata["labels"] = dict(labels)

    def validate(self, obj: Value, old: Value | None, subresource: str) -> Sequence[Cause]:
        """Return what is wrong."""
        if subresource == "status" and old is not None:
            return ()
        found = list(job_spec(obj["spec"]))
        first = [*generated(obj), *found]
        # For an update, the server looks at the spec once more.
        return first if old is None else [*first, *found, *job_changes(obj["spec"], old["spec"])]


class _CronJob(BuiltinStrategy):
    def validate(self, obj: Value, old: Value | None, subresource: str) -> Sequence[Cause]:
        """Return what is wrong."""
        if subresource == "status" and old is not None:
            return ()
        found, name = list(cron_job_spec(obj["spec"])), obj["metadata"].get("name", "")
        if old is None and len(name) > _CRON_JOB_NAME_MAX:
            why = f"must be no more than {_CRON_JOB_NAME_MAX} characters"
            found.append(causes.invalid("metadata.name", name, why))
        return found


TYPES: Final = (
    kind(
        "batch",
        "v1",
        "Job",
        "jobs",
        _Job,
        categories=("all",),
        generation_follows=spec,
        default_propagation="Orphan",
        columns=columns.JOB,
        selectable_fields=selectable.JOB,
    ),
    kind(
        "batch",
        "v1",
        "CronJob",
        "cronjobs",
        _CronJob,
        short_names=("cj",),
        categories=("all",),
        generation_follows=spec,
        columns=columns.CRON_JOB,
    ),
)
