"""The groups scheduling.k8s.io and storage.k8s.io, v1: PriorityClasses and StorageClasses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from disvc.testing.memory import causes, formats
from disvc.testing.memory.builtin.columns import others as columns
from disvc.testing.memory.builtin.strategy import BuiltinStrategy, kind
from disvc.testing.memory.builtin.validation.fields import among, immutable, one_of, required

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from disvc.testing.memory.errors import Cause

    Value = dict[str, Any]

__all__ = ["TYPES"]

_HIGHEST_PRIORITY: Final = 1_000_000_000
_PREEMPTION_POLICIES: Final = ("PreemptLowerPriority", "Never")
_FIXED: Final = ("parameters", "provisioner", "reclaimPolicy", "volumeBindingMode")


class _PriorityClass(BuiltinStrategy):
    def validate(self, obj: Value, old: Value | None, subresource: str) -> Sequence[Cause]:
        return list(_priority_class_changes(obj, old) if old is not None else _priority_class(obj))


def _priority_class(obj: Value) -> Iterator[Cause]:
    name = obj["metadata"].get("name", "")
    if name.startswith("system-"):
        why = f"{name} is not a known system priority class"
        is_for_system = "priority class names with 'system-' prefix are reserved for system use only. error: "
        yield causes.forbidden("metadata.name", is_for_system + why)
    elif obj["value"] > _HIGHEST_PRIORITY:
        yield causes.forbidden("value", f"maximum allowed value of a user defined priority is {_HIGHEST_PRIORITY}")
    yield from one_of("preemptionPolicy", obj["preemptionPolicy"], _PREEMPTION_POLICIES)


def _priority_class_changes(obj: Value, old: Value) -> Iterator[Cause]:
    if obj["value"] != old["value"]:
        yield causes.forbidden("value", "may not be changed in an update.")
    yield from immutable("preemptionPolicy", obj["preemptionPolicy"], old["preemptionPolicy"])


class _StorageClass(BuiltinStrategy):
    def validate(self, obj: Value, old: Value | None, subresource: str) -> Sequence[Cause]:
        changed = () if old is None else _FIXED
        return [
            *required("provisioner", obj["provisioner"].lower(), formats.label_key),
            *among("reclaimPolicy", obj["reclaimPolicy"] or None, ("Delete", "Retain")),
            *among("volumeBindingMode", obj["volumeBindingMode"], ("Immediate", "WaitForFirstConsumer")),
            *(cause for name in changed for cause in immutable(name, obj.get(name), (old or {}).get(name))),
        ]


def _nothing(obj: Value) -> object:
    """Return what the generation of a kind follows in which it is always 1."""
    return None


TYPES: Final = (
    kind(
        "scheduling.k8s.io",
        "v1",
        "PriorityClass",
        "priorityclasses",
        _PriorityClass,
        namespaced=False,
        short_names=("pc",),
        generation_follows=_nothing,
        columns=columns.PRIORITY_CLASS,
    ),
    kind(
        "storage.k8s.io",
        "v1",
        "StorageClass",
        "storageclasses",
        _StorageClass,
        namespaced=False,
        short_names=("sc",),
        answers_deleted_object=True,
        columns=columns.STORAGE_CLASS,
    ),
)
