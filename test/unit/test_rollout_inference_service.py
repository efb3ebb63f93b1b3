"""The members: mission.md's table of workflow 1, what is inherited, and what the record makes constant."""

from __future__ import annotations

import json
from typing import Any

import pytest

from disvc.api.status import Revision
from disvc.api.types import DistributedInferenceService
from disvc.rollout.inference_service import member, render, rendering_of, unsupported
from disvc.rollout.revision import Record
from disvc.rollout.template import template_hash, template_of

SKLEARN = {
    "modelFormat": {"name": "sklearn"},
    "name": "",
    "protocolVersion": "v2",
    "runtime": "kserve-sklearnserver",
    "storageUri": "gs://models/iris",
}
STANDARD = {"serving.kserve.io/autoscalerClass": "none", "serving.kserve.io/deploymentMode": "RawDeployment"}


def disvc(*, metadata: Any = STANDARD, **spec: Any) -> DistributedInferenceService:
    """Return a DISVC; `metadata` are its own annotations."""
    spec = {"inferenceService": {"predictor": {"model": SKLEARN}}, **spec}
    return DistributedInferenceService.model_validate(
        {"metadata": {"name": "iris", "namespace": "ns", "uid": "an-uid", "annotations": metadata}, "spec": spec}
    )


def record(of: DistributedInferenceService, number: int = 1) -> Record:
    ref = Revision(name=f"iris-v{number}", number=number, hash=template_hash(template_of(of)))
    return Record(ref, template_of(of), render(of, number))


def test_a_member_is_as_workflow_1_has_it_with_the_old_spelling() -> None:
    of = disvc(inferenceService=None, inferenservice={"predictor": {"model": SKLEARN}})
    assert member(of, record(of), 0) == {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {
            "name": "iris-v1-0",
            "namespace": "ns",
            "labels": {
                "disvc": "iris",
                "disvc.group": "iris-v1",
                "app": "isvc.iris-v1-0-predictor",
                "component": "predictor",
                "serving.kserve.io/inferenceservice": "iris-v1-0",
                "networking.kserve.io/visibility": "cluster-local",
            },
            "annotations": {**STANDARD, "disvc.serving.kserve.io/hash": template_hash(template_of(of))},
            "ownerReferences": [of.owner_reference],
        },
        "spec": {"predictor": {"model": {**SKLEARN, "args": ["--model_name=iris"]}}},
    }


def test_members_of_one_revision_differ_only_by_their_name() -> None:
    of = disvc()
    one, other = (json.dumps(member(of, record(of, 12), index)) for index in (0, 10))
    assert one != other
    assert one.replace("iris-v12-0", "iris-v12-10") == other


def test_a_member_is_made_from_the_record_and_not_from_the_present_spec() -> None:
    before = disvc()
    after = disvc(metadata={"serving.kserve.io/a": "x"}, inferenceService={"predictor": {}}, labels={"a": "b"})
    assert member(after, record(before), 0) == member(before, record(before), 0)


@pytest.mark.parametrize(
    ("annotation", "inherited"),
    [
        ("serving.kserve.io/autoscalerClass", True),
        ("storage.kserve.io/storage-initializer-uid", True),
        ("kserve.io/anything", True),
        ("serving.kserve.io/stop", False),
        ("disvc.serving.kserve.io/promote", False),
        ("disvc.serving.kserve.io/retry", False),
        ("kubectl.kubernetes.io/last-applied-configuration", False),
        ("notkserve.io/a", False),
        ("example.com/kserve.io", False),
        ("kserve.io", False),
        ("note", False),
    ],
)
def test_kserves_annotations_of_the_disvc_are_inherited_and_no_others(annotation: str, inherited: bool) -> None:
    rendered = render(disvc(metadata={annotation: "x"}), 1)
    assert (annotation in rendered["metadata"]["annotations"]) is inherited


def test_annotations_of_the_spec_win_over_those_of_the_disvc() -> None:
    mode = "serving.kserve.io/deploymentMode"
    of = disvc(
        metadata={"serving.kserve.io/a": "disvc", mode: "RawDeployment"},
        annotations={"serving.kserve.io/a": "spec", "b": "spec", mode: "Standard"},
    )
    annotations = render(of, 1)["metadata"]["annotations"]
    assert annotations["serving.kserve.io/a"] == annotations["b"] == "spec"
    assert annotations[mode] == "Standard"


def test_the_deployment_mode_is_always_set_as_kserves_default_may_be_another() -> None:
    rendered = render(disvc(metadata={}), 1)
    assert rendered["metadata"]["annotations"]["serving.kserve.io/deploymentMode"] == "RawDeployment"


def test_labels_of_the_spec_are_added_and_never_win_over_those_that_pods_are_found_by() -> None:
    labels = {"team": "a", "disvc": "rose", "disvc.group": "rose-v1", "networking.kserve.io/visibility": "exposed"}
    rendered = render(disvc(labels=labels), 2)["metadata"]["labels"]
    assert rendered["team"] == "a"
    assert (rendered["disvc"], rendered["disvc.group"]) == ("iris", "iris-v2")
    assert rendered["networking.kserve.io/visibility"] == "cluster-local"


def test_the_spec_is_kept_as_it_is_but_for_nulls_which_kserves_crd_refuses() -> None:
    spec = {"predictor": {"containers": [{"name": "a", "image": "b", "env": None}], "later": {"x": [1, {"y": ""}]}}}
    rendered = render(disvc(inferenceService=spec), 1)["spec"]
    assert rendered == {"predictor": {"containers": [{"name": "a", "image": "b"}], "later": {"x": [1, {"y": ""}]}}}


def test_the_name_of_the_model_is_the_one_that_is_given() -> None:
    assert render(disvc(modelName="flowers"), 1)["spec"]["predictor"]["model"]["args"] == ["--model_name=flowers"]


def test_a_lost_record_is_made_anew_from_a_member() -> None:
    of = disvc()
    live = member(of, record(of), 3)
    live["metadata"]["annotations"] = {
        **live["metadata"]["annotations"],
        "kubectl.kubernetes.io/last-applied-configuration": "{}",
    }
    assert rendering_of(live) == render(of, 1)


@pytest.mark.parametrize("mode", ["RawDeployment", "Standard"])
def test_modes_with_deployments_are_supported(mode: str) -> None:
    assert unsupported(disvc(metadata={"serving.kserve.io/deploymentMode": mode})) is None
    assert unsupported(disvc(metadata={})) is None


@pytest.mark.parametrize("mode", ["Serverless", "Knative", "ModelMesh", ""])
def test_other_modes_are_refused_with_what_to_do_wherever_they_stand(mode: str) -> None:
    annotations = {"serving.kserve.io/deploymentMode": mode}
    for of in (disvc(metadata=annotations), disvc(annotations=annotations)):
        problem = unsupported(of) or ""
        assert repr(mode) in problem
        assert "remove the annotation, or change it" in problem
