"""The local ingress, with a real Envoy, on API objects of a real kube-apiserver; its backends are small servers."""

from __future__ import annotations

import asyncio
import base64
import json
import signal
import socket
import ssl
import sys
from contextlib import AsyncExitStack, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import grpc
import psutil
import pytest
from aiohttp import web

from disvc.local.ingress import LocalIngress, PortInUse
from disvc.reconcilers.resources import ENDPOINT_SLICES, INGRESSES, PODS, SERVICES
from disvc.runtime import Client, Resource, connect
from disvc.testing.certificates import Authority
from disvc.testing.program import Program

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from pathlib import Path

    from disvc.testing.controlplane import ControlPlane

    Value = dict[str, Any]

SECRETS: Final = Resource("v1", "Secret", "secrets")
HOST: Final = "iris.example.com"
METHOD: Final = "/inference.GRPCInferenceService/ModelInfer"
DRAIN_SECONDS: Final = 0.5
"""How long a server goes on after its endpoint has left, as a pod does by a preStop hook."""


class Backend:
    """A server that answers with its name, over REST and gRPC, and the pod that tells where it listens."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.asked = asyncio.Event()
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._answer)
        self._rest = web.AppRunner(application, access_log=None, shutdown_timeout=10.0)
        self._grpc = grpc.aio.server()
        method = grpc.unary_unary_rpc_method_handler(self._call)
        handlers = grpc.method_handlers_generic_handler("inference.GRPCInferenceService", {"ModelInfer": method})
        self._grpc.add_generic_rpc_handlers((handlers,))

    async def start(self) -> dict[str, str]:
        await self._rest.setup()
        await web.TCPSite(self._rest, "127.0.0.1", 0).start()
        rest, grpc_port = self._rest.addresses[0][1], self._grpc.add_insecure_port("127.0.0.1:0")
        await self._grpc.start()
        return {"8080": f"127.0.0.1:{rest}", "8081": f"127.0.0.1:{grpc_port}"}

    async def stop(self) -> None:
        await asyncio.gather(self._rest.cleanup(), self._grpc.stop(10.0))

    async def _answer(self, request: web.Request) -> web.Response:
        if request.path == "/slow":
            self.asked.set()
            await self.may_answer.wait()
        return web.Response(text=self.name)

    async def _call(self, request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        return self.name.encode()


class Cluster:
    """What a person, KServe and the controllers of a cluster would make in a namespace; and clients of the ingress."""

    def __init__(self, client: Client, namespace: str) -> None:
        self.client = client
        self.namespace = namespace
        self.open = AsyncExitStack()
        self.ingress: LocalIngress
        self._slices: dict[str, Value] = {}

    async def backend(self, name: str) -> Backend:
        server = Backend(name)
        loopback = await server.start()
        self.open.push_async_callback(server.stop)
        spec = {"containers": [{"name": "server", "image": "server"}]}
        await self.client.create(PODS, self._object(name, spec=spec, **{"local.disvc/loopback": json.dumps(loopback)}))
        return server

    async def service(self, name: str, *, port: int = 8080, **spec: Any) -> None:
        ports = [{"port": 80, "targetPort": port}]
        await self.client.create(SERVICES, self._object(name, spec={"ports": ports, **spec}))
        labels = {"kubernetes.io/service-name": name}
        value = self._object(name) | {"addressType": "IPv4", "ports": [{"name": "", "port": port}], "endpoints": []}
        value["metadata"]["labels"] = labels
        self._slices[name] = (await self.client.create(ENDPOINT_SLICES, value)).decode()

    async def endpoints(self, service: str, *pods: str) -> None:
        value = self._slices[service]
        value["endpoints"] = [
            {
                "addresses": [f"10.244.0.{10 + number}"],
                "conditions": {"ready": True, "serving": True, "terminating": False},
                "targetRef": {"kind": "Pod", "name": pod, "namespace": self.namespace},
            }
            for number, pod in enumerate(pods)
        ]
        self._slices[service] = (await self.client.update(ENDPOINT_SLICES, value)).decode()

    async def lead(self, *paths: tuple[str, str, str], tls: str = "", **annotations: str) -> None:
        """Make Ingress `i`, or change it: `paths` are path, type and Service."""
        rules = [
            {"path": path, "pathType": kind, "backend": {"service": {"name": to, "port": {"number": 80}}}}
            for path, kind, to in paths
        ]
        spec: Value = {"ingressClassName": "nginx", "rules": [{"host": HOST, "http": {"paths": rules}}]}
        if tls:
            spec["tls"] = [{"hosts": [HOST], "secretName": tls}]
        nginx = {f"nginx.ingress.kubernetes.io/{name.replace('_', '-')}": value for name, value in annotations.items()}
        value = self._object("i", spec=spec, **nginx)
        await self.client.apply(INGRESSES, value, force=True)

    def _object(self, name: str, *, spec: Value | None = None, **annotations: str) -> Value:
        metadata = {"name": name, "namespace": self.namespace, "annotations": annotations}
        return {"metadata": metadata} | ({"spec": spec} if spec else {})

    def internal(self, service: str) -> str:
        return f"{service}.{self.namespace}.svc.cluster.local"

    async def get(self, host: str, path: str = "/", *, client_ip: str = "127.0.0.1") -> tuple[int, str]:
        connector = aiohttp.TCPConnector(local_addr=(client_ip, 0))
        url = f"http://127.0.0.1:{self.ingress.ports.http}{path}"
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.get(url, headers={"Host": host}) as response,
        ):
            return response.status, (await response.text()).strip()

    async def call(self, host: str, *, ca: bytes | None = None) -> str:
        """Call the gRPC method, over TLS where there is an authority, else by h2c."""
        options = [("grpc.default_authority", host), ("grpc.ssl_target_name_override", host)]
        ports = self.ingress.ports
        channel = (
            grpc.aio.insecure_channel(f"127.0.0.1:{ports.http}", options=options[:1])
            if ca is None
            else grpc.aio.secure_channel(f"127.0.0.1:{ports.https}", grpc.ssl_channel_credentials(ca), options=options)
        )
        async with channel:
            answer: bytes = await channel.unary_unary(METHOD)(b"", timeout=10.0)
            return answer.decode()


async def until(ask: Callable[[], Any], expected: object) -> None:
    """Ask until the answer is as expected: what the API server knows, Envoy does some milliseconds later."""
    answer = None
    with suppress(TimeoutError):
        async with asyncio.timeout(20):
            while True:
                answer = await ask()
                if answer == expected:
                    break
                await asyncio.sleep(0.01)
    assert answer == expected


@pytest.fixture
async def cluster(control_plane: ControlPlane, namespace: str) -> AsyncIterator[Cluster]:
    async with connect(control_plane.admin.kubeconfig) as transport:
        made = Cluster(Client(transport), namespace)
        async with made.open, LocalIngress(transport, namespaces=[namespace]) as made.ingress:
            yield made


async def serve(cluster: Cluster, service: str, *names: str, **options: Any) -> list[Backend]:
    """Make a Service with these pods behind it."""
    backends = [await cluster.backend(name) for name in names]
    await cluster.service(service, **options)
    await cluster.endpoints(service, *names)
    return backends


async def test_a_host_and_a_path_lead_to_a_service(cluster: Cluster) -> None:
    for name in ("a", "b", "c"):
        await serve(cluster, name, f"{name}-0")
    await cluster.lead(("/", "Prefix", "a"), ("/v2/models", "Prefix", "b"), ("/v2", "Exact", "c"))
    await until(lambda: cluster.get(HOST), (200, "a-0"))
    found = {path: (await cluster.get(HOST, path))[1] for path in ("/v2", "/v2/x", "/v2/models", "/v2/models/x/infer")}
    assert found == {"/v2": "c-0", "/v2/x": "a-0", "/v2/models": "b-0", "/v2/models/x/infer": "b-0"}
    assert (await cluster.get("IRIS.example.com:8080", "/"))[1] == "a-0", "case and port of a Host do not count"


async def test_a_service_is_reached_by_its_name_in_the_cluster(cluster: Cluster) -> None:
    await serve(cluster, "a", "a-0")
    await until(lambda: cluster.get(cluster.internal("a")), (200, "a-0"))
    for host in (f"a.{cluster.namespace}", f"a.{cluster.namespace}.svc", f"{cluster.internal('a')}:80"):
        assert await cluster.get(host) == (200, "a-0")
    proxy = f"http://127.0.0.1:{cluster.ingress.ports.http}"
    url = f"http://{cluster.internal('a')}/v2"
    async with aiohttp.ClientSession() as session, session.get(url, proxy=proxy) as response:
        assert await response.text() == "a-0", "also for clients that take the ingress for their proxy"
        assert response.headers["x-served-by"] == "a-0"


async def test_what_leads_nowhere_is_told_apart(cluster: Cluster) -> None:
    await cluster.service("empty")
    await cluster.lead(("/empty", "Prefix", "empty"), ("/none", "Prefix", "none"))
    await until(lambda: cluster.get(HOST, "/empty"), (503, "no healthy upstream"))
    assert await cluster.get(cluster.internal("empty")) == (503, "no healthy upstream")
    status, text = await cluster.get(HOST, "/none")
    assert (status, text) == (503, f"Ingress {cluster.namespace}/i leads to Service none, which does not exist")
    assert (await cluster.get(HOST, "/"))[0] == 404
    assert (await cluster.get("nobody.example.com", "/"))[0] == 404


async def test_a_service_that_comes_back_at_once_holds_up_no_other(cluster: Cluster) -> None:
    await serve(cluster, "a", "a-0")
    for number in range(3):
        await cluster.service("again")
        await until(lambda: cluster.get(cluster.internal("again")), (503, "no healthy upstream"))
        await cluster.lead(("/", "Prefix", "a"), (f"/{number}", "Prefix", "again"))
        await until(partial(cluster.get, HOST, f"/{number}"), (503, "no healthy upstream"))
        assert await cluster.get(HOST) == (200, "a-0")
        await cluster.endpoints("again", "a-0")
        await until(lambda: cluster.get(cluster.internal("again")), (200, "a-0"))
        for resource in (SERVICES, ENDPOINT_SLICES):
            await cluster.client.delete(resource, "again", cluster.namespace)
        await cluster.lead(("/", "Prefix", "a"))
        await until(lambda: _status(cluster, cluster.internal("again")), 404)


async def test_grpc_goes_through_the_plain_port_and_over_tls_with_the_secrets_certificate(
    cluster: Cluster, tmp_path: Path
) -> None:
    await serve(cluster, "a", "a-0", port=8081)
    await cluster.lead(("/", "Prefix", "a"), tls="grpc-tls", backend_protocol="GRPC")
    await until(lambda: _told(cluster.call(cluster.internal("a"))), "a-0")
    await until(lambda: _told(cluster.call(HOST)), "a-0")
    authority = Authority("test", tmp_path)
    ca = authority.ca_file.read_bytes()
    assert await _told(cluster.call(HOST, ca=ca)) == "UNAVAILABLE", "the default certificate is nobody's"
    made = authority.server("server", [HOST], [])
    files = {"tls.crt": made.cert_file, "tls.key": made.key_file}
    secret = cluster._object("grpc-tls") | {
        "type": "kubernetes.io/tls",
        "data": {name: base64.b64encode(file.read_bytes()).decode() for name, file in files.items()},
    }
    await cluster.client.create(SECRETS, secret)
    await until(lambda: _told(cluster.call(HOST, ca=ca)), "a-0")


async def _told(call: Awaitable[str]) -> str:
    """Return the answer to a call, or the name of its status."""
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        return str(error.code().name)


async def test_a_host_without_a_secret_has_the_default_certificate_and_both_protocols(cluster: Cluster) -> None:
    await serve(cluster, "a", "a-0")
    await cluster.lead(("/", "Prefix", "a"), tls="missing")
    await until(lambda: cluster.get(HOST), (200, "a-0"))
    for offered in ("h2", "http/1.1"):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols([offered])
        _, writer = await asyncio.open_connection(
            "127.0.0.1", cluster.ingress.ports.https, ssl=context, server_hostname=HOST
        )
        assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == offered
        writer.close()
        await writer.wait_closed()


async def test_a_client_stays_on_one_of_three_backends(cluster: Cluster) -> None:
    await serve(cluster, "a", "a-0", "a-1", "a-2", sessionAffinity="ClientIP")
    await cluster.lead(("/", "Prefix", "a"), upstream_hash_by="$binary_remote_addr")
    for host in (HOST, cluster.internal("a")):
        await until(partial(_status, cluster, host), 200)
    clients = [f"127.0.1.{number}" for number in range(1, 25)]
    for each in (HOST, cluster.internal("a")):
        answers = [{ip: await cluster.get(each, client_ip=ip) for ip in clients} for _ in range(2)]
        assert answers[0] == answers[1]
        assert {text for _, text in answers[0].values()} == {"a-0", "a-1", "a-2"}
    await cluster.endpoints("a", "a-0", "a-1")
    await until(lambda: _texts(cluster, clients), {"a-0", "a-1"})


async def _status(cluster: Cluster, host: str) -> int:
    return (await cluster.get(host))[0]


async def _texts(cluster: Cluster, clients: Sequence[str]) -> set[str]:
    return {(await cluster.get(cluster.internal("a"), client_ip=ip))[1] for ip in clients}


async def test_without_affinity_a_client_meets_all_backends(cluster: Cluster) -> None:
    await serve(cluster, "a", "a-0", "a-1")
    await cluster.lead(("/", "Prefix", "a"))
    for host in (HOST, cluster.internal("a")):
        await until(partial(_status, cluster, host), 200)
        assert {(await cluster.get(host))[1] for _ in range(10)} == {"a-0", "a-1"}


class Load:
    """Clients that ask one address over and over, each by connections that it keeps."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.answers: list[str] = []
        self.failures: list[str] = []

    async def rest(self, host: str, until: asyncio.Event) -> None:
        url = f"http://127.0.0.1:{self._cluster.ingress.ports.http}/v2"
        async with aiohttp.ClientSession() as session:
            while not until.is_set():
                try:
                    async with session.get(url, headers={"Host": host}) as response:
                        self._note(response.status == 200, await response.text(), str(response.status))
                except aiohttp.ClientError as error:
                    self._note(False, "", repr(error))
                await asyncio.sleep(0.005)

    async def grpc(self, host: str, until: asyncio.Event) -> None:
        options = [("grpc.default_authority", host)]
        target = f"127.0.0.1:{self._cluster.ingress.ports.http}"
        async with grpc.aio.insecure_channel(target, options=options) as channel:
            method = channel.unary_unary(METHOD)
            while not until.is_set():
                try:
                    self._note(True, (await method(b"", timeout=10.0)).decode(), "")
                except grpc.aio.AioRpcError as error:
                    self._note(False, "", str(error))
                await asyncio.sleep(0.005)

    def _note(self, is_good: bool, answer: str, problem: str) -> None:
        if is_good:
            self.answers.append(answer)
        else:
            self.failures.append(problem)


async def test_no_request_fails_while_backends_come_and_go(cluster: Cluster) -> None:
    await serve(cluster, "rest", "p-0")
    await cluster.service("grpc", port=8081)
    await cluster.endpoints("grpc", "p-0")
    await cluster.lead(("/", "Prefix", "rest"))
    for host in (HOST, cluster.internal("rest")):
        await until(partial(_status, cluster, host), 200)
    await until(lambda: _told(cluster.call(cluster.internal("grpc"))), "p-0")
    load, enough = Load(cluster), asyncio.Event()
    current = ["p-0"]
    leaving: set[asyncio.Task[None]] = set()
    async with asyncio.TaskGroup() as group:
        for host in (HOST, cluster.internal("rest")) * 2:
            group.create_task(load.rest(host, enough))
        for _ in range(2):
            group.create_task(load.grpc(cluster.internal("grpc"), enough))
        servers: dict[str, Backend] = {}
        for number in range(1, 1000):
            if len(load.answers) > 2500 or load.failures:
                break
            name = f"p-{number}"
            servers[name] = await cluster.backend(name)
            gone = current if number % 3 == 0 else current[:-2]  # sometimes all at once, as in a rollout
            current = [*(pod for pod in current if pod not in gone), name]
            for service in ("rest", "grpc"):
                await cluster.endpoints(service, *current)
            leaving |= {group.create_task(_leave(servers[pod])) for pod in gone if pod in servers}
            await asyncio.sleep(0.1)
        enough.set()
    assert load.failures == []
    assert len(load.answers) > 2000
    assert len(set(load.answers)) > 10, "that many backends answered"
    assert len(leaving) > 10


async def _leave(server: Backend) -> None:
    await asyncio.sleep(DRAIN_SECONDS)
    await server.stop()


async def test_no_request_fails_while_an_ingress_goes_from_one_service_to_the_next(cluster: Cluster) -> None:
    await serve(cluster, "v1", "p-1")
    await cluster.lead(("/", "Prefix", "v1"))
    await until(lambda: cluster.get(HOST), (200, "p-1"))
    load, enough = Load(cluster), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(load.rest(HOST, enough))
        for version in range(2, 12):
            await serve(cluster, f"v{version}", f"p-{version}")
            await cluster.lead(("/", "Prefix", f"v{version}"))
            await asyncio.sleep(DRAIN_SECONDS)
            await cluster.client.delete(SERVICES, f"v{version - 1}", cluster.namespace)
            await cluster.client.delete(ENDPOINT_SLICES, f"v{version - 1}", cluster.namespace)
        await until(lambda: cluster.get(HOST), (200, "p-11"))
        enough.set()
    assert load.failures == []
    assert set(load.answers) == {f"p-{version}" for version in range(1, 12)}


async def test_a_request_in_flight_ends_on_the_endpoint_that_leaves(cluster: Cluster) -> None:
    (slow,) = await serve(cluster, "a", "a-0")
    await cluster.lead(("/", "Prefix", "a"))
    await until(lambda: cluster.get(HOST), (200, "a-0"))
    await cluster.backend("a-1")
    for host, leaves in ((HOST, "endpoint"), (cluster.internal("a"), "endpoint"), (HOST, "Service")):
        slow.asked.clear()
        slow.may_answer.clear()
        request = asyncio.create_task(cluster.get(host, "/slow"))
        await slow.asked.wait()
        if leaves == "endpoint":
            await cluster.endpoints("a", "a-1")
            await until(partial(cluster.get, host), (200, "a-1"))
        else:
            await cluster.client.delete(SERVICES, "a", cluster.namespace)
            await until(partial(_status, cluster, host), 503)
        slow.may_answer.set()
        assert await request == (200, "a-0")
        if leaves == "endpoint":
            await cluster.endpoints("a", "a-0")
            await until(partial(cluster.get, host), (200, "a-0"))


async def test_two_ingresses_get_ports_of_their_own_and_one_in_use_is_named(cluster: Cluster) -> None:
    ports = cluster.ingress.ports
    async with AsyncExitStack() as stack:
        transport = cluster.client.transport
        second = await stack.enter_async_context(LocalIngress(transport, namespaces=[cluster.namespace]))
        assert not {second.ports.http, second.ports.https} & {ports.http, ports.https}
        with pytest.raises(PortInUse, match=f"port {ports.http} of 127.0.0.1 is in use"):
            await stack.enter_async_context(LocalIngress(transport, http_port=ports.http))


async def test_envoy_ends_with_a_process_that_is_killed(
    control_plane: ControlPlane, namespace: str, tmp_path: Path
) -> None:
    program = tmp_path / "ingress.py"
    program.write_text(
        "import asyncio\n"
        "import structlog\n"
        "from disvc.local.ingress import LocalIngress\n"
        "from disvc.runtime import configure_logging, connect\n"
        "async def main():\n"
        "    async with connect() as transport:\n"
        f"        async with LocalIngress(transport, namespaces=[{namespace!r}]) as ingress:\n"
        "            structlog.get_logger().info('open', port=ingress.ports.http)\n"
        "            await asyncio.Event().wait()\n"
        "configure_logging()\n"
        "asyncio.run(main())\n"
    )
    environment = {"KUBECONFIG": str(control_plane.admin.kubeconfig), "PYTHONPATH": ":".join(sys.path)}
    async with Program(program, environment=environment) as running:
        port = (await running.logged("open"))["port"]
        (envoy,) = (p for p in psutil.Process(running.pid).children(recursive=True) if "envoy" in p.name())
        running.send(signal.SIGKILL)
        await running.ended()
        await until(lambda: asyncio.to_thread(envoy.is_running), False)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
