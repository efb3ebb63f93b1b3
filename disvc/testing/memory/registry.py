"""The resource types that the server serves at the moment, by path."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from disvc.testing.memory.resource import ResourceType

__all__ = ["Registry"]


class Registry:
    """Finds a type by group, version and plural. The types of CRDs come and go."""

    def __init__(self, resources: Iterable[ResourceType]) -> None:
        self._types: dict[tuple[str, str, str], ResourceType] = {}
        for resource in resources:
            self.add(resource)

    def __iter__(self) -> Iterator[ResourceType]:
        """Iterate over all types, in the order in which they came."""
        return iter(tuple(self._types.values()))

    def find(self, group: str, version: str, plural: str) -> ResourceType | None:
        """Return a type, None where it is not served."""
        return self._types.get((group, version, plural))

    def versions_of(self, resource: ResourceType) -> list[ResourceType]:
        """Return all types in which the same objects are served, the given one among them."""
        return [other for other in self._types.values() if other.storage == resource.storage]

    def add(self, resource: ResourceType) -> None:
        """Serve a type, in place of the one on the same path if there is one."""
        self._types[resource.group, resource.version, resource.plural] = resource

    def remove(self, resource: ResourceType) -> None:
        """Serve a type no more."""
        del self._types[resource.group, resource.version, resource.plural]
