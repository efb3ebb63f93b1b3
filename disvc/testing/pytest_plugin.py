"""Fixtures for tests that run against a real control plane; loaded by pytest wherever disvc is installed.

Nothing is imported, built or started before a test asks for one of the fixtures.
"""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, nullcontext
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from disvc.testing.controlplane import ControlPlane

__all__ = ["control_plane", "make_control_plane", "namespace"]


@pytest.fixture(scope="session")
def control_plane(pytestconfig: pytest.Config) -> Iterator[ControlPlane]:
    """Share a real control plane among the tests of this session; the first that asks for it starts it.

    A test keeps to objects in its own `namespace`, or with names of its own, and does not stop the API
    server: for that there is `make_control_plane`.
    """
    from disvc.testing.controlplane import ControlPlane

    plane = ControlPlane()
    _find_binaries(pytestconfig, plane.components)
    with plane:
        yield plane


@pytest.fixture
def namespace(control_plane: ControlPlane) -> Iterator[str]:
    """Make a namespace on the shared control plane, removed with all that is in it after the test."""
    from disvc.testing.namespaces import create_namespace, delete_namespace

    name = create_namespace(control_plane.admin, "test")
    yield name
    delete_namespace(control_plane.admin, name)


@pytest.fixture
def make_control_plane(pytestconfig: pytest.Config) -> Iterator[Callable[..., Awaitable[ControlPlane]]]:
    """Give a test control planes of its own.

    `await make_control_plane(**options)` returns a started one; the options are ControlPlane's. All that a
    test made are stopped after it.
    """
    from disvc.testing.controlplane import ControlPlane

    with ExitStack() as planes:

        async def make(**options: Any) -> ControlPlane:
            plane = ControlPlane(**options)
            _find_binaries(pytestconfig, plane.components)
            planes.callback(plane.stop)
            return await asyncio.to_thread(plane.start)

        yield make


def _find_binaries(config: pytest.Config, components: tuple[str, ...]) -> None:
    """Build what is missing, for minutes, with pytest not holding back what is written to the terminal."""
    from disvc.testing.binaries import binary

    capture = config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled() if capture else nullcontext():
        for name in components:
            binary(name)
