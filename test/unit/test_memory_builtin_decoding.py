"""Objects of built-in kinds are read as Go reads them, and come back as Go writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from disvc.testing.memory.builtin import TYPES
from disvc.testing.memory.errors import Refused

if TYPE_CHECKING:
    from disvc.testing.memory.resource import ResourceType

    Value = dict[str, Any]


def type_of(group: str, kind: str, version: str = "v1") -> ResourceType:
    return next(each for each in TYPES if (each.group, each.version, each.kind) == (group, version, kind))


def decode(group: str, kind: str, value: Value) -> tuple[Value, list[str]]:
    decoder = type_of(group, kind).decode
    assert decoder is not None
    obj, unknown = decoder(value)
    return obj, list(unknown)


def test_every_kind_has_a_schema_and_a_decoder() -> None:
    assert all(each.schema is not None and each.decode is not None for each in TYPES)
    assert len({(each.api_version, each.plural) for each in TYPES}) == len(TYPES)


def test_unknown_fields_are_dropped_and_told_by_their_paths() -> None:
    pod = {"spec": {"containers": [{"name": "a", "colour": 1}], "size": 2}, "extra": {}}
    obj, unknown = decode("", "Pod", pod)
    assert obj == {"metadata": {}, "spec": {"containers": [{"name": "a", "resources": {}}]}, "status": {}}
    assert unknown == ["spec.containers[0].colour", "spec.size", "extra"]


def test_what_is_empty_is_left_out_unless_go_always_writes_it() -> None:
    obj, _ = decode("apps", "Deployment", {"spec": {"replicas": 0, "paused": False, "minReadySeconds": 0}})
    assert obj == {
        "metadata": {},
        "spec": {
            "replicas": 0,
            "selector": None,
            "strategy": {},
            "template": {"metadata": {}, "spec": {"containers": None}},
        },
        "status": {},
    }


def test_null_is_as_if_not_there() -> None:
    value = {"metadata": {"creationTimestamp": None, "labels": {"a": None}}, "data": None, "immutable": None}
    assert decode("", "ConfigMap", value)[0] == {"metadata": {"labels": {"a": ""}}}


def test_quantities_times_and_base64_come_out_canonical() -> None:
    resources = {"limits": {"cpu": "1000m", "memory": "1024Mi"}, "requests": {"cpu": 0.5}}
    obj, _ = decode("", "Pod", {"spec": {"containers": [{"name": "a", "resources": resources}]}})
    assert obj["spec"]["containers"][0]["resources"] == {
        "limits": {"cpu": "1", "memory": "1Gi"},
        "requests": {"cpu": "500m"},
    }
    obj, _ = decode("coordination.k8s.io", "Lease", {"spec": {"renewTime": "2026-01-02T03:04:05.678900+01:00"}})
    assert obj["spec"] == {"renewTime": "2026-01-02T02:04:05.678900Z"}
    assert decode("", "Secret", {"data": {"a": "YQ==\n"}})[0] == {"metadata": {}, "data": {"a": "YQ=="}}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"containers": "a"}, "string into Go struct field PodSpec.spec.containers of type []v1.Container"),
        (
            {"containers": [{"ports": [{"containerPort": "80"}]}]},
            "string into Go struct field ContainerPort.spec.containers.ports.containerPort of type int32",
        ),
        (
            {"volumes": [{"secret": {"defaultMode": True}}]},
            "bool into Go struct field SecretVolumeSource.spec.volumes.VolumeSource.secret.defaultMode of type int32",
        ),
        (
            {"terminationGracePeriodSeconds": 1.5},
            "number 1.5 into Go struct field PodSpec.spec.terminationGracePeriodSeconds of type int64",
        ),
        ({"nodeSelector": {"a": 1}}, "number into Go struct field PodSpec.spec.nodeSelector of type string"),
        (
            {"overhead": "a"},
            "string into Go struct field PodSpec.spec.overhead of type v1.ResourceList",
        ),
        ([], "array into Go struct field Pod.spec of type v1.PodSpec"),
    ],
)
def test_a_value_of_a_wrong_type_is_a_bad_request_in_go_s_words(spec: object, message: str) -> None:
    with pytest.raises(Refused) as refused:
        decode("", "Pod", {"spec": spec})
    assert (refused.value.code, refused.value.reason) == (400, "BadRequest")
    prefix = 'Pod in version "v1" cannot be handled as a Pod: json: cannot unmarshal'
    assert refused.value.message == f"{prefix} {message}"


@pytest.mark.parametrize(
    ("group", "kind", "value", "message"),
    [
        ("", "Secret", {"data": {"a": "a$b="}}, "illegal base64 data at input byte 1"),
        ("", "Event", {"lastTimestamp": "now"}, 'parsing time "now" as "2006-01-02T15:04:05Z07:00": cannot parse'),
        ("", "ResourceQuota", {"spec": {"hard": {"cpu": "1mm"}}}, "unable to parse quantity's suffix"),
        ("", "ResourceQuota", {"spec": {"hard": {"cpu": "x"}}}, "quantities must match the regular expression"),
        (
            "",
            "Service",
            {"spec": {"ports": [{"targetPort": True}]}},
            "bool into Go struct field ServicePort.spec.ports.targetPort of type int32",
        ),
    ],
)
def test_what_cannot_be_parsed_is_a_bad_request(group: str, kind: str, value: Value, message: str) -> None:
    with pytest.raises(Refused) as refused:
        decode(group, kind, value)
    assert refused.value.code == 400
    assert message in refused.value.message
