"""The fixtures of `pytest_plugin` that are coroutines, for which pytest-asyncio has to be there."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest_asyncio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from disvc.testing.controlplane import ControlPlane
    from disvc.testing.kserve import SimulatedKServe

__all__ = ["kserve", "make_kserve"]


@pytest_asyncio.fixture
async def make_kserve(
    control_plane_with_controllers: ControlPlane, kserve_namespace: str
) -> AsyncIterator[Callable[..., Awaitable[SimulatedKServe]]]:
    """Give a test a simulated KServe of its own making.

    `await make_kserve(**options)`, once, returns one that runs for `kserve_namespace`; the options are
    SimulatedKServe's. It is stopped after the test.
    """
    from disvc.runtime import connect
    from disvc.testing.kserve import SimulatedKServe

    plane = control_plane_with_controllers
    async with AsyncExitStack() as stack:

        async def make(**options: Any) -> SimulatedKServe:
            transport = await stack.enter_async_context(connect(plane.admin.kubeconfig))
            kserve = SimulatedKServe(
                transport, kserve_namespace, serving=plane.serving, ca_file=plane.ca_file, **options
            )
            return await stack.enter_async_context(kserve)

        yield make


@pytest_asyncio.fixture
async def kserve(make_kserve: Callable[..., Awaitable[SimulatedKServe]]) -> SimulatedKServe:
    """Give a test a simulated KServe with a kubelet that runs for `kserve_namespace`.

    Every ISVC of the namespace becomes ready at once, until the test says otherwise by `kserve.behave`. An operator
    under test runs against `control_plane_with_controllers`, in `kserve_namespace`. KServe's webhooks are answered by
    the test's event loop: a test creates and changes ISVCs by coroutines, or in a thread.
    """
    return await make_kserve()
