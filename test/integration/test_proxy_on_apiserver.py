"""`FaultProxy` in front of the real kube-apiserver."""

from __future__ import annotations

import asyncio
import json
import ssl
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from yarl import URL

from disvc.testing.faults import Cut, Duplicate, LoseAnswer, WatchError
from disvc.testing.match import Match
from disvc.testing.proxy import FaultProxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from disvc.testing.controlplane import ControlPlane

RULES = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["*"]}]


@pytest.fixture
async def proxy(control_plane: ControlPlane) -> AsyncIterator[FaultProxy]:
    """A proxy that acts, by the front-proxy certificate, as a user with rights on ConfigMaps alone."""
    user = await asyncio.to_thread(control_plane.user, "proxied", (), RULES)
    tls = ssl.create_default_context(cafile=str(control_plane.ca_file))
    tls.load_cert_chain(control_plane.front_proxy.cert_file, control_plane.front_proxy.key_file)
    proxy = FaultProxy(control_plane.url, ssl=tls, user=user.name, groups=["system:authenticated"])
    async with proxy:
        yield proxy


@pytest.fixture
async def client(proxy: FaultProxy) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(proxy.url) as session:
        session._retry_connection = False  # as in disvc.testing.upstream
        yield session


def config_map(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}


async def test_callers_are_the_configured_user_or_whoever_their_token_says(
    control_plane: ControlPlane, client: aiohttp.ClientSession, namespace: str
) -> None:
    async def who(headers: dict[str, str]) -> tuple[int, str]:
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
        async with client.post(path, json=review, headers=headers) as response:
            content = await response.json()
            return response.status, content.get("status", {}).get("userInfo", {}).get("username", "")

    assert await who({}) == (201, "proxied")
    account = config_map("robot") | {"kind": "ServiceAccount"}
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    await asyncio.to_thread(control_plane.admin.call, "POST", path, account)
    token = await asyncio.to_thread(control_plane.service_account_token, namespace, "robot", 600)
    robot = f"system:serviceaccount:{namespace}:robot"
    assert await who({"Authorization": f"Bearer {token}"}) == (201, robot)
    async with client.get(f"/api/v1/namespaces/{namespace}/secrets") as response:
        assert response.status == 403
        assert '"proxied" cannot list' in (await response.json())["message"]


async def test_a_lost_answer_leaves_the_object_on_the_server(
    proxy: FaultProxy, client: aiohttp.ClientSession, namespace: str
) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    lost = proxy.inject(Match(verb="create", resource="configmaps", name="a"), LoseAnswer(), times=1)
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await client.post(path, json=config_map("a"))
    assert lost.count == 1
    async with client.post(path, json=config_map("a")) as response:
        assert (response.status, (await response.json())["reason"]) == (409, "AlreadyExists")
    assert [exchange.status for exchange in proxy.requests] == [201, 409]


async def test_the_events_of_a_real_watch_are_duplicated_held_back_and_ended_by_410(
    proxy: FaultProxy, client: aiohttp.ClientSession, namespace: str
) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    own = Match(verb="watch", namespace=namespace, event=lambda event: event.name == "a")
    twice = proxy.inject(own, Duplicate(), times=1)

    async with asyncio.timeout(30), client.get(path, params={"watch": "1"}) as watch:

        async def next_event() -> tuple[str, str]:
            while True:
                event = json.loads(await watch.content.readline())
                name = event["object"].get("metadata", {}).get("name", event["object"].get("reason"))
                if name != "kube-root-ca.crt":
                    return event["type"], name

        await client.post(path, json=config_map("a"))
        assert [await next_event(), await next_event()] == [("ADDED", "a"), ("ADDED", "a")]
        assert twice.count == 1
        proxy.pause_watches()
        for name in ("b", "c"):
            await client.post(path, json=config_map(name))
        await client.delete(f"{path}/b")
        reading = asyncio.create_task(next_event())
        await asyncio.sleep(0.1)
        assert not reading.done()
        proxy.resume_watches()
        assert [await reading, await next_event()] == [("ADDED", "b"), ("ADDED", "c")]
        assert await next_event() == ("DELETED", "b")
        proxy.inject(own, WatchError())
        await client.patch(
            f"{path}/a",
            data=b'{"data":{"x":"y"}}',
            headers={"Content-Type": "application/merge-patch+json"},
        )
        assert await next_event() == ("ERROR", "Expired")
        assert await watch.content.read() == b""


async def test_a_real_watch_breaks_off_in_the_middle_of_an_event(
    proxy: FaultProxy, client: aiohttp.ClientSession, namespace: str
) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    proxy.inject(Match(verb="watch", event=lambda event: event.name == "a"), Cut(torn=True), times=1)
    url = URL(proxy.url)
    # Not by aiohttp: where the torn piece and the end come together, its client keeps the piece to itself.
    reader, writer = await asyncio.open_connection(url.host, url.port)
    async with asyncio.timeout(30):
        writer.write(f"GET {path}?watch=1 HTTP/1.1\r\nHost: {url.authority}\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        await client.post(path, json=config_map("a"))
        received = await reader.read()
    writer.close()
    assert not received.endswith(b"0\r\n\r\n"), "the body has a proper end"
    torn = [piece for piece in received.split(b"\r\n") if piece.startswith(b'{"type":"ADDED"')][-1]
    with pytest.raises(json.JSONDecodeError):
        json.loads(torn)
