"""What is asked before an object is stored or deleted: whether its namespace takes it, and the webhooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from disvc.testing.memory import errors

if TYPE_CHECKING:
    from disvc.testing.memory.registry import Registry
    from disvc.testing.memory.requests import Call
    from disvc.testing.memory.store import Store

    Value = dict[str, Any]

__all__ = ["Admission"]

_IMMORTAL: Final = ("default", "kube-system", "kube-public")


class Admission:
    """Lets a write pass, changes it, or refuses it."""

    def __init__(self, store: Store, registry: Registry) -> None:
        self._store = store
        self._registry = registry

    async def admit(self, call: Call, obj: Value, old: Value | None, *, dry_run: bool) -> Value:
        """Return the object to go on with: as it is, or as webhooks change it. Raises `Refused`."""
        if old is None:
            self._check_namespace(call)
        return obj

    async def validate(self, call: Call, obj: Value | None, old: Value | None, *, dry_run: bool) -> None:
        """Raise `Refused` where a create, an update or, with no object, a delete is not to be."""
        if obj is None and call.resource.storage == ("", "namespaces") and call.name in _IMMORTAL:
            raise errors.forbidden(call.resource, call.name, "this namespace may not be deleted")

    def _check_namespace(self, call: Call) -> None:
        """Check that the namespace of a new object is there to stay."""
        namespaces = self._registry.find("", "v1", "namespaces")
        if not call.resource.namespaced or namespaces is None:
            return
        found = self._store.of(namespaces).get(call.namespace)
        if found is None:
            raise errors.not_found(namespaces, call.namespace)
        if "deletionTimestamp" in found.value["metadata"]:
            raise errors.terminating_namespace(call.resource, "", call.namespace)
