"""How the operator's reconcilers get into a manager: all of them, or single ones in somebody else's.

manager = Manager(transport)
add_to_manager(manager, routing=RoutingDefaults(domain="models.example.org"))
await manager.run()
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from disvc.reconcilers.inference_service import InferenceServices
from disvc.reconcilers.ingress import Ingresses
from disvc.reconcilers.metrics import DomainMetrics
from disvc.reconcilers.observer import Observer
from disvc.reconcilers.resources import DISVCS
from disvc.reconcilers.service import Services
from disvc.reconcilers.status import Statuses
from disvc.reconcilers.world import World, asks_for_something_else
from disvc.rollout.configuration import RoutingDefaults
from disvc.rollout.names import DISVC_LABEL, SERVICE_NAME_LABEL, revision_of
from disvc.runtime import Controller, Key, Watch

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from disvc.runtime import Manager, Object, Reconciler, Selection

Name = Literal["inferenceservice", "service", "ingress", "status"]
NAMES: Final[tuple[Name, ...]] = get_args(Name)


def add_to_manager(
    manager: Manager,
    *,
    routing: RoutingDefaults | None = None,
    only: Collection[Name] = NAMES,
    max_concurrent: int = 8,
) -> dict[Name, Controller]:
    """Add the operator's reconcilers, or `only` some of them, to a manager, and return their controllers.

    They watch the manager's namespaces, and the DISVCs that its label selector holds. Somebody has to play the part
    of those that are left out: without `status` nothing happens, as the phase is recorded by it.

    Raises `ValueError` for a name that there is not.
    """
    if unknown := set(only) - set(NAMES):
        raise ValueError(f"only={sorted(unknown)}: there is no such reconciler; give some of {', '.join(NAMES)}")
    world = World(manager, routing or RoutingDefaults())
    select = world.select

    def known(keys: Iterable[Key]) -> list[Key]:
        return [key for key in keys if key in world.disvcs]

    rivals: Watch[Any] = Watch(DISVCS, world.rivals)
    homonyms: Watch[Any] = Watch(select.isvcs, lambda obj: known([obj.key]))
    controllers: dict[Name, Controller] = {}

    def add(name: Name, reconciler: Reconciler, *owns: Selection[Any], watches: Sequence[Watch[Any]] = ()) -> None:
        controllers[name] = Controller(
            name,
            for_=DISVCS,
            owns=owns,
            watches=watches,
            predicates=() if name == "status" else (asks_for_something_else,),
            reconciler=reconciler,
            max_concurrent=max_concurrent,
        )
        manager.add(controllers[name])

    if "inferenceservice" in only:
        add("inferenceservice", InferenceServices(world), select.isvcs, select.revisions)
    if "service" in only:
        add("service", Services(world), select.services, select.revisions)
    if "ingress" in only:
        add("ingress", Ingresses(world), select.ingresses, select.services, watches=(rivals, homonyms))
    if "status" in only:
        observer, metrics = Observer(manager, world), DomainMetrics(manager.metrics.registry)
        watches = (
            rivals,
            Watch(select.endpoint_slices, lambda obj: known(_of_slice(obj))),
            Watch(select.pods, lambda obj: known(_of_pod(obj))),
            Watch(select.events, lambda obj: known(_of_event(obj))),
        )
        reconciler = Statuses(world, observer, manager.events, metrics)
        children = (select.isvcs, select.services, select.ingresses, select.revisions)
        add("status", reconciler, *children, watches=watches)
        world.obstacles.changed = controllers["status"].queue.add
    return controllers


def _of_slice(obj: Object[Any]) -> Iterable[Key]:
    """Return the DISVCs whose Service NAME-vN or NAME a slice may belong to."""
    service = obj.metadata.labels.get(SERVICE_NAME_LABEL, "")
    return (Key(obj.metadata.namespace, service.rpartition("-v")[0]), Key(obj.metadata.namespace, service))


def _of_pod(obj: Object[Any]) -> Iterable[Key]:
    """Return the DISVC that a pod belongs to; KServe hands a member's labels down to it."""
    return (Key(obj.metadata.namespace, obj.metadata.labels.get(DISVC_LABEL, "")),)


def _of_event(obj: Object[Any]) -> Iterable[Key]:
    """Return the DISVC whose member an Event may be about."""
    member = obj.decode().get("involvedObject", {}).get("name", "")
    return (Key(obj.metadata.namespace, revision_of(member).rpartition("-v")[0]),)
