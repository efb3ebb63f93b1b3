"""What is asked before an object is stored or deleted: whether its namespace takes it, the webhooks, quotas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from disvc.testing.memory import errors
from disvc.testing.memory.default_classes import classed
from disvc.testing.memory.holders import CRDS, NAMESPACES
from disvc.testing.memory.quotas import exceeded
from disvc.testing.memory.webhook_reviews import Admitted

if TYPE_CHECKING:
    from disvc.testing.memory.registry import Registry
    from disvc.testing.memory.requests import Call
    from disvc.testing.memory.store import Store
    from disvc.testing.memory.webhooks import Webhooks

    Value = dict[str, Any]

__all__ = ["Admission"]

_IMMORTAL: Final = ("default", "kube-system", "kube-public")


class Admission:
    """Lets a write pass, changes it, or refuses it."""

    def __init__(self, store: Store, registry: Registry, webhooks: Webhooks) -> None:
        self._store = store
        self._registry = registry
        self._webhooks = webhooks

    async def admit(self, call: Call, obj: Value, old: Value | None, *, dry_run: bool) -> Value:
        """Return the object to go on with: as it is, or as webhooks change it. Raises `Refused`."""
        if old is None:
            self._check_definition(call, obj)
            self._check_namespace(call, obj)
            obj = classed(call.resource, obj, self._store, self._registry)
        changed = await self._webhooks.mutate(Admitted(call, obj, old, dry_run))
        assert changed is not None
        return changed

    async def validate(self, call: Call, obj: Value, old: Value | None, *, dry_run: bool) -> None:
        """Raise `Refused` where a create or an update is not to be."""
        await self._webhooks.validate(Admitted(call, obj, old, dry_run))
        if old is None and (why := exceeded(call.resource, call.namespace, self._store, self._registry)):
            raise errors.forbidden(call.resource, obj["metadata"]["name"], why)

    async def check_delete(self, call: Call, old: Value, *, dry_run: bool) -> None:
        """Raise `Refused` where an object is not to be deleted."""
        if call.resource.storage == NAMESPACES and old["metadata"]["name"] in _IMMORTAL:
            raise errors.forbidden(call.resource, old["metadata"]["name"], "this namespace may not be deleted")
        admitted = Admitted(call, None, old, dry_run)
        await self._webhooks.mutate(admitted)
        await self._webhooks.validate(admitted)

    def _check_definition(self, call: Call, obj: Value) -> None:
        """Check that the kind of a new custom object is there to stay."""
        definitions = self._registry.find(CRDS[0], "v1", CRDS[1])
        if not call.resource.is_custom or definitions is None:
            return
        found = self._store.of(definitions).get(call.resource.group_resource)
        if found is not None and "deletionTimestamp" in found.value["metadata"]:
            why = "create not allowed while custom resource definition is terminating"
            raise errors.forbidden(call.resource, obj["metadata"].get("name", ""), why)

    def _check_namespace(self, call: Call, obj: Value) -> None:
        """Check that the namespace of a new object is there to stay."""
        namespaces = self._registry.find("", "v1", "namespaces")
        if not call.resource.namespaced or namespaces is None:
            return
        found = self._store.of(namespaces).get(call.namespace)
        if found is None:
            raise errors.not_found(namespaces, call.namespace)
        if found.value["status"].get("phase") == "Terminating":
            meta = obj["metadata"]
            name = meta.get("name") or meta.get("generateName", "")
            raise errors.terminating_namespace(call.resource, name, call.namespace)
