"""Reflectors against the real kube-apiserver, with the faults that a network and a server have.

After each fault the cache equals what the server lists, and handlers have seen every object's last state,
deletions included (`Program.agrees_with`).
"""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING

import aiohttp
import pytest

from disvc.runtime import AnswerLost, Resource, Selection
from disvc.testing.faults import Answer, Cut, Delay, Duplicate, HalfOpen, LoseAnswer, WatchError
from disvc.testing.match import WRITES, APIRequest, Match, any_event

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from conftest import MakeOthers, MakeProxy, Until, Watching

    from disvc.testing.audit import Call
    from disvc.testing.controlplane import ControlPlane

    MakeControlPlane = Callable[..., Awaitable[ControlPlane]]

CONFIG_MAPS = Resource("v1", "ConfigMap", "configmaps")
RULES = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["*"]}]
NO_STREAMED_LISTS = "--feature-gates=WatchList=false"
WATCH = Match(verb="watch", resource="configmaps")
LIST = Match(verb="list", resource="configmaps")
EVENTS = Match(verb="watch", resource="configmaps", event=any_event)


def names(prefix: str, count: int) -> list[str]:
    return [f"{prefix}-{number}" for number in range(count)]


def streams(calls: list[Call]) -> list[Call]:
    return [call for call in calls if "sendInitialEvents=true" in call.uri]


def is_continued(request: APIRequest) -> bool:
    return "continue" in request.query


async def test_the_state_comes_as_a_stream_and_nothing_is_listed(
    control_plane: ControlPlane,
    namespace: str,
    make_proxy: MakeProxy,
    make_others: MakeOthers,
    watching: Watching,
) -> None:
    user = await asyncio.to_thread(control_plane.user, f"streams-{namespace}", (), RULES)
    proxy = await make_proxy(control_plane, user.name)
    others = await make_others(control_plane, namespace)
    await others.create(*names("a", 20))
    kubeconfig = control_plane.kubeconfig(user, server=proxy.url)
    async with watching(kubeconfig, Selection(CONFIG_MAPS, (namespace,))) as program:
        await program.agrees_with(others)
        await others.change(*names("a", 5))
        await others.delete(*names("a", 3))
        await program.agrees_with(others)
        program.saw_deleted(others, *names("a", 3))
        audit = await control_plane.audit.settled()
    assert audit.calls(user=user.name, verb="list") == []
    (watch,) = audit.calls(user=user.name, verb="watch")
    assert streams([watch]) == [watch]
    kubectl = await control_plane.kubectl("-n", namespace, "get", "cm", "-o", "json")
    items = [item["metadata"] for item in json.loads(kubectl)["items"]]
    assert {(m["name"], m["uid"], m["resourceVersion"]) for m in items} == {
        (key.name, *version) for key, version in program.cached.items()
    }


async def test_where_the_server_does_not_stream_lists_5000_objects_come_in_pages(
    make_control_plane: MakeControlPlane, make_proxy: MakeProxy, make_others: MakeOthers, watching: Watching
) -> None:
    plane = await make_control_plane(apiserver_flags=[NO_STREAMED_LISTS])
    user = await asyncio.to_thread(plane.user, "pages", (), RULES)
    proxy = await make_proxy(plane, user.name)
    others = await make_others(plane, "default")
    await others.create(*names("a", 5000))
    kubeconfig = plane.kubeconfig(user, server=proxy.url)
    async with watching(kubeconfig, Selection(CONFIG_MAPS, ("default",))) as program:
        await program.agrees_with(others)
        assert len(program.cached) == 5000
        (refused,) = streams((await plane.audit.settled()).calls(user=user.name))
        assert refused.code == 422
        # kube-apiserver 1.36 answers a list at "0" from its watch cache, in one piece whatever the limit is.
        (whole,) = plane.audit.calls(user=user.name, verb="list")
        assert "limit=500&resourceVersion=0&" in whole.uri
        # After a 410 the newest state is asked for: that comes in pages, all of them of one version.
        proxy.inject(EVENTS, WatchError(), times=1)
        await others.delete(*names("a", 10))
        await program.agrees_with(others)
        program.saw_deleted(others, *names("a", 10))
        pages = (await plane.audit.settled()).calls(user=user.name, verb="list")[1:]
        assert len(pages) == 10
        assert all("limit=500" in page.uri and "resourceVersion=" not in page.uri for page in pages)
        assert len(streams(plane.audit.calls(user=user.name))) == 1, "what was refused once was asked for again"
        await others.change(*names("a", 20)[10:])
        await program.agrees_with(others)


@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_a_restarted_apiserver_is_caught_up_with(
    make_control_plane: MakeControlPlane,
    make_proxy: MakeProxy,
    make_others: MakeOthers,
    watching: Watching,
    how: str,
) -> None:
    # Without that flag the server waits for its watches to end by themselves, for a minute.
    plane = await make_control_plane(apiserver_flags=["--shutdown-watch-termination-grace-period=1s"])
    user = await asyncio.to_thread(plane.user, "restarts", (), RULES)
    proxy = await make_proxy(plane, user.name)
    others = await make_others(plane, "default")
    await others.create(*names("a", 50))
    async with watching(plane.kubeconfig(user, server=proxy.url), Selection(CONFIG_MAPS, ("default",))) as program:
        await program.agrees_with(others)
        await (plane.stop_apiserver() if how == "stop" else plane.kill_apiserver())
        await program.until_logged("list or watch failed")
        await proxy.refuse_connections()
        await plane.start_apiserver()
        # Others are faster than our watch.
        await others.create(*names("b", 20))
        await others.change(*names("a", 20))
        gone = dict(others.uids)
        await others.delete(*names("b", 10), *names("a", 10))
        await others.create(*names("a", 10))
        proxy.accept_connections()
        await others.change(*names("a", 5))
        await program.agrees_with(others)
        deleted = {(key.name, uid) for key, uid in program.seen.deleted}
        assert deleted >= {(name, gone[name]) for name in names("a", 10)}


async def test_a_watch_from_a_compacted_version_is_begun_anew(
    make_control_plane: MakeControlPlane, make_proxy: MakeProxy, make_others: MakeOthers, watching: Watching
) -> None:
    # Without its watch cache the server asks etcd, which really has forgotten.
    plane = await make_control_plane(apiserver_flags=["--watch-cache=false"])
    user = await asyncio.to_thread(plane.user, "compacted", (), RULES)
    proxy = await make_proxy(plane, user.name)
    others = await make_others(plane, "default")
    await others.create(*names("a", 50))
    kubeconfig = plane.kubeconfig(user, server=proxy.url)
    async with watching(kubeconfig, Selection(CONFIG_MAPS, ("default",))) as program:
        await program.agrees_with(others)
        await proxy.refuse_connections()
        proxy.cut_all()
        await others.change(*names("a", 20))
        await others.delete(*names("a", 10))
        await plane.compact()
        proxy.accept_connections()
        await program.agrees_with(others)
        program.saw_deleted(others, *names("a", 10))
        assert program.logged("version is too old to watch from")


async def test_a_list_whose_version_is_compacted_between_two_pages_is_made_anew(
    make_control_plane: MakeControlPlane, make_proxy: MakeProxy, make_others: MakeOthers, watching: Watching
) -> None:
    plane = await make_control_plane(apiserver_flags=["--watch-cache=false", NO_STREAMED_LISTS])
    user = await asyncio.to_thread(plane.user, "compacted", (), RULES)
    proxy = await make_proxy(plane, user.name)
    others = await make_others(plane, "default")
    await others.create(*names("a", 1200))
    next_page = Match(verb="list", resource="configmaps", where=is_continued)
    held_up = proxy.inject(next_page, Answer(429, retry_after=1))  # it waits, and asks for the same page again
    kubeconfig = plane.kubeconfig(user, server=proxy.url)
    async with watching(kubeconfig, Selection(CONFIG_MAPS, ("default",))) as program:
        async with asyncio.timeout(60):
            await held_up.struck()
        await others.delete(*names("a", 50))
        await others.create(*names("b", 20))
        await plane.compact()
        proxy.clear()
        await program.agrees_with(others)
        assert program.logged("continue token is too old")
        assert len(program.cached) == 1170
        calls = (await plane.audit.settled()).calls(user=user.name, verb="list")
        assert 410 in {call.code for call in calls}
        await others.change(*names("b", 5))
        await program.agrees_with(others)


async def test_a_half_open_watch_is_noticed_within_the_idle_limit_and_goes_on_where_it_was(
    control_plane: ControlPlane,
    namespace: str,
    make_proxy: MakeProxy,
    make_others: MakeOthers,
    watching: Watching,
) -> None:
    user = await asyncio.to_thread(control_plane.user, f"half-open-{namespace}", (), RULES)
    proxy = await make_proxy(control_plane, user.name)
    others = await make_others(control_plane, namespace)
    await others.create(*names("a", 20))
    kubeconfig = control_plane.kubeconfig(user, server=proxy.url)
    async with watching(kubeconfig, Selection(CONFIG_MAPS, (namespace,)), idle_seconds=3) as program:
        await program.agrees_with(others)
        quiet = proxy.inject(
            Match(verb="watch", namespace=namespace, event=lambda event: event.name == "a-3"), HalfOpen(), times=1
        )
        await others.change(*names("a", 10))
        await others.delete(*names("a", 5))
        await program.agrees_with(others)
        assert quiet.count == 1
        assert program.logged("nothing was heard for 3 s")
        program.saw_deleted(others, *names("a", 5))
        assert program.metric("disvc_reflector_lists_total") == 1, "it listed anew, without a reason to"


async def test_a_stream_of_initial_events_that_goes_quiet_is_replaced_by_a_list(
    control_plane: ControlPlane,
    namespace: str,
    make_proxy: MakeProxy,
    make_others: MakeOthers,
    watching: Watching,
) -> None:
    user = await asyncio.to_thread(control_plane.user, f"quiet-{namespace}", (), RULES)
    proxy = await make_proxy(control_plane, user.name)
    others = await make_others(control_plane, namespace)
    await others.create(*names("a", 20))
    quiet = proxy.inject(WATCH, HalfOpen(after_events=7), times=1)
    kubeconfig = control_plane.kubeconfig(user, server=proxy.url)
    async with watching(kubeconfig, Selection(CONFIG_MAPS, (namespace,)), idle_seconds=3) as program:
        async with asyncio.timeout(60):
            await quiet.struck()
        await asyncio.sleep(1)
        assert program.seen.state == program.cached == {}, "a state that is not complete was shown"
        await others.delete(*names("a", 5))
        await program.agrees_with(others)
        assert [exchange.verb for exchange in proxy.requests][:2] == ["watch", "list"]


async def test_a_program_that_hears_nothing_is_not_ready_until_it_hears_again(
    control_plane: ControlPlane,
    namespace: str,
    make_proxy: MakeProxy,
    make_others: MakeOthers,
    watching: Watching,
    until: Until,
) -> None:
    user = await asyncio.to_thread(control_plane.user, f"silent-{namespace}", (), RULES)
    proxy = await make_proxy(control_plane, user.name)
    others = await make_others(control_plane, namespace)
    await others.create(*names("a", 20))
    kubeconfig = control_plane.kubeconfig(user, server=proxy.url)
    options = {"idle_seconds": 5, "health_probe_bind_address": "127.0.0.1:0"}
    async with watching(kubeconfig, Selection(CONFIG_MAPS, (namespace,)), **options) as program:
        await program.agrees_with(others)
        async with aiohttp.ClientSession(f"http://{program.manager.addresses['probes']}") as probes:

            async def readiness() -> tuple[int, str]:
                async with probes.get("/readyz") as answer:
                    return answer.status, await answer.text()

            async def ready() -> bool:
                return (await readiness()) == (200, "ok")

            async def not_ready() -> bool:
                return not await ready()

            for _ in range(10):  # past the idle limit: a watch without events is opened again, and so heard
                assert await ready()
                await asyncio.sleep(1)
            proxy.freeze()
            await others.change(*names("a", 10))
            await others.delete(*names("a", 5))
            await until(not_ready)
            assert "the server has not been heard for too long: configmaps" in (await readiness())[1]
            proxy.thaw()
            await until(ready)
        await program.agrees_with(others)


async def test_a_watch_that_is_refused_with_429_waits_as_asked_and_lists_nothing(
    control_plane: ControlPlane,
    namespace: str,
    make_proxy: MakeProxy,
    make_others: MakeOthers,
    watching: Watching,
) -> None:
    user = await asyncio.to_thread(control_plane.user, f"busy-{namespace}", (), RULES)
    proxy = await make_proxy(control_plane, user.name)
    others = await make_others(control_plane, namespace)
    await others.create(*names("a", 20))
    kubeconfig = control_plane.kubeconfig(user, server=proxy.url)
    async with watching(kubeconfig, Selection(CONFIG_MAPS, (namespace,))) as program:
        await program.agrees_with(others)
        attempts: list[float] = []

        def note(_: APIRequest) -> bool:
            attempts.append(asyncio.get_running_loop().time())
            return len(attempts) <= 3

        busy = proxy.inject(Match(verb="watch", where=note), Answer(429, retry_after=2))
        proxy.cut_all()
        await others.change(*names("a", 10))
        await others.delete(*names("a", 5))
        await program.agrees_with(others)
        assert busy.count == 3
        waits = [later - earlier for earlier, later in pairwise(attempts)]
        assert len(waits) == 3
        assert min(waits) >= 1.99
        program.saw_deleted(others, *names("a", 5))
    # The first stream, three refusals, and the watch that goes on.
    assert [exchange.verb for exchange in proxy.requests] == ["watch"] * 5
    assert len(streams((await control_plane.audit.settled()).calls(user=user.name))) == 1


async def test_a_list_that_is_refused_with_429_waits_as_asked_and_does_not_begin_again(
    control_plane: ControlPlane,
    namespace: str,
    make_proxy: MakeProxy,
    make_others: MakeOthers,
    watching: Watching,
) -> None:
    user = await asyncio.to_thread(control_plane.user, f"busy-{namespace}", (), RULES)
    proxy = await make_proxy(control_plane, user.name)
    others = await make_others(control_plane, namespace)
    await others.create(*names("a", 1100))
    proxy.inject(Match(where=lambda request: "sendInitialEvents" in request.query), Answer(422))
    attempts: list[float] = []

    def note(_: APIRequest) -> bool:
        attempts.append(asyncio.get_running_loop().time())
        return len(attempts) <= 6

    # More often than the client's own repeats: the reflector's back-off has to wait as asked, too.
    proxy.inject(Match(verb="list", where=note), Answer(429, retry_after=1))
    kubeconfig = control_plane.kubeconfig(user, server=proxy.url)
    async with watching(kubeconfig, Selection(CONFIG_MAPS, (namespace,))) as program:
        await program.agrees_with(others)
        waits = [later - earlier for earlier, later in pairwise(attempts)]
        assert len(waits) == 6
        assert min(waits) >= 0.99
        # Now a page is refused: the pages before it are not asked for again.
        refusals = proxy.inject(Match(verb="list", where=is_continued), Answer(429, retry_after=1), times=2)
        proxy.inject(EVENTS, WatchError(), times=1)
        before = len(proxy.requests)
        await others.delete(*names("a", 5))
        await program.agrees_with(others)
        program.saw_deleted(others, *names("a", 5))
        assert refusals.count == 2
        lists = [exchange.status for exchange in list(proxy.requests)[before:] if exchange.verb == "list"]
        assert lists == [200, 429, 429, 200, 200]


async def test_an_update_whose_answer_is_lost_is_not_sent_again_and_is_in_the_cache(
    control_plane: ControlPlane,
    namespace: str,
    make_proxy: MakeProxy,
    make_others: MakeOthers,
    watching: Watching,
) -> None:
    user = await asyncio.to_thread(control_plane.user, f"lost-{namespace}", (), RULES)
    proxy = await make_proxy(control_plane, user.name)
    others = await make_others(control_plane, namespace)
    kubeconfig = control_plane.kubeconfig(user, server=proxy.url)
    async with watching(kubeconfig, Selection(CONFIG_MAPS, (namespace,))) as program:
        await program.agrees_with(others)
        client = program.manager.client
        made = await client.create(CONFIG_MAPS, {"metadata": {"name": "a"}}, namespace)
        proxy.pause_watches()
        proxy.inject(Match(verb=WRITES), LoseAnswer(), times=2)
        # On the connection that the create has left open: aiohttp would send such a PUT or DELETE again.
        with pytest.raises(AnswerLost):
            await client.update(CONFIG_MAPS, made.decode() | {"data": {"x": "y"}})
        await program.manager.informers.settled()
        known = program.subscription.cache.get(made.key)
        assert known is not None
        assert known.decode()["data"] == {"x": "y"}
        with pytest.raises(AnswerLost):
            await client.delete(CONFIG_MAPS, "a", namespace)
        await program.manager.informers.settled()
        assert made.key not in program.subscription.cache
        proxy.resume_watches()
        await program.agrees_with(others)
        assert [exchange.verb for exchange in proxy.requests if exchange.verb in WRITES] == [
            "create",
            "update",
            "delete",
        ]


async def test_a_slow_server_is_waited_for(
    control_plane: ControlPlane,
    namespace: str,
    make_proxy: MakeProxy,
    make_others: MakeOthers,
    watching: Watching,
) -> None:
    user = await asyncio.to_thread(control_plane.user, f"slow-{namespace}", (), RULES)
    proxy = await make_proxy(control_plane, user.name)
    others = await make_others(control_plane, namespace)
    await others.create(*names("a", 600))
    proxy.inject(Match(where=lambda request: "sendInitialEvents" in request.query), Answer(422), times=1)
    for match in (LIST, WATCH, Match(verb=WRITES)):
        proxy.inject(match, Delay(3.0))
    kubeconfig = control_plane.kubeconfig(user, server=proxy.url)
    async with watching(kubeconfig, Selection(CONFIG_MAPS, (namespace,))) as program:
        await program.agrees_with(others)
        for cause in (proxy.cut_all, lambda: proxy.inject(EVENTS, WatchError(), times=1)):
            cause()
            own = await program.manager.client.create(CONFIG_MAPS, {"metadata": {"generateName": "own-"}}, namespace)
            assert own.key in program.cached, "an own write is read at once, however late the watch is"
            await others.change(*names("a", 10))
            await others.delete(own.key.name)
            await program.agrees_with(others)
            assert (own.key, own.metadata.uid) in program.seen.deleted
        assert program.metric("disvc_reflector_failures_total") <= 2, "something slow was taken for a failure"


@pytest.mark.parametrize("seed", range(3))
async def test_events_that_come_twice_late_or_by_half_change_nothing(
    control_plane: ControlPlane,
    namespace: str,
    make_proxy: MakeProxy,
    make_others: MakeOthers,
    watching: Watching,
    seed: int,
) -> None:
    random = Random(seed)
    user = await asyncio.to_thread(control_plane.user, f"unreliable-{namespace}", (), RULES)
    proxy = await make_proxy(control_plane, user.name)
    others = await make_others(control_plane, namespace)
    await others.create(*names("a", 40))
    faults = [
        proxy.inject(EVENTS, Duplicate(), probability=0.3, random=random),
        proxy.inject(EVENTS, Delay(0.3), probability=0.1, random=random),
        proxy.inject(EVENTS, Cut(torn=True), probability=0.03, random=random, times=2),
        proxy.inject(EVENTS, Cut(reset=True), probability=0.03, random=random, times=2),
    ]
    kubeconfig = control_plane.kubeconfig(user, server=proxy.url)
    async with asyncio.timeout(120), watching(kubeconfig, Selection(CONFIG_MAPS, (namespace,))) as program:
        while not all(fault.count for fault in faults):
            some = random.sample(names("a", 40), 10)
            await others.change(*some)
            await others.delete(*some[:4])
            await others.create(*some[:4])
            await others.change(*some[2:6])
        await program.agrees_with(others)
