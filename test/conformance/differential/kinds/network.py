"""Services, EndpointSlices and Ingresses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from differential.kinds.kind import Kind, chance, some

if TYPE_CHECKING:
    from random import Random

    Value = dict[str, Any]

__all__ = ["ENDPOINT_SLICE", "INGRESS", "SERVICE"]


def _service_port(random: Random, name: str) -> Value:
    port: Value = {"name": name, "port": random.choice((80, 443, 8080)) + ord(name[0])}
    port |= some(
        random,
        protocol=lambda r: r.choice(("TCP", "UDP", "SCTP") if chance(r, 0.3) else ("TCP",)),
        targetPort=lambda r: r.choice((8080, "http", 9000)),
        appProtocol=lambda r: r.choice(("http", "kubernetes.io/h2c")),
    )
    if chance(random, 0.03):
        port["port"] = random.choice((0, 70000, -1))
    return port


def _service(random: Random) -> Value:
    """Make a Service with an address: those without one, and the ways between, are not compared at random."""
    names = random.sample(("http", "grpc", "web"), random.randint(0 if chance(random, 0.1) else 1, 3))
    spec: Value = {"ports": [_service_port(random, name) for name in names]}
    spec |= some(
        random,
        selector=lambda r: {"app": r.choice(("x", "y"))},
        sessionAffinity=lambda r: r.choice(("None", "ClientIP")),
    )
    if chance(random, 0.4):
        spec["type"] = random.choice(("ClusterIP", "NodePort", "LoadBalancer"))
    if chance(random, 0.1):
        spec["sessionAffinityConfig"] = {"clientIP": {"timeoutSeconds": random.choice((5, 10800, 0, 100000))}}
    if chance(random, 0.1):
        spec |= some(
            random,
            publishNotReadyAddresses=lambda _: True,
            internalTrafficPolicy=lambda r: r.choice(("Cluster", "Local", "Odd")),
            externalTrafficPolicy=lambda r: r.choice(("Cluster", "Local")),
            ipFamilyPolicy=lambda r: r.choice(("SingleStack", "PreferDualStack")),
            externalIPs=lambda r: r.choice((["1.2.3.4"], ["x"])),
            loadBalancerClass=lambda _: "example.com/lb",
            allocateLoadBalancerNodePorts=lambda r: r.choice((True, False)),
            trafficDistribution=lambda r: r.choice(("PreferClose", "PreferSameZone", "Odd")),
        )
    return {"spec": spec}


def _endpoint(random: Random) -> Value:
    endpoint: Value = {"addresses": [f"10.0.0.{random.randint(1, 4)}"]}
    endpoint |= some(
        random,
        conditions=lambda r: some(r, ready=lambda _: True, serving=lambda _: False, terminating=lambda _: False),
        nodeName=lambda _: "node-1",
        hostname=lambda r: r.choice(("h-1", "H_1")),
        targetRef=lambda _: {"kind": "Pod", "name": "p", "namespace": "n"},
    )
    if chance(random, 0.05):
        endpoint["addresses"] = random.choice(([], ["127.0.0.1"], ["x"], ["::1"], ["10.0.0.1"] * 2))
    return endpoint


def _endpoint_slice(random: Random) -> Value:
    content: Value = {
        "addressType": "IPv4" if chance(random, 0.9) else random.choice(("IPv6", "FQDN", "Odd")),
        "endpoints": [_endpoint(random) for _ in range(random.randint(1, 3))],
    }
    if chance(random, 0.8):
        content["ports"] = [
            {"name": name}
            | some(random, port=lambda r: r.choice((80, 90)), protocol=lambda r: r.choice(("TCP", "UDP")))
            for name in random.sample(("http", "grpc", ""), random.randint(1, 2))
        ]
    return content


def _backend(random: Random) -> Value:
    service: Value = {"name": "svc", "port": random.choice(({"number": 80}, {"name": "http"}))}
    if chance(random, 0.05):
        service["port"] = random.choice(({}, {"number": 80, "name": "http"}, {"number": 0}))
    return {"service": service}


def _ingress_rule(random: Random) -> Value:
    rule: Value = {}
    if chance(random, 0.8):
        rule["host"] = random.choice(
            ("a.example", "b.example", "*.c.example", "Bad_host") if chance(random, 0.2) else ("a.example", "b.example")
        )
    if chance(random, 0.9):
        paths = random.sample(("/", "/a", "/b"), random.randint(1, 2))
        kind = random.choice(("Prefix", "Exact", "ImplementationSpecific"))
        rule["http"] = {"paths": [{"path": path, "pathType": kind, "backend": _backend(random)} for path in paths]}
        if chance(random, 0.05):
            rule["http"]["paths"][0] |= random.choice(({"path": "a"}, {"pathType": "Odd"}, {"path": "/a//b"}))
    return rule


def _ingress(random: Random) -> Value:
    spec: Value = {"rules": [_ingress_rule(random) for _ in range(random.randint(1, 2))]}
    spec |= some(
        random,
        ingressClassName=lambda r: r.choice(("nginx", "envoy", "Bad Class") if chance(r, 0.1) else ("nginx", "envoy")),
        tls=lambda r: [{"hosts": ["a.example"], "secretName": r.choice(("s", "t"))}],
    )
    if chance(random, 0.2):
        spec["defaultBackend"] = _backend(random)
    if chance(random, 0.03):
        del spec["rules"]
    return {"spec": spec}


def _ingress_status(random: Random) -> Value:
    ports = [{"port": random.choice((80, 443)), "protocol": "TCP"}]
    entry = random.choice(
        ({"ip": "1.2.3.4"}, {"hostname": "h.example"}, {"ip": "x"}, {"ip": "1.2.3.4", "ports": ports})
    )
    return {"loadBalancer": {"ingress": [entry]} if chance(random, 0.8) else {}}


SERVICE = Kind(
    "v1",
    "Service",
    "services",
    _service,
    field_selectors=("spec.type=ClusterIP", "spec.clusterIP=None"),
)
ENDPOINT_SLICE = Kind("discovery.k8s.io/v1", "EndpointSlice", "endpointslices", _endpoint_slice)
INGRESS = Kind("networking.k8s.io/v1", "Ingress", "ingresses", _ingress, status=_ingress_status)
