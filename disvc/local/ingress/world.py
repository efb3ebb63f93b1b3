"""What the ingress knows of the API server: decoded objects, found by what they are asked for."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from disvc.runtime import Key
from disvc.testing.controllers.endpoints import SERVICE_NAME

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Value = dict[str, Any]
"""A decoded object, or a part of one."""


@dataclass(frozen=True)
class World:
    """One state of all objects that routing depends on."""

    ingresses: Sequence[Value] = ()
    services: Sequence[Value] = ()
    endpoint_slices: Sequence[Value] = ()
    pods: Sequence[Value] = ()
    secrets: Sequence[Value] = ()

    @cached_property
    def service(self) -> Mapping[Key, Value]:
        """The Services by key."""
        return _by_key(self.services)

    @cached_property
    def pod(self) -> Mapping[Key, Value]:
        """The pods by key."""
        return _by_key(self.pods)

    @cached_property
    def secret(self) -> Mapping[Key, Value]:
        """The Secrets by key."""
        return _by_key(self.secrets)

    @cached_property
    def slices_of(self) -> Mapping[Key, Sequence[Value]]:
        """The EndpointSlices by the key of their Service; a Service without any has no entry."""
        found: defaultdict[Key, list[Value]] = defaultdict(list)
        for one in self.endpoint_slices:
            metadata = one["metadata"]
            if name := (metadata.get("labels") or {}).get(SERVICE_NAME):
                found[Key(metadata["namespace"], name)].append(one)
        return found


def _by_key(objects: Iterable[Value]) -> Mapping[Key, Value]:
    return {Key(obj["metadata"]["namespace"], obj["metadata"]["name"]): obj for obj in objects}
