"""Keeps the EndpointSlices of each Service that has a selector: where its pods are, and which of them are ready.

One reconcile: the Service's pods become endpoints ─► `endpoints.plan` lays them out in slices ─► the differences are
written. Left out: IPv6, topology hints, the annotation with the time of the trigger, and the limit on how often it
writes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from disvc.runtime import AlreadyExists, Conflict, Controller, Key, NotFound, Result, Watch
from disvc.testing.controllers.endpoints import SERVICE_NAME, plan
from disvc.testing.controllers.kinds import ENDPOINT_SLICES, PODS, SERVICES, age_order, selects

if TYPE_CHECKING:
    from collections.abc import Iterator

    from disvc.runtime import Manager, Object, Request

_AFTER_CONFLICT: Final = Result(requeue_after=0.02)


class EndpointSliceReconciler:
    """Reconciles the Services of the manager's namespaces."""

    def __init__(self, manager: Manager) -> None:
        self._client = manager.client
        self._services = manager.cache(SERVICES)
        self._pods = manager.cache(PODS)
        self._slices = manager.cache(ENDPOINT_SLICES)
        self.controller = Controller(
            "endpointslice",
            for_=SERVICES,
            owns=[ENDPOINT_SLICES],
            watches=[Watch(PODS, self._services_of)],
            reconciler=self,
            needs_leader_election=False,
        )

    def _services_of(self, pod: Object[Any]) -> Iterator[Key]:
        for service in self._services.list(pod.metadata.namespace):
            selector = service.decode()["spec"].get("selector")
            if selector and selects(selector, dict(pod.metadata.labels)):
                yield service.key

    async def reconcile(self, request: Request) -> Result | None:
        """Bring the EndpointSlices of one Service in line with its pods."""
        obj = self._services.get(request)
        if obj is None or obj.metadata.deletion_timestamp:
            return None
        service = obj.decode()
        selector = service["spec"].get("selector")
        if not selector or service["spec"].get("type") == "ExternalName":
            return None
        namespace = obj.metadata.namespace
        pods = [pod for pod in self._pods.list(namespace) if selects(selector, dict(pod.metadata.labels))]
        mine = (one for one in self._slices.owned_by(obj.metadata.uid) if SERVICE_NAME in one.metadata.labels)
        existing = sorted((one.decode() for one in mine), key=age_order)
        changes = plan(service, obj.controller_reference(), [pod.decode() for pod in pods], existing)
        try:
            for new in changes.create:
                await self._client.create(ENDPOINT_SLICES, new)
            for changed in changes.update:
                await self._client.update(ENDPOINT_SLICES, changed)
            for old in changes.delete:
                await self._client.delete(ENDPOINT_SLICES, old["metadata"]["name"], namespace)
        except (AlreadyExists, Conflict, NotFound):  # what it is like now is on its way
            return _AFTER_CONFLICT
        return None
