"""Events on a real API server, as kubectl shows them."""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from disvc.runtime import Client, Resource, connect
from disvc.runtime.events import EventRecorder, ObjectReference
from disvc.runtime.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from disvc.runtime import Object
    from disvc.testing.controlplane import ControlPlane

CONFIG_MAPS = Resource("v1", "ConfigMap", "configmaps")


class Reporter:
    """A recorder that runs, as one user."""

    def __init__(self, client: Client, metrics: Metrics) -> None:
        self.client = client
        self.recorder = EventRecorder(client, metrics, reporting_controller="example.com/web")
        self._metrics = metrics

    def dropped(self, reason: str) -> float | None:
        return self._metrics.registry.get_sample_value("disvc_events_dropped_total", {"reason": reason})

    async def sent(self) -> None:
        async with asyncio.timeout(30):
            await self.recorder.flush()

    async def object(self, namespace: str, name: str = "web") -> Object[Any]:
        return await self.client.create(CONFIG_MAPS, {"metadata": {"name": name}}, namespace)


@asynccontextmanager
async def reporter(control_plane: ControlPlane, user: str = "") -> AsyncIterator[Reporter]:
    who = await asyncio.to_thread(control_plane.user, user) if user else control_plane.admin
    metrics = Metrics()
    async with connect(control_plane.kubeconfig(who)) as transport, asyncio.TaskGroup() as tasks:
        web = Reporter(Client(transport), metrics)
        running = tasks.create_task(web.recorder.run())
        yield web
        running.cancel()


async def test_kubectl_shows_an_event_and_its_count(control_plane: ControlPlane, namespace: str) -> None:
    async with reporter(control_plane) as web:
        obj = await web.object(namespace)
        web.recorder.event(obj, "Normal", "Started", "Starting", "It runs")
        await web.sent()
        for _ in range(5):
            web.recorder.event(obj, "Warning", "Unhealthy", "Probing", "It does not answer")
            await web.sent()
    described = await control_plane.kubectl("describe", "configmap", "web", "-n", namespace)
    assert re.search(r"Normal +Started +\S+ +example.com/web +It runs", described), described
    assert re.search(r"Warning +Unhealthy +\S+ \(x5 over \S+\) +example.com/web +It does not answer", described)
    listed = await control_plane.kubectl("get", "events", "-n", namespace, "-o", "wide")
    rows = {re.split(" {2,}", line)[2]: re.split(" {2,}", line) for line in listed.splitlines()[1:]}
    assert rows["Started"][3] == rows["Unhealthy"][3] == "configmap/web"
    assert rows["Started"][-2] == "1"
    assert rows["Unhealthy"][-2] == "5"
    assert "<unknown>" not in listed


async def test_kubectl_describe_shows_the_events_of_an_object_in_the_order_in_which_they_happened(
    control_plane: ControlPlane, namespace: str
) -> None:
    reasons = [f"Step{n}" for n in range(15)]
    async with reporter(control_plane) as web:
        obj = await web.object(namespace)
        for reason in reasons:
            web.recorder.event(obj, "Normal", reason, "Stepping", "It goes on")
        web.recorder.event(obj, "Normal", "Step3", "Stepping", "It goes on")
        await web.sent()
    described = await control_plane.kubectl("describe", "configmap", "web", "-n", namespace)
    assert re.findall(r"Normal +(Step\d+) ", described) == reasons, described


async def test_kubectl_shows_the_event_of_a_cluster_scoped_object(control_plane: ControlPlane, namespace: str) -> None:
    async with reporter(control_plane) as web:
        uid = (
            await web.client.get(Resource("v1", "Namespace", "namespaces", namespaced=False), namespace)
        ).metadata.uid
        web.recorder.event(ObjectReference("v1", "Namespace", "", namespace, uid), "Normal", "Seen", "Seeing", "It is")
        await web.sent()
    listed = await control_plane.kubectl("events", "-n", "default", "--for", f"namespace/{namespace}")
    assert "Seen" in listed


async def test_the_server_takes_the_longest_arguments_that_are_not_refused(
    control_plane: ControlPlane, namespace: str
) -> None:
    async with reporter(control_plane) as web:
        about = ObjectReference("v1", "ConfigMap", namespace, "x" * 300, field_path="data.a")
        web.recorder.event(about, "Normal", "é" * 64, "a" * 128, "🙂" * 1024, related=about)
        await web.sent()
        assert web.dropped("rejected") == 0
    assert "🙂…" in await control_plane.kubectl("get", "events", "-n", namespace)


async def test_an_event_that_was_deleted_is_created_again_with_its_count(
    control_plane: ControlPlane, namespace: str
) -> None:
    async with reporter(control_plane) as web:
        obj = await web.object(namespace)
        web.recorder.event(obj, "Normal", "Started", "Starting", "It runs")
        await web.sent()
        await control_plane.kubectl("delete", "events", "--all", "-n", namespace)
        web.recorder.event(obj, "Normal", "Started", "Starting", "It runs")
        await web.sent()
    assert "(x2 over" in await control_plane.kubectl("describe", "configmap", "web", "-n", namespace)


async def test_a_user_that_may_not_create_events_is_told_so(control_plane: ControlPlane, namespace: str) -> None:
    with capture_logs() as logs:
        async with reporter(control_plane, f"{namespace}:mute") as web:
            for reason in ("A", "B"):
                web.recorder.event(ObjectReference("v1", "ConfigMap", namespace, "web"), "Normal", reason, "Do", "x")
            await web.sent()
            assert web.dropped("forbidden") == 2
    (log,) = [log for log in logs if log.get("reason") == "forbidden"]
    assert f'User "{namespace}:mute" cannot create resource "events" in API group "events.k8s.io"' in log["error"]


@pytest.mark.parametrize("gone", ["terminating", "absent"])
async def test_the_events_of_a_namespace_that_goes_are_dropped_quietly(
    control_plane: ControlPlane, namespace: str, gone: str
) -> None:
    with capture_logs() as logs:
        async with reporter(control_plane) as web:
            if gone == "terminating":
                obj = await web.client.create(
                    CONFIG_MAPS, {"metadata": {"name": "stays", "finalizers": ["example.com/stay"]}}, namespace
                )
                await control_plane.kubectl("delete", "namespace", namespace, "--wait=false")
                about = ObjectReference.to(obj)
            else:
                about = ObjectReference("v1", "ConfigMap", f"{namespace}-never-was", "web")
            web.recorder.event(about, "Normal", "Going", "Going", "It goes")
            await web.sent()
            assert web.dropped("namespace_terminating") == 1
            if gone == "terminating":
                await web.client.patch(CONFIG_MAPS, "stays", {"metadata": {"finalizers": None}}, namespace)
    assert not [log for log in logs if log["log_level"] != "debug"]
