"""A reconciler that decides by what its cache holds never does twice what it has done."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import TYPE_CHECKING, Any

from structlog.testing import capture_logs

from disvc.runtime import Controller, Manager, Request, Resource, Result, Selection, connect
from disvc.testing.faults import Delay, LoseAnswer
from disvc.testing.match import Match

if TYPE_CHECKING:
    from disvc.testing.controlplane import ControlPlane

CONFIG_MAPS = Resource("v1", "ConfigMap", "configmaps")
SECRETS = Resource("v1", "Secret", "secrets")
PARENTS = 50
CHILDREN = 200


class Counting:
    """Gives each parent as many children as it should have, one a reconcile: the first that the cache lacks."""

    def __init__(self, manager: Manager, namespace: str) -> None:
        self._client = manager.client
        self._parents = manager.cache(Selection(CONFIG_MAPS, (namespace,)))
        self._children = manager.cache(Selection(SECRETS, (namespace,)))
        self.rounds = 0

    async def reconcile(self, request: Request) -> Result | None:
        parent = self._parents.get(request)
        if parent is None or "parent" not in parent.metadata.labels:
            return None
        there = {child.metadata.labels["number"] for child in self._children.owned_by(parent.metadata.uid)}
        missing = next((n for n in range(CHILDREN) if str(n) not in there), None)
        if missing is None:
            return None
        self.rounds += 1
        owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": request.name, "uid": parent.metadata.uid}
        await self._client.create(
            SECRETS,
            {
                "metadata": {
                    "generateName": f"{request.name}-",
                    "labels": {"number": str(missing)},
                    "ownerReferences": [{**owner, "controller": True}],
                }
            },
            request.namespace,
        )
        return Result(requeue_after=0)


async def test_a_reconciler_that_counts_never_creates_twice_in_10000_rounds_with_a_delayed_watch_and_lost_answers(
    control_plane: ControlPlane, namespace: str, make_proxy: Any, until: Any
) -> None:
    user = control_plane.user(
        "counting",
        rules=[
            {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "watch"]},
            {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list", "watch", "create"]},
        ],
    )
    proxy = await make_proxy(control_plane, user.name)
    draws = random.Random(7)
    proxy.inject(Match(verb="watch", resource="secrets", event=lambda _: True), Delay(1.0))
    lost = proxy.inject(Match(verb="create", resource="secrets"), LoseAnswer(), probability=0.02, random=draws)
    for n in range(PARENTS):
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"p{n}", "labels": {"parent": ""}}}
        control_plane.admin.call("POST", f"/api/v1/namespaces/{namespace}/configmaps", body)
    stop = asyncio.Event()
    with capture_logs():
        async with connect(control_plane.kubeconfig(user, proxy.url)) as transport, asyncio.TaskGroup() as group:
            manager = Manager(transport)
            counting = Counting(manager, namespace)
            manager.add(
                Controller(
                    "counting",
                    for_=Selection(CONFIG_MAPS, (namespace,)),
                    owns=[Selection(SECRETS, (namespace,))],
                    reconciler=counting,
                    max_concurrent=10,
                )
            )
            group.create_task(manager.run(stop=stop, handle_signals=False))
            secrets = manager.cache(Selection(SECRETS, (namespace,)))
            await until(lambda: len(secrets) >= PARENTS * CHILDREN, 600)
            await asyncio.sleep(2)  # time enough to do one too many
            stop.set()
    path = f"/api/v1/namespaces/{namespace}/secrets"
    items = control_plane.admin.call("GET", path)["items"]
    made = Counter((s["metadata"]["ownerReferences"][0]["name"], s["metadata"]["labels"]["number"]) for s in items)
    assert [pair for pair, count in made.items() if count > 1] == []
    assert len(items) == PARENTS * CHILDREN == 10_000
    assert counting.rounds >= 10_000
    assert lost.count > 100
