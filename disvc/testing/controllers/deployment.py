"""Keeps a ReplicaSet for each template that a Deployment had, and moves pods to the present one.

One reconcile: find the ReplicaSets ─► make the one of the present template ─► scale by one step ─► write the status.
The next step follows when the ReplicaSets' status has changed. Left out: ReplicaSets that nobody controls are not
adopted, and a paused Deployment is not scaled.
"""

from __future__ import annotations

import copy
import hashlib
from typing import TYPE_CHECKING, Any, Final

import msgspec

from disvc.runtime import AlreadyExists, Conflict, Controller, Key, NotFound, Result, Watch
from disvc.testing.controllers.deployment_status import deployment_status
from disvc.testing.controllers.kinds import (
    DEPLOYMENTS,
    PODS,
    REPLICA_SETS,
    controlled_by,
    is_over,
)
from disvc.testing.controllers.rolling_update import fence_posts, recreate, rolling_update
from disvc.testing.event_recorder import Recorder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from disvc.runtime import Manager, Object, Request
    from disvc.testing.controllers.kinds import Value

HASH_LABEL: Final = "pod-template-hash"
_PREFIX: Final = "deployment.kubernetes.io/"
REVISION: Final = f"{_PREFIX}revision"
_HISTORY: Final = f"{_PREFIX}revision-history"
_DESIRED: Final = f"{_PREFIX}desired-replicas"
_MAXIMUM: Final = f"{_PREFIX}max-replicas"
_NOT_COPIED: Final = ("kubectl.kubernetes.io/last-applied-configuration", REVISION, _HISTORY, _DESIRED, _MAXIMUM)
_HASH_DIGITS: Final = "bcdfghjklmnpqrstvwxz2456789"
_AFTER_CONFLICT: Final = Result(requeue_after=0.02)


class DeploymentReconciler:
    """Reconciles the Deployments of the manager's namespaces."""

    def __init__(self, manager: Manager) -> None:
        self._client = manager.client
        self._clock = manager.environment.clock
        self._deployments = manager.cache(DEPLOYMENTS)
        self._replica_sets = manager.cache(REPLICA_SETS)
        self._pods = manager.cache(PODS)
        self._events = Recorder(manager.client, "deployment-controller")
        self.controller = Controller(
            "deployment",
            for_=DEPLOYMENTS,
            owns=[REPLICA_SETS],
            watches=[Watch(PODS, self._deployments_of, [lambda delta: delta.new is None])],
            reconciler=self,
            needs_leader_election=False,
        )

    def _deployments_of(self, pod: Object[Any]) -> Iterator[Key]:
        """Return the Deployment of a pod: with Recreate, the end of its last old pod is what it waits for."""
        owner = pod.metadata.controller
        replica_set = self._replica_sets.get(Key(pod.metadata.namespace, owner.name)) if owner else None
        if replica_set is not None and (controller := replica_set.metadata.controller) is not None:
            yield Key(pod.metadata.namespace, controller.name)

    async def reconcile(self, request: Request) -> Result | None:
        """Bring one Deployment a step nearer to its spec."""
        obj = self._deployments.get(request)
        if obj is None:
            return None
        deployment = obj.decode()
        try:
            new, old = self._replica_sets_of(obj, deployment)
            if not obj.metadata.deletion_timestamp and not deployment["spec"].get("paused"):
                if new is None and self._may_begin(deployment, old):
                    new = await self._create(obj, deployment, old)
                if new is not None:
                    new = await self._annotate(new, deployment, old)
                    deployment = await self._set_revision(deployment, new)
                await self._scale(obj, deployment, new, old)
                new, old = self._replica_sets_of(obj, deployment)
                await self._forget(deployment, new, old)
            return await self._write_status(deployment, new, old)
        except (AlreadyExists, Conflict, NotFound):  # what it is like now is on its way
            return _AFTER_CONFLICT

    def _replica_sets_of(self, obj: Object[Any], deployment: Value) -> tuple[Value | None, list[Value]]:
        """Return the ReplicaSet of the present template, and the others, oldest first."""
        everything = controlled_by(obj, self._replica_sets)
        template = deployment["spec"]["template"]
        new = next((one for one in everything if _without_hash(one["spec"]["template"]) == template), None)
        return new, [one for one in everything if one is not new]

    def _may_begin(self, deployment: Value, old: Sequence[Value]) -> bool:
        """Whether the present template may get its ReplicaSet: with Recreate, not before all else has gone."""
        return deployment["spec"]["strategy"]["type"] != "Recreate" or not self._still_there(old)

    def _still_there(self, replica_sets: Sequence[Value]) -> int:
        """Return how many replicas are asked for, and how many pods that have not ended there are."""
        pods = [pod.decode() for one in replica_sets for pod in self._pods.owned_by(one["metadata"]["uid"])]
        asked: int = sum(one["spec"]["replicas"] for one in replica_sets)
        return asked + sum(not is_over(pod) for pod in pods)

    async def _create(self, obj: Object[Any], deployment: Value, old: Sequence[Value]) -> Value:
        spec, metadata = deployment["spec"], deployment["metadata"]
        digest = _template_hash(spec["template"])
        template = copy.deepcopy(spec["template"])
        labels = template["metadata"]["labels"] = {**template["metadata"].get("labels", {}), HASH_LABEL: digest}
        first = spec["strategy"]["type"] == "Recreate" or not old
        surge, _ = fence_posts(deployment)
        room = spec["replicas"] + surge - sum(one["spec"]["replicas"] for one in old)
        replicas = spec["replicas"] if first else max(0, min(spec["replicas"], room))
        made = await self._client.create(
            REPLICA_SETS,
            {
                "metadata": {
                    "name": f"{metadata['name']}-{digest}",
                    "namespace": metadata["namespace"],
                    "labels": labels,
                    "annotations": {**_copied(deployment), REVISION: str(_next_revision(old)), **_sizes(deployment)},
                    "ownerReferences": [obj.controller_reference()],
                },
                "spec": {
                    "replicas": replicas,
                    "minReadySeconds": spec.get("minReadySeconds", 0),
                    "selector": {
                        **spec["selector"],
                        "matchLabels": {**spec["selector"].get("matchLabels", {}), HASH_LABEL: digest},
                    },
                    "template": template,
                },
            },
        )
        if replicas:
            await self._tell_scaled(obj, made.metadata.name, 0, replicas)
        return made.decode()

    async def _annotate(self, new: Value, deployment: Value, old: Sequence[Value]) -> Value:
        """Give the present template's ReplicaSet the Deployment's annotations, and a number above the others."""
        metadata, revision = new["metadata"], _next_revision(old)
        annotations = _copied(deployment)
        before = _revision(new)
        if before < revision:  # the Deployment went back to it
            history = ",".join(filter(None, (_annotation(new, _HISTORY), str(before))))
            annotations |= {REVISION: str(revision), _HISTORY: history}
        if all(_annotation(new, name) == value for name, value in annotations.items()):
            return new
        patch = {"metadata": {"annotations": annotations, "resourceVersion": metadata["resourceVersion"]}}
        return (await self._client.patch(REPLICA_SETS, metadata["name"], patch, metadata["namespace"])).decode()

    async def _set_revision(self, deployment: Value, new: Value) -> Value:
        revision = _annotation(new, REVISION)
        metadata = deployment["metadata"]
        if _annotation(deployment, REVISION) == revision:
            return deployment
        patch = {"metadata": {"annotations": {REVISION: revision}, "resourceVersion": metadata["resourceVersion"]}}
        # By the status, as the real controller: an annotation written otherwise makes a new generation.
        return (
            await self._client.patch(DEPLOYMENTS, metadata["name"], patch, metadata["namespace"], subresource="status")
        ).decode()

    async def _scale(self, obj: Object[Any], deployment: Value, new: Value | None, old: Sequence[Value]) -> None:
        if deployment["spec"]["strategy"]["type"] == "Recreate":
            wanted = recreate(deployment, new, old, pods_of_old=self._still_there(old))
        elif new is not None:
            wanted = rolling_update(deployment, new, old)
        else:
            return
        for one in [*old, *([new] if new else ())]:
            name, before = one["metadata"]["name"], one["spec"]["replicas"]
            after = wanted.get(name, before)
            stale = {k: v for k, v in _sizes(deployment).items() if after and _annotation(one, k) != v}
            if after == before and not stale:
                continue
            patch = {
                "metadata": {"resourceVersion": one["metadata"]["resourceVersion"], "annotations": _sizes(deployment)},
                "spec": {"replicas": after},
            }
            await self._client.patch(REPLICA_SETS, name, patch, obj.metadata.namespace)
            if after != before:
                await self._tell_scaled(obj, name, before, after)

    async def _tell_scaled(self, obj: Object[Any], name: str, before: int, after: int) -> None:
        direction = "up" if after > before else "down"
        message = f"Scaled {direction} replica set {name} from {before} to {after}"
        await self._events.event(obj, "Normal", "ScalingReplicaSet", message)

    async def _forget(self, deployment: Value, new: Value | None, old: Sequence[Value]) -> None:
        """Delete the oldest ReplicaSets without pods that are more than the history keeps, when all is rolled out."""
        if new is None or any(one["spec"]["replicas"] for one in old):
            return
        empty = [one for one in old if not (one.get("status") or {}).get("replicas")]
        for one in empty[: max(0, len(empty) - deployment["spec"].get("revisionHistoryLimit", 10))]:
            metadata = one["metadata"]
            await self._client.delete(REPLICA_SETS, metadata["name"], metadata["namespace"], uid=metadata["uid"])

    async def _write_status(self, deployment: Value, new: Value | None, old: Sequence[Value]) -> Result | None:
        status, wait = deployment_status(deployment, new, old, self._clock.now())
        if status != (deployment.get("status") or {}):
            await self._client.update_status(DEPLOYMENTS, {**deployment, "status": status})
        return Result(requeue_after=wait)


def _without_hash(template: Value) -> Value:
    metadata = template["metadata"]
    labels = {name: value for name, value in metadata["labels"].items() if name != HASH_LABEL}
    return {**template, "metadata": {**metadata, "labels": labels}}


def _template_hash(template: Value) -> str:
    digest = hashlib.sha256(msgspec.json.encode(template, order="deterministic")).digest()
    return "".join(_HASH_DIGITS[byte % len(_HASH_DIGITS)] for byte in digest[:10])


def _copied(deployment: Value) -> dict[str, str]:
    """Return the annotations that a ReplicaSet has from its Deployment."""
    annotations = deployment["metadata"].get("annotations") or {}
    return {name: value for name, value in annotations.items() if name not in _NOT_COPIED}


def _sizes(deployment: Value) -> dict[str, str]:
    replicas, (surge, _) = deployment["spec"]["replicas"], fence_posts(deployment)
    return {_DESIRED: str(replicas), _MAXIMUM: str(replicas + surge)}


def _revision(replica_set: Value) -> int:
    return int(_annotation(replica_set, REVISION) or 0)


def _next_revision(old: Sequence[Value]) -> int:
    return 1 + max(map(_revision, old), default=0)


def _annotation(value: Value, name: str) -> str | None:
    found: str | None = (value["metadata"].get("annotations") or {}).get(name)
    return found
