"""Resource requirements: which names there are, and which amounts are possible."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from disvc.testing.memory import causes, formats
from disvc.testing.memory.builtin.validation.fields import NOT_NEGATIVE, formatted
from disvc.testing.memory.causes import child, item
from disvc.testing.quantity import amount

if TYPE_CHECKING:
    from collections.abc import Iterator

    from disvc.testing.memory.errors import Cause

    Value = dict[str, Any]

__all__ = ["container_resource", "quota_name", "resource", "resource_quantity", "resource_requirements"]

_OF_CONTAINERS: Final = frozenset({"cpu", "memory", "ephemeral-storage"})
_COUNTED: Final = frozenset(
    {
        "pods",
        "resourcequotas",
        "services",
        "replicationcontrollers",
        "secrets",
        "configmaps",
        "persistentvolumeclaims",
        "services.nodeports",
        "services.loadbalancers",
    }
)
_OF_QUOTAS: Final = (
    _OF_CONTAINERS
    | _COUNTED
    | {f"{kind}.{name}" for kind in ("requests", "limits") for name in _OF_CONTAINERS}
    | {"requests.storage"}
)
_STANDARD: Final = _OF_QUOTAS | {"storage"}


def resource_requirements(path: str, requirements: Value) -> Iterator[Cause]:
    """Check the limits and requests of a container."""
    limits, requests = requirements.get("limits", {}), requirements.get("requests", {})
    for name, quantity in limits.items():
        at = item(child(path, "limits"), name)
        yield from container_resource(at, name)
        yield from resource_quantity(at, name, quantity)
    for name, quantity in requests.items():
        at = item(child(path, "requests"), name)
        yield from container_resource(at, name)
        yield from resource_quantity(at, name, quantity)
        yield from _against_limit(path, name, quantity, limits.get(name))


def _against_limit(path: str, name: str, quantity: str, limit: str | None) -> Iterator[Cause]:
    requests = child(path, "requests")
    can_overcommit = "/" not in name and not name.startswith("hugepages-")
    if limit is None:
        if not can_overcommit:
            why = "Limit must be set for non overcommitable resources"
            yield causes.required(child(path, "limits"), why)
    elif amount(quantity) != amount(limit) and not can_overcommit:
        yield causes.invalid(requests, quantity, f"must be equal to {name} limit of {limit}")
    elif amount(quantity) > amount(limit):
        yield causes.invalid(requests, quantity, f"must be less than or equal to {name} limit of {limit}")


def container_resource(path: str, name: str) -> Iterator[Cause]:
    """Check the name of a resource that a container uses."""
    if "/" in name:
        yield from formatted(path, name, formats.label_key)
    elif name not in _OF_CONTAINERS and not name.startswith("hugepages-"):
        yield from resource(path, name)
        yield causes.invalid(path, name, "must be a standard resource for containers")


def quota_name(path: str, name: str) -> Iterator[Cause]:
    """Check the name of a resource that a ResourceQuota limits."""
    yield from resource(path, name)
    if "/" not in name and name not in _OF_QUOTAS and not name.startswith("requests.hugepages-"):
        yield causes.invalid(path, name, "must be a standard resource for quota")


def resource(path: str, name: str) -> Iterator[Cause]:
    """Check the name of any resource."""
    if messages := formats.label_key(name):
        yield from (causes.invalid(path, name, message) for message in messages)
    elif "/" not in name and name not in _STANDARD and not name.startswith("requests.hugepages-"):
        yield causes.invalid(path, name, "must be a standard resource type or fully qualified")


def resource_quantity(path: str, name: str, quantity: str) -> Iterator[Cause]:
    """Check the amount of a resource; what is counted comes in whole numbers."""
    value = amount(quantity)
    if value < 0:
        yield causes.invalid(path, quantity, NOT_NEGATIVE)
    if (name in _COUNTED or "/" in name) and value != value.to_integral_value():
        yield causes.invalid(path, quantity, "must be an integer")
