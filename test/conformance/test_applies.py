"""Server-side apply."""

from __future__ import annotations

from typing import TYPE_CHECKING

from suite.api import config_map

if TYPE_CHECKING:
    from suite.api import Api, Reply


def owned(reply: Reply) -> dict[tuple[str, str], set[str]]:
    """Return which data each manager has, by its name and operation."""
    return {
        (entry["manager"], entry["operation"]): {
            field.removeprefix("f:") for field in entry["fieldsV1"].get("f:data", {}) if field != "."
        }
        for entry in reply["metadata"]["managedFields"]
    }


async def test_a_conflict_names_who_has_the_field(api: Api) -> None:
    path = f"{api.config_maps}/a"
    await api.apply(path, config_map("a", {"k": "1"}), "one")
    reply = await api.apply(path, config_map("a", {"k": "2"}), "two")
    assert reply.refusal == (409, "Conflict")
    assert reply["message"] == 'Apply failed with 1 conflict: conflict with "one": .data.k'
    assert reply["details"]["causes"] == [
        {"reason": "FieldManagerConflict", "message": 'conflict with "one"', "field": ".data.k"}
    ]


async def test_force_takes_the_field_from_who_has_it(api: Api) -> None:
    path = f"{api.config_maps}/a"
    await api.apply(path, config_map("a", {"k": "1", "l": "1"}), "one")
    reply = await api.apply(path, config_map("a", {"k": "2"}), "two", force="true")
    assert reply["data"] == {"k": "2", "l": "1"}
    assert owned(reply) == {("one", "Apply"): {"l"}, ("two", "Apply"): {"k"}}


async def test_the_same_value_is_owned_together(api: Api) -> None:
    path = f"{api.config_maps}/a"
    await api.apply(path, config_map("a", {"k": "1"}), "one")
    reply = await api.apply(path, config_map("a", {"k": "1"}), "two")
    assert owned(reply) == {("one", "Apply"): {"k"}, ("two", "Apply"): {"k"}}


async def test_what_is_applied_no_more_goes_unless_another_has_it(api: Api) -> None:
    path = f"{api.config_maps}/a"
    await api.apply(path, config_map("a", {"k": "1", "l": "1"}), "one")
    await api.apply(path, config_map("a", {"l": "1"}), "two")
    reply = await api.apply(path, config_map("a", {}), "one")
    assert reply["data"] == {"l": "1"}


async def test_an_update_takes_what_it_changes(api: Api) -> None:
    path = f"{api.config_maps}/a"
    await api.apply(path, config_map("a", {"k": "1", "l": "1"}), "one")
    reply = await api.patch(path, {"data": {"k": "2"}}, fieldManager="hand")
    assert owned(reply) == {("one", "Apply"): {"l"}, ("hand", "Update"): {"k"}}


async def test_what_was_made_without_managers_belongs_to_before_first_apply(api: Api) -> None:
    path = f"{api.config_maps}/a"
    await api.create(api.config_maps, config_map("a", {"k": "1"}))
    await api.patch(path, {"metadata": {"managedFields": [{}]}})
    reply = await api.apply(path, config_map("a", {"l": "1"}), "one")
    assert owned(reply) == {("before-first-apply", "Update"): {"k"}, ("one", "Apply"): {"l"}}


async def test_more_than_ten_updaters_become_one(api: Api) -> None:
    path = f"{api.config_maps}/a"
    reply = await api.create(api.config_maps, config_map("a", {"k": "v"}), fieldManager="m")
    for number in range(12):
        reply = await api.patch(path, {"data": {f"k{number}": "v"}}, fieldManager=f"m{number}")
    managers = [entry["manager"] for entry in reply["metadata"]["managedFields"]]
    assert len(managers) == 10
    assert "ancient-changes" in managers


async def test_a_status_is_applied_beside_the_spec(api: Api) -> None:
    services = f"/api/v1/namespaces/{api.namespace}/services"
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "a"},
        "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]},
    }
    await api.apply(f"{services}/a", service, "one")
    status = {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}}
    applied = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "status": status}
    reply = await api.apply(f"{services}/a/status", applied, "two")
    assert reply.status == 200, reply
    assert reply["spec"]["ports"][0]["port"] == 80
    entry = next(entry for entry in reply["metadata"]["managedFields"] if entry["manager"] == "two")
    assert entry["subresource"] == "status"
    assert entry["fieldsV1"] == {"f:status": {"f:loadBalancer": {"f:ingress": {}}}}
