"""What a kube-controller-manager does about deletion: it collects garbage, and empties namespaces.

`GarbageCollector.collect` is one synchronous step, to be called when it suits.
Owners are known by UID. An object goes when none of its owners is there any more; an owner that is deleted in the
foreground goes after the dependents that block it, one that is deleted as an orphanage is forgotten by them.
https://kubernetes.io/docs/concepts/architecture/garbage-collection/

Unlike a real one it asks no webhooks, sets no conditions on namespaces, and trusts an owner reference's UID where its
kind is not served.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from disvc.testing.memory.holders import NAMESPACES
from disvc.testing.memory.metadata import FOREGROUND, ORPHAN
from disvc.testing.memory.options import DeleteOptions

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from disvc.testing.memory.deletion import Deleter
    from disvc.testing.memory.registry import Registry
    from disvc.testing.memory.resource import ResourceType
    from disvc.testing.memory.store import Store, Version
    from disvc.testing.memory.writing import Writer

    Value = dict[str, Any]

__all__ = ["GarbageCollector"]


class _Found(NamedTuple):
    resource: ResourceType
    version: Version

    @property
    def metadata(self) -> Value:
        metadata: Value = self.version.value["metadata"]
        return metadata

    @property
    def owners(self) -> Sequence[Value]:
        return self.metadata.get("ownerReferences") or ()

    def waits_for(self, finalizer: str) -> bool:
        """Whether it is being deleted and has this finalizer."""
        return "deletionTimestamp" in self.metadata and finalizer in (self.metadata.get("finalizers") or ())


class _Graph:
    """Objects by UID, and the dependents of each owner's UID."""

    def __init__(self, objects: Iterable[_Found]) -> None:
        self.objects = {found.metadata["uid"]: found for found in objects}
        self.dependents: dict[str, list[_Found]] = {}
        for found in self.objects.values():
            for owner in found.owners:
                self.dependents.setdefault(owner["uid"], []).append(found)


class GarbageCollector:
    """Deletes what nobody owns any more, and what is in a namespace that is being deleted."""

    def __init__(self, store: Store, registry: Registry, writer: Writer, deleter: Deleter) -> None:
        self._store = store
        self._registry = registry
        self._writer = writer
        self._deleter = deleter

    def collect(self) -> bool:
        """Delete what is garbage as things stand; return whether there was any, as there may be more by that.

        What an owner's deletion makes of its dependents is left for the next time, so that controllers can see one
        before the other, as they mostly do in a cluster.
        """
        before = self._store.revision
        for namespace in self._terminating_namespaces():
            self._empty(namespace)
        graph = _Graph(self._objects())
        for found in graph.objects.values():
            if found.waits_for(ORPHAN):
                self._orphan(found, graph)
            elif found.waits_for(FOREGROUND):
                self._delete_in_foreground(found, graph)
            elif found.owners:
                self._attend(found, graph)
        return self._store.revision != before

    def _objects(self) -> Iterator[_Found]:
        """Yield every object there is, once."""
        seen = set()
        for resource in self._registry:
            if resource.storage not in seen:
                seen.add(resource.storage)
                for version in self._store.of(resource).at(self._store.revision, "", ""):
                    yield _Found(resource, version)

    def _attend(self, found: _Found, graph: _Graph) -> None:
        """Delete an object that no owner keeps, or take from it the owners that do not."""
        solid = [owner for owner in found.owners if _keeps(graph.objects.get(owner["uid"]), found)]
        if not solid:
            self._delete(found, graph)
        elif len(solid) < len(found.owners):
            self._set_metadata(found, ownerReferences=solid)

    def _delete(self, found: _Found, graph: _Graph) -> None:
        """Delete an object as the deletion of its owner, or its own finalizers, want it."""
        if "deletionTimestamp" in found.metadata:
            return
        owners = (graph.objects.get(owner["uid"]) for owner in found.owners)
        finalizers = found.metadata.get("finalizers") or ()
        if any(owner is not None and owner.waits_for(FOREGROUND) for owner in owners):
            policy = "Foreground" if graph.dependents.get(found.metadata["uid"]) else "Background"
        else:
            policy = "Orphan" if ORPHAN in finalizers else "Foreground" if FOREGROUND in finalizers else "Background"
        if current := self._current(found):
            self._deleter.remove(found.resource, current, DeleteOptions(propagation=policy, uid=found.metadata["uid"]))

    def _delete_in_foreground(self, owner: _Found, graph: _Graph) -> None:
        """Delete the dependents of an owner, and let it go when none is left that blocks it."""
        uid = owner.metadata["uid"]
        dependents = [found for found in graph.dependents.get(uid, ()) if self._current(found)]
        references = (reference for found in dependents for reference in found.owners)
        if not any(reference["uid"] == uid and reference.get("blockOwnerDeletion") for reference in references):
            self._take_finalizer(owner, FOREGROUND)
        for found in dependents:
            self._attend(found, graph)

    def _orphan(self, owner: _Found, graph: _Graph) -> None:
        """Make the dependents of an owner forget it, and let it go."""
        uid = owner.metadata["uid"]
        for found in graph.dependents.get(uid, ()):
            self._set_metadata(found, ownerReferences=[other for other in found.owners if other["uid"] != uid])
        self._take_finalizer(owner, ORPHAN)

    def _take_finalizer(self, found: _Found, name: str) -> None:
        left = [other for other in found.metadata["finalizers"] if other != name]
        self._set_metadata(found, finalizers=left)

    def _set_metadata(self, found: _Found, **fields: object) -> None:
        current = self._current(found)
        if current is not None:
            obj = current.seen_as(found.resource).value
            self._writer.revise(found.resource, "", current, {**obj, "metadata": {**obj["metadata"], **fields}})

    def _current(self, found: _Found) -> Version | None:
        """Return the newest version of an object, None where it is gone or is another one by now."""
        current = self._store.of(found.resource).get(found.version.key)
        return current if current and current.value["metadata"]["uid"] == found.metadata["uid"] else None

    def _terminating_namespaces(self) -> list[_Found]:
        return [
            found
            for found in self._objects()
            if found.resource.storage == NAMESPACES and "deletionTimestamp" in found.metadata
        ]

    def _empty(self, namespace: _Found) -> None:
        """Delete what is in a namespace, and let it go when nothing is left."""
        name = namespace.metadata["name"]
        held = [found for found in self._objects() if found.metadata.get("namespace") == name]
        for found in held:
            if "deletionTimestamp" not in found.metadata:
                self._deleter.remove(found.resource, found.version, DeleteOptions(propagation="Background"))
        if not any(self._current(found) for found in held):
            obj = namespace.version.value
            self._writer.revise(namespace.resource, "finalize", namespace.version, {**obj, "spec": {}})


def _keeps(owner: _Found | None, found: _Found) -> bool:
    """Return whether an owner is there, in the object's namespace or in none, and not waiting for it to go."""
    if owner is None or owner.waits_for(FOREGROUND):
        return False
    return owner.metadata.get("namespace") in (None, found.metadata.get("namespace"))
