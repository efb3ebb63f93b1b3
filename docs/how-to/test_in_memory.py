"""Tests of the tutorial's operator on the in-memory API server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import yaml
from website import CONFIG_MAPS, DEPLOYMENTS, WEBSITES, Websites

from disvc.runtime import Client, Controller, Forbidden, Invalid, Manager, Resource
from disvc.runtime.environment import Environment
from disvc.runtime.transport import Transport
from disvc.testing.clock import VirtualClock, in_virtual_time
from disvc.testing.memory import APIServer
from disvc.testing.memory.builtin import TYPES
from disvc.testing.memory.controlplane import MemoryControlPlane
from disvc.testing.memory.requests import User

HERE = Path(__file__).parent
CRDS = Resource("apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions", namespaced=False)


async def make_server(environment: Environment) -> APIServer:
    """A new API server with the built-in kinds and the CRD."""
    server = APIServer(environment, TYPES)
    await Client(server.transport()).create(CRDS, yaml.safe_load((HERE / "crd.yaml").read_text()))
    return server


@pytest.fixture
async def server() -> APIServer:
    return await make_server(Environment())


@asynccontextmanager
async def operator(transport: Transport, environment: Environment | None = None) -> AsyncIterator[None]:
    """Run the operator until the block ends."""
    manager, stop = Manager(transport, environment=environment), asyncio.Event()
    reconciler = Websites(manager)
    manager.add(Controller("website", for_=WEBSITES, owns=[CONFIG_MAPS, DEPLOYMENTS], reconciler=reconciler))
    async with asyncio.TaskGroup() as group:
        group.create_task(manager.run(stop=stop, handle_signals=False))
        yield
        stop.set()


async def reconciled(client: Client) -> None:
    """Wait until the operator has seen the Website."""
    async with client.watch(WEBSITES, "default", initial_events=True, timeout_seconds=60) as pieces:
        async for piece in pieces:
            if any(b'"observedGeneration":' in bytes(event.object) for event in piece):
                return
    pytest.fail("no Website had a status within a minute")


HOME = {"metadata": {"name": "home", "namespace": "default"}, "spec": {"page": "<h1>"}}


async def test_a_website_gets_a_config_map(server: APIServer) -> None:
    client = Client(server.transport())
    async with operator(server.transport()):
        await client.create(WEBSITES, HOME)
        await reconciled(client)
    assert (await client.get(CONFIG_MAPS, "home", "default")).decode()["data"] == {"index.html": "<h1>"}


async def test_what_a_website_owned_goes_with_it(server: APIServer) -> None:
    client = Client(server.transport())
    async with operator(server.transport()):
        await client.create(WEBSITES, HOME)
        await reconciled(client)
    await client.delete(WEBSITES, "home", "default")
    server.collect_garbage()
    assert (await client.list(CONFIG_MAPS, "default")).items == []


async def test_the_crd_is_in_force(server: APIServer) -> None:
    client = Client(server.transport())
    with pytest.raises(Invalid, match="should be greater than or equal to 0"):
        await client.create(WEBSITES, {**HOME, "spec": {"page": "", "replicas": -1}})
    made = await client.create(WEBSITES, HOME)
    assert made.decode()["spec"]["replicas"] == 1  # the CRD's default


async def test_who_has_no_rights_is_refused(server: APIServer) -> None:
    client = Client(server.transport(User("somebody")))
    with pytest.raises(Forbidden, match='User "somebody" cannot list resource "websites"'):
        await client.list(WEBSITES, "default")


@in_virtual_time
async def test_a_day_without_changes_makes_no_writes() -> None:
    environment = Environment(clock=VirtualClock())
    server = await make_server(environment)
    client = Client(server.transport(), environment=environment)
    async with operator(server.transport(), environment):
        await client.create(WEBSITES, HOME)
        await reconciled(client)
        await asyncio.sleep(60)
        before = server.store.revision
        await asyncio.sleep(86_400)  # in virtual time, that is no time
        assert server.store.revision == before


async def test_kubectl_shows_the_columns_of_the_crd(memory_control_plane: MemoryControlPlane) -> None:
    kubectl = memory_control_plane.kubectl
    await kubectl("apply", "-f", str(HERE / "crd.yaml"))
    await kubectl("apply", "-f", str(HERE / "home.yaml"))
    assert "READY" in await kubectl("get", "websites")
