"""PersistentVolumes, v1, and the admission plugin StorageObjectInUseProtection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from disvc.testing.memory.builtin.columns import core as columns
from disvc.testing.memory.builtin.strategy import BuiltinStrategy, kind
from disvc.testing.memory.builtin.validation.persistent_volumes import volume_changes, volume_spec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from disvc.testing.memory.errors import Cause

    Value = dict[str, Any]

__all__ = ["TYPES"]

_PROTECTION: Final = "kubernetes.io/pv-protection"


class _PersistentVolume(BuiltinStrategy):
    def prepare_for_create(self, obj: Value) -> None:
        meta = obj["metadata"]
        obj["status"] = {"phase": "Pending", "lastPhaseTransitionTime": meta["creationTimestamp"]}
        finalizers = meta.setdefault("finalizers", [])
        if _PROTECTION not in finalizers:
            finalizers.append(_PROTECTION)

    def validate(self, obj: Value, old: Value | None, subresource: str) -> Sequence[Cause]:
        if subresource == "status" and old is not None:
            return ()
        changes = [] if old is None else volume_changes(obj["spec"], old["spec"])
        return [*volume_spec(obj["spec"]), *changes]


TYPES: Final = (
    kind(
        "",
        "v1",
        "PersistentVolume",
        "persistentvolumes",
        _PersistentVolume,
        namespaced=False,
        short_names=("pv",),
        answers_deleted_object=True,
        columns=columns.PERSISTENT_VOLUME,
    ),
)
