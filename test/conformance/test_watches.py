"""Watches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from suite.api import lease

if TYPE_CHECKING:
    from suite.api import Api


def told(events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(event["type"], event["object"]["metadata"]["name"]) for event in events]


async def test_a_watch_goes_on_from_any_revision(api: Api) -> None:
    first = await api.create(api.leases, lease("a"))
    await api.create(api.leases, lease("b"))
    await api.patch(f"{api.leases}/a", {"spec": {"holderIdentity": "me"}})
    await api.delete(f"{api.leases}/b")
    events = await api.events(api.leases, 3, resourceVersion=first.revision)
    assert told(events) == [("ADDED", "b"), ("MODIFIED", "a"), ("DELETED", "b")]


async def test_the_object_of_a_delete_has_the_revision_of_the_delete(api: Api) -> None:
    created = await api.create(api.leases, lease("a"))
    await api.delete(f"{api.leases}/a")
    [event] = await api.events(api.leases, 1, resourceVersion=created.revision)
    assert event["type"] == "DELETED"
    assert int(event["object"]["metadata"]["resourceVersion"]) > int(created.revision)


async def test_what_comes_into_a_selection_is_added_and_what_leaves_it_is_deleted(api: Api) -> None:
    start = await api.create(api.leases, lease("a"))
    for value in ("yes", "no", "yes"):
        await api.patch(f"{api.leases}/a", {"metadata": {"labels": {"in": value}}})
    events = await api.events(api.leases, 3, resourceVersion=start.revision, labelSelector="in=yes")
    assert told(events) == [("ADDED", "a"), ("DELETED", "a"), ("ADDED", "a")]


async def test_a_watch_of_one_name_tells_of_nothing_else(api: Api) -> None:
    start = await api.create(api.leases, lease("a"))
    await api.create(api.leases, lease("b"))
    await api.delete(f"{api.leases}/a")
    events = await api.events(api.leases, 1, resourceVersion=start.revision, fieldSelector="metadata.name=a")
    assert told(events) == [("DELETED", "a")]


async def test_a_watch_without_a_revision_starts_with_all_there_is(api: Api) -> None:
    for name in ("b", "a"):
        await api.create(api.leases, lease(name))
    assert told(await api.events(api.leases, 2)) == [("ADDED", "a"), ("ADDED", "b")]


async def test_a_watch_ends_when_it_was_asked_to(api: Api) -> None:
    assert await api.events(api.leases, 1, timeoutSeconds="1") == []


async def test_initial_events_need_a_match_that_says_not_older(api: Api) -> None:
    reply = await api.get(api.leases, watch="1", sendInitialEvents="true")
    assert reply.refusal == (422, "Invalid")
    assert reply.fields == ["resourceVersionMatch"]
