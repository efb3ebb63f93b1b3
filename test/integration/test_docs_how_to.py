"""Runs the programs of the how-to pages as they are, and looks whether they do what the pages say."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import urllib3
import yaml

from disvc.testing.binaries import cache_folder
from disvc.testing.program import Program

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from disvc.testing.controlplane import ControlPlane

    Start = Callable[..., Program]

DOCS = Path(__file__).parents[2] / "docs"
DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web", "labels": {"tier": "web"}, "annotations": {"reload-on": "settings"}},
    "spec": {
        "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "web", "image": "nginx"}]},
        },
    },
}


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while True:
            if await condition():
                return
            await asyncio.sleep(0.1)


@pytest.fixture
def program(control_plane: ControlPlane, tmp_path: Path) -> Start:
    """Prepare one of the pages' programs, on a free port, and without the delay of a pipe's buffer."""

    def make(name: str, *args: str) -> Program:
        file = tmp_path / name
        file.write_text((DOCS / "how-to" / name).read_text().replace("127.0.0.1:8080", "127.0.0.1:0"))
        return Program(file, *args, environment={"KUBECONFIG": str(control_plane.admin.kubeconfig)})

    return make


class Kubectl:
    """What a user does in the test's namespace."""

    def __init__(self, plane: ControlPlane, namespace: str) -> None:
        self._plane = plane
        self._namespace = namespace

    async def __call__(self, *args: str, stdin: object = None) -> str:
        text = None if stdin is None else yaml.safe_dump(stdin)
        return await self._plane.kubectl(*args, f"--namespace={self._namespace}", stdin=text)


@pytest.fixture
def kubectl(control_plane: ControlPlane, namespace: str) -> Kubectl:
    return Kubectl(control_plane, namespace)


async def output_of(file: Path, *args: str, environment: dict[str, str]) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *args,
        str(file),
        cwd=file.parent,
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(300):
            output = (await process.communicate())[0].decode()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0, output
    return output


async def test_own_metrics_come_and_go_with_their_object(program: Start, kubectl: Kubectl, namespace: str) -> None:
    async with program("metrics.py") as running:
        address = (await running.logged("serving", what="metrics"))["address"]
        series = f'config_map_bytes{{name="a",namespace="{namespace}"}} 5.0'

        async def shown() -> bool:
            answer = await asyncio.to_thread(urllib3.request, "GET", f"http://{address}/metrics")
            return series in answer.data.decode()

        async def gone() -> bool:
            return not await shown()

        await kubectl("create", "configmap", "a", "--from-literal=key=12345")
        await until(shown)
        await kubectl("delete", "configmap", "a")
        await until(gone)


async def test_the_second_replica_takes_over_when_the_first_is_stopped(program: Start) -> None:
    async with program("leader_election.py") as first:
        await first.logged("acquired the lease")
        async with program("leader_election.py") as second:
            await second.logged("waiting for the lease")
            assert second.entries("acquired the lease") == []
            first.send(signal.SIGTERM)
            await second.logged("acquired the lease")
            assert await first.ended() == 0


async def test_predicates_let_through_what_the_page_says(program: Start, kubectl: Kubectl, namespace: str) -> None:
    async with program("predicates.py") as running:
        await running.logged("controller started")
        await kubectl("create", "-f", "-", stdin={**DEPLOYMENT, "kind": "StatefulSet"})
        await running.logged("worth a look", namespace=namespace)
        await kubectl("label", "statefulset", "web", "colour=red")
        await kubectl("annotate", "statefulset", "web", "colour=red")
        await kubectl("annotate", "statefulset", "web", "team=a")
        await running.logged("worth a look", namespace=namespace, times=2)
        await kubectl("label", "statefulset", "web", "tier=db", "--overwrite")
        await running.logged("worth a look", namespace=namespace, times=3)  # for this controller it is gone
        await kubectl("scale", "statefulset", "web", "--replicas=3")
        running.send(signal.SIGTERM)
        assert await running.ended() == 0
        assert len(running.entries("worth a look", namespace=namespace)) == 3


async def test_a_deployment_rolls_when_the_config_map_that_it_names_changes(program: Start, kubectl: Kubectl) -> None:
    async def version() -> str:
        return await kubectl("get", "configmap", "settings", "-o", "jsonpath={.metadata.resourceVersion}")

    async def rolled_to() -> str:
        path = "jsonpath={.spec.template.metadata.annotations.config-map-version}"
        return await kubectl("get", "deployment", "web", "-o", path)

    async def current() -> bool:
        return await rolled_to() == await version()

    async with program("watches.py"):
        await kubectl("create", "-f", "-", stdin=DEPLOYMENT)
        await kubectl("create", "configmap", "settings", "--from-literal=colour=red")
        await until(current)
        await kubectl("patch", "configmap", "settings", "-p", '{"data": {"colour": "blue"}}')
        await until(current)


async def test_each_shard_has_its_own_objects_and_lease(program: Start, kubectl: Kubectl, namespace: str) -> None:
    async with program("sharding.py", "blue") as blue, program("sharding.py", "green") as green:
        for name in ("blue", "green"):
            await kubectl("create", "configmap", name)
            await kubectl("label", "configmap", name, f"shard={name}")
        await blue.logged("mine", namespace=namespace, name="blue")
        await green.logged("mine", namespace=namespace, name="green")
        assert blue.entries("mine", name="green") == []
        assert green.entries("mine", name="blue") == []


async def test_an_event_is_recorded_about_a_large_config_map(program: Start, kubectl: Kubectl, tmp_path: Path) -> None:
    (tmp_path / "large").write_text("x" * 950_000)

    async def recorded() -> bool:
        return "NearlyFull" in await kubectl("events", "--for=configmap/large")

    async with program("events.py"):
        await kubectl("create", "configmap", "large", f"--from-file={tmp_path / 'large'}")
        await until(recorded)


async def test_every_kind_of_model_decodes() -> None:
    output = await output_of(DOCS / "how-to" / "typed_objects.py", environment={})
    assert output == (
        "websites.example.com home does not decode as Website: Expected `int`, got `str` - at `$.spec.replicas`\n"
    )


async def test_server_side_apply_does_what_the_page_says(control_plane: ControlPlane) -> None:
    environment = {"KUBECONFIG": str(control_plane.admin.kubeconfig)}
    output = await output_of(DOCS / "how-to" / "server_side_apply.py", environment=environment)
    assert output == (
        ".data.colour: conflict with \"operator\"\n{'colour': 'red', 'shape': 'round'}\n{'colour': 'blue'}\n"
    )


async def test_a_manager_runs_inside_another_program(control_plane: ControlPlane, kubectl: Kubectl) -> None:
    for name in ("a", "b", "c"):
        await kubectl("create", "configmap", name)
    environment = {"KUBECONFIG": str(control_plane.admin.kubeconfig)}
    output = await output_of(DOCS / "how-to" / "embedding.py", environment=environment)
    assert output.startswith("there are at least ")


async def test_the_tests_of_the_pages_pass(tmp_path: Path) -> None:
    for name in ("website.py", "crd.yaml", "home.yaml"):
        shutil.copy(DOCS / "tutorial" / name, tmp_path)
    tests = ("test_in_memory.py", "test_isvcs.py", "test_sweeper.py", "test_website.py")
    for name in ("pytest.ini", "sweeper.py", *tests):
        shutil.copy(DOCS / "how-to" / name, tmp_path)
    output = await output_of(
        tmp_path, "-m", "pytest", "-q", "-W", "error", environment={"DISVC_CACHE": str(cache_folder().parent)}
    )
    assert "12 passed" in output


async def test_the_operator_runs_in_a_cluster_with_the_rights_of_the_page(
    control_plane: ControlPlane, kubectl: Kubectl, namespace: str, tmp_path: Path
) -> None:
    for file in ("how-to/in_cluster.py", "tutorial/website.py"):
        program = tmp_path / Path(file).name
        program.write_text((DOCS / file).read_text().replace('":8080"', '"127.0.0.1:0"').replace('":8081"', '""'))
    # What a pod has by itself.
    in_pod = tmp_path / "in_pod.py"
    in_pod.write_text(
        "import pathlib, sys\n"
        "from disvc.runtime import leader_election, run\n"
        "leader_election._NAMESPACE_FILE = pathlib.Path(sys.argv[1])\n"
        "from in_cluster import main\n"
        "run(main())\n"
    )
    (tmp_path / "namespace").write_text("website-operator")
    await kubectl("apply", "-f", str(DOCS / "tutorial" / "crd.yaml"))
    await kubectl("wait", "--for=condition=Established", "crd/websites.example.com")
    await control_plane.kubectl("apply", "-f", str(DOCS / "how-to" / "deploy.yaml"))
    token = control_plane.service_account_token("website-operator", "operator", lifetime_s=600)
    kubeconfig: dict[str, Any] = yaml.safe_load(control_plane.admin.kubeconfig.read_text())
    kubeconfig["users"][0]["user"] = {"token": token}
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(kubeconfig))
    environment = {"KUBECONFIG": str(tmp_path / "kubeconfig")}
    async with Program(in_pod, str(tmp_path / "namespace"), environment=environment) as running:
        await running.logged("acquired the lease")
        await kubectl("apply", "-f", str(DOCS / "tutorial" / "home.yaml"))
        await kubectl("wait", "--for=jsonpath={.status.observedGeneration}=1", "website/home", "--timeout=60s")
        running.send(signal.SIGTERM)
        assert await running.ended() == 0
    user = "system:serviceaccount:website-operator:operator"
    assert (await control_plane.audit.settled()).calls(user=user, code=403) == []
    await control_plane.kubectl("delete", "-f", str(DOCS / "how-to" / "deploy.yaml"), "--wait=false")
