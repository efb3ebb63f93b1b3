"""Ten histories of 4,000 random writes by others, seen through a connection that fails in every way there is."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import pytest

from disvc.runtime import Client, Environment, Resource, Selection, connect, drop_managed_fields
from disvc.runtime.errors import AlreadyExists, Conflict, NotFound
from disvc.testing.faults import Answer, Cut, Delay, Duplicate, HalfOpen, WatchError
from disvc.testing.match import Match

if TYPE_CHECKING:
    from collections.abc import Iterator

    from disvc.testing.controlplane import ControlPlane
    from disvc.testing.faults import Fault
    from disvc.testing.injection import Injection
    from disvc.testing.proxy import FaultProxy

CONFIG_MAPS = Resource("v1", "ConfigMap", "configmaps")
OBJECTS = 200
WRITES = 4_000
WRITERS = 8
IDLE_SECONDS = 2.0


class Impatient(random.Random):
    """Waits a twentieth of any back-off: else the run would be over while the reflectors wait."""

    def uniform(self, a: float, b: float) -> float:
        return super().uniform(a, b) / 20


def inject_everything(proxy: FaultProxy, seed: int) -> list[Injection]:
    """Let every fault strike once, and then now and then for as long as the run lasts."""
    draws = random.Random(seed)
    requests = Match(resource="configmaps")
    watches = Match(verb="watch", resource="configmaps")

    once = []

    def sometimes(match: Match, fault: Fault, probability: float) -> None:
        once.append(proxy.inject(match, fault, times=1))
        proxy.inject(match, fault, probability=probability, random=draws)

    for status in (410, 429, 500, 503):
        sometimes(requests, Answer(status, retry_after=1 if status == 429 else None), 0.04)
    sometimes(requests, Cut(), 0.04)
    sometimes(requests, Cut(reset=True), 0.04)
    sometimes(requests, Delay(0.3), 0.1)
    sometimes(watches, WatchError(410, after_events=10), 0.1)
    sometimes(watches, WatchError(500, after_events=20), 0.1)
    sometimes(watches, HalfOpen(after_events=30), 0.1)
    sometimes(watches, Cut(after_events=40, torn=True), 0.2)
    sometimes(watches, Cut(after_events=60), 0.2)
    events = Match(verb="watch", resource="configmaps", event=lambda _: True)
    sometimes(events, Duplicate(), 0.02)
    sometimes(events, Delay(0.05), 0.01)
    sometimes(events, Cut(), 0.002)
    return once


async def write_at_random(client: Client, namespace: str, draws: random.Random, numbers: Iterator[int]) -> None:
    """Create, change, relabel and delete objects, as clients do that know nothing of each other."""
    for number in numbers:
        name = f"o{draws.randrange(OBJECTS)}"
        labels = {"tier": draws.choice(["gold", "iron"]), "app": f"app{draws.randrange(5)}"}
        body = {"metadata": {"name": name, "labels": labels}, "data": {"n": str(number)}}
        try:
            match draws.randrange(10):
                case 0 | 1:
                    await client.delete(CONFIG_MAPS, name, namespace)
                case 2 | 3 | 4:
                    await client.create(CONFIG_MAPS, body, namespace)
                case _:
                    await client.patch(CONFIG_MAPS, name, body, namespace)
        except (AlreadyExists, NotFound, Conflict):
            pass


@pytest.mark.parametrize("seed", range(10))
async def test_caches_indexes_and_handlers_equal_the_server_after_4000_random_writes_and_faults_throughout(
    seed: int, control_plane: ControlPlane, namespace: str, make_proxy: Any, watching: Any, make_others: Any, until: Any
) -> None:
    user = control_plane.user(
        f"random-{seed}", rules=[{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "watch"]}]
    )
    proxy = await make_proxy(control_plane, user.name)
    others = await make_others(control_plane, namespace)
    whole = Selection(CONFIG_MAPS, (namespace,))
    gold = Selection(CONFIG_MAPS, (namespace,), label_selector="tier=gold", transform=drop_managed_fields)
    once = inject_everything(proxy, seed)
    kubeconfig = control_plane.kubeconfig(user, proxy.url)
    environment = Environment(random=Impatient(seed))
    async with watching(kubeconfig, whole, idle_seconds=IDLE_SECONDS, environment=environment) as program:
        golden = program.observe(gold)
        cache = program.subscription.cache
        cache.add_index("n", lambda obj: (obj.decode()["data"]["n"],))
        cache.labelled("app", "app0")  # builds that index now, so that it is kept up all the way
        numbers = iter(range(WRITES))
        async with connect(control_plane.admin.kubeconfig) as transport, asyncio.TaskGroup() as group:
            client = Client(transport)
            for writer in range(WRITERS):
                draws = random.Random(seed * WRITERS + writer)
                group.create_task(write_at_random(client, namespace, draws, numbers))
            await asyncio.sleep(3)
            late = program.observe(whole)  # a handler that comes when much has happened
        not_met = [injection.fault for injection in once if not injection.spent]
        proxy.clear()
        proxy.cut_all()
        listed = await others.listed()
        await program.agrees_with(others)
        await late.agrees_with(others)
        held = {obj.key: obj for obj in cache}
        assert set(held) == set(listed)
        for label in range(5):
            by_label = {o.key for o in held.values() if o.metadata.labels.get("app") == f"app{label}"}
            assert {o.key for o in cache.labelled("app", f"app{label}")} == by_label
        for obj in held.values():
            assert cache.indexed("n", obj.decode()["data"]["n"]) == [obj]
        golden_keys = {key for key, obj in held.items() if obj.metadata.labels.get("tier") == "gold"}
        await until(lambda: set(golden.cached) == set(golden.seen.state) == golden_keys)
        assert golden.seen.wrong == []
    assert not_met == [], "the run was easier than it was meant to be"
