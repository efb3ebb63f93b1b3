"""`disvc-manager` as a process on a real kube-apiserver, with the rights that config/rbac gives it and no others."""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest
import urllib3
import yaml

from disvc.testing.kserve import install
from disvc.testing.program import Program
from disvc.testing.rights import rules_in

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from disvc.testing.controlplane import ControlPlane
    from disvc.testing.users import User

ROOT = Path(__file__).parents[2]
MANAGER = ROOT / "cmd" / "manager"
CRD = ROOT / "config" / "crd"
RBAC = ROOT / "config" / "rbac"
SAMPLES = ROOT / "config" / "samples"
RULES = rules_in(RBAC / "role.yaml", RBAC / "leader_election.yaml", RBAC / "events.yaml")
DISVCS = "distributedinferenceservices.serving.kserve.io"
ISVCS = "inferenceservices.serving.kserve.io"


class Start(Protocol):
    async def __call__(self, user: User, *flags: str) -> Program:
        """Start a manager that serves its endpoints on free ports."""


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    async with AsyncExitStack() as stack:

        async def start(user: User, *flags: str) -> Program:
            environment = {
                "DISVC_KUBECONFIG": str(user.kubeconfig),
                "DISVC_METRICS_BIND_ADDRESS": "127.0.0.1:0",
                "DISVC_HEALTH_PROBE_BIND_ADDRESS": "127.0.0.1:0",
            }
            return await stack.enter_async_context(Program(MANAGER, *flags, environment=environment))

        yield start


@pytest.fixture
async def plane(control_plane_with_controllers: ControlPlane) -> ControlPlane:
    """Give the shared control plane both CRDs."""
    await install_ours(control_plane_with_controllers)
    return control_plane_with_controllers


async def install_ours(plane: ControlPlane) -> None:
    await plane.kubectl("apply", "--server-side", "-k", str(CRD))


async def asked(program: Program, what: str, path: str) -> tuple[int, str]:
    address = (await program.logged("serving", what=what))["address"]
    answer = await asyncio.to_thread(urllib3.request, "GET", f"http://{address}{path}")
    return answer.status, answer.data.decode()


async def stopped(program: Program) -> None:
    program.send(signal.SIGTERM)
    assert await program.ended() == 0


async def ended(*flags: str, **environment: str) -> tuple[int, list[str]]:
    """Return the exit code of a manager that ends by itself, and what it wrote."""
    async with Program(MANAGER, *flags, environment=environment) as program:
        code = await program.ended()
    return code, program.lines


async def test_it_says_what_to_install_and_starts_by_itself_when_it_is_there(
    make_control_plane: Callable[..., Awaitable[ControlPlane]], start: Start
) -> None:
    plane = await make_control_plane()
    user = await asyncio.to_thread(plane.user, "manager", (), RULES)
    manager = await start(user, "--leader-elect", "--leader-election-namespace=default")
    ours = await manager.logged("list or watch failed", resource=DISVCS)
    assert ours["hint"].endswith("; install it: kubectl apply -k config/crd")
    kserves = await manager.logged("list or watch failed", resource=ISVCS)
    assert kserves["hint"].endswith(
        "; install KServe: https://kserve.github.io/website/docs/admin-guide/kubernetes-deployment"
    )
    status, text = await asked(manager, "probes", "/readyz")
    assert status == 500
    assert DISVCS in text
    assert ISVCS in text
    assert (await asked(manager, "probes", "/healthz"))[0] == 200

    await install_ours(plane)
    await asyncio.to_thread(install, plane.admin)
    await manager.logged("acquired the lease", lease="default/disvc-manager")
    await manager.logged("controller started")
    assert (await asked(manager, "probes", "/readyz"))[0] == 200
    await stopped(manager)
    assert manager.entries("released the lease") != []
    assert (await plane.audit.settled()).calls(user=user.name, code=403) == []


async def test_it_stops_at_once_while_it_waits_for_what_is_not_installed(
    make_control_plane: Callable[..., Awaitable[ControlPlane]], start: Start
) -> None:
    manager = await start((await make_control_plane()).admin)
    await manager.logged("list or watch failed", resource=ISVCS)
    await stopped(manager)


async def test_its_first_line_says_what_it_is(plane: ControlPlane, start: Start) -> None:
    flags = ["--leader-elect", "--leader-election-namespace=default", "--leader-election-id=first"]
    manager = await start(plane.admin, *flags, "--watch-namespaces=default,other", "--watch-label-selector=shard=a")
    await manager.logged("manager starting")
    line = manager.log[0]
    del line["ts"]
    assert line == {
        "level": "info",
        "event": "disvc-manager starting",
        "version": metadata.version("disvc"),
        "namespaces": "default,other",
        "label_selector": "shard=a",
        "leader_election": "default/first",
        "metrics": "127.0.0.1:0",
        "probes": "127.0.0.1:0",
    }
    await stopped(manager)


async def test_its_metrics_are_those_of_the_library_and_of_the_operator(plane: ControlPlane, start: Start) -> None:
    manager = await start(plane.admin)
    await manager.logged("controller started")
    status, text = await asked(manager, "metrics", "/metrics")
    assert status == 200
    assert f'disvc_info{{version="{metadata.version("disvc")}"}} 1.0' in text
    assert 'disvc_rollouts_total{outcome="Failed"} 0.0' in text
    assert "controller_runtime_max_concurrent_reconciles" in text


async def test_a_second_replica_takes_over_from_one_that_is_stopped(plane: ControlPlane, start: Start) -> None:
    user = await asyncio.to_thread(plane.user, "replicas", (), RULES)
    flags = ["--leader-elect", "--leader-election-namespace=default", "--leader-election-id=replicas"]
    first = await start(user, *flags)
    await first.logged("acquired the lease")
    second = await start(user, *flags)
    await second.logged("waiting for the lease")
    assert second.entries("controller started") == []
    assert (await asked(second, "probes", "/readyz"))[0] == 200
    await stopped(first)
    await second.logged("controller started")
    await stopped(second)


async def test_for_some_namespaces_the_rights_may_be_bound_in_these_only(plane: ControlPlane, start: Start) -> None:
    user = await asyncio.to_thread(plane.user, "sharded")
    await plane.kubectl("apply", "-f", str(RBAC / "role.yaml"))
    for namespace in ("shard-a", "shard-b"):
        await plane.kubectl("create", "namespace", namespace)
        await plane.kubectl(
            "create", "rolebinding", "manager", "--clusterrole=manager", "--user=sharded", f"--namespace={namespace}"
        )
    manager = await start(user, "--watch-namespaces=shard-a", "--watch-namespaces=shard-b")
    await manager.logged("controller started")
    await stopped(manager)
    calls = (await plane.audit.settled()).calls(user="sharded")
    assert {call.namespace for call in calls} == {"shard-a", "shard-b"}
    for namespace in ("shard-a", "shard-b"):
        await plane.kubectl("delete", "namespace", namespace, "--wait=false")
    await plane.kubectl("delete", "-f", str(RBAC / "role.yaml"))


async def test_a_label_selector_limits_the_services_but_not_their_children(
    plane: ControlPlane, kserve_namespace: str, start: Start
) -> None:
    async def kubectl(*args: str, stdin: str | None = None) -> str:
        return await plane.kubectl(*args, f"--namespace={kserve_namespace}", stdin=stdin)

    sample = (SAMPLES / "scale-out-rest.yaml").read_text()
    for name in ("blue", "green"):
        disvc = yaml.safe_load(sample)
        disvc["metadata"] |= {"name": name, "labels": {"shard": name}}
        await kubectl("create", "-f", "-", stdin=yaml.safe_dump(disvc))
    manager = await start(plane.admin, f"--watch-namespaces={kserve_namespace}", "--watch-label-selector=shard=blue")
    await kubectl("wait", "service/blue-v1", "--for=create", "--timeout=60s")
    await kubectl("delete", "service/blue-v1")
    await kubectl("wait", "service/blue-v1", "--for=create", "--timeout=60s")
    await stopped(manager)
    assert await kubectl("get", "isvc,service,ingress", "--selector=disvc=green", "-o", "name") == ""
    assert await kubectl("get", "disvc/green", "-o", "jsonpath={.status.phase}") == ""


async def test_a_wrong_value_ends_it_with_2_and_one_line() -> None:
    code, lines = await ended(DISVC_LOG_LEVEL="loud")
    assert code == 2
    (line,) = lines
    assert line.startswith("disvc-manager: --log-level: 'loud' from DISVC_LOG_LEVEL: ")


async def test_a_kubeconfig_that_is_missing_ends_it_with_1_and_one_error(tmp_path: Path) -> None:
    code, lines = await ended(f"--kubeconfig={tmp_path / 'nothing'}")
    assert code == 1
    assert len(lines) == 2  # the first says what it is
    assert f"there is no kubeconfig file {tmp_path / 'nothing'}" in lines[1]
