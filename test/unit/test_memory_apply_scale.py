"""managedFields between an object and its Scale."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from disvc.testing.memory.apply.scale import SCALE_FIELDS, ScaleEntries

ENTRIES = ScaleEntries({"apps/v1": "spec.replicas"}, "apps/v1")
REPLICAS: dict[str, Any] = {"f:spec": {"f:replicas": {}}}
NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)


def entry(manager: str, fields: dict[str, Any], operation: str = "Update", **more: str) -> dict[str, Any]:
    written = {"manager": manager, "operation": operation, "apiVersion": "apps/v1", "fieldsType": "FieldsV1"}
    return written | {"fieldsV1": fields} | more


def scale(replicas: int, managed: list[dict[str, Any]]) -> dict[str, Any]:
    metadata = {"name": "x", "uid": "u", "managedFields": managed}
    return {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": metadata, "spec": {"replicas": replicas}}


def test_who_owns_the_replicas_owns_those_of_the_scale() -> None:
    time = "2026-11-26T11:00:00Z"
    managed = [entry("a", {"f:spec": {"f:paused": {}, "f:replicas": {}}}, time=time), entry("b", {"f:status": {}})]
    assert ENTRIES.of_scale(managed) == [entry("a", REPLICAS, time=time) | {"apiVersion": "autoscaling/v1"}]


def test_who_scales_takes_the_replicas_from_their_owner() -> None:
    managed = [entry("ann", REPLICAS, "Apply"), entry("a", {"f:spec": {"f:paused": {}, "f:replicas": {}}})]
    live = scale(1, ENTRIES.of_scale(managed))
    new = SCALE_FIELDS.update(live, scale(2, live["metadata"]["managedFields"]), "scaler", NOON)
    assert ENTRIES.of_object(managed, new["metadata"]["managedFields"]) == [
        entry("a", {"f:spec": {"f:paused": {}}}),
        entry("scaler", REPLICAS, subresource="scale"),
    ]


def test_an_applier_keeps_replicas_that_are_scaled_to_what_they_are() -> None:
    managed = [entry("ann", REPLICAS, "Apply")]
    live = scale(1, ENTRIES.of_scale(managed))
    new = SCALE_FIELDS.update(live, live, "scaler", NOON)
    assert ENTRIES.of_object(managed, new["metadata"]["managedFields"]) == managed


def test_an_entry_of_a_version_that_is_not_served_is_forgotten() -> None:
    assert ENTRIES.of_object([entry("a", REPLICAS) | {"apiVersion": "apps/v0"}], []) == []
