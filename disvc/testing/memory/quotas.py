"""ResourceQuotas, as far as they say how many objects of a kind a namespace may have: `count/deployments.apps`, `pods`.

`exceeded` is asked before an object is made, and counts what there is. `QuotaCounter` writes what it counts into the
status, as kube-controller-manager does. Amounts of CPU, memory and storage are not counted, and scopes not looked at.
https://kubernetes.io/docs/concepts/policy/resource-quotas/#quota-on-object-count
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from disvc.testing.memory.registry import Registry
    from disvc.testing.memory.resource import ResourceType
    from disvc.testing.memory.store import Store, Version
    from disvc.testing.memory.writing import Writer

    Value = dict[str, Any]

__all__ = ["QuotaCounter", "exceeded"]

_BY_PLURAL: Final = frozenset(
    ("configmaps", "persistentvolumeclaims", "pods", "replicationcontrollers", "resourcequotas", "secrets", "services")
)
"""The core kinds that a quota may name without `count/`, too."""


def exceeded(resource: ResourceType, namespace: str, store: Store, registry: Registry) -> str | None:
    """Return which quota of a namespace one more object would exceed, and by what, in the words of a 403."""
    names = [f"count/{resource.group_resource}"]
    if not resource.group and resource.plural in _BY_PLURAL:
        names.append(resource.plural)
    for quota in _quotas(store, registry, namespace):
        hard = quota.value["spec"].get("hard") or {}
        for name in names:
            if name in hard and (used := _count(store, resource, namespace)) >= int(hard[name]):
                of = quota.value["metadata"]["name"]
                return f"exceeded quota: {of}, requested: {name}=1, used: {name}={used}, limited: {name}={hard[name]}"
    return None


class QuotaCounter:
    """Keeps the statuses of ResourceQuotas."""

    def __init__(self, store: Store, registry: Registry, writer: Writer) -> None:
        self._store = store
        self._registry = registry
        self._writer = writer

    def count(self) -> None:
        """Write into each quota's status what there is, where it does not say so."""
        for quota in _quotas(self._store, self._registry):
            namespace, hard = quota.value["metadata"]["namespace"], quota.value["spec"].get("hard") or {}
            counts = {name: self._used(name, namespace) for name in hard}
            status = {"hard": hard, "used": {name: used for name, used in counts.items() if used is not None}}
            if status != quota.value.get("status"):
                self._writer.revise(quota.resource, "status", quota, {**quota.value, "status": status})

    def _used(self, name: str, namespace: str) -> str | None:
        """Return how many objects count for one name of a quota, None where that is no number of objects."""
        counted = name.removeprefix("count/") if name.startswith("count/") or name in _BY_PLURAL else None
        resource = next((each for each in self._registry if each.group_resource == counted), None)
        return None if resource is None else str(_count(self._store, resource, namespace))


def _quotas(store: Store, registry: Registry, namespace: str = "") -> Iterator[Version]:
    resource = registry.find("", "v1", "resourcequotas")
    if resource is not None:
        yield from store.of(resource).at(store.revision, *_range(namespace))


def _count(store: Store, resource: ResourceType, namespace: str) -> int:
    return len(store.of(resource).keys(*_range(namespace)))


def _range(namespace: str) -> tuple[str, str]:
    """Return the first key of a namespace's objects and the one after the last, of all where it is ""."""
    return (f"{namespace}/", f"{namespace}0") if namespace else ("", "")
