"""The field manager of each endpoint, made when it is first needed and kept while its kind is served as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from disvc.testing.memory.apply import FieldManager
from disvc.testing.memory.apply.scale import SCALE_FIELDS, ScaleEntries

if TYPE_CHECKING:
    from disvc.testing.memory.registry import Registry
    from disvc.testing.memory.requests import Call
    from disvc.testing.memory.resource import ResourceType

    Value = dict[str, Any]

__all__ = ["FieldManagers", "manager_name"]

_NAME_MAX: Final = 128


class FieldManagers:
    """Finds the field manager for a call."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._made: dict[tuple[str, str, str, str], tuple[ResourceType, FieldManager]] = {}

    def of(self, call: Call) -> FieldManager:
        """Return the field manager of the resource, or of its subresource, that a call addresses."""
        resource, subresource = call.resource, call.subresource
        if subresource == "scale":
            return SCALE_FIELDS
        path = (resource.group, resource.version, resource.plural, subresource)
        known = self._made.get(path)
        if known is not None and known[0] is resource:
            return known[1]
        manager = self._make(resource, subresource)
        self._made[path] = resource, manager
        return manager

    def entries_of_scale(self, resource: ResourceType) -> ScaleEntries:
        """Return what takes managedFields from the objects of a kind to their Scales and back."""
        versions = self._registry.versions_of(resource)
        paths = {other.api_version: other.scale.spec_replicas if other.scale else "" for other in versions}
        return ScaleEntries(paths, resource.api_version)

    def _make(self, resource: ResourceType, subresource: str) -> FieldManager:
        schemas = {other.api_version: other.schema for other in self._registry.versions_of(resource)}
        empty = {"kind": resource.kind, "apiVersion": resource.api_version}
        return FieldManager(
            schemas,
            resource.api_version,
            resource.kind,
            subresource=subresource,
            ignored=_ignored(resource, subresource),
            empty=resource.decode(empty)[0] if resource.decode else empty,
        )


def _ignored(resource: ResourceType, subresource: str) -> tuple[str, ...]:
    """Return what a request to an endpoint cannot set: the GetResetFields of a kind's strategy."""
    if subresource != "status":
        return ("status",) if resource.has_status else ()
    if resource.is_custom:
        return ("metadata", "spec")
    more = {
        "Deployment": ("metadata.labels",),
        "Pod": ("metadata.deletionTimestamp", "metadata.ownerReferences"),
    }
    return ("spec", *more.get(resource.kind, ()))


def manager_name(call: Call, given: str) -> str:
    """Return who writes, for managedFields: the fieldManager of the request, or what its User-Agent begins with."""
    if given:
        return given
    agent = "".join(filter(str.isprintable, call.user_agent.partition("/")[0]))
    return agent.encode()[:_NAME_MAX].decode(errors="ignore")
