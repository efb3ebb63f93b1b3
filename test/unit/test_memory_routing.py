"""Paths and methods that the in-memory API server does not serve."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from disvc.runtime import Client, Resource
from disvc.runtime.transport import Answer
from disvc.testing.memory.requests import Request

if TYPE_CHECKING:
    from disvc.testing.memory import APIServer

CRDS = Resource("apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions", namespaced=False)
GROUP = "/apis/example.com/v1"


async def answer(server: APIServer, method: str, path: str) -> tuple[int, str]:
    """Return code and message, or the text of an answer without a Status."""
    got = await server.handle(Request(method, path, headers={"content-type": "application/json"}, body=b"{}"))
    assert isinstance(got, Answer)
    if got.headers["content-type"] != "application/json":
        return got.status, got.body.decode()
    return got.status, msgspec.json.decode(got.body).get("message", "")


async def install(server: APIServer, plural: str, scope: str) -> None:
    kind = plural.title().removesuffix("s")
    schema: dict[str, Any] = {"openAPIV3Schema": {"type": "object"}}
    version = {"name": "v1", "served": True, "storage": True, "schema": schema, "subresources": {"status": {}}}
    spec = {"group": "example.com", "scope": scope, "names": {"plural": plural, "kind": kind}, "versions": [version]}
    await Client(server.transport()).create(CRDS, {"metadata": {"name": f"{plural}.example.com"}, "spec": spec})


NOT_FOUND = (404, "the server could not find the requested resource")
NOT_ALLOWED = (405, "the server does not allow this method on the requested resource")
PAGE = (404, "404 page not found\n")


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/api/v1/nothings", NOT_FOUND),
        ("GET", "/apis/apps/v2/deployments", NOT_FOUND),
        ("GET", "/apis/nowhere/v1/things", PAGE),
        ("GET", "/api/v1/namespaces/default/nodes", NOT_FOUND),
        ("GET", "/api/v1/namespaces/default/namespaces", NOT_FOUND),
        ("GET", "/api/v1/pods/p", NOT_FOUND),
        ("GET", "/api/v1/namespaces/default/pods/p/nothing", NOT_FOUND),
        ("POST", "/api/v1/pods", NOT_ALLOWED),
        ("DELETE", "/api/v1/pods", NOT_ALLOWED),
        ("PUT", "/api/v1/namespaces/default/pods", NOT_ALLOWED),
        ("POST", "/api/v1/namespaces/default/pods/p", NOT_ALLOWED),
        ("DELETE", "/api/v1/namespaces/default/pods/p/status", NOT_ALLOWED),
        ("DELETE", "/api/v1/namespaces", NOT_ALLOWED),
    ],
)
async def test_what_is_not_served_of_built_in_kinds(
    memory_server: APIServer, method: str, path: str, expected: tuple[int, str]
) -> None:
    assert await answer(memory_server, method, path) == expected


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", f"{GROUP}/nothings", PAGE),
        ("GET", f"{GROUP}/namespaces/default/planets", PAGE),
        ("POST", f"{GROUP}/widgets", PAGE),
        ("GET", f"{GROUP}/widgets/w", PAGE),
        ("PUT", f"{GROUP}/namespaces/default/widgets", (400, "name must be provided")),
        (
            "DELETE",
            f"{GROUP}/namespaces/default/widgets/w/status",
            (405, 'delete is not supported on resources of kind "widgets.example.com"'),
        ),
        ("GET", f"{GROUP}/namespaces/default/widgets/w/scale", (404, 'widgets.example.com "w" not found')),
    ],
)
async def test_what_is_not_served_of_custom_kinds(
    memory_server: APIServer, method: str, path: str, expected: tuple[int, str]
) -> None:
    await install(memory_server, "widgets", "Namespaced")
    await install(memory_server, "planets", "Cluster")
    assert await answer(memory_server, method, path) == expected
