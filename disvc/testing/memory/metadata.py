"""The metadata that every kind has in common: what it may be, and who sets which part of it.

The rules are those of k8s.io/apimachinery/pkg/api/validation/objectmeta.go and k8s.io/apiserver/pkg/registry/rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from disvc.testing.memory import causes, formats
from disvc.testing.memory.formats import path_segment
from disvc.testing.memory.numbers import as_go_writes
from disvc.testing.memory.options import manager_problems

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from disvc.testing.memory.errors import Cause
    from disvc.testing.memory.resource import ResourceType

    Value = dict[str, Any]

__all__ = [
    "FOREGROUND",
    "ORPHAN",
    "changed_problems",
    "finalizer_warnings",
    "forget_system_fields",
    "keep_system_fields",
    "merge_owners",
    "new_problems",
    "normalise",
    "problems",
]

ORPHAN: Final = "orphan"
FOREGROUND: Final = "foregroundDeletion"
_LENIENT_GROUPS: Final = (
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "coordination.k8s.io",
    "rbac.authorization.k8s.io",
)
_STANDARD_FINALIZERS: Final = ("kubernetes", ORPHAN, FOREGROUND)
_FIELDS: Final = (
    "name",
    "generateName",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "labels",
    "annotations",
    "ownerReferences",
    "finalizers",
    "managedFields",
)
_KEPT_EMPTY: Final = {"deletionGracePeriodSeconds"}
_IMMUTABLE: Final = (
    "name",
    "namespace",
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
)
_ANNOTATIONS_BYTES: Final = 256 * 1024


_SYSTEM_FIELDS: Final = ("creationTimestamp", "uid", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink")


def forget_system_fields(metadata: Value) -> None:
    """Drop what a client cannot set on a new object, in place."""
    for name in _SYSTEM_FIELDS:
        metadata.pop(name, None)


def keep_system_fields(metadata: Value, old: Value) -> None:
    """Keep what an update leaves as it is, whatever it says, in place."""
    metadata["uid"] = metadata.get("uid") or old["uid"]
    metadata["creationTimestamp"] = old["creationTimestamp"]
    if "deletionTimestamp" in old:
        metadata["deletionTimestamp"] = old["deletionTimestamp"]
    if "deletionGracePeriodSeconds" in old:
        metadata.setdefault("deletionGracePeriodSeconds", old["deletionGracePeriodSeconds"])


def merge_owners(metadata: Value) -> list[str]:
    """Drop owner references that come twice, in place, and return the warnings to give."""
    owners = metadata.get("ownerReferences") or []
    kept: list[Value] = []
    again: list[str] = []
    for owner in owners:
        if owner in kept:
            again.append(owner.get("uid", ""))
        else:
            kept.append(owner)
    if not again:
        return []
    metadata["ownerReferences"] = kept
    why = "API server dedups owner references in 1.20+, and may reject such requests as early as 1.24"
    listed = f"please fix your requests; duplicate UID(s) observed: {', '.join(again)}"
    return [f".metadata.ownerReferences contains duplicate entries; {why}; {listed}"]


def normalise(obj: Value) -> None:
    """Bring an object into the form that is stored, in place: kind, apiVersion and metadata first, nothing empty."""
    metadata = obj.get("metadata") or {}
    rest = {name: value for name, value in obj.items() if name not in ("kind", "apiVersion", "metadata")}
    kind, api_version = obj["kind"], obj["apiVersion"]
    obj.clear()
    obj["kind"], obj["apiVersion"] = kind, api_version
    obj["metadata"] = {
        name: metadata[name]
        for name in _FIELDS
        if metadata.get(name) or (name in _KEPT_EMPTY and metadata.get(name) is not None)
    }
    obj.update({name: as_go_writes(part) for name, part in rest.items()})


def finalizer_warnings(metadata: Value, before: Value) -> list[str]:
    """Return the warnings about new finalizers of a custom object."""
    new = set(metadata.get("finalizers") or ()) - set(before.get("finalizers") or ())
    advice = "prefer a domain-qualified finalizer name to avoid accidental conflicts with other finalizer writers"
    return [
        f'metadata.finalizers: "{name}": {advice}'
        for name in sorted(new)
        if "/" not in name and name not in (ORPHAN, FOREGROUND, "kubernetes")
    ]


def new_problems(resource: ResourceType, metadata: Value) -> list[Cause]:
    """Return what is wrong with a new object's metadata."""
    strict = _is_strict(resource)
    return problems(metadata, resource.check_name, namespaced=resource.namespaced, standard_finalizers=strict)


def changed_problems(resource: ResourceType, metadata: Value, old: Value) -> list[Cause]:
    """Return what is wrong with an object's metadata as a change of the old one."""
    strict = _is_strict(resource)
    found = problems(metadata, path_segment, namespaced=resource.namespaced, standard_finalizers=strict)
    return found + _change_problems(metadata, old)


def _is_strict(resource: ResourceType) -> bool:
    return not resource.is_custom and resource.group not in _LENIENT_GROUPS


def problems(
    metadata: Value,
    check: Callable[[str], Sequence[str]],
    *,
    namespaced: bool,
    standard_finalizers: bool = False,
) -> list[Cause]:
    """Return what is wrong with metadata by itself; `check` is asked about names.

    `standard_finalizers` is whether a finalizer without a domain has to be one of Kubernetes' own.
    """
    found: list[Cause] = []
    if prefix := metadata.get("generateName", ""):
        # A dash at the end is no mistake where something is added.
        masked = f"{prefix[:-2]}a" if len(prefix) > 1 and prefix.endswith("-") else prefix
        found += [causes.invalid("metadata.generateName", prefix, why) for why in check(masked)]
    name = metadata.get("name", "")
    if not name:
        found.append(causes.required("metadata.name", "name or generateName is required"))
    found += [causes.invalid("metadata.name", name, why) for why in (check(name) if name else ())]
    namespace = metadata.get("namespace", "")
    if namespaced and not namespace:
        found.append(causes.required("metadata.namespace"))
    elif namespaced:
        found += [causes.invalid("metadata.namespace", namespace, why) for why in formats.dns_label(namespace)]
    if metadata.get("generation", 0) < 0:
        why = "must be greater than or equal to 0"
        found.append(causes.invalid("metadata.generation", metadata["generation"], why))
    return [
        *found,
        *_map_problems(metadata),
        *_owner_problems(metadata),
        *_finalizer_problems(metadata, standard=standard_finalizers),
        *_manager_problems(metadata),
    ]


def _change_problems(metadata: Value, old: Value) -> list[Cause]:
    found: list[Cause] = []
    if old.get("deletionTimestamp"):
        before = old.get("finalizers") or []
        added = sorted({name for name in metadata.get("finalizers") or [] if name not in before})
        if added:
            listed = ", ".join(f'"{name}"' for name in added)
            why = (
                "no new finalizers can be added if the object is being deleted, "
                f"found new finalizers []string{{{listed}}}"
            )
            found.append(causes.forbidden("metadata.finalizers", why))
    if not metadata.get("resourceVersion"):
        found.append(causes.invalid("metadata.resourceVersion", "", "must be specified for an update"))
    found += [
        causes.invalid(f"metadata.{name}", metadata.get(name, ""), "field is immutable")
        for name in _IMMUTABLE
        if metadata.get(name) != old.get(name)
    ]
    return [*found, *_map_problems(metadata), *_owner_problems(metadata), *_manager_problems(metadata)]


def _map_problems(metadata: Value) -> list[Cause]:
    found: list[Cause] = []
    for key, value in (metadata.get("labels") or {}).items():
        found += [causes.invalid("metadata.labels", key, why) for why in formats.label_key(key)]
        found += [causes.invalid("metadata.labels", value, why) for why in formats.label_value(value)]
    annotations = metadata.get("annotations") or {}
    for key in annotations:
        found += [causes.invalid("metadata.annotations", key, why) for why in formats.label_key(key.lower())]
    if sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items()) > _ANNOTATIONS_BYTES:
        found.append(causes.too_long("metadata.annotations", _ANNOTATIONS_BYTES))
    return found


def _owner_problems(metadata: Value) -> list[Cause]:
    found: list[Cause] = []
    owners = metadata.get("ownerReferences") or []
    controllers: list[str] = []
    path = "metadata.ownerReferences"
    for owner in owners:
        api_version, kind = owner.get("apiVersion", ""), owner.get("kind", "")
        if not api_version.rpartition("/")[2]:
            found.append(causes.invalid(f"{path}.apiVersion", api_version, "version must not be empty"))
        found += [
            causes.invalid(f"{path}.{name}", "", "must not be empty")
            for name in ("kind", "name", "uid")
            if not owner.get(name)
        ]
        if (api_version, kind) == ("v1", "Event"):
            found.append(causes.invalid(path, owner, "/v1, Kind=Event is disallowed from being an owner"))
        if owner.get("controller"):
            controllers.append(f"{kind}/{owner.get('name', '')}")
    for other in controllers[1:]:
        why = (
            'Only one reference can have Controller set to true. Found "true" in references for '
            f"{controllers[0]} and {other}"
        )
        found.append(causes.invalid(path, owners, why))
    return found


def _finalizer_problems(metadata: Value, *, standard: bool) -> list[Cause]:
    path = "metadata.finalizers"
    names = metadata.get("finalizers") or []
    found = [causes.invalid(path, name, why) for name in names for why in formats.label_key(name)]
    if ORPHAN in names and FOREGROUND in names:
        found.append(causes.invalid(path, names, f"finalizer {ORPHAN} and {FOREGROUND} cannot be both set"))
    for index, name in enumerate(names):
        if standard and "/" not in name and name not in _STANDARD_FINALIZERS:
            why = "name is neither a standard finalizer name nor is it fully qualified"
            found.append(causes.invalid(f"{path}[{index}]", name, why))
    return found


def _manager_problems(metadata: Value) -> list[Cause]:
    found: list[Cause] = []
    for index, entry in enumerate(metadata.get("managedFields") or []):
        path = f"metadata.managedFields[{index}]"
        if entry.get("operation") not in ("Apply", "Update"):
            found.append(causes.invalid(f"{path}.operation", entry.get("operation", ""), "must be `Apply` or `Update`"))
        if entry.get("fieldsType") not in (None, "", "FieldsV1"):
            found.append(causes.invalid(f"{path}.fieldsType", entry["fieldsType"], "must be `FieldsV1`"))
        found += manager_problems(entry.get("manager", ""), f"{path}.manager")
    return found
