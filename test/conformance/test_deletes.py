"""Deletes, finalizers, namespaces that end, and garbage collection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from suite.api import config_map

if TYPE_CHECKING:
    from suite.api import Api, Reply


def owner(reply: Reply, **more: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": reply["metadata"]["uid"], **more}


def is_gone(reply: Reply) -> bool:
    return reply.status == 404


async def test_an_object_with_finalizers_goes_when_the_last_is_removed(api: Api) -> None:
    path = f"{api.config_maps}/a"
    created = await api.create(api.config_maps, config_map("a", finalizers=["example.com/x"]))
    deleted = await api.delete(path)
    assert deleted["metadata"]["deletionTimestamp"]
    assert deleted["metadata"]["deletionGracePeriodSeconds"] == 0
    assert int(deleted.revision) > int(created.revision)
    assert (await api.delete(path)).revision == deleted.revision
    assert (await api.patch(path, {"metadata": {"finalizers": ["example.com/y"]}})).refusal == (422, "Invalid")
    assert (await api.patch(path, {"metadata": {"finalizers": None}})).status == 200
    assert (await api.get(path)).refusal == (404, "NotFound")


async def test_a_name_that_is_being_deleted_is_taken(api: Api) -> None:
    await api.create(api.config_maps, config_map("a", finalizers=["example.com/x"]))
    await api.delete(f"{api.config_maps}/a")
    reply = await api.send("POST", api.config_maps, config_map("a"))
    assert reply.refusal == (409, "AlreadyExists")
    assert reply["message"] == 'object is being deleted: configmaps "a" already exists'


@pytest.mark.parametrize("precondition", ["uid", "resourceVersion"])
async def test_a_precondition_that_does_not_hold_deletes_nothing(api: Api, precondition: str) -> None:
    await api.create(api.config_maps, config_map("a"))
    reply = await api.delete(f"{api.config_maps}/a", {"preconditions": {precondition: "1"}})
    assert reply.refusal == (409, "Conflict")
    assert (await api.get(f"{api.config_maps}/a")).status == 200


async def test_a_dry_run_deletes_nothing(api: Api) -> None:
    await api.create(api.config_maps, config_map("a"))
    assert (await api.delete(f"{api.config_maps}/a", dryRun="All"))["status"] == "Success"
    assert (await api.get(f"{api.config_maps}/a")).status == 200


async def test_dependents_go_after_their_owner(api: Api) -> None:
    reference = owner(await api.create(api.config_maps, config_map("owner")))
    await api.create(api.config_maps, config_map("dependent", ownerReferences=[reference]))
    await api.delete(f"{api.config_maps}/owner", {"propagationPolicy": "Background"})
    await api.until(f"{api.config_maps}/dependent", is_gone)


async def test_an_owner_waits_in_the_foreground_for_those_that_block_it(api: Api) -> None:
    created = await api.create(api.config_maps, config_map("owner"))
    reference = owner(created, blockOwnerDeletion=True)
    dependent = config_map("dependent", ownerReferences=[reference], finalizers=["example.com/x"])
    await api.create(api.config_maps, dependent)
    deleted = await api.delete(f"{api.config_maps}/owner", {"propagationPolicy": "Foreground"})
    assert deleted["metadata"]["finalizers"] == ["foregroundDeletion"]
    await api.until(f"{api.config_maps}/dependent", lambda reply: "deletionTimestamp" in reply["metadata"])
    assert (await api.get(f"{api.config_maps}/owner")).status == 200
    await api.patch(f"{api.config_maps}/dependent", {"metadata": {"finalizers": None}})
    await api.until(f"{api.config_maps}/owner", is_gone)


async def test_orphans_lose_their_owner_and_stay(api: Api) -> None:
    reference = owner(await api.create(api.config_maps, config_map("owner")))
    await api.create(api.config_maps, config_map("dependent", ownerReferences=[reference]))
    await api.delete(f"{api.config_maps}/owner", {"propagationPolicy": "Orphan"})
    await api.until(f"{api.config_maps}/owner", is_gone)
    assert "ownerReferences" not in (await api.get(f"{api.config_maps}/dependent"))["metadata"]


async def test_what_is_created_with_an_owner_that_never_was_goes(api: Api) -> None:
    reference = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "name": "never",
        "uid": "00000000-0000-4000-8000-000000000000",
    }
    await api.create(api.config_maps, config_map("dependent", ownerReferences=[reference]))
    await api.until(f"{api.config_maps}/dependent", is_gone)


async def test_a_namespace_takes_what_is_in_it_with_it(api: Api) -> None:
    path = f"/api/v1/namespaces/{api.namespace}"
    await api.create(api.config_maps, config_map("a", finalizers=["example.com/x"]))
    assert (await api.delete(path))["status"]["phase"] == "Terminating"
    await api.until(f"{api.config_maps}/a", lambda reply: "deletionTimestamp" in reply["metadata"])
    refused = await api.send("POST", api.config_maps, config_map("b"))
    assert refused.refusal == (403, "Forbidden")
    assert refused["details"]["causes"][0]["reason"] == "NamespaceTerminating"
    await api.patch(f"{api.config_maps}/a", {"metadata": {"finalizers": None}})
    await api.until(path, is_gone)
