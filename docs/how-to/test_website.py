"""Tests of the tutorial's operator, on a real API server."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from website import CONFIG_MAPS, DEPLOYMENTS, WEBSITES, Websites, config_map_of

from disvc.runtime import Controller, Manager, connect
from disvc.runtime.predicates import generation_changed
from disvc.testing.controlplane import ControlPlane
from disvc.testing.faults import LoseAnswer
from disvc.testing.match import Match
from disvc.testing.proxy import FaultProxy
from disvc.testing.users import User

HERE = Path(__file__).parent
OPERATOR_MAY = [
    {"apiGroups": ["example.com"], "resources": ["websites"], "verbs": ["list", "watch"]},
    {"apiGroups": ["example.com"], "resources": ["websites/status"], "verbs": ["patch"]},
    {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "watch", "create", "patch"]},
    {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "list", "watch", "create", "patch"]},
]


def test_the_page_becomes_the_config_maps_data() -> None:
    website = WEBSITES.read(b'{"metadata": {"name": "home", "uid": "1"}, "spec": {"page": "<h1>"}}')
    assert config_map_of(website)["data"] == {"index.html": "<h1>"}


@asynccontextmanager
async def operator(kubeconfig: Path, namespace: str) -> AsyncIterator[None]:
    """Run the operator for one namespace, until the block ends."""
    async with connect(kubeconfig) as transport, asyncio.TaskGroup() as group:
        manager, stop = Manager(transport, namespaces=[namespace]), asyncio.Event()
        manager.add(
            Controller(
                "website",
                for_=WEBSITES,
                owns=[CONFIG_MAPS, DEPLOYMENTS],
                predicates=[generation_changed],
                reconciler=Websites(manager),
            )
        )
        group.create_task(manager.run(stop=stop, handle_signals=False))
        yield
        stop.set()


class Cluster:
    """What a user does to one namespace, with kubectl."""

    def __init__(self, plane: ControlPlane, namespace: str) -> None:
        self._plane = plane
        self._namespace = namespace

    async def kubectl(self, *args: str) -> str:
        return await self._plane.kubectl(*args, f"--namespace={self._namespace}")

    async def is_reconciled(self) -> None:
        await self.kubectl("wait", "--for=jsonpath={.status.observedGeneration}=1", "website/home", "--timeout=60s")


@pytest.fixture
async def cluster(control_plane: ControlPlane, namespace: str) -> Cluster:
    """A namespace with the CRD and a Website."""
    cluster = Cluster(control_plane, namespace)
    await cluster.kubectl("apply", "-f", str(HERE / "crd.yaml"))
    await cluster.kubectl("wait", "--for=condition=Established", "crd/websites.example.com")
    await cluster.kubectl("apply", "-f", str(HERE / "home.yaml"))
    return cluster


@pytest.fixture
def user(control_plane: ControlPlane, namespace: str) -> User:
    """The operator's user, with no more rights than it needs."""
    return control_plane.user(f"operator-{namespace}", rules=OPERATOR_MAY)


async def test_a_deleted_child_is_made_again(cluster: Cluster, user: User, namespace: str) -> None:
    async with operator(user.kubeconfig, namespace):
        await cluster.is_reconciled()
        await cluster.kubectl("delete", "configmap", "home")
        await cluster.kubectl("wait", "--for=create", "configmap/home", "--timeout=60s")


async def test_a_lost_answer_does_no_harm(
    control_plane: ControlPlane, cluster: Cluster, user: User, namespace: str
) -> None:
    tls = ssl.create_default_context(cafile=str(control_plane.ca_file))
    tls.load_cert_chain(control_plane.front_proxy.cert_file, control_plane.front_proxy.key_file)
    async with FaultProxy(control_plane.url, ssl=tls, user=user.name, groups=["system:authenticated"]) as proxy:
        lost = proxy.inject(Match(verb="patch", resource="configmaps"), LoseAnswer(), times=1)
        async with operator(control_plane.kubeconfig(user, server=proxy.url), namespace):
            await lost.struck()
            await cluster.is_reconciled()


async def test_what_does_not_concern_it_makes_it_write_nothing(
    control_plane: ControlPlane, cluster: Cluster, user: User, namespace: str
) -> None:
    async with operator(user.kubeconfig, namespace):
        await cluster.is_reconciled()
        await asyncio.sleep(1)
        before = (await control_plane.audit.settled()).calls(user=user.name, verb="patch")
        await cluster.kubectl("label", "website", "home", "colour=red")
        await asyncio.sleep(1)
        after = (await control_plane.audit.settled()).calls(user=user.name, verb="patch")
    assert after == before
    assert control_plane.audit.calls(user=user.name, code=403) == []
