"""The servers under comparison, ready for sequences: definitions installed, a namespace for each."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from differential.kinds.custom import DEFINITIONS
from differential.run import Side
from disvc.runtime.connection import connect
from disvc.testing.controlplane import ControlPlane
from disvc.testing.crds import install

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from disvc.runtime.transport import Transport

__all__ = ["make_namespace", "real"]


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
            yield Side(name, transport, is_cached=True)


async def make_namespace(transport: Transport, name: str) -> None:
    """Create a namespace."""
    body: dict[str, Any] = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    answer = await transport.request(
        "POST",
        "/api/v1/namespaces",
        query={},
        headers={"Content-Type": "application/json"},
        body=json.dumps(body).encode(),
        timeout=30,
        fence=None,
    )
    if answer.status != 201:
        msg = f"{name} was not created: {answer.body!r}"
        raise RuntimeError(msg)
