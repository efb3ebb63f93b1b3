"""Server-side apply and managedFields, by `FieldManager` alone: what each rule does to one object."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from disvc.testing.memory.apply import FieldManager, keep_times
from disvc.testing.memory.errors import Refused
from disvc.testing.memory.schema import Schema

Value = dict[str, Any]

STRING = {"type": "string"}
ITEM = {"type": "object", "required": ["name"], "properties": {"name": STRING, "value": {"type": "integer"}}}
SPEC: Value = {
    "type": "object",
    "properties": {
        "replicas": {"type": "integer"},
        "map": {"type": "object", "additionalProperties": STRING},
        "set": {"type": "array", "x-kubernetes-list-type": "set", "items": STRING},
        "list": {"type": "array", "items": STRING},
        "items": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
            "items": ITEM,
        },
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    },
}
SCHEMA = Schema(
    {"type": "object", "properties": {"spec": SPEC, "status": {"type": "object", "properties": SPEC["properties"]}}}
)
V1 = "example.com/v1"
FIELDS = FieldManager({V1: SCHEMA}, V1, "Thing", ignored=["status"])
STATUS = FieldManager({V1: SCHEMA}, V1, "Thing", subresource="status", ignored=["metadata", "spec"])
NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def thing(spec: Value | None = None, **metadata: Any) -> Value:
    obj: Value = {"apiVersion": V1, "kind": "Thing", "metadata": {"name": "x", **metadata}}
    return obj if spec is None else obj | {"spec": spec}


def apply(live: Value | None, spec: Value, manager: str, *, force: bool = False, now: datetime = NOON) -> Value:
    return FIELDS.apply(live, thing(spec), manager, force=force, now=now)


def created(spec: Value, manager: str = "creator", **metadata: Any) -> Value:
    made = FIELDS.update(None, thing(spec, **metadata), manager, NOON)
    return made | {"metadata": made["metadata"] | {"uid": "u"}}


def updated(live: Value, spec: Value, manager: str = "updater", now: datetime = NOON) -> Value:
    return FIELDS.update(live, live | {"spec": spec}, manager, now)


def owned(obj: Value, manager: str, operation: str = "Apply") -> Value | None:
    """Return the fieldsV1 of a manager's only entry."""
    entries = obj["metadata"].get("managedFields", [])
    mine = [entry for entry in entries if (entry["manager"], entry["operation"]) == (manager, operation)]
    assert len(mine) <= 1, mine
    fields: Value | None = mine[0]["fieldsV1"] if mine else None
    return fields


def refusal(live: Value | None, spec: Value, manager: str = "intruder") -> Value:
    with pytest.raises(Refused) as refused:
        apply(live, spec, manager)
    return refused.value.status()


def test_an_entry_of_an_applier_says_what_it_applied_and_when() -> None:
    made = apply(None, {"replicas": 1, "items": [{"name": "a", "value": 2}], "set": ["s"], "list": ["l"]}, "ann")
    assert made["metadata"]["managedFields"] == [
        {
            "manager": "ann",
            "operation": "Apply",
            "apiVersion": V1,
            "time": "2026-11-26T12:00:00Z",
            "fieldsType": "FieldsV1",
            "fieldsV1": {
                "f:spec": {
                    "f:items": {'k:{"name":"a"}': {".": {}, "f:name": {}, "f:value": {}}},
                    "f:list": {},
                    "f:replicas": {},
                    "f:set": {'v:"s"': {}},
                }
            },
        }
    ]


def test_a_creator_owns_parents_too_but_not_what_the_server_sets() -> None:
    made = created({"map": {"k": "v"}}, labels={"l": "1"})
    labels: Value = {"f:labels": {".": {}, "f:l": {}}}
    assert owned(made, "creator", "Update") == {
        "f:metadata": labels,
        "f:spec": {".": {}, "f:map": {".": {}, "f:k": {}}},
    }


def test_a_field_that_its_only_applier_leaves_out_is_removed() -> None:
    made = apply(apply(None, {"replicas": 1, "map": {"a": "1", "b": "2"}}, "ann"), {"map": {"a": "1"}}, "ann")
    assert made["spec"] == {"map": {"a": "1"}}


def test_a_field_that_another_applies_too_stays_when_one_leaves_it_out() -> None:
    made = apply(apply(apply(None, {"replicas": 1}, "ann"), {"replicas": 1}, "bob"), {"list": []}, "ann")
    assert made["spec"] == {"replicas": 1, "list": []}
    assert owned(made, "bob") == {"f:spec": {"f:replicas": {}}}


def test_an_item_stays_for_what_others_own_in_it() -> None:
    first = apply(None, {"items": [{"name": "a", "value": 1}, {"name": "b"}]}, "ann")
    second = apply(first, {"items": [{"name": "a"}]}, "bob")
    assert apply(second, {"items": []}, "ann")["spec"] == {"items": [{"name": "a"}]}


def test_items_take_the_applied_order_and_others_keep_their_places() -> None:
    live = created({"items": [{"name": name} for name in "abcd"]})
    made = apply(live, {"items": [{"name": "d"}, {"name": "b"}]}, "ann")
    assert [item["name"] for item in made["spec"]["items"]] == ["a", "c", "d", "b"]


def test_a_new_item_goes_before_the_one_that_it_is_applied_before() -> None:
    live = created({"items": [{"name": "a"}, {"name": "b"}]})
    made = apply(live, {"items": [{"name": "n"}, {"name": "a"}]}, "ann")
    assert [item["name"] for item in made["spec"]["items"]] == ["n", "a", "b"]


def test_what_nobody_owns_stays_beside_what_an_applier_leaves_out() -> None:
    live = apply(None, {"replicas": 1}, "ann")
    live = live | {"spec": {"replicas": 1, "list": ["a"]}}
    assert apply(live, {"map": {"k": "v"}}, "ann")["spec"] == {"list": ["a"], "map": {"k": "v"}}


def test_what_nobody_owns_goes_with_the_declared_field_that_an_applier_leaves_out() -> None:
    live = apply(None, {"map": {"a": "1"}, "list": []}, "ann")
    live = live | {"spec": live["spec"] | {"map": {"a": "1", "b": "2"}}}
    assert apply(live, {"list": []}, "ann")["spec"] == {"list": []}


def test_an_unchanged_value_is_shared_and_a_changed_one_is_a_conflict() -> None:
    live = apply(None, {"replicas": 1}, "ann")
    assert owned(apply(live, {"replicas": 1}, "bob"), "ann") == {"f:spec": {"f:replicas": {}}}
    assert refusal(live, {"replicas": 2}, "bob") == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": 'Apply failed with 1 conflict: conflict with "ann": .spec.replicas',
        "reason": "Conflict",
        "details": {
            "causes": [{"reason": "FieldManagerConflict", "message": 'conflict with "ann"', "field": ".spec.replicas"}]
        },
        "code": 409,
    }


def test_conflicts_are_listed_by_manager_with_operation_and_subresource() -> None:
    live = apply(created({"replicas": 1, "items": [{"name": "a", "value": 1}]}), {"map": {"k": "v"}}, "ann")
    status = STATUS.update(live, live | {"status": {"replicas": 1}}, "kubelet", NOON)
    message = refusal(status, {"replicas": 2, "map": {"k": "w"}, "items": [{"name": "a", "value": 2}]})["message"]
    assert message == (
        'Apply failed with 3 conflicts: conflicts with "ann":\n- .spec.map.k\n'
        f'conflicts with "creator" using {V1}:\n- .spec.replicas\n- .spec.items[name="a"].value'
    )
    with pytest.raises(
        Refused, match=f'conflict with "kubelet" with subresource "status" using {V1}: .status.replicas'
    ):
        STATUS.apply(status, thing() | {"status": {"replicas": 2}}, "ann", force=False, now=NOON)


def test_force_takes_the_field_from_its_owner() -> None:
    made = apply(apply(None, {"replicas": 1}, "ann"), {"replicas": 2}, "bob", force=True)
    assert made["spec"] == {"replicas": 2}
    assert owned(made, "ann") is None
    assert owned(made, "bob") == {"f:spec": {"f:replicas": {}}}


def test_an_update_takes_what_it_changes_and_leaves_the_rest() -> None:
    made = updated(apply(None, {"replicas": 1, "map": {"k": "v"}}, "ann"), {"replicas": 2, "map": {"k": "v"}})
    assert owned(made, "ann") == {"f:spec": {"f:map": {"f:k": {}}}}
    assert owned(made, "updater", "Update") == {"f:spec": {"f:replicas": {}}}


def test_what_an_update_removes_nobody_owns() -> None:
    made = updated(apply(None, {"replicas": 1, "map": {"k": "v"}}, "ann"), {"map": {"k": "v"}})
    assert owned(made, "ann") == {"f:spec": {"f:map": {"f:k": {}}}}
    assert owned(made, "updater", "Update") is None


def test_true_is_a_change_from_one() -> None:
    made = updated(created({"free": {"a": 1}}), {"free": {"a": True}})
    assert owned(made, "updater", "Update") == {"f:spec": {"f:free": {"f:a": {}}}}


def test_updates_by_one_manager_add_up_in_one_entry() -> None:
    made = updated(updated(created({"replicas": 1}), {"replicas": 2}), {"replicas": 2, "list": ["a"]})
    assert owned(made, "updater", "Update") == {"f:spec": {"f:list": {}, "f:replicas": {}}}


def test_a_time_is_that_of_the_last_change() -> None:
    later = NOON + timedelta(minutes=1)
    live = apply(None, {"replicas": 1}, "ann")
    same = apply(live, {"replicas": 1}, "ann", now=later)
    other = apply(live, {"replicas": 1, "list": []}, "ann", now=later)
    assert [obj["metadata"]["managedFields"][0]["time"] for obj in (same, other)] == [
        "2026-11-26T12:00:00Z",
        "2026-11-26T12:01:00Z",
    ]


def test_times_alone_are_not_a_change() -> None:
    live = created({"replicas": 1})
    changed = updated(updated(live, {"replicas": 2}, "creator"), {"replicas": 1}, "creator", NOON + timedelta(hours=1))
    assert changed != live
    assert keep_times(changed, live) == live
    other = changed | {"spec": {"replicas": 3}}
    assert keep_times(other, live) == other


def test_appliers_come_first_and_then_who_wrote_earlier() -> None:
    live = updated(created({"replicas": 1}), {"replicas": 2}, "b", NOON + timedelta(seconds=2))
    live = updated(live, {"replicas": 2, "list": []}, "a", NOON + timedelta(seconds=3))
    live = apply(live, {"map": {"k": "v"}}, "z", now=NOON + timedelta(seconds=4))
    assert [entry["manager"] for entry in live["metadata"]["managedFields"]] == ["z", "creator", "b", "a"]


def test_the_oldest_of_too_many_updaters_are_joined() -> None:
    live = created({"map": {}})
    for number in range(12):
        spec = {"map": {f"k{key}": "v" for key in range(number + 1)}}
        live = updated(live, spec, f"updater-{number}", NOON + timedelta(seconds=number))
    names = [entry["manager"] for entry in live["metadata"]["managedFields"]]
    assert names == ["ancient-changes", *(f"updater-{number}" for number in range(3, 12))]
    assert owned(live, "ancient-changes", "Update") == {
        "f:spec": {".": {}, "f:map": {".": {}, "f:k0": {}, "f:k1": {}, "f:k2": {}}}
    }


@pytest.mark.parametrize("managed", [[], [{}]])
def test_a_client_can_make_the_server_forget_all_managers(managed: list[Value]) -> None:
    live = created({"replicas": 1})
    reset = FIELDS.update(live, thing({"replicas": 2}, uid="u", managedFields=managed), "updater", NOON)
    assert reset == thing({"replicas": 2}, uid="u")
    assert FIELDS.update(reset, thing({"replicas": 3}, uid="u"), "updater", NOON) == thing({"replicas": 3}, uid="u")


def test_what_nobody_tracked_was_there_before_the_first_apply() -> None:
    made = apply(thing({"replicas": 1, "map": {"k": "v"}}, uid="u"), {"replicas": 1}, "ann")
    assert owned(made, "before-first-apply", "Update") == {
        "f:spec": {".": {}, "f:map": {".": {}, "f:k": {}}, "f:replicas": {}}
    }


def test_malformed_managed_fields_do_not_count() -> None:
    live = created({"replicas": 1})
    for odd in ({"manager": "x"}, {"manager": "x", "operation": "Update", "apiVersion": V1, "fieldsType": "FieldsV2"}):
        new = live | {"metadata": live["metadata"] | {"managedFields": [odd]}}
        assert FIELDS.update(live, new, "updater", NOON) == live


def test_the_status_is_owned_only_through_its_subresource() -> None:
    both = {"spec": {"replicas": 1}, "status": {"replicas": 1}}
    by_main = FIELDS.apply(None, thing() | both, "ann", force=False, now=NOON)
    by_status = STATUS.apply(by_main, thing(labels={"l": "1"}) | both, "ann", force=False, now=NOON)
    assert [(entry.get("subresource"), entry["fieldsV1"]) for entry in by_status["metadata"]["managedFields"]] == [
        (None, {"f:spec": {"f:replicas": {}}}),
        ("status", {"f:status": {"f:replicas": {}}}),
    ]


def test_a_manager_of_a_version_that_is_not_served_is_forgotten() -> None:
    live = created({"replicas": 1})
    live["metadata"]["managedFields"][0]["apiVersion"] = "example.com/v0"
    assert owned(updated(live, {"replicas": 2}), "creator", "Update") is None


def test_managers_of_all_served_versions_lose_what_is_changed() -> None:
    two = FieldManager({V1: SCHEMA, "example.com/v2": SCHEMA}, "example.com/v2", "Thing")
    live = created({"replicas": 1, "list": []})
    made = two.update(live, live | {"apiVersion": "example.com/v2", "spec": {"replicas": 2, "list": []}}, "two", NOON)
    assert owned(made, "creator", "Update") == {"f:spec": {".": {}, "f:list": {}}}
    with pytest.raises(Refused, match=f'conflict with "creator" using {V1}: .spec.list'):
        two.apply(made, made | thing({"list": ["a"]}) | {"apiVersion": "example.com/v2"}, "ann", force=False, now=NOON)


def with_spec(**changed: Value) -> FieldManager:
    properties = SPEC["properties"] | {name: SPEC["properties"][name] | more for name, more in changed.items()}
    schema = Schema({"type": "object", "properties": {"spec": SPEC | {"properties": properties}}})
    return FieldManager({V1: schema}, V1, "Thing")


def test_what_has_become_atomic_is_owned_as_a_whole() -> None:
    live = apply(None, {"set": ["a"], "map": {"k": "v"}, "items": [{"name": "a"}]}, "ann")
    atomic = with_spec(set={"x-kubernetes-list-type": "atomic"}, map={"x-kubernetes-map-type": "atomic"})
    made = atomic.apply(live, thing({"replicas": 1}), "bob", force=False, now=NOON)
    assert owned(made, "ann") == {
        "f:spec": {"f:items": {'k:{"name":"a"}': {".": {}, "f:name": {}}}, "f:map": {}, "f:set": {}}
    }


def test_what_has_become_granular_is_still_owned_as_it_was() -> None:
    live = apply(None, {"list": ["a"]}, "ann")
    granular = with_spec(list={"x-kubernetes-list-type": "set"})
    made = granular.apply(live, thing({"list": ["b"]}), "bob", force=False, now=NOON)
    assert owned(made, "ann") == {"f:spec": {"f:list": {}}}
    assert made["spec"] == {"list": ["a", "b"]}


def test_what_has_no_schema_is_maps_of_atomic_lists() -> None:
    made = apply(None, {"free": {"a": {"b": 1}, "c": [{"d": 1}]}}, "ann")
    assert owned(made, "ann") == {"f:spec": {"f:free": {"f:a": {".": {}, "f:b": {}}, "f:c": {}}}}
    anything = FieldManager({V1: None}, V1, "Thing")
    made = anything.apply(None, thing({"items": [{"name": "a"}]}, finalizers=["f"]), "ann", force=False, now=NOON)
    assert owned(made, "ann") == {
        "f:metadata": {"f:finalizers": {'v:"f"': {}}},
        "f:spec": {".": {}, "f:items": {}},
    }


NO_KEY = (
    'associative list with keys has an element that omits all key fields ["name"] '
    "(and doesn't have default values for any key fields)"
)


def test_what_stands_below_unknown_fields_that_are_kept_may_have_unknown_fields() -> None:
    inner = {"type": "object", "properties": {"a": STRING}}
    outer = {"type": "object", "x-kubernetes-preserve-unknown-fields": True, "properties": {"inner": inner}}
    fields = FieldManager({V1: Schema({"type": "object", "properties": {"spec": outer}})}, V1, "Thing")
    made = fields.apply(None, thing({"inner": {"a": "1", "odd": [1]}}), "ann", force=False, now=NOON)
    assert owned(made, "ann") == {"f:spec": {"f:inner": {"f:a": {}, "f:odd": {}}}}


@pytest.mark.parametrize(
    ("applied", "code", "message"),
    [
        (thing() | {"kind": "Other"}, 400, f"invalid object type: {V1}, Kind=Other"),
        ({"metadata": {"name": "x"}}, 400, "invalid object type: /, Kind="),
        (thing(managedFields=[]), 400, "metadata.managedFields must be nil"),
        (thing({"odd": 1}), 500, ".spec.odd: field not declared in schema"),
        (thing({"replicas": "1"}), 500, ".spec.replicas: expected numeric (int or float), got string"),
        (thing({"map": {"k": 1}}), 500, ".spec.map.k: expected string, got &value.valueUnstructured{Value:1}"),
        (thing({"map": [1]}), 500, ".spec.map: expected map, got &{[1]}"),
        (thing({"list": {"a": None}}), 500, ".spec.list: expected list, got &{map[a:<nil>]}"),
        (thing({"set": ["a", "a"]}), 500, '.spec.set: duplicate entries for key [="a"]'),
        (thing({"items": [{"name": "a"}] * 2}), 500, '.spec.items: duplicate entries for key [name="a"]'),
        (
            thing({"items": [{"value": 1}]}),
            500,
            f".spec.items: element 0: {NO_KEY}",
        ),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused_in_the_servers_words(
    applied: Value, code: int, message: str
) -> None:
    with pytest.raises(Refused) as refused:
        FIELDS.apply(None, applied, "ann", force=True, now=NOON)
    named = f"failed to create typed patch object (/x; {V1}, Kind=Thing): " if code == 500 else ""
    assert (refused.value.code, refused.value.message) == (code, named + message)


def test_an_update_that_does_not_fit_the_schema_loses_its_managers() -> None:
    live = created({"replicas": 1})
    assert updated(live, {"replicas": "x"}) == thing({"replicas": "x"}, uid="u")


def test_kubectl_may_take_what_it_applied_client_side() -> None:
    record = json.dumps(thing({"replicas": 1}))
    live = created({"replicas": 1, "list": ["a"]}, "kubectl-client-side-apply", annotations={LAST_APPLIED: record})
    applied = thing({"replicas": 2})
    with pytest.raises(Refused, match="conflict"):
        FIELDS.apply(live, applied, "ann", force=False, now=NOON)
    made = FIELDS.apply(live, applied, "kubectl", force=False, now=NOON)
    assert made["spec"] == {"replicas": 2, "list": ["a"]}
    assert json.loads(made["metadata"]["annotations"][LAST_APPLIED]) == applied
    since = FIELDS.update(live, live | {"spec": {"replicas": 5, "list": ["a"]}}, "scaler", NOON)
    with pytest.raises(Refused, match=r"conflict with \"scaler\" .*: \.spec\.replicas"):
        FIELDS.apply(since, applied, "kubectl", force=False, now=NOON)
    with pytest.raises(Refused, match=r"conflict with .*: \.spec\.list"):
        FIELDS.apply(live, thing({"replicas": 2, "list": []}), "kubectl", force=False, now=NOON)


def test_nothing_given_is_changed() -> None:
    live = created({"replicas": 1, "items": [{"name": "a"}]})
    applied = thing({"replicas": 2, "items": [{"name": "b"}]})
    before = copy.deepcopy((live, applied))
    FIELDS.apply(live, applied, "ann", force=True, now=NOON)
    FIELDS.update(live, applied, "ann", NOON)
    assert (live, applied) == before
