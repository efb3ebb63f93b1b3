"""Fixtures for tests that run against a control plane; loaded by pytest wherever disvc is installed.

Which one is shared among the tests says the option `--control-plane`: `envtest`, the default, is a real kube-apiserver
with etcd, `memory` the in-memory API server. Given twice, each test runs on both.

Nothing is imported, built or started before a test asks for one of the fixtures.
"""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, nullcontext
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest

from disvc.testing.extra import require

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from disvc.testing.controlplane import ControlPlane
    from disvc.testing.memory import APIServer
    from disvc.testing.memory.controlplane import MemoryControlPlane

__all__ = [
    "control_plane",
    "control_plane_with_controllers",
    "kserve_namespace",
    "make_control_plane",
    "memory_control_plane",
    "memory_server",
    "namespace",
]

pytest_plugins = ["disvc.testing.kserve_fixtures"] if find_spec("pytest_asyncio") else []

_PURPOSE = "A control plane for tests"
_KINDS = ("envtest", "memory")
_SHARED = ("control_plane", "control_plane_with_controllers")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that says which control planes the tests run on."""
    parser.getgroup("disvc").addoption(
        "--control-plane",
        action="append",
        choices=_KINDS,
        default=[],
        help="what control_plane and control_plane_with_controllers are: envtest, a real kube-apiserver with etcd (the "
        "default), or memory, the in-memory API server; given twice, tests run on both",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test once on each control plane that the option names."""
    kinds = metafunc.config.getoption("control_plane")
    for fixture in _SHARED:
        if kinds and fixture in metafunc.fixturenames:
            metafunc.parametrize(fixture, kinds, indirect=True, scope="session")


@pytest.fixture(scope="session")
def control_plane(request: pytest.FixtureRequest) -> Iterator[ControlPlane | MemoryControlPlane]:
    """Share a control plane among the tests of this session; the first that asks for it starts it.

    A test keeps to objects in its own `namespace`, or with names of its own, and does not stop the API
    server: for that there is `make_control_plane`.
    """
    with _plane(request) as plane:
        yield plane


@pytest.fixture(scope="session")
def memory_control_plane() -> Iterator[MemoryControlPlane]:
    """Share an in-memory control plane among the tests of this session, as `control_plane` is shared; see there."""
    require("testing", _PURPOSE)
    from disvc.testing.memory.controlplane import MemoryControlPlane

    with MemoryControlPlane() as plane:
        yield plane


@pytest.fixture
def namespace(control_plane: ControlPlane) -> Iterator[str]:
    """Make a namespace on the shared control plane, removed with all that is in it after the test."""
    from disvc.testing.namespaces import create_namespace, delete_namespace

    name = create_namespace(control_plane.admin, "test")
    yield name
    delete_namespace(control_plane.admin, name)


@pytest.fixture(scope="session")
def control_plane_with_controllers(request: pytest.FixtureRequest) -> Iterator[ControlPlane | MemoryControlPlane]:
    """Share a control plane with kube-controller-manager and the InferenceService CRD among the tests of this session.

    Deployments get ReplicaSets and Pods there, Services EndpointSlices, and garbage is collected; for the pods to run
    there must be a `kserve`. As with `control_plane`, a test keeps to a namespace of its own.
    """
    from disvc.testing.kserve import install

    with _plane(request, controller_manager=True) as plane:
        install(plane.admin)
        yield plane


@pytest.fixture
def kserve_namespace(control_plane_with_controllers: ControlPlane) -> Iterator[str]:
    """Make a namespace on the control plane with controllers, removed with all that is in it after the test."""
    from disvc.testing.namespaces import create_namespace, delete_namespace

    admin = control_plane_with_controllers.admin
    name = create_namespace(admin, "test")
    yield name
    delete_namespace(admin, name)


@pytest.fixture
def memory_server() -> APIServer:
    """Give a test an in-memory API server of its own, with the built-in kinds; clients get its `transport()`."""
    from disvc.runtime.environment import Environment
    from disvc.testing.memory import APIServer
    from disvc.testing.memory.builtin import TYPES

    return APIServer(Environment(), TYPES)


@pytest.fixture
def make_control_plane(pytestconfig: pytest.Config) -> Iterator[Callable[..., Awaitable[ControlPlane]]]:
    """Give a test real control planes of its own.

    `await make_control_plane(**options)` returns a started one; the options are ControlPlane's. All that a
    test made are stopped after it.
    """
    require("testing", _PURPOSE)
    from disvc.testing.controlplane import ControlPlane

    with ExitStack() as planes:

        async def make(**options: Any) -> ControlPlane:
            plane = ControlPlane(**options)
            _find_binaries(pytestconfig, plane.components)
            planes.callback(plane.stop)
            return await asyncio.to_thread(plane.start)

        yield make


def _plane(request: pytest.FixtureRequest, **options: Any) -> ControlPlane | MemoryControlPlane:
    """Return a control plane, not started, of the kind that the fixture is asked for."""
    require("testing", _PURPOSE)
    if getattr(request, "param", "envtest") == "memory":
        from disvc.testing.memory.controlplane import MemoryControlPlane

        return MemoryControlPlane(**options)
    from disvc.testing.controlplane import ControlPlane

    plane = ControlPlane(**options)
    _find_binaries(request.config, plane.components)
    return plane


def _find_binaries(config: pytest.Config, components: tuple[str, ...]) -> None:
    """Build what is missing, for minutes, with pytest not holding back what is written to the terminal."""
    from disvc.testing.binaries import binary

    capture = config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled() if capture else nullcontext():
        for name in components:
            binary(name)
