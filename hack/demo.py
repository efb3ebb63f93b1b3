"""`make demo`: the three workflows on a real kube-apiserver, told as they happen.

A control plane (kube-apiserver, etcd, kube-controller-manager) and `disvc-manager` run as processes, KServe and its
pods are simulated: no model is served here. It ends with 0 only if every workflow ended as it should.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from rich.console import Console
from rich.syntax import Syntax

from disvc.api.crd import crd
from disvc.reconcilers.resources import DISVCS, INGRESSES, ISVCS, SERVICES
from disvc.runtime import Client, Resource, configure_logging, connect
from disvc.testing.controlplane import ControlPlane
from disvc.testing.crds import install as install_crd
from disvc.testing.kserve import Healthy, SimulatedKServe
from disvc.testing.kserve import install as install_kserve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    Value = dict[str, Any]

ROOT = Path(__file__).parents[1]
SAMPLES = Path("config/samples")
NAMESPACE = "models"
STARTUP_SECONDS = 1.0
EVENTS: Resource[Value] = Resource("events.k8s.io/v1", "Event", "events")

console = Console(highlight=False, soft_wrap=True)


class Story:
    """Tells each change of a DISVC and of what belongs to it, with the seconds since the last command."""

    def __init__(self, plane: ControlPlane, client: Client) -> None:
        self._plane = plane
        self._client = client
        self._since = time.monotonic()
        self._told: dict[tuple[str, str], str] = {}
        self._statuses: dict[str, Value] = {}
        self._changed = asyncio.Condition()

    async def kubectl(self, *words: str) -> None:
        """Run a command and show it with what it prints."""
        console.print(f"\n[bold]$ kubectl {' '.join(words)}[/bold]")
        self._since = time.monotonic()
        console.print((await self._plane.kubectl("-n", NAMESPACE, *words)).rstrip(), markup=False)

    async def until_ready(self, name: str, revision: str) -> None:
        """Wait until a revision is rolled out and serves. Raises `TimeoutError`."""

        def is_ready() -> bool:
            status = self._statuses.get(name, {})
            ready = next((c for c in status.get("conditions", ()) if c["type"] == "Ready"), {"status": ""})
            return ready["status"] == "True" and status["targetRevision"]["name"] == revision

        async with asyncio.timeout(60), self._changed:
            await self._changed.wait_for(is_ready)
        await asyncio.sleep(0.3)  # the Event about it is told before what comes next

    async def until_gone(self, name: str) -> None:
        """Wait until an InferenceService and its Service are gone. Raises `TimeoutError`."""
        async with asyncio.timeout(60), self._changed:
            await self._changed.wait_for(lambda: not any(key[1].startswith(name) for key in self._told))

    async def follow(self, resource: Resource[Value]) -> None:
        """Tell what happens to one resource, for as long as the demo runs."""
        opened = self._client.watch(resource, NAMESPACE, initial_events=True, timeout_seconds=3600)
        async with opened as pieces:
            async for piece in pieces:
                for event in piece:
                    if event.type != "BOOKMARK":
                        await self._tell(resource, event.type, resource.read(event.object).decode())

    async def _tell(self, resource: Resource[Value], change: str, value: Value) -> None:
        name = value["metadata"]["name"]
        async with self._changed:
            if resource is EVENTS:
                if value["regarding"]["kind"] == DISVCS.kind and change == "ADDED":
                    self._line("cyan", f"{value['reason']}: {value['note']}")
                return
            if resource.kind == DISVCS.kind:
                self._statuses[name] = value.get("status", {})
            elif change == "DELETED":
                self._told.pop((resource.kind, name), None)
                self._line("", f"{resource.kind} {name} is gone")
            elif (told := _in_words(resource, value)) and self._told.get((resource.kind, name)) != told:
                self._told[resource.kind, name] = told
                self._line("", f"{resource.kind} {name} {told}")
            self._changed.notify_all()

    def _line(self, style: str, text: str) -> None:
        console.print(f"  {time.monotonic() - self._since:5.1f} s  {text}", style=style or None, markup=False)


def _in_words(resource: Resource[Value], value: Value) -> str:
    """Say what matters of an object; "" for what KServe makes for itself."""
    if not any(owner["kind"] == DISVCS.kind for owner in value["metadata"].get("ownerReferences", ())):
        return ""
    spec, status = value["spec"], value.get("status", {})
    if resource is SERVICES:
        return f"leads to {spec['selector'].get('disvc.group')}"
    if resource is INGRESSES:
        (rule,) = spec["rules"]
        return f"leads from {rule['host']} to {rule['http']['paths'][0]['backend']['service']['name']}"
    if value["metadata"].get("deletionTimestamp"):
        return "is being deleted"
    is_ready = any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions", ()))
    return "is ready" if is_ready else "is starting"


async def workflows(story: Story) -> None:
    """Run the three workflows."""
    _title("1  Scale-out over REST")
    sample = (ROOT / SAMPLES / "scale-out-rest.yaml").read_text().rstrip()
    console.print(Syntax(sample, "yaml", background_color="default"))
    await story.kubectl("apply", "-f", f"{SAMPLES}/scale-out-rest.yaml")
    await story.until_ready("iris-rest", "iris-rest-v1")
    await story.kubectl("scale", "disvc/iris-rest", "--replicas=3")
    await story.kubectl("wait", "disvc/iris-rest", "--for=condition=Ready", "--timeout=60s")
    await story.kubectl("get", "disvc,isvc,service,ingress")
    _title("2  Scale-out over gRPC")
    await story.kubectl("apply", "-f", f"{SAMPLES}/scale-out-grpc.yaml")
    await story.until_ready("iris-grpc", "iris-grpc-v1")
    _title("3  Rolling update")
    await story.kubectl("apply", "-f", f"{SAMPLES}/rolling-update-v1.yaml")
    await story.until_ready("iris-rolling", "iris-rolling-v1")
    console.print("\n  By default the old revision is kept for 30 s after the switch; here for 3 s.")
    patch = '{"spec":{"deploymentStrategy":{"propagationSeconds":2,"drainSeconds":3}}}'
    await story.kubectl("patch", "disvc/iris-rolling", "--type=merge", f"--patch={patch}")
    await story.kubectl("apply", "-f", f"{SAMPLES}/rolling-update-v2.yaml")
    await story.until_ready("iris-rolling", "iris-rolling-v2")
    await story.until_gone("iris-rolling-v1")
    await story.kubectl("describe", "disvc/iris-rolling", "--show-events=true")
    _title("In the end")
    await story.kubectl("get", "disvc", "-o", "wide")


def _title(text: str) -> None:
    console.print()
    console.rule(f"[bold]{text}", align="left")


@asynccontextmanager
async def manager(kubeconfig: Path, log: Path) -> AsyncIterator[None]:
    """Run `disvc-manager` as a process, with the rights of config/rbac."""
    program = Path(sys.executable).with_name("disvc-manager")
    flags = ("--metrics-bind-address=0", "--health-probe-bind-address=0", f"--watch-namespaces={NAMESPACE}")
    environment = {**os.environ, "KUBECONFIG": str(kubeconfig)}
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(program, *flags, env=environment, stderr=file)
        try:
            async with asyncio.timeout(60):
                while b"controller started" not in await asyncio.to_thread(log.read_bytes):  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
            yield
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


async def demo() -> None:
    """Start everything, run the workflows, stop everything."""
    console.print("Starting kube-apiserver, etcd and kube-controller-manager …")
    async with ControlPlane(controller_manager=True) as plane:
        await asyncio.to_thread(install_kserve, plane.admin)
        await asyncio.to_thread(install_crd, plane.admin, crd())
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
        await asyncio.to_thread(plane.admin.call, "POST", "/api/v1/namespaces", namespace)
        files = [yaml.safe_load_all((ROOT / "config/rbac" / name).read_text()) for name in ("role.yaml", "events.yaml")]
        rules = [rule for file in files for role in file if role["kind"] == "ClusterRole" for rule in role["rules"]]
        operator = await asyncio.to_thread(plane.user, "disvc-manager", (), rules)
        log = plane.folder / "logs" / "disvc-manager.log"
        async with connect(plane.admin.kubeconfig) as transport:
            kserve = SimulatedKServe(
                transport,
                NAMESPACE,
                serving=plane.serving,
                ca_file=plane.ca_file,
                behaviour=lambda _: Healthy(startup_seconds=STARTUP_SECONDS),
            )
            story = Story(plane, Client(transport))
            async with kserve, manager(operator.kubeconfig, log):
                following = [
                    asyncio.create_task(story.follow(resource))
                    for resource in (_untyped(DISVCS), ISVCS, SERVICES, INGRESSES, EVENTS)
                ]
                try:
                    await workflows(story)
                except TimeoutError:
                    console.print("\nThis took longer than a minute. The manager's log ends with:", style="red")
                    console.print("\n".join(log.read_text().splitlines()[-20:]), markup=False)
                    raise
                finally:
                    for task in following:
                        task.cancel()
    console.print("\nAll three workflows ended as promised; everything is stopped.", style="green")


def _untyped(resource: Resource[Any]) -> Resource[Value]:
    return Resource(resource.api_version, resource.kind, resource.plural)


def main() -> None:
    """Run the demo."""
    os.chdir(ROOT)
    configure_logging(level="error", stream=sys.stderr)
    try:
        asyncio.run(demo())
    except TimeoutError:
        sys.exit(1)
    except KeyboardInterrupt:
        console.print("\nStopped.")
        sys.exit(130)


if __name__ == "__main__":
    main()
