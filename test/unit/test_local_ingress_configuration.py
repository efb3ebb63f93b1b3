"""What Envoy is told for a state of the world: pure functions, and the order in which it is told."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import socket
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from disvc.local.ingress.certificates import Certificate, certificates, default_certificate, of_secret
from disvc.local.ingress.configuration import Configuration, Ports, configuration
from disvc.local.ingress.discovery import Discovery, Refused
from disvc.local.ingress.endpoints import Address, addresses
from disvc.local.ingress.ports import PortInUse, choose
from disvc.local.ingress.routes import Backend, Protocol, ingress_routes, service_addresses
from disvc.local.ingress.world import World
from disvc.runtime import Key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    Value = dict[str, Any]

NS = "models"
A, B = Key(NS, "a"), Key(NS, "b")
serial = itertools.count()


def metadata(name: str, **more: Any) -> Value:
    created = f"2026-01-01T00:00:{next(serial) % 60:02}Z"
    return {"name": name, "namespace": NS, "creationTimestamp": created, **more}


def service(name: str, *ports: Value, **spec: Any) -> Value:
    return {"metadata": metadata(name), "spec": {"ports": list(ports) or [{"port": 80}], **spec}}


def path(path: str = "/", kind: str = "Prefix", to: str = "a", port: Value | None = None) -> Value:
    return {"path": path, "pathType": kind, "backend": {"service": {"name": to, "port": port or {"number": 80}}}}


def ingress(host: str, *paths: Value, annotations: Mapping[str, str] | None = None, **spec: Any) -> Value:
    rule = {"host": host, "http": {"paths": list(paths)}}
    name = f"i-{next(serial)}"
    return {"metadata": metadata(name, annotations=dict(annotations or {})), "spec": {"rules": [rule], **spec}}


def endpoint(address: str, pod: str = "", **conditions: bool) -> Value:
    reference = {"targetRef": {"kind": "Pod", "name": pod}} if pod else {}
    return {"addresses": [address], "conditions": conditions, **reference}


def endpoint_slice(of: str, *endpoints: Value, port: int = 8080, port_name: str = "", family: str = "IPv4") -> Value:
    return {
        "metadata": metadata(f"{of}-{next(serial)}", labels={"kubernetes.io/service-name": of}),
        "addressType": family,
        "ports": [{"name": port_name, "port": port}],
        "endpoints": list(endpoints),
    }


def pod(name: str, **loopback: str) -> Value:
    ports = {port.removeprefix("p"): address for port, address in loopback.items()}
    return {"metadata": metadata(name, annotations={"local.disvc/loopback": json.dumps(ports)} if ports else {})}


def ready(of: str, *slices: Value, pods: tuple[Value, ...] = (), port_name: str = "") -> list[Address]:
    return addresses(World(endpoint_slices=slices, pods=pods), Key(NS, of), port_name)


class TestEndpoints:
    def test_those_that_are_ready_get_requests_also_where_the_condition_is_not_set(self) -> None:
        one = endpoint_slice(
            "a", endpoint("10.0.0.1", ready=True), endpoint("10.0.0.2"), endpoint("10.0.0.3", ready=False)
        )
        assert ready("a", one) == [Address("10.0.0.1", 8080, "10.0.0.1"), Address("10.0.0.2", 8080, "10.0.0.2")]

    def test_terminating_ones_get_requests_only_where_none_is_ready(self) -> None:
        leaving = endpoint("10.0.0.1", ready=False, serving=True, terminating=True)
        dead = endpoint("10.0.0.2", ready=False, serving=False, terminating=True)
        assert ready("a", endpoint_slice("a", leaving, dead)) == [Address("10.0.0.1", 8080, "10.0.0.1")]
        with_ready = endpoint_slice("a", leaving, dead, endpoint("10.0.0.3", ready=True))
        assert ready("a", with_ready) == [Address("10.0.0.3", 8080, "10.0.0.3")]

    def test_an_address_in_two_slices_counts_once_and_the_order_of_slices_does_not_matter(self) -> None:
        one = endpoint_slice("a", endpoint("10.0.0.2"), endpoint("10.0.0.1"))
        two = endpoint_slice("a", endpoint("10.0.0.2"))
        assert (
            ready("a", one, two)
            == ready("a", two, one)
            == [Address("10.0.0.1", 8080, "10.0.0.1"), Address("10.0.0.2", 8080, "10.0.0.2")]
        )

    def test_a_port_is_found_by_its_name(self) -> None:
        one = endpoint_slice("a", endpoint("10.0.0.1"), port=8080, port_name="http")
        two = endpoint_slice("a", endpoint("10.0.0.1"), port=8081, port_name="h2c")
        assert ready("a", one, two, port_name="h2c") == [Address("10.0.0.1", 8081, "10.0.0.1")]
        assert ready("a", one, two) == []

    def test_of_two_families_only_one_is_used(self) -> None:
        slices = endpoint_slice("a", endpoint("fd00::1"), family="IPv6"), endpoint_slice("a", endpoint("10.0.0.1"))
        assert ready("a", *slices) == [Address("10.0.0.1", 8080, "10.0.0.1")]
        assert ready("a", slices[0], endpoint_slice("a")) == [Address("fd00::1", 8080, "fd00::1")]

    def test_a_pods_address_is_that_of_its_process(self) -> None:
        one = endpoint_slice("a", endpoint("10.244.0.9", "p"))
        assert ready("a", one, pods=(pod("p", p8080="127.0.0.1:4711"),)) == [Address("127.0.0.1", 4711, "p")]

    def test_a_pod_that_is_no_local_process_has_its_own_address(self) -> None:
        one = endpoint_slice("a", endpoint("192.0.2.1", "p"))
        assert ready("a", one, pods=(pod("p"),)) == [Address("192.0.2.1", 8080, "p")]

    def test_an_endpoint_is_left_out_until_its_pod_is_known(self) -> None:
        assert ready("a", endpoint_slice("a", endpoint("10.244.0.9", "p"))) == []


def targets(world: World, host: str) -> list[tuple[str, bool, object]]:
    routes = ingress_routes(world).get(host, [])
    return [(r.path, r.is_exact, r.target.service if isinstance(r.target, Backend) else r.target) for r in routes]


class TestIngressRoutes:
    services = (service("a"), service("b"))

    def test_exact_paths_come_first_then_the_longer_ones(self) -> None:
        paths = path("/"), path("/v2/models", to="b"), path("/v2", "Exact"), path("/v2", "ImplementationSpecific")
        world = World([ingress("x", *paths)], self.services)
        assert targets(world, "x") == [("/v2", True, A), ("/v2/models", False, B), ("/v2", False, A), ("/", False, A)]

    def test_ingresses_share_a_host_and_the_elder_has_the_path(self) -> None:
        elder, younger = ingress("x", path("/one")), ingress("x", path("/one", to="b"), path("/two", to="b"))
        elder["metadata"]["creationTimestamp"] = "2025-01-01T00:00:00Z"
        for order in ([elder, younger], [younger, elder]):
            assert targets(World(order, self.services), "x") == [("/one", False, A), ("/two", False, B)]

    @pytest.mark.parametrize(
        ("theirs", "is_followed"), [(None, True), ("nginx", True), ("traefik", False)], ids=["none", "ours", "other"]
    )
    def test_only_those_of_the_class_and_of_none_are_followed(self, theirs: str | None, is_followed: bool) -> None:
        by_field = ingress("x", path())
        by_field["spec"]["ingressClassName"] = theirs
        by_annotation = ingress("x", path(), annotations={"kubernetes.io/ingress.class": theirs} if theirs else {})
        for one in (by_field, by_annotation):
            assert bool(targets(World([one], self.services), "x")) is is_followed

    def test_a_port_is_meant_by_name_or_by_number(self) -> None:
        ports = {"name": "http", "port": 80}, {"name": "h2c", "port": 81}
        paths = path("/1", port={"name": "h2c"}), path("/2", port={"number": 81})
        routes = ingress_routes(World([ingress("x", *paths)], [service("a", *ports)]))["x"]
        assert [r.target.port for r in routes if isinstance(r.target, Backend)] == [81, 81]

    def test_what_a_backend_lacks_is_said(self) -> None:
        world = World([ingress("x", path("/1", to="c"), path("/2", port={"name": "grpc"}))], self.services)
        texts = [str(target) for *_, target in targets(world, "x")]
        assert "leads to Service c, which does not exist" in texts[0]
        assert "leads to port grpc of Service a, which has none such" in texts[1]

    def test_a_default_backend_gets_what_no_path_has(self) -> None:
        default = {"service": {"name": "b", "port": {"number": 80}}}
        with_rules = World([ingress("x", path("/v2"), defaultBackend=default)], self.services)
        assert targets(with_rules, "x") == [("/v2", False, A), ("/", False, B)]
        alone = {"metadata": metadata("i"), "spec": {"defaultBackend": default}}
        assert targets(World([alone], self.services), "*") == [("/", False, B)]

    @pytest.mark.parametrize(
        ("annotations", "port", "protocol"),
        [
            ({}, {}, Protocol.HTTP1),
            ({"nginx.ingress.kubernetes.io/backend-protocol": "GRPC"}, {}, Protocol.HTTP2),
            ({}, {"appProtocol": "kubernetes.io/h2c"}, Protocol.HTTP2),
        ],
        ids=["neither", "annotation", "appProtocol"],
    )
    def test_a_backend_is_spoken_to_in_http2_where_ingress_or_service_say_so(
        self, annotations: Value, port: Value, protocol: Protocol
    ) -> None:
        world = World([ingress("x", path(), annotations=annotations)], [service("a", {"port": 80, **port})])
        (route,) = ingress_routes(world)["x"]
        assert isinstance(route.target, Backend)
        assert route.target.protocol == protocol

    def test_a_client_stays_on_a_backend_by_the_annotation_and_not_by_the_service(self) -> None:
        services = [service("a", sessionAffinity="ClientIP")]
        hashed = {"nginx.ingress.kubernetes.io/upstream-hash-by": "$binary_remote_addr"}
        world = World([ingress("x", path()), ingress("y", path(), annotations=hashed)], services)
        routes = ingress_routes(world)
        found = {host: r.target.by_client for host, (r,) in routes.items() if isinstance(r.target, Backend)}
        assert found == {"x": False, "y": True}


class TestServiceAddresses:
    def test_a_service_is_known_by_all_its_names(self) -> None:
        names = service_addresses(World(services=[service("a")]))
        assert set(names) == {
            f"a.models{suffix}{port}" for suffix in ("", ".svc", ".svc.cluster.local") for port in ("", ":80")
        }

    def test_the_name_alone_means_port_80_or_else_the_first(self) -> None:
        ports = {"name": "metrics", "port": 9090}, {"name": "http", "port": 80}
        names = service_addresses(World(services=[service("a", *ports), service("b", ports[0])]))
        found = {name: r.target.port for name, r in names.items() if isinstance(r.target, Backend)}
        assert (found["a.models"], found["a.models:9090"], found["b.models"]) == (80, 9090, 9090)

    def test_a_client_stays_on_an_endpoint_where_the_service_says_so(self) -> None:
        names = service_addresses(World(services=[service("a", sessionAffinity="ClientIP"), service("b")]))
        found = {name: r.target.by_client for name, r in names.items() if isinstance(r.target, Backend)}
        assert (found["a.models"], found["b.models"]) == (True, False)

    def test_a_service_that_is_only_a_name_elsewhere_has_no_address(self) -> None:
        assert not service_addresses(World(services=[service("a", type="ExternalName", externalName="example.com")]))


CERTIFICATE = Certificate("chain", "key")


def of(world: World, **hosts: Certificate) -> Configuration:
    return configuration(
        world,
        ports=Ports("127.0.0.1", 8080, 8443),
        certificates=hosts,
        default_certificate=CERTIFICATE,
        access_log="/dev/null",
    )


def virtual_hosts(found: Configuration) -> dict[str, Value]:
    return {host["name"]: host for host in found.routes["all"]["virtual_hosts"]}


class TestConfiguration:
    def test_every_cluster_that_a_route_leads_to_is_there_with_its_endpoints(self) -> None:
        world = World([ingress("x", path()), ingress("y", path(to="b"))], [service("a"), service("b")])
        found = of(world)
        led_to = {
            route["route"]["cluster"]
            for host in virtual_hosts(found).values()
            for route in host["routes"]
            if "route" in route
        }
        assert led_to == found.clusters.keys() == found.endpoints.keys()
        assert len(led_to) == 4, "each Service by Ingress and by its own address"

    def test_a_prefix_ends_at_a_slash(self) -> None:
        world = World([ingress("x", path("/v2/"), path("/"), path("/v1", "Exact"))], [service("a")])
        matches = [route["match"] for route in virtual_hosts(of(world))["x"]["routes"]]
        assert matches == [{"path": "/v1"}, {"path_separated_prefix": "/v2"}, {"prefix": "/"}]

    def test_idle_connections_are_given_up_before_a_model_server_does_so(self) -> None:
        # uvicorn does after 5 s: a request that meets the end of its connection is lost.
        for cluster in of(World(services=[service("a")])).clusters.values():
            (options,) = cluster["typed_extension_protocol_options"].values()
            assert float(options["common_http_protocol_options"]["idle_timeout"].removesuffix("s")) < 5

    def test_nothing_is_tried_again(self) -> None:
        world = World([ingress("x", path())], [service("a")])
        assert "retry" not in json.dumps(of(world).routes)

    def test_a_host_that_nobody_has_is_a_404(self) -> None:
        (route,) = virtual_hosts(of(World()))["*"]["routes"]
        assert route["direct_response"]["status"] == 404

    def test_an_ingress_without_a_host_has_all_that_no_other_has(self) -> None:
        world = World([ingress("", path())], [service("a")])
        (route,) = virtual_hosts(of(world))["*"]["routes"]
        assert "route" in route

    def test_an_ingress_may_take_the_address_of_a_service(self) -> None:
        world = World([ingress("a.models", path(to="c"))], [service("a")])
        (route,) = virtual_hosts(of(world))["a.models"]["routes"]
        assert route["direct_response"]["status"] == 503

    def test_what_changes_of_a_backend_makes_another_cluster(self) -> None:
        before = of(World(services=[service("a")]))
        after = of(World(services=[service("a", sessionAffinity="ClientIP")]))
        assert not before.clusters.keys() & after.clusters.keys()

    def test_a_change_of_endpoints_changes_endpoints_only(self) -> None:
        services = [service("a")]
        before = of(World(services=services))
        after = of(World(services=services, endpoint_slices=[endpoint_slice("a", endpoint("10.0.0.1"))]))
        assert before.endpoints != after.endpoints
        assert (before.listeners, before.clusters, before.routes) == (after.listeners, after.clusters, after.routes)

    def test_each_host_with_a_certificate_has_a_filter_chain_of_its_own(self) -> None:
        listener = of(World(), x=Certificate("x's", "x")).listeners["https"]
        (chain,) = listener["filter_chains"]
        assert chain["filter_chain_match"] == {"server_names": ["x"]}
        assert "x's" in json.dumps(chain["transport_socket"])
        assert "chain" in json.dumps(listener["default_filter_chain"]["transport_socket"])


def secret(name: str, certificate: Certificate) -> Value:
    data = {"tls.crt": certificate.chain, "tls.key": certificate.key}
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    return {"metadata": metadata(name), "data": encoded}


class TestCertificates:
    @pytest.fixture
    def made(self, tmp_path: Path) -> tuple[Certificate, Certificate]:
        folders = tmp_path / "1", tmp_path / "2"
        for folder in folders:
            folder.mkdir()
        return default_certificate(folders[0]), default_certificate(folders[1])

    def test_a_host_has_that_of_the_secret(self, made: tuple[Certificate, Certificate]) -> None:
        one = ingress("x", path(), tls=[{"hosts": ["x"], "secretName": "s"}])
        assert certificates(World([one], secrets=[secret("s", made[0])])) == {"x": made[0]}

    def test_a_secret_that_is_missing_or_bad_leaves_the_default_one(
        self, made: tuple[Certificate, Certificate]
    ) -> None:
        one = ingress("x", path(), tls=[{"hosts": ["x"], "secretName": "s"}])
        assert certificates(World([one])) == {}
        mixed = Certificate(made[0].chain, made[1].key)
        assert certificates(World([one], secrets=[secret("s", mixed)])) == {}

    @pytest.mark.parametrize(
        ("data", "words"),
        [
            ({}, "it has no tls.crt; make it with: kubectl create secret tls"),
            ({"tls.crt": "!", "tls.key": "!"}, "its data is not base64"),
            ({"tls.crt": "eA==", "tls.key": "eA=="}, "PEM"),
        ],
        ids=["nothing", "no base64", "no PEM"],
    )
    def test_what_is_wrong_with_a_secret_is_said(self, data: Value, words: str) -> None:
        with pytest.raises(ValueError, match=words):
            of_secret({"metadata": metadata("s"), "data": data})

    def test_a_key_that_is_not_the_certificates_is_said(self, made: tuple[Certificate, Certificate]) -> None:
        with pytest.raises(ValueError, match="not the key of its"):
            of_secret(secret("s", Certificate(made[0].chain, made[1].key)))


class Envoy:
    """Asks a `Discovery` as Envoy does: one question of a kind at a time, and the next when the test has it so."""

    def __init__(self, client: TestClient[Any, Any]) -> None:
        self._client = client
        self._has: dict[str, str] = {}
        self._asking: dict[str, asyncio.Task[Value]] = {}

    def ask(self, kind: str, name: str = "") -> asyncio.Task[Value]:
        """Return the question that is under way, or a new one."""
        if kind + name not in self._asking:
            question = {"version_info": self._has.get(kind + name, ""), "resource_names": [name] if name else []}
            self._asking[kind + name] = asyncio.create_task(self._ask(kind, question))
        return self._asking[kind + name]

    async def _ask(self, kind: str, question: Value) -> Value:
        async with self._client.post(f"/v3/discovery:{kind}", json=question) as response:
            answer: Value = await response.json()
            return answer

    async def take(self, kind: str, name: str = "") -> Value:
        """Wait for the answer, take it, and say so by the next question."""
        answer = await self.ask(kind, name)
        self._has[kind + name] = answer["version_info"]
        await self.refuse(kind, name)
        return answer

    async def refuse(self, kind: str, name: str = "") -> asyncio.Task[Value]:
        """Wait for the answer, and ask again with what it has."""
        await self.ask(kind, name)
        del self._asking[kind + name]
        return self.ask(kind, name)

    async def end(self) -> None:
        for task in self._asking.values():
            task.cancel()
        await asyncio.gather(*self._asking.values(), return_exceptions=True)


def resources(*clusters: str) -> Configuration:
    return Configuration(
        listeners={"http": {"name": "http"}},
        clusters={name: {"name": name} for name in clusters},
        endpoints={name: {"cluster_name": name} for name in clusters},
        routes={"all": {"leads to": sorted(clusters)}},
    )


class TestDiscovery:
    @pytest.fixture
    async def server(self) -> AsyncIterator[tuple[Discovery, Envoy]]:
        discovery = Discovery()
        async with TestClient(TestServer(discovery.application)) as client:
            envoy = Envoy(client)
            yield discovery, envoy
            await envoy.end()

    async def test_a_route_comes_only_when_its_cluster_has_endpoints(self, server: tuple[Discovery, Envoy]) -> None:
        discovery, envoy = server
        publishing = asyncio.create_task(discovery.publish(resources("a")))
        routes = envoy.ask("routes")
        clusters = await envoy.take("clusters")
        assert [c["name"] for c in clusters["resources"]] == ["a"]
        await envoy.ask("endpoints", "a")
        assert not routes.done()
        await envoy.take("endpoints", "a")
        assert (await routes)["resources"] == [{"leads to": ["a"]}]
        await envoy.take("listeners")
        assert not publishing.done()
        await envoy.take("routes")
        await publishing

    async def test_a_cluster_goes_only_when_no_route_leads_to_it(self, server: tuple[Discovery, Envoy]) -> None:
        discovery, envoy = server
        await self._bring(discovery, envoy, resources("a"))
        publishing = asyncio.create_task(discovery.publish(resources("b")))
        clusters = await envoy.take("clusters")
        assert [c["name"] for c in clusters["resources"]] == ["a", "b"]
        await envoy.take("endpoints", "b")
        await envoy.ask("routes")
        assert not envoy.ask("clusters").done()
        await envoy.take("routes")
        await publishing
        assert [c["name"] for c in (await envoy.ask("clusters"))["resources"]] == ["b"]

    async def test_what_envoy_does_not_take_is_refused_and_not_sent_again(
        self, server: tuple[Discovery, Envoy]
    ) -> None:
        discovery, envoy = server
        publishing = asyncio.create_task(discovery.publish(resources()))
        await envoy.take("clusters")
        again = await envoy.refuse("listeners")
        with pytest.raises(Refused, match="Envoy refuses listeners"):
            await publishing
        assert not again.done()

    async def test_endpoints_of_a_cluster_that_stays_are_news_at_once(self, server: tuple[Discovery, Envoy]) -> None:
        discovery, envoy = server
        before = resources("a")
        await self._bring(discovery, envoy, before)
        after = Configuration(before.listeners, before.clusters, {"a": {"now": 2}}, before.routes)
        publishing = asyncio.create_task(discovery.publish(after))
        assert (await envoy.take("endpoints", "a"))["resources"] == [{"now": 2}]
        await publishing

    async def _bring(self, discovery: Discovery, envoy: Envoy, configuration: Configuration) -> None:
        publishing = asyncio.create_task(discovery.publish(configuration))
        for kind in ("clusters", *(f"endpoints {name}" for name in configuration.clusters), "listeners", "routes"):
            await envoy.take(*kind.split())
        await publishing


class TestPorts:
    def test_one_that_was_asked_for_and_is_in_use_is_named(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            with pytest.raises(PortInUse, match=rf"port {port} of 127.0.0.1 is in use.*another --http-port"):
                choose(port, None)
            with pytest.raises(PortInUse, match="another --https-port"):
                choose(None, port)

    def test_one_that_was_asked_for_twice_is_refused(self) -> None:
        with pytest.raises(PortInUse, match="port 9443 is asked for twice"):
            choose(9443, 9443)

    def test_one_that_was_asked_for_is_not_given_to_the_other(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("disvc.local.ingress.ports.HTTP_PORT", port)
            patch.setattr("disvc.local.ingress.ports.HTTPS_PORT", port)
            assert choose(port, None).https not in (0, port)
            assert choose(None, port).http not in (0, port)

    def test_one_that_nobody_asked_for_gives_way(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            monkeypatch.setattr("disvc.local.ingress.ports.HTTP_PORT", port)
            chosen = choose(None, None)
            assert chosen.http not in (0, port)
        assert choose(None, None).http == port
