"""The in-memory API server as a process: what HTTP adds to it, and how it starts and ends."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import aiohttp
import psutil
import pytest
import urllib3

from disvc.testing.memory.controlplane import MemoryControlPlane
from disvc.testing.plane import ControlPlaneError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    Until = Callable[..., Awaitable[None]]

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"


@pytest.fixture
async def session(memory_control_plane: MemoryControlPlane) -> AsyncIterator[aiohttp.ClientSession]:
    """A client that acts as the administrator."""
    plane = memory_control_plane
    connector = aiohttp.TCPConnector(ssl=plane.admin.ssl_context(), limit=0)
    async with aiohttp.ClientSession(plane.url, connector=connector) as session:
        yield session


async def test_an_event_is_sent_when_it_happens(
    memory_control_plane: MemoryControlPlane, session: aiohttp.ClientSession
) -> None:
    admin = memory_control_plane.admin
    version = admin.call("GET", CONFIG_MAPS)["metadata"]["resourceVersion"]
    async with session.get(f"{CONFIG_MAPS}?watch=1&resourceVersion={version}") as watch, asyncio.timeout(60):
        for name in ("flushed-1", "flushed-2"):
            await asyncio.to_thread(admin.call, "POST", CONFIG_MAPS, {"metadata": {"name": name}})
            event = json.loads(await watch.content.readline())
            assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", name)


async def test_a_watch_whose_client_has_gone_is_over(
    memory_control_plane: MemoryControlPlane, session: aiohttp.ClientSession, until: Until
) -> None:
    path = f"{CONFIG_MAPS}?watch=1&gone=1"
    watch = await session.get(path)
    watch.close()

    def is_over() -> bool:
        calls = memory_control_plane.audit.calls(verb="watch")
        return [call.stage for call in calls if call.uri == path] == ["ResponseComplete"]

    await until(is_over)


async def test_hundreds_of_watches_are_served_at_once(
    memory_control_plane: MemoryControlPlane, session: aiohttp.ClientSession
) -> None:
    admin = memory_control_plane.admin
    version = admin.call("GET", CONFIG_MAPS)["metadata"]["resourceVersion"]
    path = f"{CONFIG_MAPS}?watch=1&resourceVersion={version}"
    async with asyncio.timeout(120):
        watches = await asyncio.gather(*(session.get(path) for _ in range(200)))
        await asyncio.to_thread(admin.call, "POST", CONFIG_MAPS, {"metadata": {"name": "seen-by-all"}})
        events = [json.loads(await watch.content.readline()) for watch in watches]
    for watch in watches:
        watch.close()
    assert {event["object"]["metadata"]["name"] for event in events} == {"seen-by-all"}


async def test_a_body_that_is_too_large_is_refused_with_the_limit(memory_control_plane: MemoryControlPlane) -> None:
    body = {"metadata": {"name": "large"}, "data": {"a": "x" * 3 * 1024 * 1024}}
    answer = memory_control_plane.admin.request("POST", CONFIG_MAPS, body)
    assert (answer.status, answer.json()["message"]) == (413, "Request entity too large: limit is 3145728")


async def test_a_body_that_is_not_what_its_encoding_says_is_refused(session: aiohttp.ClientSession) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    async with session.post(CONFIG_MAPS, data=b"{}", headers=headers) as answer:
        assert (answer.status, (await answer.json())["reason"]) == (400, "BadRequest")


async def test_who_is_nobody_is_anonymous_and_who_lies_is_refused(memory_control_plane: MemoryControlPlane) -> None:
    plane = memory_control_plane
    pool = urllib3.PoolManager(ca_certs=str(plane.ca_file))
    anonymous = pool.request("GET", plane.url + CONFIG_MAPS)
    assert (anonymous.status, anonymous.json()["reason"]) == (403, "Forbidden")
    assert 'User "system:anonymous" cannot list' in anonymous.json()["message"]
    liar = pool.request("GET", plane.url + CONFIG_MAPS, headers={"Authorization": "Bearer none"})
    assert (liar.status, liar.json()["message"]) == (401, "Unauthorized")
    pool.clear()


async def test_only_who_may_impersonates_others(memory_control_plane: MemoryControlPlane) -> None:
    plane = memory_control_plane
    rule = {"apiGroups": [""], "resources": ["users"], "resourceNames": ["alice"], "verbs": ["impersonate"]}
    bob = plane.user("bob", rules=[rule])
    pool = urllib3.PoolManager(ssl_context=bob.ssl_context())

    def who(**headers: str) -> Any:
        path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
        return pool.request("POST", plane.url + path, json={}, headers=headers).json()

    assert who(**{"Impersonate-User": "alice"})["status"]["userInfo"]["username"] == "alice"
    refused = who(**{"Impersonate-User": "carol"})
    assert refused["message"] == (
        'users "carol" is forbidden: User "bob" cannot impersonate resource "users" in API group "" '
        "at the cluster scope"
    )
    refused = who(**{"Impersonate-User": "alice", "Impersonate-Group": "system:masters"})
    assert refused["message"].startswith('groups "system:masters" is forbidden: User "bob" cannot impersonate')
    pool.clear()


async def test_json_is_indented_for_people(memory_control_plane: MemoryControlPlane) -> None:
    admin = memory_control_plane.admin
    assert b"\n  " not in admin.request("GET", CONFIG_MAPS).data
    assert b"\n  " in admin.request("GET", f"{CONFIG_MAPS}?pretty=true").data


async def test_after_compaction_an_old_watch_is_gone(memory_control_plane: MemoryControlPlane) -> None:
    plane = memory_control_plane
    plane.admin.call("POST", CONFIG_MAPS, {"metadata": {"generateName": "compacted-"}})
    revision = await plane.compact()
    assert revision > 1
    watch = plane.admin.request("GET", f"{CONFIG_MAPS}?watch=1&resourceVersion=1&timeoutSeconds=5")
    event = json.loads(watch.data.splitlines()[0])
    assert (event["type"], event["object"]["code"], event["object"]["reason"]) == ("ERROR", 410, "Expired")
    with pytest.raises(Exception, match="cannot post path"):
        plane.user("nobody").call("POST", "/disvc.testing/compact")


def test_a_port_in_use_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ControlPlaneError, match=rf"127\.0\.0\.1:{port} cannot be listened on \(Address already"):
            MemoryControlPlane(port=port).start()


def test_a_port_that_is_asked_for_is_served_and_two_do_not_share_it() -> None:
    with MemoryControlPlane() as plane:
        port = int(plane.url.rpartition(":")[2])
        with pytest.raises(ControlPlaneError, match="cannot be listened on"):
            MemoryControlPlane(port=port).start()
    with MemoryControlPlane(port=port) as plane:
        assert plane.url == f"https://127.0.0.1:{port}"
        assert plane.admin.call("GET", "/version")["major"] == "1"


def test_sigterm_ends_it_in_order_though_a_client_watches() -> None:
    with MemoryControlPlane() as plane:
        pool = urllib3.PoolManager(ssl_context=plane.admin.ssl_context())
        watch = pool.request("GET", f"{plane.url}{CONFIG_MAPS}?watch=1", preload_content=False)
        port = f"--secure-port={plane.url.rpartition(':')[2]}"
        (server,) = (child for child in psutil.Process().children(recursive=True) if port in child.cmdline())
        server.terminate()
        psutil.wait_procs([server], timeout=30)
        with pytest.raises(ControlPlaneError, match="memory-apiserver ended with 0"):
            plane.check()
        watch.close()
        pool.clear()


def test_nothing_is_left_when_its_holder_is_killed() -> None:
    program = "from disvc.testing.memory.controlplane import MemoryControlPlane as P\nprint(P().start().url)\ninput()"
    command = [sys.executable, "-W", "ignore", "-u", "-c", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline().startswith(b"https://")
        others = psutil.Process(holder.pid).children(recursive=True)
        assert any("disvc.testing.memory.serve" in other.cmdline() for other in others)
        holder.kill()
    assert psutil.wait_procs(others, timeout=30)[1] == []


class Playground:
    """`python -m disvc.testing.memory`, until it is interrupted."""

    def __init__(self, *options: str) -> None:
        command = [sys.executable, "-m", "disvc.testing.memory", *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def said(self) -> str:
        """Return what it says once it runs."""
        assert self.process.stdout is not None
        return "".join(self.process.stdout.readline() for _ in range(6))

    def end(self, how: signal.Signals) -> tuple[int, str]:
        """Send a signal, and return the exit code and what it said since."""
        self.process.send_signal(how)
        rest, _ = self.process.communicate(timeout=60)
        return self.process.returncode, rest


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_the_playground_tells_how_to_use_it_and_ends_cleanly(tmp_path: Path, how: signal.Signals) -> None:
    kubeconfig, crd = tmp_path / "kubeconfig", "config/crd/bases/serving.kserve.io_distributedinferenceservices.yaml"
    playground = Playground(f"--kubeconfig={kubeconfig}", f"--crd={crd}")
    try:
        said = playground.said()
        assert said.startswith("Serving the Kubernetes API on https://127.0.0.1:")
        assert f"export KUBECONFIG={kubeconfig}" in said
        environment = {**os.environ, "KUBECONFIG": str(kubeconfig), "KUBECACHEDIR": str(tmp_path / "cache")}
        shown = subprocess.run(["kubectl", "get", "disvc"], env=environment, capture_output=True, text=True, check=True)
        assert shown.stderr == "No resources found in default namespace.\n"
        others = psutil.Process(playground.process.pid).children(recursive=True)
        code, rest = playground.end(how)
    finally:
        playground.process.kill()
    assert (code, rest.splitlines()[-1]) == (0, "Stopped.")
    assert not kubeconfig.exists()
    assert psutil.wait_procs(others, timeout=30)[1] == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--kubeconfig", "README.md"], "README.md: File exists; give the name of a file that is not there yet"),
        (["--crd", "README.md"], "README.md cannot be read"),
        (["--crd", "config/samples/transformer.yaml"], "has no CustomResourceDefinition"),
        (["--crd", "{tmp_path}/crd.yaml"], "a CustomResourceDefinition lacks 'spec'"),
        (["--crd", "none.yaml"], "'none.yaml' does not exist"),
        (["--port", "70000"], "70000 is not in the range"),
    ],
)
def test_the_playground_tells_what_is_wrong_in_a_line(tmp_path: Path, options: list[str], message: str) -> None:
    (tmp_path / "crd.yaml").write_text("{kind: CustomResourceDefinition, metadata: {name: a}}")
    playground = Playground(*(option.format(tmp_path=tmp_path) for option in options))
    _, errors = playground.process.communicate(timeout=60)
    assert playground.process.returncode != 0
    assert message in errors
    assert "Traceback" not in errors
