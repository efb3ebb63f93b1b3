"""Predicates: which deltas each of them passes."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

import pytest

from disvc.runtime.delta import Delta
from disvc.runtime.objects import Object, Resource
from disvc.runtime.predicates import (
    all_of,
    annotations_changed,
    any_of,
    generation_changed,
    labels_changed,
    negate,
    resource_version_changed,
)

if TYPE_CHECKING:
    from disvc.runtime.predicates import Predicate

SITES: Resource[dict[str, Any]] = Resource("example.com/v1", "Site", "sites")
ALL = [generation_changed, labels_changed, annotations_changed, resource_version_changed]


def site(**metadata: Any) -> Object[Any]:
    return SITES.read(json.dumps({"metadata": {"name": "a", "namespace": "default", **metadata}}).encode())


def change(old: dict[str, Any], new: dict[str, Any]) -> Delta[Any]:
    return Delta(site(**old), site(**new))


every_predicate = pytest.mark.parametrize("predicate", ALL, ids=["generation", "labels", "annotations", "version"])


@every_predicate
def test_creations_and_deletions_pass(predicate: Predicate) -> None:
    assert predicate(Delta(None, site()))
    assert predicate(Delta(None, site(), initial=True))
    assert predicate(Delta(site(), None))


@every_predicate
def test_a_resync_does_not_pass(predicate: Predicate) -> None:
    obj = site(generation=1, labels={"a": "b"}, annotations={"a": "b"}, resourceVersion="5")
    assert not predicate(Delta(obj, obj))


@every_predicate
def test_what_has_none_of_the_metadata_has_not_changed(predicate: Predicate) -> None:
    assert not predicate(change({}, {}))


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ({"generation": 1}, {"generation": 1}, False),
        ({"generation": 1}, {"generation": 2}, True),
        ({}, {"generation": 1}, True),
        ({"generation": 1, "resourceVersion": "1"}, {"generation": 1, "resourceVersion": "2"}, False),
        ({"generation": 1}, {"generation": 1, "labels": {"a": "b"}}, False),
    ],
)
def test_generation_changed(old: dict[str, Any], new: dict[str, Any], changed: bool) -> None:
    assert generation_changed(change(old, new)) is changed


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ({}, {"resourceVersion": "1"}, True),
        ({"resourceVersion": "1"}, {"resourceVersion": "1"}, False),
        ({"resourceVersion": "1"}, {"resourceVersion": "2"}, True),
    ],
)
def test_resource_version_changed(old: dict[str, Any], new: dict[str, Any], changed: bool) -> None:
    assert resource_version_changed(change(old, new)) is changed


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        (None, None, False),
        (None, {}, False),
        ({"a": "b"}, {"a": "b"}, False),
        ({"a": "b", "c": "d"}, {"c": "d", "a": "b"}, False),
        ({"a": "b"}, {"a": "c"}, True),
        ({"a": "b"}, {"a": "b", "c": "d"}, True),
        ({"a": "b", "c": "d"}, {"a": "b"}, True),
        ({"a": "b"}, None, True),
    ],
)
@pytest.mark.parametrize(("field", "predicate"), [("labels", labels_changed), ("annotations", annotations_changed)])
def test_labels_and_annotations_changed(
    field: str, predicate: Predicate, old: dict[str, str] | None, new: dict[str, str] | None, changed: bool
) -> None:
    assert predicate(change({field: old}, {field: new})) is changed


def test_a_change_of_labels_is_none_of_annotations_and_the_other_way_round() -> None:
    labels, annotations = change({}, {"labels": {"a": "b"}}), change({}, {"annotations": {"a": "b"}})
    assert not annotations_changed(labels)
    assert not labels_changed(annotations)


def says(answer: bool) -> Predicate:
    return lambda delta: answer


@pytest.mark.parametrize(("a", "b"), list(itertools.product([True, False], repeat=2)))
def test_predicates_combine_as_booleans_do(a: bool, b: bool) -> None:
    delta = change({}, {})
    assert all_of(says(a), says(b))(delta) is (a and b)
    assert any_of(says(a), says(b))(delta) is (a or b)
    assert negate(says(a))(delta) is not a


def test_of_no_predicates_all_pass_and_any_does_not() -> None:
    assert all_of()(change({}, {}))
    assert not any_of()(change({}, {}))


def test_a_function_of_the_programs_own_is_a_predicate_and_combines_with_the_others() -> None:
    def in_prod(delta: Delta[Any]) -> bool:
        return delta.object.metadata.namespace == "prod"

    wanted = any_of(in_prod, all_of(generation_changed, negate(labels_changed)))
    assert wanted(Delta(site(namespace="prod"), site(namespace="prod")))
    assert wanted(change({"generation": 1}, {"generation": 2}))
    assert not wanted(change({"generation": 1}, {"generation": 2, "labels": {"a": "b"}}))


async def later(delta: Delta[Any]) -> bool:
    return True


@pytest.mark.parametrize("combine", [any_of, all_of, negate])
def test_an_async_predicate_whose_result_would_always_be_true_is_refused(combine: Any) -> None:
    with pytest.raises(TypeError, match=f"predicates? of {combine.__name__} is .*later.* which is async; give a plain"):
        combine(later)
