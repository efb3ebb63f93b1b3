"""PersistentVolumes; of their sources only that there is one, and what those on a node or behind CSI and NFS need."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from disvc.testing.memory import causes, formats
from disvc.testing.memory.builtin.validation.claims import access_modes
from disvc.testing.memory.builtin.validation.fields import formatted, immutable
from disvc.testing.quantity import amount

if TYPE_CHECKING:
    from collections.abc import Iterator

    from disvc.testing.memory.errors import Cause

    Value = dict[str, Any]

__all__ = ["volume_changes", "volume_spec"]

_OTHER_FIELDS: Final = frozenset({
    "accessModes", "capacity", "claimRef", "mountOptions", "nodeAffinity", "persistentVolumeReclaimPolicy",
    "storageClassName", "volumeAttributesClassName", "volumeMode",
})  # fmt: skip
"""Those that are no source."""
_NEEDED: Final = {
    "csi": ("driver", "volumeHandle"),
    "hostPath": ("path",),
    "local": ("path",),
    "nfs": ("server", "path"),
}


def volume_spec(spec: Value) -> Iterator[Cause]:
    """Check the spec of a volume."""
    yield from access_modes("spec.accessModes", spec.get("accessModes", []), "")
    yield from _capacity(spec.get("capacity", {}))
    policy = spec["persistentVolumeReclaimPolicy"]
    if policy not in ("Delete", "Recycle", "Retain"):
        yield causes.not_supported("spec.persistentVolumeReclaimPolicy", policy, ("Delete", "Recycle", "Retain"))
    yield from _source(spec)
    if name := spec.get("storageClassName"):
        yield from formatted("spec.storageClassName", name, formats.dns_subdomain)
    if spec["volumeMode"] not in ("Block", "Filesystem"):
        yield causes.not_supported("spec.volumeMode", spec["volumeMode"], ("Block", "Filesystem"))


def _capacity(capacity: Value) -> Iterator[Cause]:
    if not capacity:
        yield causes.required("spec.capacity")
    if "storage" not in capacity or len(capacity) > 1:
        yield causes.not_supported("spec.capacity", capacity or None, ("storage",))
    for name, size in capacity.items():
        if amount(size) <= 0:
            yield causes.invalid(f"spec.capacity[{name}]", size, "must be greater than zero")


def _source(spec: Value) -> Iterator[Cause]:
    types = [name for name in spec if name not in _OTHER_FIELDS]
    if not types:
        yield causes.required("spec", "must specify a volume type")
    for name in types[1:]:
        yield causes.forbidden(f"spec.{name}", "may not specify more than 1 volume type")
    for name in types[:1]:
        for needed in _NEEDED.get(name, ()):
            if not spec[name].get(needed):
                yield causes.required(f"spec.{name}.{needed}")
    if "local" in types and "nodeAffinity" not in spec:
        yield causes.required("spec.nodeAffinity", "Local volume requires node affinity")


def volume_changes(spec: Value, before: Value) -> Iterator[Cause]:
    """Check what an update of a volume changes."""
    names = (spec.keys() | before.keys()) - _OTHER_FIELDS
    if any(spec.get(name) != before.get(name) for name in names):
        what = "spec.persistentvolumesource"
        yield causes.forbidden(what, f"{what} is immutable after creation\n")
    yield from immutable("spec.volumeMode", spec["volumeMode"], before["volumeMode"])
