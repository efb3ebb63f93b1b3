"""ISVCs whose pods are model servers on this machine: what they answer, how they fail, and how they end."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from functools import partial
from typing import TYPE_CHECKING, Any

import aiohttp
import joblib
import msgspec
import psutil
import pytest
from grpc import aio
from kserve.protocol.grpc import grpc_predict_v2_pb2 as v2
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

from disvc.local.addresses import loopback
from disvc.local.host import Host
from disvc.local.kubelet import LogServer
from disvc.local.models import BROKEN, EXAMPLE_ROWS, IRIS, IRIS_2, TrainedModel, train
from disvc.local.runner import ProcessRunner
from disvc.runtime import Resource
from disvc.testing.binaries import binary
from disvc.testing.kserve import INFERENCE_SERVICES
from disvc.testing.kubectl import KubectlError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from conftest import ISVCs, Until

    from disvc.local.addresses import Address
    from disvc.testing.controlplane import ControlPlane
    from disvc.testing.kserve import SimulatedKServe

    Value = dict[str, Any]
    Kubectl = Callable[..., Awaitable[str]]
    MakeKServe = Callable[..., Awaitable[SimulatedKServe]]

pytestmark = pytest.mark.alone

PODS = Resource("v1", "Pod", "pods")
ENDPOINT_SLICES = Resource("discovery.k8s.io/v1", "EndpointSlice", "endpointslices")
ISVC = "serving.kserve.io/inferenceservice"
REST_PORT, GRPC_PORT = 8080, 8081
INFER = {"inputs": [{"name": "rows", "shape": [2, 4], "datatype": "FP64", "data": EXAMPLE_ROWS}]}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> list[TrainedModel]:
    return train(tmp_path_factory.mktemp("models"))


@pytest.fixture
async def host(tmp_path: Path, trained: list[TrainedModel]) -> AsyncIterator[Host]:
    async with Host(tmp_path, mirror={model.uri: model.folder for model in trained}, backoff_seconds=1) as host:
        yield host


@pytest.fixture
async def pods(
    host: Host, make_kserve: MakeKServe, isvcs: ISVCs, control_plane_with_controllers: ControlPlane
) -> AsyncIterator[ISVCs]:
    """The ISVCs of a namespace whose pods are processes."""
    runner = ProcessRunner(host, drain_seconds=0.5)
    async with LogServer(runner, control_plane_with_controllers.serving) as logs:
        await make_kserve(runner=runner, logs_port=logs.port)
        yield isvcs


@pytest.fixture
def kubectl(control_plane_with_controllers: ControlPlane, kserve_namespace: str) -> Kubectl:
    """`await kubectl("logs", …)`: what it prints, in the namespace of the pods."""
    return partial(control_plane_with_controllers.kubectl, f"--namespace={kserve_namespace}")


def scikit_learns(trained: list[TrainedModel], uri: str) -> list[int]:
    """Return the classes of the rows that scikit-learn itself gives."""
    (folder,) = (model.folder for model in trained if model.uri == uri)
    classes: list[int] = joblib.load(folder / "model.joblib").predict(EXAMPLE_ROWS).tolist()
    return classes


async def by_rest(address: Address) -> list[int]:
    url = "http://{}:{}/v2/models/iris/infer".format(*address)
    async with aiohttp.ClientSession() as session, session.post(url, json=INFER) as answer:
        assert answer.status == 200, await answer.text()
        classes: list[int] = (await answer.json())["outputs"][0]["data"]
        return classes


async def by_grpc(address: Address) -> list[int]:
    async with aio.insecure_channel("{}:{}".format(*address)) as channel:
        stub = GRPCInferenceServiceStub(channel)
        assert (await stub.ServerReady(v2.ServerReadyRequest())).ready
        contents = v2.InferTensorContents(fp64_contents=[number for row in EXAMPLE_ROWS for number in row])
        rows = v2.ModelInferRequest.InferInputTensor(name="rows", datatype="FP64", shape=[2, 4], contents=contents)
        answer = await stub.ModelInfer(v2.ModelInferRequest(model_name="iris", inputs=[rows]))
        return list(answer.outputs[0].contents.int64_contents)


async def refuses(address: Address) -> bool:
    try:
        _, writer = await asyncio.open_connection(*address)
    except ConnectionRefusedError:
        return True
    writer.close()
    return False


def listening(pid: int) -> set[Address]:
    """Return where a process accepts connections; gRPC does by IPv6 sockets with mapped addresses."""
    sockets = [c for c in psutil.net_connections("tcp") if c.pid == pid and c.status == psutil.CONN_LISTEN]
    return {(s.laddr.ip.removeprefix("::ffff:"), s.laddr.port) for s in sockets if s.laddr}


def model(uri: str, **fields: Any) -> Value:
    return {"model": {"storageUri": uri, "protocolVersion": "v2", "args": ["--model_name=iris"], **fields}}


async def pod_of(isvcs: ISVCs, isvc: str, condition: Callable[[Value], bool] = lambda pod: True) -> Value:
    """Wait until the only pod of an ISVC is so, and return it."""

    def found(pods: dict[str, Value]) -> list[Value]:
        return [p for p in pods.values() if p["metadata"]["labels"][ISVC] == isvc and condition(p)]

    (pod,) = found(await isvcs.until(PODS, found))
    return pod


def server(pod: Value) -> Value:
    """Return the status of a pod's server, {} while it has none."""
    statuses: list[Value] = pod["status"].get("containerStatuses") or [{}]
    return statuses[0]


def waits_for(pod: Value) -> str:
    """Return why a pod's server does not run, "" where it does."""
    return str(server(pod).get("state", {}).get("waiting", {}).get("reason", ""))


def initializes(pod: Value) -> bool:
    """Return whether a pod's storage-initializer has run and failed."""
    statuses: list[Value] = pod["status"].get("initContainerStatuses") or [{}]
    return "terminated" in statuses[0].get("lastState", {})


def is_ready(pod: Value) -> bool:
    return bool(server(pod).get("ready"))


async def test_isvcs_of_both_protocols_answer_what_scikit_learn_does_also_after_a_kill(
    pods: ISVCs, trained: list[TrainedModel]
) -> None:
    h2c = {"name": "h2c", "protocol": "TCP", "containerPort": GRPC_PORT}
    await pods.create("a-v1-0", predictor=pods.predictor(**model(IRIS)))
    await pods.create("b-v1-0", predictor=pods.predictor(**model(IRIS_2, ports=[h2c])))
    for isvc, uri in (("a-v1-0", IRIS), ("b-v1-0", IRIS_2)):
        await pods.until_ready(isvc)
        pod = await pod_of(pods, isvc)
        addresses = loopback(pod)
        assert await by_rest(addresses[REST_PORT]) == scikit_learns(trained, uri)
        assert await by_grpc(addresses[GRPC_PORT]) == scikit_learns(trained, uri)
    assert scikit_learns(trained, IRIS) != scikit_learns(trained, IRIS_2)

    a = await pod_of(pods, "a-v1-0")
    pid = int(server(a)["containerID"].removeprefix("process://"))
    assert listening(pid) == set(loopback(a).values())
    os.kill(pid, signal.SIGKILL)
    again = await pod_of(pods, "a-v1-0", lambda pod: is_ready(pod) and server(pod)["restartCount"] == 1)
    assert server(again)["lastState"]["terminated"]["exitCode"] == 128 + signal.SIGKILL
    assert loopback(again) == loopback(a)
    assert await by_rest(loopback(a)[REST_PORT]) == scikit_learns(trained, IRIS)


async def test_a_pod_that_is_deleted_answers_what_was_begun_and_accepts_nothing_new(
    pods: ISVCs, trained: list[TrainedModel], until: Until
) -> None:
    await pods.create("a", predictor=pods.predictor(**model(IRIS)))
    await pods.until_ready("a")
    pod = await pod_of(pods, "a")
    address = loopback(pod)[REST_PORT]
    reader, writer = await asyncio.open_connection(*address)
    body = msgspec.json.encode(INFER)
    for line in ("POST /v2/models/iris/infer HTTP/1.1", "Host: a", "Content-Type: application/json"):
        writer.write(f"{line}\r\n".encode())
    writer.write(f"Content-Length: {len(body)}\r\n\r\n".encode() + body[:20])
    await pods.client.delete(PODS, pod["metadata"]["name"], pods.namespace)
    await pods.until(
        ENDPOINT_SLICES,
        lambda slices: any(
            endpoint["conditions"].get("terminating") and not endpoint["conditions"]["ready"]
            for endpoint_slice in slices.values()
            for endpoint in endpoint_slice["endpoints"] or ()
        ),
    )
    await until(lambda: refuses(address))
    assert pod["metadata"]["name"] in {p["metadata"]["name"] for p in await pods.all(PODS)}
    writer.write(body[20:])
    answer = await reader.read()
    head, _, content = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK"), answer
    assert msgspec.json.decode(content)["outputs"][0]["data"] == scikit_learns(trained, IRIS)
    writer.close()
    await pods.until(PODS, lambda left: pod["metadata"]["name"] not in left)


async def test_what_cannot_be_fetched_loaded_or_run_is_told_by_its_pod_and_by_kserve(pods: ISVCs) -> None:
    await pods.create("broken", predictor=pods.predictor(**model(BROKEN)))
    await pods.create("nowhere", predictor=pods.predictor(**model("file:///nowhere/to/be/found")))
    await pods.create("volume", predictor=pods.predictor(**model("pvc://claim/model")))
    await pods.create("mlserver", predictor=pods.predictor(**model(IRIS, runtime="kserve-mlserver")))

    broken = server(await pod_of(pods, "broken", lambda pod: waits_for(pod) == "CrashLoopBackOff"))
    assert broken["lastState"]["terminated"]["exitCode"] == 1
    assert "joblib.load" in broken["lastState"]["terminated"]["message"]
    assert broken["restartCount"] >= 1

    def blocked(isvcs: dict[str, Value]) -> bool:
        status: Value = isvcs["nowhere"].get("status", {}).get("modelStatus", {})
        return status.get("transitionStatus") == "BlockedByFailedLoad"

    failure = (await pods.until(INFERENCE_SERVICES, blocked))["nowhere"]["status"]["modelStatus"]["lastFailureInfo"]
    assert (failure["reason"], failure["exitCode"]) == ("ModelLoadFailed", 1)
    assert failure["message"].endswith("RuntimeError: Local path file:///nowhere/to/be/found does not exist.\n")

    volume = await pod_of(pods, "volume", lambda pod: waits_for(pod) == "CreateContainerConfigError")
    assert "neither pvc:// nor oci://" in server(volume)["state"]["waiting"]["message"]
    other = await pod_of(pods, "mlserver", lambda pod: waits_for(pod) == "ImagePullBackOff")
    assert "kserve/sklearnserver" in server(other)["state"]["waiting"]["message"]


async def test_kubectl_logs_shows_what_a_server_and_its_loader_write(pods: ISVCs, kubectl: Kubectl) -> None:
    await pods.create("a", predictor=pods.predictor(**model(IRIS)))
    await pods.until_ready("a")
    name = (await pod_of(pods, "a"))["metadata"]["name"]
    whole = await kubectl("logs", "deployment/a-predictor")
    assert "Registering model: iris" in whole
    assert whole.endswith("Application startup complete.\n")
    assert await kubectl("logs", name, "--tail=1") == whole.splitlines(keepends=True)[-1]
    assert await kubectl("logs", name, "--limit-bytes=9") == whole[:9]
    assert await kubectl("logs", name, "--since=1h") == whole
    assert await kubectl("logs", name, "--since-time=2099-01-01T00:00:00Z") == ""
    times = [line.split()[0] for line in (await kubectl("logs", name, "--timestamps")).splitlines()]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", time) for time in times)
    assert times == sorted(times)
    loaded = await kubectl("logs", "-l", f"{ISVC}=a", "-c", "storage-initializer")
    assert "Model downloaded in" in loaded
    assert sorted(await kubectl("logs", name, "--all-containers")) == sorted(whole + loaded)
    with pytest.raises(
        KubectlError, match=f'previous terminated container "kserve-container" in pod "{name}" not found'
    ):
        await kubectl("logs", name, "--previous")


async def test_kubectl_logs_of_what_fails_shows_why_also_after_a_restart(pods: ISVCs, kubectl: Kubectl) -> None:
    await pods.create("broken", predictor=pods.predictor(**model(BROKEN)))
    await pods.create("nowhere", predictor=pods.predictor(**model("file:///nowhere/to/be/found")))
    await pods.create("mlserver", predictor=pods.predictor(**model(IRIS, runtime="kserve-mlserver")))
    broken = await pod_of(pods, "broken", lambda pod: server(pod).get("restartCount", 0) >= 1)
    previous = await kubectl("logs", broken["metadata"]["name"], "--previous")
    assert "joblib.load" in previous
    await pod_of(pods, "broken", lambda pod: waits_for(pod) == "CrashLoopBackOff")
    assert "joblib.load" in await kubectl("logs", "deployment/broken-predictor", "--follow")

    nowhere = (await pod_of(pods, "nowhere", initializes))["metadata"]["name"]
    assert "does not exist" in await kubectl("logs", nowhere, "-c", "storage-initializer", "--tail=1")
    waiting = f'container "kserve-container" in pod "{nowhere}" is waiting to start: PodInitializing'
    with pytest.raises(KubectlError, match=waiting):
        await kubectl("logs", nowhere)
    await pod_of(pods, "mlserver", lambda pod: waits_for(pod) == "ImagePullBackOff")
    with pytest.raises(KubectlError, match="is waiting to start: trying and failing to pull image"):
        await kubectl("logs", "deployment/mlserver-predictor")


async def test_a_log_is_followed_to_the_last_words_of_its_server(
    pods: ISVCs, control_plane_with_controllers: ControlPlane
) -> None:
    await pods.create("a", predictor=pods.predictor(**model(IRIS)))
    await pods.until_ready("a")
    pod = await pod_of(pods, "a")
    name = pod["metadata"]["name"]
    kubeconfig = control_plane_with_controllers.admin.kubeconfig
    following = await asyncio.create_subprocess_exec(
        binary("kubectl"),
        *(f"--kubeconfig={kubeconfig}", f"--namespace={pods.namespace}", "logs", name, "--follow", "--tail=1"),
        stdout=asyncio.subprocess.PIPE,
    )
    assert following.stdout is not None
    try:
        async with asyncio.timeout(60):
            assert (await following.stdout.readline()).endswith(b"Application startup complete.\n")
            await by_rest(loopback(pod)[REST_PORT])
            assert b"predict_ms" in await following.stdout.readline()
            await pods.client.delete(PODS, name, pods.namespace)
            assert b"Finished server process" in await following.stdout.read()
            assert await following.wait() == 0
    finally:
        if following.returncode is None:
            following.kill()
            await following.wait()
