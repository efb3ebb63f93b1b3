"""A whole cluster for one namespace on this machine, in some seconds, from Python packages alone.

    async with local_cluster("demo", rights=rights, mirror=mirror) as cluster:
        await cluster.client.create(DISVCS, …)      # and it serves, at cluster.ingress.ports

An in-memory API server, controllers of Deployments and EndpointSlices, a simulated KServe whose pods are model servers
that run as processes, an ingress, and the operator as a process, with exactly the rights that it is given. All of it
ends with the block, and with this process, however that ends.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from disvc.api.crd import crd
from disvc.local.host import Host
from disvc.local.ingress import EnvoyError, LocalIngress
from disvc.local.ingress.ports import choose
from disvc.local.kubelet import LogServer
from disvc.local.operator import Operator, OperatorError
from disvc.local.processes import ProcessesError
from disvc.local.runner import ProcessRunner
from disvc.runtime import Client, Manager, connect
from disvc.testing.controllers import add_to_manager
from disvc.testing.crds import install as install_crd
from disvc.testing.extra import require
from disvc.testing.kserve import SimulatedKServe
from disvc.testing.kserve import install as install_kserve
from disvc.testing.memory.controlplane import MemoryControlPlane
from disvc.testing.plane import ControlPlaneError
from disvc.testing.running import running
from disvc.testing.supervisor import SupervisorError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from pathlib import Path

    from disvc.runtime.transport import Transport
    from disvc.testing.plane import Plane

    Rules = Sequence[Mapping[str, Sequence[str]]]

_GRACE_SECONDS: Final = 2.0
_BACKOFF_SECONDS: Final = 1.0
"""How long a container waits that crashed twice; a real kubelet's 10 s would make a demo of waiting."""


class PartEnded(Exception):
    """A part of the cluster has ended; the message says which one, with the end of its log."""


@dataclass(frozen=True)
class LocalCluster:
    """What runs, and how it is reached; by `local_cluster`."""

    plane: Plane
    namespace: str
    transport: Transport
    client: Client
    """Of a user who may do everything."""
    host: Host
    ingress: LocalIngress
    operator: Operator

    async def check(self) -> None:
        """Return if all parts run. Raises `PartEnded`."""
        try:
            await asyncio.to_thread(self.plane.check)
            self.host.processes.check()
            await self.ingress.check()
            await self.operator.check()
        except (ControlPlaneError, ProcessesError, EnvoyError, OperatorError, SupervisorError) as error:
            raise PartEnded(str(error)) from error


@asynccontextmanager
async def local_cluster(
    namespace: str,
    *,
    rights: Rules,
    mirror: Mapping[str, Path],
    drain_seconds: float = 2.0,
    http_port: int | None = None,
    https_port: int | None = None,
) -> AsyncIterator[LocalCluster]:
    """Run a cluster beside the block.

    Args:
        namespace: the one that all of it works in; it is created.
        rights: PolicyRules of the operator's user.
        mirror: by storageUri, the folder on this machine with that model; models may be added while it runs.
        drain_seconds: how long a pod that is deleted goes on, for those who route to it to see that.
        http_port: the ingress' plain port; None for 8080, or a free one.
        https_port: the ingress' TLS port; None for 8443, or a free one.

    Raises `MissingExtra` where packages are absent, `PortInUse` for a port that was asked for, and what its parts do.

    """
    require("local", "A cluster on this machine")
    choose(http_port, https_port)  # what cannot work is said before anything is started
    async with AsyncExitStack() as stack:
        plane = await stack.enter_async_context(MemoryControlPlane())
        folder = plane.folder / "pods"
        folder.mkdir()
        host = Host(folder, mirror=mirror, backoff_seconds=_BACKOFF_SECONDS)
        await stack.enter_async_context(host)
        operators = await asyncio.to_thread(_prepare, plane, namespace, rights)
        transport = await stack.enter_async_context(connect(plane.admin.kubeconfig))
        controllers = Manager(transport, name="controllers", namespaces=[namespace], grace_seconds=_GRACE_SECONDS)
        add_to_manager(controllers)
        await stack.enter_async_context(running(controllers))
        runner = ProcessRunner(host, drain_seconds=drain_seconds)
        logs = await stack.enter_async_context(LogServer(runner, plane.serving))
        kserve = SimulatedKServe(
            transport,
            namespace,
            serving=plane.serving,
            ca_file=plane.ca_file,
            runner=runner,
            logs_port=logs.port,
        )
        await stack.enter_async_context(kserve)
        ingress = LocalIngress(transport, namespaces=[namespace], http_port=http_port, https_port=https_port)
        await stack.enter_async_context(ingress)
        operator = await stack.enter_async_context(Operator(operators, namespace))
        yield LocalCluster(plane, namespace, transport, Client(transport), host, ingress, operator)


def _prepare(plane: Plane, namespace: str, rights: Rules) -> Path:
    """Install the CRDs, make the namespace, and return the operator's kubeconfig."""
    install_kserve(plane.admin)
    install_crd(plane.admin, crd())
    plane.admin.call("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})
    return plane.user("disvc-manager", (), rights).kubeconfig
