"""The servers under comparison, ready for sequences: definitions installed, a namespace for each."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from tenacity import AsyncRetrying, stop_after_delay, wait_fixed

from differential.kinds import KINDS
from differential.kinds.custom import DEFINITIONS
from differential.run import Side
from disvc.runtime.connection import connect
from disvc.runtime.environment import Environment
from disvc.testing.controlplane import ControlPlane
from disvc.testing.crds import install
from disvc.testing.memory import APIServer, builtin

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from disvc.runtime.transport import Answer, Transport

__all__ = ["make_namespace", "memory", "real", "standing"]

_TIMEOUT_S: Final = 30.0
_OK: Final = 200
_CREATED: Final = 201
DEFINITIONS_PATH: Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@asynccontextmanager
async def memory() -> AsyncIterator[Side]:
    """Run an in-memory server."""
    server = APIServer(Environment(), builtin.TYPES)
    transport = server.transport()
    for definition in DEFINITIONS:
        await _send(transport, "POST", DEFINITIONS_PATH, definition)
    server.compact()
    yield Side("memory", transport)


@asynccontextmanager
async def standing(kubeconfig: str) -> AsyncIterator[Side]:
    """Use a kube-apiserver that runs already, on which the definitions are installed."""
    async with connect(kubeconfig) as transport:
        await _warm_up(transport)
        yield Side("standing", transport, is_cached=True)


@asynccontextmanager
async def real(name: str = "envtest") -> AsyncIterator[Side]:
    """Run a kube-apiserver that has forgotten its first revisions."""
    async with ControlPlane() as plane:
        for definition in DEFINITIONS:
            await asyncio.to_thread(install, plane.admin, definition)
        await plane.compact()
        await plane.stop_apiserver()
        await plane.start_apiserver()
        async with connect(plane.admin.kubeconfig) as transport:
            await _warm_up(transport)
            yield Side(name, transport, is_cached=True)


async def _warm_up(transport: Transport) -> None:
    """Wait until the caches are filled: until then a kube-apiserver answers with 429."""
    async for attempt in AsyncRetrying(wait=wait_fixed(0.05), stop=stop_after_delay(_TIMEOUT_S), reraise=True):
        with attempt:
            for kind in KINDS:
                answer = await _send(transport, "GET", kind.collection(""))
                assert answer.status == _OK, f"{kind.plural} cannot be listed: {answer.body!r}"


async def make_namespace(transport: Transport, name: str) -> None:
    """Create a namespace."""
    answer = await _send(transport, "POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    if answer.status not in (_OK, _CREATED):
        msg = f"{name} was not created: {answer.body!r}"
        raise RuntimeError(msg)


async def _send(transport: Transport, method: str, path: str, body: object = None) -> Answer:
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    return await transport.request(method, path, query={}, headers=headers, body=data, timeout=_TIMEOUT_S, fence=None)
