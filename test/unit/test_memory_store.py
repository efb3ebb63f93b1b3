"""The store of the in-memory API server: states at revisions, against a plain replay of what happened."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from disvc.testing.memory.builtin import TYPES
from disvc.testing.memory.store import Store

CONFIG_MAPS = next(resource for resource in TYPES if resource.kind == "ConfigMap")
KEYS = [f"{namespace}/{name}" for namespace in ("a", "a-b", "b") for name in ("x", "y", "z")]
RANGES = [("", ""), ("a/", "a0"), ("b/", "b0"), ("a/y", "a/y\0"), ("a/x\0", "b/y")]

State = dict[str, str]


def value(text: str) -> dict[str, Any]:
    return {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "n"}, "data": {"text": text}}


def history(seed: int) -> tuple[Store, dict[int, State]]:
    """Return a store after random writes, and what was in it at each revision."""
    random = Random(seed)
    store = Store()
    state: State = {}
    states = {store.revision: state}
    for step in range(60):
        key = random.choice(KEYS)
        if key in state and random.random() < 0.4:
            store.remove(CONFIG_MAPS, key)
            state = {other: text for other, text in state.items() if other != key}
        else:
            store.put(CONFIG_MAPS, key, value(str(step)))
            state = {**state, key: str(step)}
        states[store.revision] = state
    return store, states


def listed(store: Store, revision: int, first: str, end: str) -> list[tuple[str, str]]:
    versions = store.of(CONFIG_MAPS).at(revision, first, end)
    return [(version.key, version.value["data"]["text"]) for version in versions]


def expected(state: State, first: str, end: str) -> list[tuple[str, str]]:
    return [(key, state[key]) for key in sorted(state) if first <= key and (not end or key < end)]


@pytest.mark.parametrize("seed", range(5))
def test_every_revision_is_listed_as_it_was(seed: int) -> None:
    store, states = history(seed)
    for revision, state in states.items():
        for first, end in RANGES:
            assert listed(store, revision, first, end) == expected(state, first, end)


def test_what_is_compacted_leaves_later_states_as_they_were() -> None:
    store, states = history(9)
    store.compact(30)
    for revision in range(30, store.revision + 1):
        assert listed(store, revision, "", "") == expected(states[revision], "", "")
    assert store.of(CONFIG_MAPS).events[0].revision == 30


def test_the_events_since_a_revision_lead_from_its_state_to_the_newest() -> None:
    store, states = history(3)
    for revision, state in states.items():
        replayed = dict(state)
        for event in store.of(CONFIG_MAPS).since(revision):
            assert (event.before and event.before.value["data"]["text"]) == replayed.get(event.key)
            if event.after is None:
                del replayed[event.key]
            else:
                replayed[event.key] = event.after.value["data"]["text"]
        assert replayed == states[store.revision]


def test_a_version_carries_its_revision_and_its_json_is_made_once() -> None:
    store = Store()
    version = store.put(CONFIG_MAPS, "a/x", value("1"))
    assert version.value["metadata"]["resourceVersion"] == str(store.revision)
    assert version.raw is version.raw
    assert store.remove(CONFIG_MAPS, "a/x").value["metadata"]["resourceVersion"] == str(store.revision)
    assert version.value["metadata"]["resourceVersion"] == str(store.revision - 1)
