"""status and scale."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest_asyncio

if TYPE_CHECKING:
    from suite.api import Api

LABELS = {"app": "a"}


@pytest_asyncio.fixture
async def path(api: Api) -> str:
    """Make a Deployment that no controller acts on, and return its path."""
    deployments = f"/apis/apps/v1/namespaces/{api.namespace}/deployments"
    template = {"metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec: dict[str, Any] = {"paused": True, "replicas": 0, "selector": {"matchLabels": LABELS}, "template": template}
    await api.create(
        deployments, {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}, "spec": spec}
    )
    return f"{deployments}/a"


async def test_the_scale_says_how_many_and_selects_them(api: Api, path: str) -> None:
    scale = await api.get(f"{path}/scale")
    assert (scale["kind"], scale["apiVersion"]) == ("Scale", "autoscaling/v1")
    assert scale["spec"] == {}
    assert scale["status"] == {"replicas": 0, "selector": "app=a"}


async def test_a_scale_changes_the_replicas_and_nothing_else(api: Api, path: str) -> None:
    before = await api.get(path)
    assert (await api.patch(f"{path}/scale", {"spec": {"replicas": 0}})).status == 200
    assert (await api.get(path))["metadata"]["generation"] == before["metadata"]["generation"]
    await api.patch(f"{path}/scale", {"spec": {"replicas": 3}})
    after = await api.get(path)
    assert after["spec"] == before["spec"] | {"replicas": 3}
    assert after["metadata"]["generation"] == before["metadata"]["generation"] + 1


async def test_a_negative_scale_is_refused(api: Api, path: str) -> None:
    reply = await api.patch(f"{path}/scale", {"spec": {"replicas": -1}})
    assert reply.refusal == (422, "Invalid")
    assert reply.fields == ["spec.replicas"]


async def test_an_update_does_not_change_the_status(api: Api, path: str) -> None:
    reply = await api.patch(path, {"status": {"replicas": 7}})
    assert reply.status == 200
    assert reply["status"].get("replicas") is None


async def test_an_update_of_the_status_does_not_change_the_spec(api: Api, path: str) -> None:
    before = await api.get(path)
    patch = {"spec": {"minReadySeconds": 5}, "status": {"conditions": [{"type": "Mine", "status": "True"}]}}
    reply = await api.patch(f"{path}/status", patch)
    assert reply["spec"] == before["spec"]
    assert reply["metadata"]["generation"] == before["metadata"]["generation"]
    assert "Mine" in [condition["type"] for condition in reply["status"]["conditions"]]
