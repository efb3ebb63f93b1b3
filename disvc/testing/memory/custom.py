"""CustomResourceDefinitions at work: the resources of a CRD come when it is created, and go when it is deleted.

`CustomResources.settle` does at once what the controllers in a kube-apiserver do one after the other: it accepts names
that nobody else has, serves the versions, and empties a CRD that is being deleted. The conditions, and the order in
which a watch of the CRD sees them, are theirs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from disvc.runtime.timestamps import metav1_time
from disvc.testing.memory.holders import CLEANUP, with_condition
from disvc.testing.memory.options import DeleteOptions
from disvc.testing.memory.structural.definition import resource_types

if TYPE_CHECKING:
    from collections.abc import Iterator

    from disvc.runtime.environment import Environment
    from disvc.testing.memory.deletion import Deleter
    from disvc.testing.memory.registry import Registry
    from disvc.testing.memory.resource import ResourceType
    from disvc.testing.memory.store import Store, Version
    from disvc.testing.memory.writing import Writer

    Value = dict[str, Any]

__all__ = ["CustomResources"]

_CRDS: Final = ("apiextensions.k8s.io", "v1", "customresourcedefinitions")
_NAMES: Final = (
    ("plural", "PluralConflict"),
    ("singular", "SingularConflict"),
    ("shortNames", "ShortNamesConflict"),
    ("kind", "KindConflict"),
    ("listKind", "ListKindConflict"),
)
_KINDS: Final = ("kind", "listKind")


class CustomResources:
    """Serves what the CRDs in the store define."""

    def __init__(
        self, store: Store, registry: Registry, environment: Environment, writer: Writer, deleter: Deleter
    ) -> None:
        self._store = store
        self._registry = registry
        self._environment = environment
        self._writer = writer
        self._deleter = deleter
        self._settled_at = 0
        self._is_emptying = False  # whether a CRD waits for its objects to go
        self._served: dict[str, tuple[Value, list[ResourceType]]] = {}  # by the CRD's UID, with its spec

    def settle(self) -> None:
        """Bring what is served in line with the CRDs that there are; nothing happens where that is so already."""
        resource = self._registry.find(*_CRDS)
        if resource is None:
            return
        crds = self._store.of(resource)
        if not crds.since(self._settled_at) and not self._is_emptying:
            return
        while True:
            before = self._store.revision
            self._is_emptying = False
            for key in crds.keys("", ""):
                if (version := crds.get(key)) is not None:
                    self._settle_one(resource, version)
            there = {version.value["metadata"]["uid"] for version in self._versions(resource)}
            for uid in [uid for uid in self._served if uid not in there]:
                self._withdraw(uid)
            if self._store.revision == before:  # else a name may have become free
                break
        self._settled_at = self._store.revision

    def _settle_one(self, resource: ResourceType, version: Version) -> None:
        obj = version.value
        if obj["spec"]["names"] != obj["status"].get("acceptedNames") or not obj["status"].get("conditions"):
            version = self._revise(resource, version, self._named(resource, obj))
        if _holds(version.value, "NamesAccepted") and not _holds(version.value, "Established"):
            message = "the initial names have been accepted"
            established = self._with(version.value, "Established", "True", "InitialNamesAccepted", message)
            version = self._revise(resource, version, established)
        if _holds(version.value, "Established"):
            self._serve(version.value)
        if CLEANUP in (version.value["metadata"].get("finalizers") or ()) and _is_terminating(version.value):
            self._empty(resource, version)

    def _named(self, resource: ResourceType, obj: Value) -> Value:
        """Return a CRD with the names that it can have, and conditions that tell of the others."""
        wanted, accepted = obj["spec"]["names"], dict(obj["status"].get("acceptedNames") or {})
        taken = self._taken_names(resource, obj)
        reason, message = "NoConflicts", "no conflicts found"
        for field, conflict in _NAMES:
            used = taken[field in _KINDS]
            asked = wanted.get(field) or []
            had = accepted.get(field) or []
            clashes = [
                name for name in ([asked] if isinstance(asked, str) else asked) if name in used and name not in had
            ]
            if clashes:
                texts = [f'"{name}" is already in use' for name in clashes]
                reason, message = conflict, texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
            elif asked:
                accepted[field] = asked
        accepted["categories"] = wanted.get("categories")
        is_accepted = reason == "NoConflicts"
        names = {"plural": "", "kind": ""} | {field: value for field, value in accepted.items() if value}
        named = {**obj, "status": {**obj["status"], "acceptedNames": names}}
        named = self._with(named, "NamesAccepted", str(is_accepted), reason, message)
        if _holds(obj, "Established"):
            return named
        if is_accepted:
            return self._with(named, "Established", "False", "Installing", "the initial names have been accepted")
        return self._with(named, "Established", "False", "NotAccepted", "not all names are accepted")

    def _taken_names(self, resource: ResourceType, obj: Value) -> tuple[set[str], set[str]]:
        """Return the names of resources and of kinds that other CRDs of the group have."""
        resources: set[str] = set()
        kinds: set[str] = set()
        for version in self._versions(resource):
            other = version.value
            if other["spec"]["group"] == obj["spec"]["group"] and other["metadata"]["uid"] != obj["metadata"]["uid"]:
                names = other["status"].get("acceptedNames") or {}
                resources |= {names.get("plural", ""), names.get("singular", ""), *(names.get("shortNames") or ())}
                kinds |= {names.get("kind", ""), names.get("listKind", "")}
        return resources - {""}, kinds - {""}

    def _serve(self, crd: Value) -> None:
        """Serve the versions of a CRD as its spec has them now."""
        uid = crd["metadata"]["uid"]
        known = self._served.get(uid)
        if known is not None and known[0] == crd["spec"]:
            return
        self._withdraw(uid)
        types = resource_types(crd)
        for resource in types:
            self._registry.add(resource)
        self._served[uid] = crd["spec"], types

    def _withdraw(self, uid: str) -> None:
        """Serve the versions of a CRD no more; what is left of its objects goes."""
        for resource in self._served.pop(uid, ({}, []))[1]:
            self._registry.remove(resource)

    def _empty(self, resource: ResourceType, version: Version) -> None:
        """Delete the objects of a CRD that is being deleted, and let it go when there are none."""
        crd = version.value
        _, types = self._served.get(crd["metadata"]["uid"], ({}, []))
        if not types:
            crd = self._with(crd, "Terminating", "False", "NeverEstablished", "resource was never established")
        else:
            message = "CustomResource deletion is in progress"
            crd = self._with(crd, "Terminating", "True", "InstanceDeletionInProgress", message)
            version = self._revise(resource, version, crd)
            if not self._delete_all(types[0]):
                self._is_emptying = True
                return
            crd = self._with(
                version.value, "Terminating", "False", "InstanceDeletionCompleted", "removed all instances"
            )
        left = [name for name in crd["metadata"]["finalizers"] if name != CLEANUP]
        self._revise(resource, version, {**crd, "metadata": {**crd["metadata"], "finalizers": left}})

    def _delete_all(self, resource: ResourceType) -> bool:
        """Delete all objects of a resource, and return whether they are gone."""
        objects = self._store.of(resource)
        for version in objects.at(self._store.revision, "", ""):
            if not _is_terminating(version.value):
                self._deleter.remove(resource, version, DeleteOptions())
        return not objects.keys("", "")

    def _versions(self, resource: ResourceType) -> Iterator[Version]:
        yield from self._store.of(resource).at(self._store.revision, "", "")

    def _revise(self, resource: ResourceType, version: Version, obj: Value) -> Version:
        return self._writer.revise(resource, "status", version, obj)

    def _with(self, obj: Value, type_: str, status: str, reason: str, message: str) -> Value:
        now = metav1_time(self._environment.clock.now())
        return with_condition(obj, type_, status, reason, message, now)


def _holds(crd: Value, condition: str) -> bool:
    """Return whether a condition of a CRD is true."""
    conditions = crd["status"].get("conditions") or ()
    return any(each["type"] == condition and each["status"] == "True" for each in conditions)


def _is_terminating(obj: Value) -> bool:
    return "deletionTimestamp" in obj["metadata"]
