"""Resource versions, lists and pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from suite.api import config_map, lease

if TYPE_CHECKING:
    from suite.api import Api


async def three(api: Api) -> list[str]:
    return [(await api.create(api.leases, lease(name))).revision for name in ("a", "b", "c")]


async def test_a_revision_that_is_yet_to_come_is_a_timeout(api: Api) -> None:
    reply = await api.get(api.leases, resourceVersion="99999999")
    assert reply.refusal == (504, "Timeout")
    assert reply["message"].startswith("Timeout: Too large resource version: 99999999, current: ")
    assert reply["details"]["causes"] == [
        {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    ]
    assert reply.headers["retry-after"] == "1"


async def test_an_object_of_a_revision_that_is_yet_to_come_is_a_timeout(api: Api) -> None:
    await three(api)
    reply = await api.get(f"{api.leases}/a", resourceVersion="99999999")
    assert reply.refusal == (504, "Timeout")


async def test_pages_show_the_state_of_the_first_one(api: Api) -> None:
    await three(api)
    first = await api.get(api.leases, limit="2", labelSelector="!none")
    assert first.names == ["a", "b"]
    await api.delete(f"{api.leases}/c")
    await api.create(api.leases, lease("d"))
    rest = await api.get(api.leases, limit="2", labelSelector="!none", **{"continue": first["metadata"]["continue"]})
    assert rest.names == ["c"]
    assert rest.revision == first.revision


async def test_a_page_tells_how_many_remain_unless_there_is_a_selector(api: Api) -> None:
    await three(api)
    assert (await api.get(api.leases, limit="1"))["metadata"]["remainingItemCount"] == 2
    assert "remainingItemCount" not in (await api.get(api.leases, limit="1", labelSelector="!none"))["metadata"]


async def test_an_exact_list_shows_a_revision_of_the_past(api: Api) -> None:
    _, second, _ = await three(api)
    await api.delete(f"{api.leases}/a")
    reply = await api.get(api.leases, resourceVersion=second, resourceVersionMatch="Exact")
    assert reply.names == ["a", "b"]
    assert reply.revision == second


async def test_a_limit_with_a_revision_is_exact_by_itself(api: Api) -> None:
    first, _, _ = await three(api)
    assert (await api.get(api.leases, resourceVersion=first, limit="10")).names == ["a"]
    assert (await api.get(api.leases, resourceVersion=first)).names == ["a", "b", "c"]


async def test_an_equal_update_makes_no_revision(api: Api) -> None:
    created = await api.create(api.leases, lease("a"))
    again = await api.send("PUT", f"{api.leases}/a", dict(created))
    assert again.revision == created.revision


async def test_all_kinds_share_one_revision(api: Api) -> None:
    one = await api.create(api.leases, lease("a"))
    other = await api.create(api.config_maps, config_map("a"))
    assert int(other.revision) > int(one.revision)
    assert int((await api.get(api.leases)).revision) >= int(other.revision)
