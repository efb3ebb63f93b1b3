"""What a cluster has before anybody uses it: its namespaces, the Service of the API server, and who may do what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from disvc.testing.memory.authorization import bootstrap_objects

if TYPE_CHECKING:
    Value = dict[str, Any]

__all__ = ["objects"]

_NAMESPACES: Final = ("kube-system", "kube-public", "kube-node-lease", "default")


def objects() -> list[Value]:
    """Return the objects, each with apiVersion and kind, in the order in which they are to be made."""
    namespaces = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in _NAMESPACES]
    kubernetes = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "labels": {"component": "apiserver", "provider": "kubernetes"},
        },
        "spec": {"clusterIP": "10.96.0.1", "ports": [{"name": "https", "port": 443, "targetPort": 6443}]},
    }
    return [*namespaces, kubernetes, *bootstrap_objects()]
