"""The cache: finding objects, keeping its indexes right, and not being changed by accident."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from disvc.runtime.cache import Cache, Store
from disvc.runtime.objects import Key, Object, Resource

if TYPE_CHECKING:
    from collections.abc import Iterable

PODS: Resource[Any] = Resource("v1", "Pod", "pods")


def pod(
    name: str,
    namespace: str = "ns",
    *,
    version: int = 1,
    labels: dict[str, str] | None = None,
    owners: Iterable[str] = (),
    node: str = "",
) -> Object[Any]:
    references = [{"apiVersion": "v1", "kind": "X", "name": uid, "uid": uid} for uid in owners]
    metadata = {
        "name": name,
        "namespace": namespace,
        "uid": f"uid-{name}",
        "resourceVersion": str(version),
        "labels": labels or {},
        "ownerReferences": references,
    }
    return PODS.read(json.dumps({"metadata": metadata, "spec": {"nodeName": node}}).encode())


def by_node(obj: Object[Any]) -> Iterable[str]:
    return [obj.decode()["spec"]["nodeName"]]


def holding(*objects: Object[Any]) -> Store[Any]:
    store: Store[Any] = Store()
    for obj in objects:
        store.put(obj)
    return store


def names(objects: Iterable[Object[Any]]) -> list[str]:
    return [obj.metadata.name for obj in objects]


def test_an_object_is_found_by_its_key_until_it_is_removed() -> None:
    store = holding(pod("a"), pod("a", "other"))
    found = store.get(Key("ns", "a"))
    assert found is not None
    assert found.key == Key("ns", "a")
    assert Key("ns", "a") in store
    assert store.get(Key("ns", "b")) is None
    store.remove(Key("ns", "a"))
    assert store.get(Key("ns", "a")) is None
    assert Key("ns", "a") not in store
    assert len(store) == 1


def test_what_is_put_under_a_key_takes_the_place_of_what_was_there() -> None:
    store = holding(pod("a", version=1), pod("a", version=2))
    assert [obj.version for obj in store] == [2]


def test_removing_what_is_not_there_is_an_error() -> None:
    with pytest.raises(KeyError):
        holding().remove(Key("ns", "a"))


def test_objects_are_listed_all_or_by_namespace() -> None:
    store = holding(pod("a"), pod("b", "other"), pod("c"))
    assert names(store.list()) == ["a", "b", "c"]
    assert names(store.list("ns")) == ["a", "c"]
    assert names(store.list("other")) == ["b"]
    assert store.list("nowhere") == []
    store.remove(Key("other", "b"))
    assert store.list("other") == []


def test_objects_without_a_namespace_are_of_the_empty_one() -> None:
    store = holding(pod("a", ""), pod("b"))
    assert names(store.list("")) == ["a"]


def test_answers_come_in_the_order_in_which_the_keys_came_in_whatever_was_changed_since() -> None:
    store = holding(*(pod(name, owners=["o"], labels={"app": "x"}) for name in "cab"))
    assert names(store.owned_by("o")) == names(store.labelled("app", "x")) == ["c", "a", "b"]
    store.put(pod("a", version=2, owners=["o"], labels={"app": "x"}))
    for answer in (store.list(), store.list("ns"), store.owned_by("o"), store.labelled("app", "x")):
        assert [(obj.metadata.name, obj.version) for obj in answer] == [("c", 1), ("a", 2), ("b", 1)]


def test_objects_are_found_by_each_of_their_owners() -> None:
    store = holding(pod("a", owners=["one", "two"]), pod("b", owners=["two"]), pod("c"))
    assert names(store.owned_by("one")) == ["a"]
    assert names(store.owned_by("two")) == ["a", "b"]
    assert store.owned_by("three") == []


def test_objects_are_found_by_any_label() -> None:
    store = holding(pod("a", labels={"app": "x", "tier": "1"}), pod("b", labels={"app": "x"}), pod("c"))
    assert names(store.labelled("app", "x")) == ["a", "b"]
    assert names(store.labelled("tier", "1")) == ["a"]
    assert store.labelled("app", "") == []


def test_an_index_follows_changes_and_removals() -> None:
    store = holding(pod("a", node="one", owners=["o"]), pod("b", node="one"))
    store.add_index("node", by_node)
    assert names(store.owned_by("o")) == ["a"]
    store.put(pod("a", node="two"))
    assert names(store.indexed("node", "one")) == ["b"]
    assert names(store.indexed("node", "two")) == ["a"]
    assert store.owned_by("o") == []
    store.remove(Key("ns", "a"))
    assert store.indexed("node", "two") == []


def test_an_index_that_is_added_later_knows_what_is_there_and_what_comes() -> None:
    store = holding(pod("a", node="one"))
    store.add_index("node", by_node)
    store.put(pod("b", node="one"))
    assert names(store.indexed("node", "one")) == ["a", "b"]


def test_one_object_may_stand_under_many_values_and_one_value_may_be_said_twice() -> None:
    store = holding(pod("a", node="one,two,one"), pod("b", node="two"))
    store.add_index("nodes", lambda obj: obj.decode()["spec"]["nodeName"].split(","))
    assert names(store.indexed("nodes", "one")) == ["a"]
    assert names(store.indexed("nodes", "two")) == ["a", "b"]
    store.put(pod("a", node="two,three"))
    assert store.indexed("nodes", "one") == []
    assert names(store.indexed("nodes", "three")) == ["a"]


def test_an_index_does_not_grow_with_values_that_nobody_has_any_more() -> None:
    store = holding()
    store.add_index("node", by_node)
    for number in range(100):
        store.put(pod("a", f"ns-{number}", node=f"node-{number}"))
        store.remove(Key(f"ns-{number}", "a"))
    assert store._indexes["node"].found == {}
    assert store._by_namespace == {}


def test_a_value_keeps_the_others_when_one_object_leaves_it() -> None:
    store = holding(pod("a", node="one"), pod("b", node="one"))
    store.add_index("node", by_node)
    store.remove(Key("ns", "a"))
    assert names(store.indexed("node", "one")) == ["b"]


def test_two_indexes_of_one_name_are_an_error() -> None:
    store = holding()
    store.add_index("node", by_node)
    with pytest.raises(ValueError, match="'node'"):
        store.add_index("node", by_node)


def test_asking_an_index_that_there_is_not_is_an_error() -> None:
    with pytest.raises(KeyError):
        holding().indexed("node", "one")


@pytest.mark.parametrize("values", [lambda obj: obj.decode()["no"], lambda _: [{"not": "a key"}], lambda _: None])
def test_an_index_function_that_fails_is_reported_and_the_object_is_in_the_cache_but_not_in_the_index(
    values: Any,
) -> None:
    store = holding(pod("a"))
    with structlog.testing.capture_logs() as logs:
        store.add_index("broken", values)
        store.put(pod("b"))
        store.put(pod("b", version=2))
        store.remove(Key("ns", "a"))
    assert names(store) == ["b"]
    assert {entry["index"] for entry in logs} == {"broken"}
    assert logs[0]["object"] == "<pods ns/a 1>"


def test_an_index_function_that_fails_at_some_objects_finds_the_others() -> None:
    def values(obj: Object[Any]) -> Iterable[str]:
        if obj.metadata.name == "bad":
            raise ValueError
        return ["x"]

    store = holding()
    store.add_index("x", values)
    with structlog.testing.capture_logs():
        for name in ("a", "bad", "b"):
            store.put(pod(name))
        store.remove(Key("ns", "bad"))
    assert names(store.indexed("x", "x")) == ["a", "b"]


def test_what_a_cache_answers_may_be_kept_and_changed_without_harm() -> None:
    store = holding(pod("a", owners=["o"]), pod("b", owners=["o"]))
    for answer in (store.list(), store.list("ns"), store.owned_by("o")):
        answer.clear()
    assert len(store.list()) == len(store.list("ns")) == len(store.owned_by("o")) == 2


def test_a_cache_may_be_changed_while_it_is_read() -> None:
    store = holding(*(pod(str(number)) for number in range(10)))
    for obj in store:
        store.remove(obj.key)
    assert len(store) == 0


def test_objects_out_of_a_cache_cannot_be_changed_by_accident() -> None:
    store = holding(pod("a", labels={"app": "x"}, owners=["o"], node="one"))
    (obj,) = store
    changeable: Any = obj
    for change in ("metadata", "raw"):
        with pytest.raises(AttributeError):
            setattr(changeable, change, None)
    with pytest.raises(AttributeError):
        changeable.metadata.name = "b"
    with pytest.raises(TypeError):
        changeable.metadata.labels["app"] = "y"
    with pytest.raises(TypeError):
        changeable.metadata.annotations["app"] = "y"
    with pytest.raises(AttributeError):
        changeable.metadata.owner_references[0].uid = "p"
    value = obj.decode()
    value["spec"]["nodeName"] = "two"
    value["metadata"]["labels"].clear()
    assert obj.decode()["spec"]["nodeName"] == "one"
    assert store.labelled("app", "x") == [obj]


def test_a_cache_can_only_be_read() -> None:
    assert not hasattr(Cache, "put")
    assert not hasattr(Cache, "remove")


@pytest.mark.parametrize("seed", range(20))
def test_after_any_changes_every_index_says_what_a_look_at_all_objects_says(seed: int) -> None:
    chance = random.Random(seed)
    store = holding()
    store.add_index("node", by_node)
    store.labelled("app", "x")
    for version in range(400):
        name, namespace = chance.choice("abcdefgh"), chance.choice(("one", "two"))
        if Key(namespace, name) in store and chance.random() < 0.4:
            store.remove(Key(namespace, name))
        else:
            store.put(
                pod(
                    name,
                    namespace,
                    version=version,
                    labels={"app": chance.choice("xy")} if chance.random() < 0.7 else {},
                    owners=chance.sample(["o", "p", "q"], chance.randint(0, 3)),
                    node=chance.choice(("", "1", "2")),
                )
            )
        if version == 200:
            store.owned_by("o")  # an index that begins in the middle
    objects = set(store)
    for value in "xy":
        assert set(store.labelled("app", value)) == {o for o in objects if o.metadata.labels.get("app") == value}
    for value in "opq":
        owned = {o for o in objects if value in [owner.uid for owner in o.metadata.owner_references]}
        assert set(store.owned_by(value)) == owned
    for value in ("", "1", "2"):
        assert set(store.indexed("node", value)) == {o for o in objects if value in by_node(o)}
    for value in ("one", "two"):
        assert set(store.list(value)) == {o for o in objects if o.metadata.namespace == value}
