"""Logs of Pods on the in-memory API server: which kubelet is asked for what, and what is answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from disvc.runtime import Client, Resource
from disvc.runtime.environment import Environment
from disvc.runtime.transport import Answer, Stream
from disvc.testing.memory import APIServer
from disvc.testing.memory.builtin import TYPES
from disvc.testing.memory.errors import Refused
from disvc.testing.memory.log_options import LogOptions
from disvc.testing.memory.pod_logs import KubeletError, container_of, kubelet_of
from disvc.testing.memory.requests import ADMIN, Request, User

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    Value = dict[str, Any]

PODS = Resource("v1", "Pod", "pods")
NODES = Resource("v1", "Node", "nodes", namespaced=False)
INVALID = 'PodLogOptions "p" is invalid: '


class Said(Stream):
    """What a kubelet answers."""

    def __init__(self, status: int, *chunks: bytes) -> None:
        self.status = status
        self.headers = {"content-type": "text/odd"}
        self._chunks = chunks

    async def chunks(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            yield chunk


class Kubelet:
    """What fetches logs; `asked` are the URLs."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.says: Said | KubeletError = Said(200, b"one\n", b"two\n")

    async def fetch(self, url: str) -> Stream:
        self.asked.append(url)
        if isinstance(self.says, KubeletError):
            raise self.says
        return self.says


@pytest.fixture
def kubelet() -> Kubelet:
    return Kubelet()


@pytest.fixture
async def server(kubelet: Kubelet) -> APIServer:
    """One with a pod that is on a node, and one that is on none."""
    server = APIServer(Environment(), TYPES, fetch=kubelet.fetch)
    client = Client(server.transport())
    await client.create(NODES, {"metadata": {"name": "n"}, "status": {"addresses": [address("Hostname", "h")]}})
    spec = {"containers": [{"name": "c", "image": "i"}]}
    for name, node in (("p", {"nodeName": "n"}), ("pending", {}), ("lost", {"nodeName": "gone"})):
        await client.create(PODS, {"metadata": {"name": name, "namespace": "default"}, "spec": spec | node})
    return server


def address(kind: str, value: str) -> Value:
    return {"type": kind, "address": value}


def node(*addresses: Value, port: int | None = None) -> Value:
    endpoint = {"daemonEndpoints": {"kubeletEndpoint": {"Port": port}}} if port else {}
    return {"status": {"addresses": list(addresses), **endpoint}}


async def ask(
    server: APIServer, name: str, query: dict[str, str] | None = None, *, user: User = ADMIN, accept: str = ""
) -> tuple[int, str, bytes]:
    """Ask for a log, and return code, media type and body."""
    request = Request("GET", f"/api/v1/namespaces/default/pods/{name}/log", query or {}, {"accept": accept}, user=user)
    answer = await server.handle(request)
    body = answer.body if isinstance(answer, Answer) else b"".join([chunk async for chunk in answer.chunks()])
    return answer.status, answer.headers.get("content-type", ""), body


async def refused(server: APIServer, name: str, **query: str) -> Value:
    code, _, body = await ask(server, name, query)
    status: Value = msgspec.json.decode(body)
    assert status["code"] == code
    return status


async def test_the_kubelet_of_the_pods_node_is_asked_and_its_log_goes_through(
    server: APIServer, kubelet: Kubelet
) -> None:
    assert await ask(server, "p") == (200, "text/plain", b"one\ntwo\n")
    assert kubelet.asked == ["https://h:10250/containerLogs/default/p/c"]


async def test_whoever_accepts_json_or_yaml_gets_text_and_no_table_is_to_be_had(server: APIServer) -> None:
    for accept in ("application/json, */*", "application/yaml"):
        assert (await ask(server, "p", accept=accept))[:2] == (200, "text/plain")
    assert (await ask(server, "p", accept="application/json;as=Table;v=v1;g=meta.k8s.io"))[0] == 406


async def test_a_pod_on_no_node_has_an_empty_log(server: APIServer, kubelet: Kubelet) -> None:
    assert await ask(server, "pending", {"follow": "true"}) == (204, "", b"")
    assert kubelet.asked == []


async def test_options_are_looked_at_before_the_pod_and_the_pod_before_its_node(server: APIServer) -> None:
    assert (await refused(server, "none", tailLines="-1"))["reason"] == "Invalid"
    assert (await refused(server, "none"))["message"] == 'pods "none" not found'
    assert (await refused(server, "lost", container="x"))["message"] == "container x is not valid for pod lost"
    assert (await refused(server, "lost"))["message"] == 'pods "gone" not found'


async def test_a_right_to_pods_is_none_to_their_logs(server: APIServer) -> None:
    code, _, body = await ask(server, "p", user=User("bob"))
    assert code == 403
    assert b'cannot get resource \\"pods/log\\" in API group \\"\\" in the namespace \\"default\\"' in body


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (400, (400, "BadRequest", "no logs\n")),
        (401, (401, "Unauthorized", "the server has asked for the client to provide credentials ( pods/log p)")),
        (403, (403, "Forbidden", "no logs\n ( pods/log p)")),
        (404, (404, "NotFound", "the server could not find the requested resource ( pods/log p)")),
        (500, (500, "InternalError", "Internal error occurred: no logs\n")),
    ],
)
async def test_what_the_kubelet_refuses_the_server_refuses(
    server: APIServer, kubelet: Kubelet, code: int, expected: tuple[int, str, str]
) -> None:
    kubelet.says = Said(code, b"no ", b"logs\n")
    status = await refused(server, "p")
    assert (status["code"], status["reason"], status["message"]) == expected


async def test_a_kubelet_that_cannot_be_asked_is_an_error_without_a_reason(server: APIServer, kubelet: Kubelet) -> None:
    kubelet.says = KubeletError('Get "https://h:10250/": dial tcp: lookup h: no such host')
    status = await refused(server, "p")
    assert (status["code"], status["message"]) == (500, str(kubelet.says))
    assert "reason" not in status


async def test_a_server_that_was_given_nothing_to_fetch_logs_with_says_so(memory_server: APIServer) -> None:
    client = Client(memory_server.transport())
    await client.create(NODES, {"metadata": {"name": "n"}, "status": {"addresses": [address("Hostname", "h")]}})
    spec = {"containers": [{"name": "c", "image": "i"}], "nodeName": "n"}
    await client.create(PODS, {"metadata": {"name": "p", "namespace": "default"}, "spec": spec})
    assert (await refused(memory_server, "p"))["message"].endswith("this APIServer was made without `fetch`")


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        (node(address("InternalIP", "10.0.0.1"), address("Hostname", "h"), port=1234), "https://h:1234"),
        (node(address("ExternalIP", "1.2.3.4"), address("InternalIP", "10.0.0.1")), "https://10.0.0.1:10250"),
        (node(address("Hostname", "::1"), port=1), "https://[::1]:1"),
    ],
)
def test_a_kubelet_is_where_its_node_says(node: Value, expected: str) -> None:
    assert kubelet_of(node) == expected


def test_a_node_of_no_known_address_has_no_kubelet_to_ask() -> None:
    with pytest.raises(Refused, match=r"^no preferred addresses found; known addresses: \[\]$"):
        kubelet_of({"status": {}})
    with pytest.raises(Refused, match=r"known addresses: \[\{Foo x\} \{Bar y\}\]$"):
        kubelet_of(node(address("Foo", "x"), address("Bar", "y")))


def pod(*containers: str, inits: tuple[str, ...] = ()) -> Value:
    spec = {"containers": [{"name": name} for name in containers], "initContainers": [{"name": name} for name in inits]}
    return {"metadata": {"name": "p"}, "spec": spec}


def test_the_only_container_need_not_be_named_and_another_one_must_be_there() -> None:
    assert container_of(pod("a", inits=("i",)), "") == "a"
    assert container_of(pod("a", "b", inits=("i",)), "i") == "i"
    with pytest.raises(Refused, match=r"^a container name must be specified for pod p, choose one of: \[i a b\]$"):
        container_of(pod("a", "b", inits=("i",)), "")
    with pytest.raises(Refused, match=r"^container x is not valid for pod p$"):
        container_of(pod("a"), "x")


@pytest.mark.parametrize(
    ("query", "asked"),
    [
        ({}, ""),
        ({"follow": "false", "previous": "0", "container": "c", "unknown": "x"}, ""),
        ({"follow": "", "timestamps": "yes", "previous": "1"}, "follow=true&previous=true&timestamps=true"),
        ({"tailLines": "0", "limitBytes": "7", "sinceSeconds": "+5"}, "limitBytes=7&sinceSeconds=5&tailLines=0"),
        ({"sinceTime": "2026-01-01T02:00:00.5+02:00"}, "sinceTime=2026-01-01T00%3A00%3A00Z"),
        ({"sinceTime": ""}, "sinceTime=0001-01-01T00%3A00%3A00Z"),
    ],
)
def test_options_are_handed_on_in_their_canonical_form(query: dict[str, str], asked: str) -> None:
    assert LogOptions.read(query, "p").query() == asked


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"tailLines": ""}, 'strconv.ParseInt: parsing "": invalid syntax'),
        ({"tailLines": "9" * 20}, f'strconv.ParseInt: parsing "{"9" * 20}": value out of range'),
        ({"sinceTime": "x"}, 'parsing time "x" as "2006-01-02T15:04:05Z07:00": cannot parse "x" as "2006"'),
        (
            {"sinceSeconds": "0", "limitBytes": "0"},
            INVALID + "[limitBytes: {0}, sinceSeconds: {0}]".format("Invalid value: 0: must be greater than 0"),
        ),
        (
            {"sinceSeconds": "1", "sinceTime": "2026-01-01T00:00:00Z"},
            INVALID + "[]: Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified",
        ),
        ({"stream": "Stdout"}, INVALID + "stream: Forbidden: may not be specified"),
    ],
)
def test_bad_options_are_refused_in_the_words_of_the_real_server(query: dict[str, str], message: str) -> None:
    with pytest.raises(Refused) as caught:
        LogOptions.read(query, "p")
    assert caught.value.message == message
