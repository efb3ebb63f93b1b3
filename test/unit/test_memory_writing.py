"""Writes to the in-memory API server as requests: patches of four kinds, dry runs, strictness, preconditions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from disvc.runtime.transport import Answer
from disvc.testing.memory.requests import Request

if TYPE_CHECKING:
    from disvc.testing.memory import APIServer

MAPS = "/api/v1/namespaces/default/configmaps"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
JSON = "application/json"
DEPLOYMENT = {
    "metadata": {"name": "d"},
    "spec": {
        "selector": {"matchLabels": {"a": "b"}},
        "template": {
            "metadata": {"labels": {"a": "b"}},
            "spec": {"containers": [{"name": "one", "image": "i:1"}, {"name": "two", "image": "i:1"}]},
        },
    },
}


async def send(
    server: APIServer, method: str, path: str, body: Any = None, kind: str = JSON, **query: str
) -> tuple[int, Any, str]:
    """Return code, body and warnings of an answer."""
    data = body if isinstance(body, bytes) else b"" if body is None else msgspec.json.encode(body)
    answer = await server.handle(Request(method, path, query, {"content-type": kind, "user-agent": "test"}, data))
    assert isinstance(answer, Answer)
    return answer.status, msgspec.json.decode(answer.body), answer.headers.get("warning", "")


def config_map(name: str = "a", **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": data}


@pytest.mark.parametrize(
    ("kind", "patch", "expected"),
    [
        ("application/merge-patch+json", {"data": {"x": None, "y": "2"}}, {"y": "2"}),
        ("application/json-patch+json", [{"op": "add", "path": "/data/y", "value": "2"}], {"x": "1", "y": "2"}),
        ("application/strategic-merge-patch+json", {"data": {"y": "2"}}, {"x": "1", "y": "2"}),
    ],
)
async def test_an_object_is_patched(memory_server: APIServer, kind: str, patch: Any, expected: dict[str, str]) -> None:
    await send(memory_server, "POST", MAPS, config_map(x="1"))
    code, patched, _ = await send(memory_server, "PATCH", f"{MAPS}/a", patch, kind)
    assert (code, patched["data"]) == (200, expected)


async def test_a_strategic_patch_merges_containers_by_name(memory_server: APIServer) -> None:
    await send(memory_server, "POST", DEPLOYMENTS, DEPLOYMENT)
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "two", "image": "i:2"}]}}}}
    kind = "application/strategic-merge-patch+json"
    _, patched, _ = await send(memory_server, "PATCH", f"{DEPLOYMENTS}/d", patch, kind)
    containers = patched["spec"]["template"]["spec"]["containers"]
    assert {container["name"]: container["image"] for container in containers} == {"one": "i:1", "two": "i:2"}
    assert patched["metadata"]["generation"] == 2


async def test_an_apply_creates_owns_and_conflicts(memory_server: APIServer) -> None:
    kind = "application/apply-patch+yaml"
    applied = b"{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {x: '1'}}"
    code, created, _ = await send(memory_server, "PATCH", f"{MAPS}/a", applied, kind, fieldManager="one")
    assert (code, created["metadata"]["managedFields"][0]["manager"]) == (201, "one")
    other = applied.replace(b"'1'", b"'2'")
    code, refused, _ = await send(memory_server, "PATCH", f"{MAPS}/a", other, kind, fieldManager="two")
    assert (code, refused["reason"]) == (409, "Conflict")
    query = {"fieldManager": "two", "force": "true"}
    code, forced, _ = await send(memory_server, "PATCH", f"{MAPS}/a", other, kind, **query)
    assert (code, forced["data"]) == (200, {"x": "2"})


async def test_a_patch_of_another_kind_is_not_understood(memory_server: APIServer) -> None:
    await send(memory_server, "POST", MAPS, config_map())
    assert (await send(memory_server, "PATCH", f"{MAPS}/a", {}, "text/plain"))[0] == 415


@pytest.mark.parametrize(
    ("method", "path", "body", "kind"),
    [
        ("POST", MAPS, config_map("b"), JSON),
        ("PUT", f"{MAPS}/a", config_map(x="2"), JSON),
        ("PATCH", f"{MAPS}/a", {"data": {"x": "2"}}, "application/merge-patch+json"),
        ("DELETE", f"{MAPS}/a", None, JSON),
        ("DELETE", MAPS, None, JSON),
    ],
)
async def test_a_dry_run_changes_nothing(
    memory_server: APIServer, method: str, path: str, body: Any, kind: str
) -> None:
    await send(memory_server, "POST", MAPS, config_map(x="1"))
    before = memory_server.store.revision
    code, _, _ = await send(memory_server, method, path, body, kind, dryRun="All")
    assert code in (200, 201)
    assert memory_server.store.revision == before


async def test_what_a_kind_does_not_know_is_told_of_refused_or_passed_over(memory_server: APIServer) -> None:
    body = b'{"metadata": {"name": "a"}, "data": {"x": "1", "x": "2"}, "foo": 1}'
    code, refused, _ = await send(memory_server, "POST", MAPS, body, fieldValidation="Strict")
    assert code == 400
    assert refused["message"].endswith('strict decoding error: duplicate field "data.x", unknown field "foo"')
    code, created, warnings = await send(memory_server, "POST", MAPS, body)
    assert (code, created["data"], "foo" in created) == (201, {"x": "2"}, False)
    assert warnings == r'299 - "duplicate field \"data.x\"", 299 - "unknown field \"foo\""'
    ignored = body.replace(b'"a"', b'"b"')
    assert (await send(memory_server, "POST", MAPS, ignored, fieldValidation="Ignore"))[2] == ""


async def test_an_update_of_another_uid_is_a_conflict(memory_server: APIServer) -> None:
    await send(memory_server, "POST", MAPS, config_map())
    update = {"metadata": {"name": "a", "uid": "other"}}
    code, refused, _ = await send(memory_server, "PUT", f"{MAPS}/a", update)
    assert code == 409
    assert "Key: /registry/configmaps/default/a" in refused["message"]


async def test_a_generated_name_is_completed(memory_server: APIServer) -> None:
    code, created, _ = await send(memory_server, "POST", MAPS, {"metadata": {"generateName": "a-"}})
    assert code == 201
    assert len(created["metadata"]["name"]) == len("a-") + 5


async def test_an_update_creates_where_the_kind_allows_it(memory_server: APIServer) -> None:
    leases = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
    assert (await send(memory_server, "PUT", f"{leases}/l", {"metadata": {"name": "l"}, "spec": {}}))[0] == 201
    assert (await send(memory_server, "PUT", f"{MAPS}/a", config_map()))[0] == 404
