"""The suite's fixtures: each test that asks for `api` runs on the in-memory server and on a real kube-apiserver."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from differential.generator import sequence
from suite.api import Api

from disvc.runtime.connection import connect
from disvc.testing.controlplane import ControlPlane
from disvc.testing.memory.controlplane import MemoryControlPlane
from disvc.testing.namespaces import create_namespace

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

PLANES = {"memory": MemoryControlPlane, "envtest": ControlPlane}


@pytest.fixture(scope="session", params=PLANES)
def plane(request: pytest.FixtureRequest) -> Iterator[ControlPlane | MemoryControlPlane]:
    """Run an API server, with what collects garbage and ends namespaces."""
    with PLANES[request.param](controller_manager=True) as plane:
        yield plane


@pytest_asyncio.fixture
async def api(plane: ControlPlane | MemoryControlPlane) -> AsyncIterator[Api]:
    """Give a test requests to a server and a namespace of its own there."""
    async with connect(plane.admin.kubeconfig) as transport:
        yield Api(transport, create_namespace(plane.admin, "suite"))


@pytest.fixture
def steps_of() -> Callable[[int], list[str]]:
    """Return how the steps of a seed read."""
    return lambda seed: [str(step) for step in sequence(seed, 50, "any")]
