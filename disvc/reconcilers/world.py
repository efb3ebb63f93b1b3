"""What this process knows of everything that belongs to a DISVC: the caches that all reconcilers share."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import structlog

from disvc.reconcilers.children import is_controlled
from disvc.reconcilers.obstacles import Obstacles
from disvc.reconcilers.resources import DISVCS, Selections
from disvc.rollout import addresses, ingress, service
from disvc.rollout.observation import Routes
from disvc.rollout.plan import Plan, is_whole, plan
from disvc.rollout.revision import Record, read
from disvc.runtime import DecodeError, Key

if TYPE_CHECKING:
    from collections.abc import Iterable

    from disvc.api.types import DistributedInferenceService
    from disvc.rollout.configuration import RoutingDefaults
    from disvc.runtime import Cache, Delta, Manager, Object

_HOST = "host"

_log = structlog.get_logger("disvc.reconcilers")


class World:
    """The caches, the configuration, and what stood in the way; one for all reconcilers of a manager."""

    def __init__(self, manager: Manager, routing: RoutingDefaults) -> None:
        self.select = Selections(manager.namespaces)
        self.routing = routing
        self.obstacles = Obstacles()
        self.client = manager.client
        self.disvcs: Cache[DistributedInferenceService] = manager.cache(DISVCS)
        self.isvcs = manager.cache(self.select.isvcs)
        self.services = manager.cache(self.select.services)
        self.ingresses = manager.cache(self.select.ingresses)
        self.revisions = manager.cache(self.select.revisions)
        self.disvcs.add_index(_HOST, self._hosts)

    def look(self, request: Key) -> tuple[DistributedInferenceService, Plan] | None:
        """Return a DISVC and what must exist of it; None where nothing is to be done.

        That is so when it is gone or going (garbage collection removes its children), and while nothing is recorded
        of it: a status that somebody has emptied must not empty the service.
        """
        obj = self.disvcs.get(request)
        if obj is None or obj.metadata.deletion_timestamp:
            return None
        disvc = obj.decode()
        if not is_whole(disvc.status):
            return None
        now = plan(disvc)
        return disvc, replace(now, fresh=now.fresh and self._is_first(disvc))

    def _is_first(self, disvc: DistributedInferenceService) -> bool:
        """Whether no revision is known but the target: else the recorded phase may be long over."""
        target = disvc.status.target_revision
        known = {obj.metadata.name for obj in self.revisions.owned_by(disvc.metadata.uid)}
        return target is not None and known <= {target.name}

    def record(self, disvc: DistributedInferenceService, revision: str) -> Record | None:
        """Return what is recorded of a revision; None where that is lost, or not seen yet."""
        return self._read(disvc, self.revisions.get(Key(disvc.metadata.namespace, revision)))

    def records(self, disvc: DistributedInferenceService) -> dict[str, Record]:
        """Return all revisions of a DISVC that are kept, by name."""
        found = (self._read(disvc, obj) for obj in self.revisions.owned_by(disvc.metadata.uid))
        return {record.ref.name: record for record in found if record is not None}

    def _read(self, disvc: DistributedInferenceService, obj: Object[dict[str, Any]] | None) -> Record | None:
        if not is_controlled(obj, disvc.metadata.uid) or obj.metadata.deletion_timestamp:
            return None
        try:
            return read(obj.decode())
        except ValueError as error:
            _log.debug("a revision cannot be read", revision=obj.metadata.name, error=str(error))
            return None

    def routes(self, disvc: DistributedInferenceService) -> Routes:
        """Return where the stable addresses point, as far as this process has seen."""
        key = Key(disvc.metadata.namespace, disvc.metadata.name)
        return read_routes(disvc, self.services.get(key), self.ingresses.get(key))

    def elder_on_host(self, disvc: DistributedInferenceService) -> Key | None:
        """Return the DISVC that was first on this one's host and class, None where this one was.

        Who has an Ingress there keeps the host; age decides among those that have none.
        """
        mine = self._place(disvc)
        if mine is None:
            return None
        live = (obj for obj in self.disvcs.indexed(_HOST, mine) if not obj.metadata.deletion_timestamp)
        host = addresses.host(disvc, self.routing)
        first = min(live, key=lambda obj: (not self._has_ingress(obj, host), *_age(obj)), default=None)
        me = Key(disvc.metadata.namespace, disvc.metadata.name)
        return None if first is None or first.key == me else first.key

    def _has_ingress(self, obj: Object[DistributedInferenceService], host: str | None) -> bool:
        route = self.ingresses.get(obj.key)
        if not is_controlled(route, obj.metadata.uid):
            return False
        return any(rule.get("host") == host for rule in route.decode()["spec"].get("rules") or ())

    def rivals(self, obj: Object[DistributedInferenceService]) -> Iterable[Key]:
        """Return the other DISVCs on the host of one, whose turn may come when it changes."""
        keys = (other.key for place in self._hosts(obj) for other in self.disvcs.indexed(_HOST, place))
        return [key for key in keys if key != obj.key]

    def wants_ingress(self, disvc: DistributedInferenceService) -> bool:
        """Whether a DISVC is to have an Ingress."""
        return addresses.exposed(disvc) and self.elder_on_host(disvc) is None

    def _hosts(self, obj: Object[DistributedInferenceService]) -> Iterable[str]:
        try:
            place = self._place(obj.decode())
        except DecodeError:
            return ()  # its own reconcile says so, and nobody else waits for it
        return () if place is None else (place,)

    def _place(self, disvc: DistributedInferenceService) -> str | None:
        host = addresses.host(disvc, self.routing)
        return None if host is None else f"{disvc.spec.routing.class_name or self.routing.ingress_class} {host}"


def read_routes(
    disvc: DistributedInferenceService,
    stable: Object[dict[str, Any]] | None,
    route: Object[dict[str, Any]] | None,
) -> Routes:
    """Return where Service NAME and Ingress NAME point; what is not this DISVC's points nowhere."""
    uid, name = disvc.metadata.uid, disvc.metadata.name
    return Routes(
        service=service.selected_revision(stable.decode()) if is_controlled(stable, uid) else None,
        ingress=ingress.backend_revision(route.decode(), name) if is_controlled(route, uid) else None,
    )


def _age(obj: Object[Any]) -> tuple[str, Key]:
    return (obj.metadata.creation_timestamp or "", obj.key)


def asks_for_something_else(delta: Delta[DistributedInferenceService]) -> bool:
    """Whether a change of a DISVC may concern its children; resyncs do.

    The rest of the status does not. It tells what the children ran into, which may differ each time: if they were
    looked at for that again, a refused write would be repeated as fast as it can be told.
    """
    old, new = delta.old, delta.new
    return old is None or new is None or old is new or _asked(old) != _asked(new)


def _asked(obj: Object[DistributedInferenceService]) -> object:
    metadata = obj.metadata
    try:
        disvc = obj.decode()
    except DecodeError:
        return metadata.resource_version
    return metadata.deletion_timestamp, metadata.labels, metadata.annotations, is_whole(disvc.status), plan(disvc)
