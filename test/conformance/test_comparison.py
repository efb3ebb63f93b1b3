"""What the differential test lets pass, and what not."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from differential.comparison import Reply, compare_events, compare_replies
from differential.learned import Learned
from differential.step import Step

PATH = "/api/v1/namespaces/any/configmaps"
UID, OTHER_UID, THIRD_UID = (f"{digit * 8}-0000-4000-8000-000000000000" for digit in "123")


def step(**query: str) -> Step:
    return Step(1, "GET", PATH, PATH, query=query)


def thing(revision: int, uid: str = UID, **content: Any) -> dict[str, Any]:
    return {"kind": "ConfigMap", "metadata": {"name": "a", "uid": uid, "resourceVersion": str(revision)}, **content}


def listed(revision: int, *items: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "ConfigMapList", "metadata": {"resourceVersion": str(revision)}, "items": list(items)}


class Pair:
    """Answers of two servers, one pair after the other."""

    def __init__(self) -> None:
        self.learned = Learned()

    def places(self, left: Any, right: Any, **query: str) -> list[str]:
        """Return where two answers differ."""
        one, other = (Reply(200, {}, body, is_next_page="continue" in query) for body in (left, right))
        differences = compare_replies(step(**query), one, other, self.learned)
        return [difference.place for difference in differences]

    def events(self, left: list[Any], right: list[Any]) -> list[str]:
        """Return where two streams of events differ."""
        return [difference.place for difference in compare_events(step(), left, right, self.learned)]


@pytest.fixture
def pair() -> Pair:
    return Pair()


def test_revisions_of_two_servers_map_one_to_one_and_in_order(pair: Pair) -> None:
    assert pair.places(thing(10), thing(7)) == []
    assert pair.places(thing(10), thing(7)) == []
    assert pair.places(thing(12), thing(9)) == []
    assert pair.places(thing(10), thing(9)) == ["object/metadata/resourceVersion"]
    assert pair.places(thing(15), thing(8)) == ["object/metadata/resourceVersion"]


def test_the_revision_of_a_list_lies_after_the_same_changes(pair: Pair) -> None:
    assert pair.places(thing(10), thing(7)) == []
    assert pair.places(listed(11), listed(7)) == []
    assert pair.places(thing(12), thing(9)) == []
    assert pair.places(listed(13), listed(8)) == ["list/metadata/resourceVersion"]


def test_all_pages_of_a_list_have_one_revision(pair: Pair) -> None:
    assert pair.places(listed(10), listed(7)) == []
    assert pair.places(listed(10), listed(8), **{"continue": "token"}) == ["list/metadata/resourceVersion"]
    assert pair.places(listed(10), listed(7), **{"continue": "token"}) == []


def test_uids_map_one_to_one_also_in_texts_and_names_of_fields(pair: Pair) -> None:
    assert pair.places(thing(10), thing(7, uid=OTHER_UID)) == []
    assert pair.places({"text": f"of {UID}"}, {"text": f"of {OTHER_UID}"}) == []
    assert pair.places({f"k:{UID}": {}}, {f"k:{OTHER_UID}": {}}) == []
    assert pair.places({"text": UID}, {"text": THIRD_UID}) == ["object/text"]


def test_a_time_may_differ_within_the_run_only(pair: Pair) -> None:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert pair.places({"time": now}, {"time": now.replace(now[:10], now[:10])}) == []
    assert pair.places({"time": now}, {"time": "2001-01-01T00:00:00Z"}) == ["object/time"]


def test_numbers_texts_and_what_is_absent_are_told_apart(pair: Pair) -> None:
    assert pair.places({"a": 1}, {"a": True}) == ["object/a"]
    assert pair.places({"a": 1}, {"a": 1.0}) == ["object/a"]
    assert pair.places({"a": None}, {}) == ["object/a"]
    assert pair.places({"a": []}, {"a": [1]}) == ["object/a/0"]
    assert pair.places({"a": ""}, {"a": "x"}) == ["object/a"]


def test_managed_fields_are_compared_without_their_order(pair: Pair) -> None:
    one, other = {"manager": "m1", "operation": "Apply"}, {"manager": "m2", "operation": "Update"}
    assert pair.places({"managedFields": [one, other]}, {"managedFields": [other, one]}) == []
    assert pair.places({"managedFields": [one, other]}, {"managedFields": [other]}) != []


def test_events_are_compared_in_their_order_but_for_passing_bookmarks(pair: Pair) -> None:
    added = {"type": "ADDED", "object": thing(10)}
    changed = {"type": "MODIFIED", "object": thing(11)}
    bookmark = {"type": "BOOKMARK", "object": {"kind": "ConfigMap", "metadata": {"resourceVersion": "12"}}}
    assert pair.events([added, changed], [added, bookmark, changed]) == []
    assert pair.events([added, changed], [changed, added]) != []
    assert pair.events([added, changed], [added]) == ["event 1"]


def test_the_bookmark_that_ends_the_initial_events_counts(pair: Pair) -> None:
    metadata = {"resourceVersion": "12", "annotations": {"k8s.io/initial-events-end": "true"}}
    end = {"type": "BOOKMARK", "object": {"kind": "ConfigMap", "metadata": metadata}}
    assert pair.events([end], []) == ["event 0"]
