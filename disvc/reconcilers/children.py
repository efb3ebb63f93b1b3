"""Makes, puts back and removes children of one kind: the rules that hold for every kind.

- A child is made by a plain POST. What is there under its name and is not controlled by this DISVC's UID is
  never adopted, changed or deleted.
- A live child is changed only where a field that is ours differs, with its resourceVersion. A change that the server
  made nothing of (a field that it drops, a webhook that undoes it) is not asked for again in this process's life.
- A child is deleted with its UID as precondition.
- Before the first of these writes of a pass the DISVC is read at the server: this process may be one of two for a
  moment, and know less than the other. A new DISVC costs no such read, as nothing has been removed before.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, TypeGuard, TypeVar

import structlog

from disvc.reconcilers.obstacles import WEBHOOK_UNAVAILABLE, former_child, name_conflict, refusal
from disvc.reconcilers.resources import DISVCS
from disvc.rollout.drift import drift
from disvc.rollout.plan import plan
from disvc.runtime import AlreadyExists, ApiError, Conflict, Key, NotFound, Result

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from disvc.api.types import DistributedInferenceService
    from disvc.reconcilers.obstacles import Obstacles
    from disvc.rollout.observation import Obstacle
    from disvc.rollout.plan import Plan
    from disvc.runtime import Cache, Client, Object, Resource

T = TypeVar("T")

CONFIRMED_SECONDS: Final = 2.0
"""For how long a look at the server stands for writes: webhooks may take seconds for each."""

MOST_IN_VAIN: Final = 10_000
"""Of so many children it is remembered that a change is in vain; then that begins anew."""

_log = structlog.get_logger("disvc.reconcilers")


class Stale(Exception):
    """The server knows a newer state of the DISVC than this process; it will come by the watch."""


class Children:
    """The children of one kind, of all DISVCs."""

    def __init__(
        self, client: Client, resource: Resource[dict[str, Any]], cache: Cache[dict[str, Any]], obstacles: Obstacles
    ) -> None:
        self._client = client
        self._resource = resource
        self._cache = cache
        self._obstacles = obstacles
        self._in_vain: dict[str, dict[str, Any]] = {}
        """By UID, the last change of each child that the server made nothing of."""

    def controlled(self, disvc: DistributedInferenceService) -> dict[str, Object[dict[str, Any]]]:
        """Return the live children by name, those being deleted included."""
        return controlled(self._cache, disvc.metadata.uid)

    async def bring_in_line(
        self,
        disvc: DistributedInferenceService,
        now: Plan,
        wanted: Iterable[Mapping[str, Any]],
        remove: Iterable[str],
        exact: Collection[tuple[str, ...]] = (),
    ) -> Result:
        """Make `wanted` so and remove the children named in `remove`, in this order. Return when to try again."""
        key = Key(disvc.metadata.namespace, disvc.metadata.name)
        found: dict[str, Obstacle] = {}
        confirmed = _Confirmation(self._client, key, now)
        may_create = True
        try:
            for value in wanted:
                name = value["metadata"]["name"]
                if obstacle := await self._one(key, confirmed, value, exact, may_create=may_create):
                    found[name] = obstacle
                    # It would refuse the others of this kind, too, each perhaps after seconds.
                    may_create = may_create and obstacle.reason != WEBHOOK_UNAVAILABLE
            for name in remove:
                if obstacle := await self._remove(disvc, confirmed, name):
                    found[name] = obstacle
        except Stale:
            _log.debug("the cached DistributedInferenceService is not the newest; waiting for the watch")
            return Result(requeue_after=1.0)
        self._obstacles.tell(key, self._resource.kind, found)
        return Result(requeue_after=min((o.retry_seconds for o in found.values()), default=None))

    async def _one(
        self,
        key: Key,
        confirmed: _Confirmation,
        value: Mapping[str, Any],
        exact: Collection[tuple[str, ...]],
        *,
        may_create: bool,
    ) -> Obstacle | None:
        name = value["metadata"]["name"]
        live = self._cache.get(Key(key.namespace, name))
        try:
            if live is None:
                if may_create:
                    await self._create(confirmed, value)
                return None
            if obstacle := foreign(live, confirmed.plan.uid, key.name):
                return obstacle
            if live.metadata.deletion_timestamp:
                return None  # its end is an event
            patch = drift(value, live.decode(), manager=self._client.field_manager, exact=exact)
            if patch is not None and self._in_vain.get(live.metadata.uid) != patch:
                await confirmed.check()
                await self._patch(live, patch)
        except AlreadyExists:
            return await self._in_the_way(key, confirmed, name)
        except Conflict as error:
            raise Stale from error
        except ApiError as error:
            if live is not None and isinstance(error, NotFound):
                raise Stale from error  # it has gone; where it was to be made, its kind is missing
            return self._refused(name, error)
        return None

    async def _create(self, confirmed: _Confirmation, value: Mapping[str, Any]) -> None:
        if not confirmed.plan.fresh:
            await confirmed.check()
        await self._client.create(self._resource, value)
        _log.info("created", kind=self._resource.kind, child=value["metadata"]["name"])

    async def _patch(self, live: Object[dict[str, Any]], patch: dict[str, Any]) -> None:
        metadata = {"uid": live.metadata.uid, "resourceVersion": live.metadata.resource_version}
        body = {**patch, "metadata": {**patch.get("metadata", {}), **metadata}}
        after = await self._client.patch(self._resource, live.metadata.name, body, live.metadata.namespace)
        told = {"kind": self._resource.kind, "child": live.metadata.name, "patch": patch}
        if after.metadata.resource_version != live.metadata.resource_version:
            _log.info("changed", **told)
            return
        if len(self._in_vain) >= MOST_IN_VAIN:
            self._in_vain.clear()
        self._in_vain[live.metadata.uid] = patch
        _log.warning("the server makes nothing of a change: is a field misspelt, or too new for it?", **told)

    async def _in_the_way(self, key: Key, confirmed: _Confirmation, name: str) -> Obstacle | None:
        """Find out what has the name of a child that could not be made, and that the cache does not show yet."""
        try:
            live = await self._client.get(self._resource, name, key.namespace)
        except NotFound:
            raise Stale from None
        return foreign(live, confirmed.plan.uid, key.name)

    async def _remove(self, disvc: DistributedInferenceService, confirmed: _Confirmation, name: str) -> Obstacle | None:
        live = self.controlled(disvc).get(name)
        if live is None or live.metadata.deletion_timestamp:
            return None
        await confirmed.check()
        try:
            await self._client.delete(self._resource, name, disvc.metadata.namespace, uid=live.metadata.uid)
        except (NotFound, Conflict):
            return None  # it is gone, and so maybe is another one under its name, which is not ours to remove
        except ApiError as error:
            return self._refused(name, error)
        _log.info("deleted", kind=self._resource.kind, child=name)
        return None

    def _refused(self, name: str, error: ApiError) -> Obstacle:
        """Return what a refused write means; raise the error again where it is a passing failure."""
        if (obstacle := refusal(error)) is None:
            raise error
        _log.warning("refused by the server", kind=self._resource.kind, child=name, error=str(error))
        return obstacle


class _Confirmation:
    """Makes sure, if something is to be written, that the plan is that of the server; again where a pass is long."""

    def __init__(self, client: Client, key: Key, plan: Plan) -> None:
        self.plan = plan
        self._client = client
        self._key = key
        self._clock = client.environment.clock
        self._until = -math.inf

    async def check(self) -> None:
        """Raise `Stale` where the DISVC is another one, or asks for something else, than this process knows."""
        began = self._clock.monotonic()
        if began < self._until:
            return
        try:
            live = await self._client.get(DISVCS, self._key.name, self._key.namespace)
        except NotFound:
            raise Stale from None
        if live.metadata.deletion_timestamp or plan(live.decode()) != self.plan:
            raise Stale
        self._until = began + CONFIRMED_SECONDS


def controlled(cache: Cache[dict[str, Any]], uid: str) -> dict[str, Object[dict[str, Any]]]:
    """Return the objects that an owner controls by name, those being deleted included."""
    return {obj.metadata.name: obj for obj in cache.owned_by(uid) if is_controlled(obj, uid)}


def is_controlled(obj: Object[T] | None, uid: str) -> TypeGuard[Object[T]]:
    """Whether there is an object, and the owner with this UID controls it."""
    controller = obj.metadata.controller if obj is not None else None
    return controller is not None and controller.uid == uid


def foreign(live: Object[Any], uid: str, name: str) -> Obstacle | None:
    """Return what is in the way where a live object is not a child of the DISVC with this UID and name."""
    if is_controlled(live, uid):
        return None
    controller, kind = live.metadata.controller, live.resource.kind
    if controller is not None and (controller.kind, controller.name) == (DISVCS.kind, name):
        return former_child(kind, live.metadata.name)
    return name_conflict(kind, live.metadata.name)
