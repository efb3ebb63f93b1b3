"""ResourceQuotas that limit how many objects of a kind there may be."""

from __future__ import annotations

from typing import Any

import pytest

from disvc.runtime import Client, Environment, Forbidden, Resource
from disvc.testing.memory import APIServer
from disvc.testing.memory.builtin import TYPES

CONFIG_MAPS: Resource[dict[str, Any]] = Resource("v1", "ConfigMap", "configmaps")
DEPLOYMENTS: Resource[dict[str, Any]] = Resource("apps/v1", "Deployment", "deployments")
QUOTAS: Resource[dict[str, Any]] = Resource("v1", "ResourceQuota", "resourcequotas")


@pytest.fixture
def server() -> APIServer:
    return APIServer(Environment(), TYPES)


async def limit(server: APIServer, **hard: str) -> Client:
    client = Client(server.transport())
    spec = {"hard": {name.replace("__", "/").replace("_apps", ".apps"): value for name, value in hard.items()}}
    await client.create(QUOTAS, {"metadata": {"name": "q"}, "spec": spec}, "default")
    return client


@pytest.mark.parametrize("name", ["configmaps", "count__configmaps"])
async def test_one_object_more_than_a_quota_allows_is_refused(server: APIServer, name: str) -> None:
    client = await limit(server, **{name: "2"})
    for number in range(2):
        await client.create(CONFIG_MAPS, {"metadata": {"name": f"c{number}"}}, "default")
    with pytest.raises(Forbidden) as refused:
        await client.create(CONFIG_MAPS, {"metadata": {"name": "c2"}}, "default")
    counted = name.replace("__", "/")
    assert refused.value.message == (
        f'configmaps "c2" is forbidden: exceeded quota: q, requested: {counted}=1, used: {counted}=2, '
        f"limited: {counted}=2"
    )
    await client.create(CONFIG_MAPS, {"metadata": {"name": "elsewhere"}}, "kube-public")
    await client.delete(CONFIG_MAPS, "c0", "default")
    await client.create(CONFIG_MAPS, {"metadata": {"name": "c2"}}, "default")


async def test_a_quota_says_what_is_used_of_what_it_counts(server: APIServer) -> None:
    client = await limit(server, configmaps="5", count__deployments_apps="1", cpu="2")
    await client.create(CONFIG_MAPS, {"metadata": {"name": "c"}}, "default")
    server.count_quotas()
    quota = await client.get(QUOTAS, "q", "default")
    assert quota.decode()["status"] == {
        "hard": {"configmaps": "5", "count/deployments.apps": "1", "cpu": "2"},
        "used": {"configmaps": "1", "count/deployments.apps": "0"},
    }
    server.count_quotas()
    assert (await client.get(QUOTAS, "q", "default")).version == quota.version
