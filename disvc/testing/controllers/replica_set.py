"""Keeps as many pods as a ReplicaSet asks for, and counts them in its status.

Left out: pods that nobody controls are not adopted, and pods are made one after the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from disvc.runtime import ApiError, Conflict, Controller, NotFound, Result
from disvc.runtime.timestamps import metav1_time
from disvc.testing.controllers.kinds import (
    PODS,
    REPLICA_SETS,
    available_in,
    condition,
    controlled_by,
    is_active,
    is_over,
    is_ready,
    selects,
)
from disvc.testing.event_recorder import Recorder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from disvc.runtime import Manager, Object, Request
    from disvc.testing.controllers.kinds import Value

_BURST: Final = 500
"""How many pods are made or deleted in one reconcile."""
_PHASES: Final = {"Pending": 0, "Unknown": 1, "Running": 2}


class ReplicaSetReconciler:
    """Reconciles the ReplicaSets of the manager's namespaces."""

    def __init__(self, manager: Manager) -> None:
        self._client = manager.client
        self._clock = manager.environment.clock
        self._replica_sets = manager.cache(REPLICA_SETS)
        self._pods = manager.cache(PODS)
        self._events = Recorder(manager.client, "replicaset-controller")
        self.controller = Controller(
            "replicaset", for_=REPLICA_SETS, owns=[PODS], reconciler=self, needs_leader_election=False
        )

    async def reconcile(self, request: Request) -> Result | None:
        """Make or delete pods, then write the status."""
        obj = self._replica_sets.get(request)
        if obj is None:
            return None
        replica_set = obj.decode()
        failure: ApiError | None = None
        if not obj.metadata.deletion_timestamp:
            failure = await self._scale(obj, replica_set, list(filter(is_active, controlled_by(obj, self._pods))))
        status, wait = self._status(replica_set, controlled_by(obj, self._pods), failure)
        if status != replica_set.get("status"):
            try:
                await self._client.update_status(REPLICA_SETS, {**replica_set, "status": status})
            except (Conflict, NotFound):  # what it is like now is on its way
                return Result(requeue_after=0.02)
        if failure is not None:
            raise failure
        return Result(requeue_after=wait)

    async def _scale(self, obj: Object[Any], replica_set: Value, pods: Sequence[Value]) -> ApiError | None:
        """Make what is missing or delete what is too much; return why pods could not be made."""
        missing = replica_set["spec"]["replicas"] - len(pods)
        for _ in range(min(missing, _BURST)):
            try:
                made = await self._client.create(PODS, _pod(obj, replica_set["spec"]["template"]))
            except ApiError as error:
                await self._events.event(obj, "Warning", "FailedCreate", f"Error creating: {error.message}")
                return error
            await self._events.event(obj, "Normal", "SuccessfulCreate", f"Created pod: {made.metadata.name}")
        for pod in sorted(pods, key=_deleted_first)[: max(0, min(-missing, _BURST))]:
            name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
            try:
                await self._client.delete(PODS, name, namespace, uid=pod["metadata"]["uid"])
            except (Conflict, NotFound):
                continue
            await self._events.event(obj, "Normal", "SuccessfulDelete", f"Deleted pod: {name}")
        return None

    def _status(
        self, replica_set: Value, pods: Sequence[Value], failure: ApiError | None
    ) -> tuple[Value, float | None]:
        """Return the status, and in how many seconds it will change by itself."""
        now, spec, old = self._clock.now(), replica_set["spec"], replica_set.get("status") or {}
        terminating = sum("deletionTimestamp" in pod["metadata"] and not is_over(pod) for pod in pods)
        pods = list(filter(is_active, pods))
        labels = (spec["template"].get("metadata") or {}).get("labels") or {}
        waits = [available_in(pod, spec.get("minReadySeconds", 0), now) for pod in pods]
        counts = {
            "replicas": len(pods),
            "fullyLabeledReplicas": sum(selects(labels, pod["metadata"].get("labels") or {}) for pod in pods),
            "readyReplicas": sum(map(is_ready, pods)),
            "availableReplicas": sum(wait == 0 for wait in waits),
        }
        status: Value = {"replicas": len(pods), **{name: count for name, count in counts.items() if count}}
        status["observedGeneration"] = replica_set["metadata"]["generation"]
        status["terminatingReplicas"] = terminating
        conditions = [c for c in old.get("conditions") or () if c["type"] != "ReplicaFailure"]
        if failure is not None:
            known = condition(replica_set, "ReplicaFailure")
            fresh = {
                "type": "ReplicaFailure",
                "status": "True",
                "lastTransitionTime": metav1_time(now),
                "reason": "FailedCreate",
                "message": failure.message,
            }
            conditions.append(known or fresh)
        if conditions:
            status["conditions"] = conditions
        return status, min((wait for wait in waits if wait), default=None)


def _pod(replica_set: Object[Any], template: Value) -> Value:
    metadata = template.get("metadata") or {}
    return {
        "metadata": {
            "generateName": f"{replica_set.metadata.name}-",
            "namespace": replica_set.metadata.namespace,
            "labels": metadata.get("labels") or {},
            "annotations": metadata.get("annotations") or {},
            "finalizers": metadata.get("finalizers") or [],
            "ownerReferences": [replica_set.controller_reference()],
        },
        "spec": template["spec"],
    }


def _deleted_first(pod: Value) -> tuple[bool, int, bool, list[int]]:
    """Return what sorts pods by how little is lost with them: controller.ActivePods, without the ranks by node."""
    created = [-ord(character) for character in pod["metadata"]["creationTimestamp"]]
    phase = _PHASES[(pod.get("status") or {}).get("phase") or "Pending"]
    return "nodeName" in pod["spec"], phase, is_ready(pod), created
