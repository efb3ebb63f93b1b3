"""One API server as a test sees it: requests by path, answers decoded, watches as lists of events."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final

from tenacity import AsyncRetrying, retry_if_not_result, stop_after_delay, wait_fixed

if TYPE_CHECKING:
    from collections.abc import Callable

    from disvc.runtime.transport import Transport

    Value = dict[str, Any]

__all__ = ["APPLY", "JSON", "MERGE", "Api", "Reply", "config_map", "lease"]

MERGE: Final = "application/merge-patch+json"
JSON: Final = "application/json-patch+json"
APPLY: Final = "application/apply-patch+yaml"
_TIMEOUT_S: Final = 30.0
_POLL_S: Final = 0.02


class Reply(dict[str, Any]):
    """An answer's JSON, with its status and headers."""

    status: int
    headers: dict[str, str]

    @property
    def refusal(self) -> tuple[int, str]:
        """The code and the reason of a Status."""
        return self.status, str(self.get("reason", ""))

    @property
    def revision(self) -> str:
        return str(self["metadata"]["resourceVersion"])

    @property
    def names(self) -> list[str]:
        """Of the objects of a list."""
        return [item["metadata"]["name"] for item in self["items"]]

    @property
    def fields(self) -> list[str]:
        """Which fields the causes of a Status are about."""
        return [cause["field"] for cause in self["details"]["causes"]]


class Api:
    """Sends requests as the admin; `namespace` is the test's own."""

    def __init__(self, transport: Transport, namespace: str) -> None:
        self._transport = transport
        self.namespace = namespace
        self.config_maps = f"/api/v1/namespaces/{namespace}/configmaps"
        self.leases = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        """Of which nobody else makes any."""

    async def send(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        kind: str = "application/json",
        accept: str = "application/json",
        **query: str,
    ) -> Reply:
        """Send one request; `kind` is the media type of the body."""
        headers = {"Accept": accept, "User-Agent": "suite/1"}
        if body is not None:
            headers["Content-Type"] = kind
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        answer = await self._transport.request(
            method, path, query=query, headers=headers, body=data, timeout=_TIMEOUT_S, fence=None
        )
        try:
            reply = Reply(json.loads(answer.body))
        except ValueError:
            reply = Reply(text=answer.body.decode())
        reply.status, reply.headers = answer.status, dict(answer.headers)
        return reply

    async def get(self, path: str, **query: str) -> Reply:
        return await self.send("GET", path, **query)

    async def create(self, path: str, body: Value, **query: str) -> Reply:
        reply = await self.send("POST", path, body, **query)
        assert reply.status == 201, reply
        return reply

    async def patch(self, path: str, body: object, kind: str = MERGE, **query: str) -> Reply:
        return await self.send("PATCH", path, body, kind=kind, **query)

    async def apply(self, path: str, body: Value, manager: str, **query: str) -> Reply:
        return await self.send("PATCH", path, body, kind=APPLY, fieldManager=manager, **query)

    async def delete(self, path: str, body: Value | None = None, **query: str) -> Reply:
        return await self.send("DELETE", path, body, **query)

    async def events(self, path: str, count: int, **query: str) -> list[Value]:
        """Watch until `count` events have come, without bookmarks."""
        events: list[Value] = []
        rest = b""
        async with (
            asyncio.timeout(_TIMEOUT_S),
            self._transport.stream(path, query=query | {"watch": "1"}, headers={}, timeout=_TIMEOUT_S) as stream,
        ):
            async for chunk in stream.chunks():
                *lines, rest = (rest + chunk).split(b"\n")
                events += [event for line in lines if (event := json.loads(line))["type"] != "BOOKMARK"]
                if len(events) >= count:
                    break
        return events

    async def until(self, path: str, holds: Callable[[Reply], bool]) -> Reply:
        """Read an object until something holds, for what a server or a controller does a moment later."""
        until = AsyncRetrying(
            wait=wait_fixed(_POLL_S), stop=stop_after_delay(_TIMEOUT_S), retry=retry_if_not_result(holds)
        )
        return await until(self.get, path)


def lease(name: str) -> Value:
    """Return a Lease."""
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}}


def config_map(name: str, data: dict[str, str] | None = None, **metadata: Any) -> Value:
    """Return a ConfigMap."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **metadata}, "data": data or {}}
