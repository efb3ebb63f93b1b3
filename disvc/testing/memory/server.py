"""The API server itself: what comes in goes to the one who carries it out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from disvc.testing.memory import errors, reading
from disvc.testing.memory.admission import Admission
from disvc.testing.memory.answers import refusal
from disvc.testing.memory.deletion import Deleter
from disvc.testing.memory.field_managers import FieldManagers
from disvc.testing.memory.registry import Registry
from disvc.testing.memory.requests import ADMIN, Call, Request, User, target
from disvc.testing.memory.store import Store
from disvc.testing.memory.transport import MemoryTransport
from disvc.testing.memory.watching import Watch
from disvc.testing.memory.writing import Writer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from disvc.runtime.environment import Environment
    from disvc.runtime.transport import Answer, Stream
    from disvc.testing.memory.resource import ResourceType

    Value = dict[str, Any]

__all__ = ["APIServer"]

_NAMESPACES: Final = ("kube-system", "kube-public", "kube-node-lease", "default")
"""Those that every cluster has."""


class APIServer:
    """Serves resources of the given types, and those of the CRDs that are created on it.

    Args:
        environment: its clock, randomness and UIDs.
        resources: what it serves from the start.

    """

    def __init__(self, environment: Environment, resources: Iterable[ResourceType]) -> None:
        self.environment = environment
        self.registry = Registry(resources)
        self.store = Store()
        admission = Admission(self.store, self.registry)
        self._writer = Writer(self.store, environment, FieldManagers(self.registry), admission)
        self._deleter = Deleter(self.store, environment, admission)
        namespaces = self.registry.find("", "v1", "namespaces")
        for name in _NAMESPACES if namespaces else ():
            assert namespaces is not None
            self._writer.seed(namespaces, {"metadata": {"name": name}})

    def transport(self, user: User = ADMIN) -> MemoryTransport:
        """Return a way to this server for a client of this process."""
        return MemoryTransport(self, user)

    async def handle(self, request: Request) -> Answer | Stream:
        """Answer a request; a watch is answered by a stream, and never raises `Refused` itself."""
        warnings: list[str] = []
        try:
            return await self._dispatch(self._call(request, warnings))
        except errors.Refused as refused:
            return refusal(refused, warnings)

    def compact(self, revision: int = 0) -> None:
        """Forget all states before a revision, by default before the newest."""
        self.store.compact(revision or self.store.revision)

    def _call(self, request: Request, warnings: list[str]) -> Call:
        asked = target(request)
        resource = self.registry.find(asked.group, asked.version, asked.resource)
        if resource is None:
            raise errors.unknown_path()
        return Call(request, resource, asked.verb, asked.namespace, asked.name, asked.subresource, warnings)

    async def _dispatch(self, call: Call) -> Answer | Stream:
        match call.verb:
            case "get":
                return reading.get(self.store, call)
            case "list":
                return reading.list_(self.store, call)
            case "watch":
                return Watch(self.store, call, self.environment.random)
            case "create":
                return await self._writer.create(call)
            case "update":
                return await self._writer.update(call)
            case "patch":
                return await self._writer.patch(call)
            case "delete":
                return await self._deleter.delete(call)
            case "deletecollection":
                return await self._deleter.delete_collection(call)
            case _:
                raise errors.method_not_allowed()
