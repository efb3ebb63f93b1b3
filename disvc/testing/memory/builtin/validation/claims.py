"""PersistentVolumeClaims."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from disvc.testing.memory import causes, formats
from disvc.testing.memory.builtin.validation.fields import formatted, immutable, label_selector
from disvc.testing.memory.causes import child
from disvc.testing.quantity import amount

if TYPE_CHECKING:
    from collections.abc import Iterator

    from disvc.testing.memory.errors import Cause

    Value = dict[str, Any]

__all__ = ["access_modes", "claim_changes", "claim_spec"]

_MODES: Final = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")


def claim_spec(path: str, spec: Value) -> Iterator[Cause]:
    """Check the spec of a claim."""
    yield from access_modes(
        child(path, "accessModes"), spec.get("accessModes", []), "at least 1 access mode is required"
    )
    yield from label_selector(child(path, "selector"), spec.get("selector"))
    yield from _size(f"{path}.resources[storage]", _requested(spec))
    if name := spec.get("storageClassName"):
        yield from formatted(child(path, "storageClassName"), name, formats.dns_subdomain)
    if spec["volumeMode"] not in {"Block", "Filesystem"}:
        yield causes.not_supported(child(path, "volumeMode"), spec["volumeMode"], ("Block", "Filesystem"))


def access_modes(path: str, modes: list[str], why: str) -> Iterator[Cause]:
    """Check the access modes of a claim or of a volume; `why` is said where there are none."""
    if not modes:
        yield causes.required(path, why)
    for mode in modes:
        if mode not in _MODES:
            yield causes.not_supported(path, mode, _MODES)
    if "ReadWriteOncePod" in modes and any(mode in _MODES[:3] for mode in modes):
        yield causes.forbidden(path, "may not use ReadWriteOncePod with other access modes")


def _requested(spec: Value) -> str | None:
    size: str | None = spec["resources"].get("requests", {}).get("storage")
    return size


def _size(path: str, size: str | None) -> Iterator[Cause]:
    if size is None:
        yield causes.required(path)
    elif amount(size) <= 0:
        yield causes.invalid(path, size, "must be greater than zero")


def claim_changes(claim: Value, old: Value) -> Iterator[Cause]:
    """Check what an update of a claim changes."""
    spec, before = claim["spec"], old["spec"]
    is_bound = claim["status"].get("phase") == "Bound"
    changeable = {"volumeName": not before.get("volumeName"), "volumeAttributesClassName": is_bound}
    changeable["resources"] = is_bound
    names = spec.keys() | before.keys()
    if any(spec.get(name) != before.get(name) for name in names if not changeable.get(name)):
        why = (
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
        )
        yield causes.forbidden("spec", f"{why}\n")
    size, old_size = (amount(_requested(each) or "0") for each in (spec, before))
    if size < old_size and size <= amount(old["status"].get("capacity", {}).get("storage", "0")):
        why = "field can not be less than status.capacity"
        yield causes.forbidden("spec.resources.requests.storage", why)
    yield from immutable("volumeMode", spec["volumeMode"], before["volumeMode"])
