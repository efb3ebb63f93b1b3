"""Reflectors against the real kube-apiserver, with the faults that a network and a server have.

After each fault the cache equals what the server lists, and handlers have seen every object's last state,
deletions included (`Program.agrees_with`).
"""

from __future__ import annotations

import asyncio
import json
from random import Random
from typing import TYPE_CHECKING

import pytest

from disvc.runtime import Resource, Selection
from disvc.testing.faults import Answer, Cut, Delay, Duplicate, HalfOpen, WatchError
from disvc.testing.match import WRITES, APIRequest, Match, any_event

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from conftest import MakeOthers, MakeProxy, Watching
    from disvc.testing.audit import Call
    from disvc.testing.controlplane import ControlPlane

    MakeControlPlane = Callable[..., Awaitable[ControlPlane]]

CONFIG_MAPS = Resource("v1", "ConfigMap", "configmaps")
RULES = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["*"]}]
NO_STREAMED_LISTS = "--feature-gates=WatchList=false"
WATCH = Match(verb="watch", resource="configmaps")
LIST = Match(verb="list", resource="configmaps")


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
        proxy.inject(Match(verb="watch", resource="configmaps", event=any_event), WatchError(), times=1)
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
        for round_ in range(2):
            await (plane.stop_apiserver() if how == "stop" else plane.kill_apiserver())
            await program.until_logged("list or watch failed")
            await proxy.refuse_connections()
            await plane.start_apiserver()
            # Others are faster than our watch.
            await others.create(*names(f"b-{round_}", 20))
            await others.change(*names("a", 20))
            await others.delete(*names(f"b-{round_}", 10), *names("a", 10))
            await others.create(*names("a", 10))
            proxy.accept_connections()
            await others.change(*names("a", 5))
            await program.agrees_with(others)
        # A server that has just started knows nothing of what came before: 410, without any compaction.
        assert len(program.logged("too old resource version")) == 2
