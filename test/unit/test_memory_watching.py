"""Watches of the in-memory API server, in virtual time: when they tell, and when they end."""

from __future__ import annotations

import asyncio
import itertools
from random import Random
from typing import Any

import msgspec

from disvc.runtime import Client, Resource
from disvc.runtime.environment import Environment
from disvc.runtime.transport import Answer, Stream
from disvc.testing.clock import VirtualClock, in_virtual_time
from disvc.testing.memory import APIServer
from disvc.testing.memory.builtin import TYPES
from disvc.testing.memory.requests import Request

CONFIG_MAPS = Resource("v1", "ConfigMap", "configmaps")
PATH = "/api/v1/namespaces/default/configmaps"


def make_server() -> APIServer:
    ids = itertools.count()
    return APIServer(Environment(VirtualClock(), Random(0), lambda: f"uid-{next(ids)}"), TYPES)


def now() -> float:
    return asyncio.get_running_loop().time()


async def create(server: APIServer, *names: str, **metadata: Any) -> None:
    client = Client(server.transport())
    for name in names:
        await client.create(CONFIG_MAPS, {"metadata": {"name": name, "namespace": "default", **metadata}})


async def watch(server: APIServer, path: str = PATH, **query: str) -> Stream:
    stream = await server.handle(Request("GET", path, {"watch": "1", **query}))
    assert not isinstance(stream, Answer)
    assert stream.status == 200
    return stream


async def watched(server: APIServer, path: str = PATH, **query: str) -> list[tuple[float, str, Any]]:
    """Return when a watch told what, until it ended: an object's name, a bookmark's revision, an error's code."""
    stream = await watch(server, path, **query)
    told = []
    async for chunk in stream.chunks():
        for line in chunk.splitlines():
            event = msgspec.json.decode(line)
            metadata = event["object"]["metadata"]
            what = metadata.get("name") or event["object"].get("code") or metadata["resourceVersion"]
            told.append((now(), event["type"], what))
    return told


@in_virtual_time
async def test_a_watch_ends_after_the_time_that_it_was_asked_for() -> None:
    assert await watched(make_server(), resourceVersion="1", timeoutSeconds="7") == []
    assert now() == 7


@in_virtual_time
async def test_a_watch_that_does_not_say_for_how_long_lasts_half_an_hour_to_an_hour() -> None:
    await watched(make_server(), resourceVersion="1")
    assert 1800 <= now() <= 3600


@in_virtual_time
async def test_bookmarks_come_each_minute_and_shortly_before_the_end() -> None:
    server = make_server()
    version = server.store.revision
    told = await watched(server, resourceVersion=str(version), timeoutSeconds="150", allowWatchBookmarks="true")
    assert told == [(time, "BOOKMARK", str(version)) for time in (60, 120, 148)]


@in_virtual_time
async def test_a_bookmark_is_as_new_as_what_happened_to_other_kinds() -> None:
    server = make_server()
    version = str(server.store.revision)
    watch = asyncio.create_task(
        watched(server, "/api/v1/pods", resourceVersion=version, timeoutSeconds="30", allowWatchBookmarks="true")
    )
    await asyncio.sleep(1)
    await create(server, "a", "b")
    assert await watch == [(28, "BOOKMARK", str(server.store.revision))]


@in_virtual_time
async def test_no_bookmarks_come_where_nobody_asks_for_them() -> None:
    assert await watched(make_server(), resourceVersion="1", timeoutSeconds="150") == []


@in_virtual_time
async def test_events_come_when_they_happen_and_those_at_once_in_their_order() -> None:
    server = make_server()
    watch = asyncio.create_task(watched(server, timeoutSeconds="10"))
    await asyncio.sleep(3)
    await create(server, "b", "a")
    await asyncio.sleep(3)
    await Client(server.transport()).delete(CONFIG_MAPS, "b", "default")
    assert await watch == [(3, "ADDED", "b"), (3, "ADDED", "a"), (6, "DELETED", "b")]


@in_virtual_time
async def test_what_happens_between_the_answer_and_its_first_reader_is_told() -> None:
    server = make_server()
    version = str(server.store.revision)
    stream = await watch(server, resourceVersion=version)
    await create(server, "a")
    chunk = await anext(aiter(stream.chunks()))
    assert msgspec.json.decode(chunk)["object"]["metadata"]["name"] == "a"


@in_virtual_time
async def test_a_reader_that_is_slower_than_the_compaction_is_told_to_start_anew() -> None:
    server = make_server()
    version = str(server.store.revision)
    stream = await watch(server, resourceVersion=version)
    await create(server, "a", "b", "c")
    server.compact()
    chunk = await anext(aiter(stream.chunks()))
    assert msgspec.json.decode(chunk)["object"]["code"] == 410


@in_virtual_time
async def test_a_watch_that_is_up_to_date_outlives_a_compaction() -> None:
    server = make_server()
    watch = asyncio.create_task(watched(server, resourceVersion=str(server.store.revision), timeoutSeconds="9"))
    for second in range(3):
        await asyncio.sleep(1)
        await create(server, f"a{second}")
        await asyncio.sleep(1)
        server.compact()
    assert [what for _, _, what in await watch] == ["a0", "a1", "a2"]


@in_virtual_time
async def test_a_version_yet_to_come_is_refused_in_the_stream_where_the_state_is_asked_for() -> None:
    server = make_server()
    query = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "resourceVersion": "999"}
    assert await watched(server, **query) == [(0, "ERROR", 504)]


@in_virtual_time
async def test_one_object_is_watched_by_its_name_and_by_its_old_path() -> None:
    server = make_server()
    await create(server, "a", "b")
    by_name = await watched(server, timeoutSeconds="1", fieldSelector="metadata.name=b")
    by_path = await watched(server, "/api/v1/watch/namespaces/default/configmaps/b", timeoutSeconds="1")
    assert [told for _, *told in by_name] == [told for _, *told in by_path] == [["ADDED", "b"]]


@in_virtual_time
async def test_a_namespace_is_watched_alone_though_another_name_begins_like_it() -> None:
    server = make_server()
    client = Client(server.transport())
    for namespace in ("x", "x-y"):
        resource = Resource("v1", "Namespace", "namespaces", namespaced=False)
        await client.create(resource, {"metadata": {"name": namespace}})
        await client.create(CONFIG_MAPS, {"metadata": {"name": f"in-{namespace}", "namespace": namespace}})
    told = await watched(server, "/api/v1/namespaces/x/configmaps", timeoutSeconds="1")
    assert [what for _, _, what in told] == ["in-x"]
