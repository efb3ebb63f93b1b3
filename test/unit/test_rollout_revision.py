"""A revision is read back as it was recorded, from what nobody can edit."""

from __future__ import annotations

import json
from typing import Any

import pytest

from disvc.api.status import Revision
from disvc.api.types import DistributedInferenceService
from disvc.rollout.inference_service import render
from disvc.rollout.revision import Record, manifest, read
from disvc.rollout.template import template_hash, template_of

DISVC = DistributedInferenceService.model_validate(
    {
        "metadata": {"name": "iris-v1", "namespace": "ns", "uid": "an-uid"},
        "spec": {"inferenceService": {"predictor": {"model": {"name": "", "timeout": 1.5, "env": []}}}},
    }
)
TEMPLATE = template_of(DISVC)
RECORD = Record(
    Revision(name="iris-v1-v12", number=12, hash=template_hash(TEMPLATE)), TEMPLATE, render(DISVC, number=12)
)


def recorded(**changes: Any) -> dict[str, Any]:
    """Return the ControllerRevision as the API server has it, with changes."""
    value: dict[str, Any] = json.loads(json.dumps(manifest(DISVC, RECORD)))
    return {**value, **changes}


def test_what_is_recorded_is_read_back() -> None:
    assert read(recorded()) == RECORD


def test_a_record_whose_template_is_not_known_is_read_back() -> None:
    lost = Record(RECORD.ref, None, RECORD.member)
    assert read(json.loads(json.dumps(manifest(DISVC, lost)))) == lost


def test_the_manifest_is_a_controller_revision_that_the_disvc_controls() -> None:
    value = manifest(DISVC, RECORD)
    assert (value["apiVersion"], value["kind"], value["revision"]) == ("apps/v1", "ControllerRevision", 12)
    assert value["metadata"] == {
        "name": "iris-v1-v12",
        "namespace": "ns",
        "labels": {"disvc": "iris-v1", "disvc.group": "iris-v1-v12"},
        "annotations": {"disvc.serving.kserve.io/hash": RECORD.ref.hash},
        "ownerReferences": [
            {
                "apiVersion": "serving.kserve.io/v1alpha1",
                "kind": "DistributedInferenceService",
                "name": "iris-v1",
                "uid": "an-uid",
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ],
    }
    assert value["data"]["formatVersion"] == 1


@pytest.mark.parametrize(
    "edit",
    [
        {"revision": 3},
        {"metadata": {"name": "iris-v1-v12"}},
        {"metadata": {"name": "iris-v1-v12", "annotations": {"disvc.serving.kserve.io/hash": "other"}}},
        {"metadata": {"name": "iris-v1-v12", "labels": {"disvc": "rose", "disvc.group": "rose-v1"}}},
    ],
)
def test_an_edit_of_what_can_be_edited_changes_nothing(edit: dict[str, Any]) -> None:
    assert read(recorded(**edit)) == RECORD


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_another_format_is_refused_by_its_number(version: object) -> None:
    data = {**recorded()["data"], "formatVersion": version}
    with pytest.raises(ValueError, match=r"^ControllerRevision iris-v1-v12 has format .*run the version that wrote it"):
        read(recorded(data=data))


@pytest.mark.parametrize(
    ("part", "value", "wrong"),
    [
        ("hash", 7, "data.hash: "),
        ("template", "text", "data.template: "),
        ("inferenceService", None, "data.inferenceService: "),
        ("inferenceService", {"metadata": {"labels": {}}, "spec": {}}, "data.inferenceService.metadata.annotations: "),
        (
            "inferenceService",
            {"metadata": {"labels": {"a": 1}, "annotations": {}}, "spec": {}},
            "data.inferenceService.metadata.labels.a: ",
        ),
        ("inferenceService", {"metadata": {"labels": {}, "annotations": {}}}, "data.inferenceService.spec: "),
    ],
)
def test_a_broken_record_is_refused_with_what_is_wrong_and_what_to_do(part: str, value: object, wrong: str) -> None:
    data = {**recorded()["data"], part: value}
    with pytest.raises(ValueError, match=r"^ControllerRevision iris-v1-v12 is not as the operator writes") as caught:
        read(recorded(data=data))
    assert wrong in str(caught.value)
    assert "change the template" in str(caught.value)


@pytest.mark.parametrize("data", [None, {}])
def test_a_controller_revision_without_data_is_refused(data: object) -> None:
    with pytest.raises(ValueError, match="has format None"):
        read(recorded(data=data))


@pytest.mark.parametrize("name", ["iris", "iris-v", "iris-v01", "iris-v1-0", "iris-vx"])
def test_a_name_that_is_no_revisions_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=rf"^ControllerRevision {name} is not as"):
        read(recorded(metadata={"name": name}))
