"""Which verbs are served on which paths.

A kube-apiserver has one router for built-in kinds and another for custom ones, which refuse what they do not serve in
different words, down to the code; so does this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from disvc.testing.memory import errors
from disvc.testing.memory.holders import NAMESPACES
from disvc.testing.memory.pods import PODS
from disvc.testing.memory.service_account_tokens import SERVICE_ACCOUNTS

if TYPE_CHECKING:
    from collections.abc import Mapping, Set

    from disvc.testing.memory.requests import Target
    from disvc.testing.memory.resource import ResourceType

__all__ = ["check_verb", "is_served", "subresources"]

_CHANGES: Final = frozenset({"get", "patch", "update"})
_ON_OBJECTS: Final = _CHANGES | {"delete", "watch"}
_ON_COLLECTIONS: Final = frozenset({"create", "deletecollection", "list", "watch"})
_ON_ALL_NAMESPACES: Final = frozenset({"list", "watch"})


def is_served(resource: ResourceType, asked: Target) -> bool:
    """Return whether a path leads anywhere: a kind is in namespaces or not, and has some subresources."""
    if resource.storage == NAMESPACES:
        if asked.namespace != asked.name:
            return False
    elif not resource.namespaced and asked.namespace:
        return False
    if resource.is_custom:
        return not resource.namespaced or bool(asked.namespace) or asked.verb in _ON_ALL_NAMESPACES
    if resource.namespaced and asked.name and not asked.namespace:
        return False
    return asked.subresource in subresources(resource)


def check_verb(resource: ResourceType, asked: Target) -> None:
    """Raise `Refused` where a path is not served with that verb: mostly 405."""
    verbs = subresources(resource).get(asked.subresource)
    if verbs is None:
        raise errors.not_found(resource, asked.name)
    if resource.is_custom:
        if not asked.name and asked.verb in _CHANGES:
            raise errors.bad_request("name must be provided")
        if asked.verb not in verbs:
            raise errors.verb_not_supported(resource, asked.verb)
        return
    if not asked.subresource:
        verbs = verbs & (_ON_OBJECTS if asked.name else _ON_COLLECTIONS)
        if resource.namespaced and not asked.namespace:
            verbs = verbs & _ON_ALL_NAMESPACES
    if asked.verb not in verbs:
        raise errors.method_not_allowed()


def subresources(resource: ResourceType) -> Mapping[str, Set[str]]:
    """Return what can be done with a resource ("") and with each of its subresources."""
    verbs: dict[str, Set[str]] = {"": resource.verbs}
    if resource.has_status:
        verbs["status"] = _CHANGES
    if resource.scale is not None:
        verbs["scale"] = _CHANGES
    if resource.storage == NAMESPACES:
        verbs["finalize"] = frozenset({"update"})
    if resource.storage == PODS:
        verbs |= {"binding": frozenset({"create"}), "eviction": frozenset({"create"}), "log": frozenset({"get"})}
    if resource.storage == SERVICE_ACCOUNTS:
        verbs["token"] = frozenset({"create"})
    return verbs
