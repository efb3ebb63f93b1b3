"""The part of kube-controller-manager that operators lean on, for control planes that have none.

Deployments get ReplicaSets, ReplicaSets get Pods, and Services get EndpointSlices, as the real controllers do it. What
they leave out is told by each module. Garbage collection and the emptying of namespaces are not here: the in-memory API
server does that itself.

    manager = Manager(transport, name="kube-controller-manager")
    add_to_manager(manager)
    await manager.run()
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from disvc.testing.controllers.deployment import DeploymentReconciler
from disvc.testing.controllers.endpoint_slice import EndpointSliceReconciler
from disvc.testing.controllers.replica_set import ReplicaSetReconciler

if TYPE_CHECKING:
    from disvc.runtime import Manager

__all__ = ["add_to_manager"]


def add_to_manager(manager: Manager) -> None:
    """Add the three controllers to a manager that does not run yet; they look at its namespaces."""
    for reconciler in (DeploymentReconciler, ReplicaSetReconciler, EndpointSliceReconciler):
        manager.add(reconciler(manager).controller)
