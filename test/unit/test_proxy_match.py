"""How requests and events are told apart, and what faults refuse to be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from disvc.testing.faults import Answer, Cut, HalfOpen, WatchError
from disvc.testing.match import READS, WRITES, APIRequest, Match, WatchEvent

if TYPE_CHECKING:
    from collections.abc import Callable

POD = "/api/v1/namespaces/default/pods/a"


def parse(method: str, target: str, body: bytes = b"") -> APIRequest:
    path, _, query = target.partition("?")
    return APIRequest.parse(method, path, dict(term.split("=", 1) for term in query.split("&") if term), {}, body)


@pytest.mark.parametrize(
    ("method", "target", "verb"),
    [
        ("GET", POD, "get"),
        ("HEAD", POD, "get"),
        ("GET", "/api/v1/pods", "list"),
        ("GET", "/api/v1/pods?watch=1", "watch"),
        ("GET", "/api/v1/pods?watch=true", "watch"),
        ("GET", "/api/v1/pods?watch=", "watch"),
        ("GET", "/api/v1/pods?watch=0", "list"),
        ("GET", "/api/v1/pods?watch=False", "list"),
        ("GET", POD + "?watch=1", "get"),
        ("POST", "/api/v1/namespaces/default/pods", "create"),
        ("PUT", POD, "update"),
        ("PATCH", POD, "patch"),
        ("DELETE", POD, "delete"),
        ("DELETE", "/api/v1/namespaces/default/pods", "deletecollection"),
        ("GET", "/healthz", "get"),
        ("POST", "/version", "post"),
    ],
)
def test_the_verb_comes_from_method_path_and_query(method: str, target: str, verb: str) -> None:
    assert parse(method, target).verb == verb


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (POD, ("", "v1", "default", "pods", "", "a")),
        (POD + "/status", ("", "v1", "default", "pods", "status", "a")),
        ("/api/v1/nodes/n", ("", "v1", "", "nodes", "", "n")),
        ("/api/v1/namespaces", ("", "v1", "", "namespaces", "", "")),
        ("/api/v1/namespaces/x", ("", "v1", "x", "namespaces", "", "x")),
        ("/api/v1/namespaces/x/status", ("", "v1", "x", "namespaces", "status", "x")),
        ("/api/v1/namespaces/x/finalize", ("", "v1", "x", "namespaces", "finalize", "x")),
        ("/apis/apps/v1/deployments", ("apps", "v1", "", "deployments", "", "")),
        ("/apis/apps/v1/namespaces/x/deployments/d/scale", ("apps", "v1", "x", "deployments", "scale", "d")),
        ("/apis/apps/v1", ("", "", "", "", "", "")),
        ("/api", ("", "", "", "", "", "")),
        ("/healthz/etcd", ("", "", "", "", "", "")),
        ("/api/v1/pods?fieldSelector=metadata.name=a", ("", "v1", "", "pods", "", "a")),
        ("/api/v1/pods?fieldSelector=x=y,metadata.name==a", ("", "v1", "", "pods", "", "a")),
    ],
)
def test_resource_namespace_and_name_come_from_the_path(target: str, expected: tuple[str, ...]) -> None:
    request = parse("GET", target)
    assert expected == (
        request.group,
        request.version,
        request.namespace,
        request.resource,
        request.subresource,
        request.name,
    )


def test_the_name_of_a_create_comes_from_the_body() -> None:
    path = "/api/v1/namespaces/default/pods"
    assert parse("POST", path, b'{"kind":"Pod","metadata":{"name":"a","labels":{}}}').name == "a"
    assert parse("POST", path, b'{"metadata":{"generateName":"a-"}}').name == ""
    assert parse("POST", path, b"k8s\x00protobuf").name == ""
    assert parse("POST", POD + "/eviction", b'{"metadata":{"name":"b"}}').name == "a"


@pytest.mark.parametrize(
    ("match", "chosen"),
    [
        (Match(), True),
        (Match(method="PUT"), True),
        (Match(method="GET"), False),
        (Match(verb="update"), True),
        (Match(verb="up"), False),
        (Match(verb=WRITES), True),
        (Match(verb=READS), False),
        (Match(resource="deployments", group="apps"), True),
        (Match(resource="pods"), False),
        (Match(group=""), False),
        (Match(subresource="status"), True),
        (Match(subresource=""), False),
        (Match(namespace="x"), True),
        (Match(namespace="default"), False),
        (Match(name="d"), True),
        (Match(name="e"), False),
        (Match(where=lambda request: b"replicas" in request.body), True),
        (Match(where=lambda request: "dryRun" in request.query), False),
    ],
)
def test_a_match_asks_only_for_what_it_names(match: Match, chosen: bool) -> None:
    request = parse("PUT", "/apis/apps/v1/namespaces/x/deployments/d/status", b'{"replicas":1}')
    assert match.matches(request) is chosen


def test_a_watch_event_tells_type_and_object() -> None:
    line = b'{"type":"DELETED","object":{"kind":"Pod","metadata":{"name":"a","namespace":"x"}}}\n'
    assert WatchEvent.parse(line) == WatchEvent("DELETED", "x", "a", line)
    bookmark = WatchEvent.parse(b'{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"7"}}}')
    assert (bookmark.type, bookmark.namespace, bookmark.name) == ("BOOKMARK", "", "")
    with pytest.raises(msgspec.DecodeError):
        WatchEvent.parse(b"nonsense\n")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Cut(after_bytes=1, after_events=1), "both given"),
        (lambda: HalfOpen(after_bytes=1, after_events=1), "both given"),
        (lambda: Cut(after_bytes=1, torn=True), "torn"),
        (lambda: Answer(418), "418 has no reason"),
        (lambda: WatchError(418), "418 has no reason"),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
