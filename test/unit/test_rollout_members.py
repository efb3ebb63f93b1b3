from datetime import UTC, datetime
from typing import Any

import pytest

from disvc.rollout.members import NO_INDEX, expected_addresses, member, missing
from disvc.rollout.observation import Obstacle

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def condition(kind: str, status: str, **more: str) -> dict[str, str]:
    return {"type": kind, "status": status, "lastTransitionTime": "2026-03-01T11:00:00Z", **more}


def isvc(
    conditions: dict[str, str] | None = None,
    transition: str = "UpToDate",
    spec: dict[str, Any] | None = None,
    **metadata: Any,
) -> dict[str, Any]:
    status: dict[str, Any] = {
        "observedGeneration": 7,  # the Deployment's
        "modelStatus": {"transitionStatus": transition, "states": {"activeModelState": "Loaded"}},
        "deploymentMode": "Standard",
    }
    if conditions is not None:
        status["conditions"] = [condition(kind, status) for kind, status in conditions.items()]
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {
            "name": "m-v2-1",
            "namespace": "ns",
            "uid": "u",
            "generation": 1,
            "creationTimestamp": "2026-03-01T10:00:00Z",
            "labels": {"disvc": "m", "disvc.group": "m-v2"},
            "annotations": {"disvc.serving.kserve.io/hash": "cafe"},
            **metadata,
        },
        "spec": spec or {"predictor": {"model": {"modelFormat": {"name": "sklearn"}}}},
        "status": status,
    }


ALL_TRUE = {"IngressReady": "True", "PredictorReady": "True", "Ready": "True", "Stopped": "False"}
WITH_TRANSFORMER = {"predictor": {}, "transformer": {"containers": [{"name": "kserve-container"}]}}


def is_ready(obj: dict[str, Any]) -> bool:
    return member(obj, (), (), now=NOW).ready


def test_a_member_has_revision_index_and_hash_of_its_object() -> None:
    found = member(isvc(ALL_TRUE), (), (), now=NOW)
    assert (found.name, found.revision, found.index, found.hash) == ("m-v2-1", "m-v2", 1, "cafe")
    assert found.ready
    assert not found.deleting
    assert found.problem is None


@pytest.mark.parametrize(
    "metadata",
    [
        {"labels": None, "annotations": None},
        {"labels": {}, "annotations": {}},
        {"labels": {"disvc.group": ""}, "annotations": {"disvc.serving.kserve.io/hash": ""}},
    ],
)
def test_labels_and_annotations_that_a_person_took_away_leave_a_member_of_no_revision(metadata: dict[str, Any]) -> None:
    found = member(isvc(ALL_TRUE, **metadata), (), (), now=NOW)
    assert (found.revision, found.hash, found.index) == ("", "", 1)


def test_a_group_label_edited_by_hand_is_believed_as_the_pods_have_it_too() -> None:
    assert member(isvc(ALL_TRUE, labels={"disvc.group": "m-v9"}), (), (), now=NOW).revision == "m-v9"


@pytest.mark.parametrize("name", ["m-v2-01", "m-v2-x", "m", "m-v2-"])
def test_a_name_that_is_no_members_has_no_index(name: str) -> None:
    assert member(isvc(ALL_TRUE, name=name), (), (), now=NOW).index == NO_INDEX


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"Ready": "False"},
        {"Ready": "Unknown"},
        {"Stopped": "True"},
    ],
)
def test_ready_needs_the_condition_ready_and_no_stop(changed: dict[str, str]) -> None:
    assert is_ready(isvc(ALL_TRUE | changed)) is (not changed)


def test_a_member_without_status_is_not_ready() -> None:
    assert not is_ready(isvc(None))
    assert not is_ready({**isvc(), "status": None})
    assert not is_ready({key: value for key, value in isvc().items() if key != "status"})


@pytest.mark.parametrize(
    ("transition", "expected"),
    [
        ("UpToDate", True),
        ("InProgress", True),  # for a moment after Ready turned True
        ("", True),
        ("BlockedByFailedLoad", False),  # a new pod cannot load the model, the old ones serve
        ("InvalidSpec", False),  # the runtime is gone, the pods serve
    ],
)
def test_what_kserve_says_of_the_model_counts_beside_ready(transition: str, expected: bool) -> None:
    assert is_ready(isvc(ALL_TRUE, transition)) is expected


def test_the_last_failure_of_a_member_that_recovered_does_not_make_it_unready() -> None:
    recovered = isvc(ALL_TRUE)
    recovered["status"]["modelStatus"]["lastFailureInfo"] = {"exitCode": 137, "reason": "ModelLoadFailed"}
    found = member(recovered, (), (), now=NOW)
    assert found.ready
    assert found.problem is None


@pytest.mark.parametrize("counter", [None, 1, 99])
def test_the_deployments_generation_is_not_compared_with_the_members(counter: int | None) -> None:
    found = isvc(ALL_TRUE, generation=3)
    found["status"]["observedGeneration"] = counter
    assert is_ready(found)


@pytest.mark.parametrize(("status", "expected"), [("True", True), ("False", False), ("Unknown", False), (None, False)])
def test_ready_of_a_cluster_local_member_does_not_speak_for_its_transformer(status: str | None, expected: bool) -> None:
    conditions = ALL_TRUE | ({"TransformerReady": status} if status else {})
    assert is_ready(isvc(conditions, spec=WITH_TRANSFORMER)) is expected


def test_a_condition_of_a_component_that_the_member_does_not_have_is_left_out_of_account() -> None:
    assert is_ready(isvc(ALL_TRUE | {"TransformerReady": "False"}))


def test_a_member_that_is_being_deleted_is_not_ready_whatever_its_conditions_say() -> None:
    found = member(isvc(ALL_TRUE, deletionTimestamp="2026-03-01T11:59:00Z"), (), (), now=NOW)
    assert found.deleting
    assert not found.ready


@pytest.mark.parametrize(
    ("spec", "replicas", "expected"),
    [
        ({"predictor": {}}, 3, 3),
        ({"predictor": {"minReplicas": None}}, 3, 3),
        ({"predictor": {"minReplicas": 2}}, 3, 6),
        ({"predictor": {"minReplicas": 0}}, 3, 3),
        ({"predictor": {"minReplicas": 4}, "transformer": {"minReplicas": 2}}, 3, 6),
        ({"predictor": {"minReplicas": 4}, "transformer": {}}, 3, 3),
        ({"predictor": {"minReplicas": 4}, "transformer": None}, 3, 12),
        ({"predictor": {"minReplicas": 4}, "explainer": {"minReplicas": 2}}, 3, 12),
        ({"predictor": {"minReplicas": 4}}, 0, 0),
    ],
)
def test_each_member_has_the_least_addresses_of_its_entry_point(
    spec: dict[str, Any], replicas: int, expected: int
) -> None:
    assert expected_addresses({"spec": spec}, replicas) == expected


def test_a_member_that_nobody_has_made_yet_is_not_failing() -> None:
    problem = missing(None)
    assert (problem.reason, problem.message, problem.failing) == ("NotCreated", "does not exist yet", False)


WEBHOOK_DOWN = (
    'Internal error occurred: failed calling webhook "inferenceservice.kserve-webhook-server.defaulter": failed to '
    'call webhook: Post "https://kserve-webhook-server-service.kserve.svc:443/mutate": connect: connection refused.'
)
NO_QUOTA = (
    'inferenceservices.serving.kserve.io "m-v1-0" is forbidden: exceeded quota: isvcs, requested: '
    "count/inferenceservices.serving.kserve.io=1, used: 2, limited: 2"
)
INVALID_FIELD = (
    'InferenceService.serving.kserve.io "m-v1-0" is invalid: spec.predictor.minReplicas: Invalid value: '
    '"string": spec.predictor.minReplicas in body must be of type integer'
)


DENIED = (
    'admission webhook "inferenceservice.kserve-webhook-server.validator" denied the request: '
    "'MinReplicas' cannot be greater than MaxReplicas"
)


@pytest.mark.parametrize(
    ("reason", "error", "failing", "look_at"),
    [
        ("WebhookUnavailable", WEBHOOK_DOWN, False, "kubectl -n kserve get pods"),
        ("QuotaExceeded", NO_QUOTA, True, ""),
        ("Refused", INVALID_FIELD, True, ""),
        ("Refused", DENIED, True, ""),
    ],
)
def test_a_refused_creation_is_told_in_the_servers_words(reason: str, error: str, failing: bool, look_at: str) -> None:
    problem = missing(Obstacle(reason, error, needs_person=failing, retry_seconds=60))
    assert problem.message == f"cannot be created: {error.rstrip('.')}"
    assert (problem.reason, problem.failing, problem.look_at) == (reason, failing, look_at)
