"""What a cluster has before anybody uses it: its namespaces, the Service of the API server, and who may do what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from disvc.runtime.transport import Answer
from disvc.testing.memory.authorization import bootstrap_objects
from disvc.testing.memory.requests import Request, User

if TYPE_CHECKING:
    from disvc.testing.memory.server import APIServer

    Value = dict[str, Any]

__all__ = ["bootstrap"]

_SYSTEM: Final = User("system:apiserver", ("system:masters", "system:authenticated"))
_NAMESPACES: Final = ("kube-system", "kube-public", "kube-node-lease", "default")
_KUBERNETES: Final = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "kubernetes", "labels": {"component": "apiserver", "provider": "kubernetes"}},
    "spec": {"clusterIP": "10.96.0.1", "ports": [{"name": "https", "port": 443, "targetPort": 6443}]},
}


async def bootstrap(server: APIServer) -> None:
    """Create it all on a new server. Raises `RuntimeError` where the server refuses it."""
    for name in _NAMESPACES:
        await _create(server, "/api/v1/namespaces", {"metadata": {"name": name}})
    await _create(server, "/api/v1/namespaces/default/services", _KUBERNETES)
    for obj in bootstrap_objects():
        await _create(server, f"/apis/rbac.authorization.k8s.io/v1/{obj['kind'].lower()}s", obj)


async def _create(server: APIServer, path: str, obj: Value) -> None:
    headers = {"content-type": "application/json", "user-agent": "kube-apiserver"}
    answer = await server.handle(Request("POST", path, {}, headers, msgspec.json.encode(obj), _SYSTEM))
    if not isinstance(answer, Answer) or answer.status != 201:
        raise RuntimeError(f"bootstrap: POST {path} {obj}: {answer}")
