"""Events as client-go's older recorder writes them: core/v1, counted up where they repeat.

KServe and kube-controller-manager use that recorder, so their Events have `involvedObject`, `source`, `count` and the
two timestamps, where those of `disvc.runtime.events` have `regarding`, `reportingController` and a series.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from disvc.runtime import NotFound, Resource
from disvc.runtime.timestamps import metav1_time

if TYPE_CHECKING:
    from disvc.runtime import Client, Object
    from disvc.testing.controllers.kinds import Value

EVENTS: Final = Resource("v1", "Event", "events")

_LONGEST_MESSAGE: Final = 1024


class Recorder:
    """Writes Events in the name of a component, as `source` and `reportingComponent` say."""

    def __init__(self, client: Client, source: str) -> None:
        self._client = client
        self._source = source
        self._known: dict[tuple[str, ...], tuple[str, int]] = {}

    async def event(self, obj: Object[Any], kind: str, reason: str, message: str) -> None:
        """Create an Event about `obj` of type `kind`, or count up the one that is the same."""
        now = self._client.environment.clock.now()
        message = message[:_LONGEST_MESSAGE]
        same = (obj.metadata.uid, kind, reason, message)
        name, count = self._known.get(same, ("", 0))
        if name:
            try:
                patch: Value = {"count": count + 1, "lastTimestamp": metav1_time(now)}
                await self._client.patch(EVENTS, name, patch, obj.metadata.namespace)
            except NotFound:  # it has expired
                name, count = "", 0
        if not name:
            name = f"{obj.metadata.name}.{int(now.timestamp() * 1e9):x}"
            await self._client.create(EVENTS, self._first(obj, name, kind, reason, message, metav1_time(now)))
        self._known[same] = (name, count + 1)

    def _first(self, obj: Object[Any], name: str, kind: str, reason: str, message: str, now: str) -> Value:
        metadata = obj.metadata
        return {
            "metadata": {"name": name, "namespace": metadata.namespace},
            "involvedObject": {
                "apiVersion": obj.resource.api_version,
                "kind": obj.resource.kind,
                "namespace": metadata.namespace,
                "name": metadata.name,
                "uid": metadata.uid,
                "resourceVersion": metadata.resource_version,
            },
            "type": kind,
            "reason": reason,
            "message": message,
            "source": {"component": self._source},
            "reportingComponent": self._source,
            "reportingInstance": "",
            "count": 1,
            "firstTimestamp": now,
            "lastTimestamp": now,
        }
