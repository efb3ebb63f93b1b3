"""What the server gives to new objects of built-in kinds, keeps in updates, and refuses."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest

from disvc.testing.memory.builtin import TYPES
from disvc.testing.memory.builtin.pod import grace_period
from disvc.testing.memory.errors import Refused

if TYPE_CHECKING:
    from disvc.testing.memory.resource import ResourceType

Value = dict[str, Any]

CONTAINER = {"name": "c", "image": "i:1"}
TEMPLATE = {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [CONTAINER]}}
WORKLOAD = {"spec": {"selector": {"matchLabels": {"app": "a"}}, "template": TEMPLATE}}
TARGET = {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"}


def type_of(api_version: str, kind: str) -> ResourceType:
    return next(each for each in TYPES if (each.api_version, each.kind) == (api_version, kind))


def decoded(type_: ResourceType, value: Value) -> Value:
    assert type_.decode is not None
    whole = {"apiVersion": type_.api_version, "kind": type_.kind, "metadata": {"name": "n", "namespace": "ns"}, **value}
    obj, unknown = type_.decode(whole)
    assert unknown == []
    return obj


def created(type_: ResourceType, value: Value) -> Value:
    obj = decoded(type_, value)
    obj["metadata"]["uid"] = "u"
    type_.strategy.default(obj)
    type_.strategy.prepare_for_create(obj)
    assert list(type_.strategy.validate(obj, None, "")) == []
    return obj


def refused(type_: ResourceType, value: Value) -> list[str]:
    obj = decoded(type_, value)
    obj["metadata"]["uid"] = "u"
    type_.strategy.default(obj)
    type_.strategy.prepare_for_create(obj)
    return [str(cause) for cause in type_.strategy.validate(obj, None, "")]


def updated(type_: ResourceType, obj: Value, old: Value) -> tuple[Value, list[str]]:
    before = copy.deepcopy(old)
    obj = decoded(type_, obj)
    type_.strategy.default(obj)
    type_.strategy.prepare_for_update(obj, old)
    causes = [str(cause) for cause in type_.strategy.validate(obj, old, "")]
    assert old == before, "the old object is not changed"
    return obj, causes


SERVICE = type_of("v1", "Service")
POD = type_of("v1", "Pod")


def test_a_service_gets_the_same_address_and_node_port_in_every_run() -> None:
    first, second = (created(SERVICE, {"spec": {"type": "NodePort", "ports": [{"port": 80}]}}) for _ in range(2))
    assert first == second
    assert first["spec"]["clusterIP"].startswith("10.96.")
    assert first["spec"]["clusterIPs"] == [first["spec"]["clusterIP"]]
    assert 30000 <= first["spec"]["ports"][0]["nodePort"] < 32768


def test_an_update_keeps_the_address_that_it_does_not_say_and_may_not_change_it() -> None:
    old = created(SERVICE, {"spec": {"ports": [{"port": 80}]}})
    new, causes = updated(SERVICE, {"spec": {"ports": [{"port": 81}]}}, old)
    assert (new["spec"]["clusterIP"], causes) == (old["spec"]["clusterIP"], [])
    _, causes = updated(SERVICE, {"spec": {"clusterIP": "10.96.0.99", "ports": [{"port": 81}]}}, old)
    assert causes == ['spec.clusterIPs[0]: Invalid value: ["10.96.0.99"]: may not change once set']


def test_a_service_that_becomes_external_loses_its_address() -> None:
    old = created(SERVICE, {"spec": {"ports": [{"port": 80}]}})
    spec = {**old["spec"], "type": "ExternalName", "externalName": "a.example.com"}
    new, causes = updated(SERVICE, {"spec": spec}, old)
    assert causes == []
    assert not {"clusterIP", "clusterIPs", "ipFamilies", "internalTrafficPolicy"} & new["spec"].keys()


def test_a_headless_service_without_selector_may_have_endpoints_of_both_families() -> None:
    spec = created(SERVICE, {"spec": {"clusterIP": "None"}})["spec"]
    assert (spec["ipFamilies"], spec["ipFamilyPolicy"]) == (["IPv4", "IPv6"], "RequireDualStack")


def test_a_new_pod_is_pending_and_tolerates_lost_nodes_for_a_while() -> None:
    pod = created(POD, {"spec": {"containers": [CONTAINER]}, "status": {"phase": "Running"}})
    assert pod["status"] == {"phase": "Pending", "qosClass": "BestEffort"}
    tolerations = [(each["key"], each["tolerationSeconds"]) for each in pod["spec"]["tolerations"]]
    assert tolerations == [("node.kubernetes.io/not-ready", 300), ("node.kubernetes.io/unreachable", 300)]


def test_an_update_of_a_pod_may_change_its_image_only() -> None:
    old = created(POD, {"spec": {"containers": [CONTAINER]}})
    spec = {**old["spec"], "containers": [{**old["spec"]["containers"][0], "image": "i:2"}]}
    assert updated(POD, {"spec": spec}, old)[1] == []
    spec = {**old["spec"], "containers": [{**old["spec"]["containers"][0], "command": ["sh"]}]}
    (cause,) = updated(POD, {"spec": spec}, old)[1]
    assert cause.startswith("spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`")


def test_a_pod_may_be_made_to_tolerate_more_and_for_another_time_only() -> None:
    first, second = ({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 9} for key in "ab")
    old = created(POD, {"spec": {"containers": [CONTAINER], "tolerations": [first, second]}})
    of_all_pods = old["spec"]["tolerations"][2:]
    more = [{**first, "tolerationSeconds": 5}, second, *of_all_pods, {"operator": "Exists"}]
    assert updated(POD, {"spec": {**old["spec"], "tolerations": more}}, old)[1] == []
    other = [first, *of_all_pods]
    _, causes = updated(POD, {"spec": {**old["spec"], "tolerations": other}}, old)
    why = "existing toleration can not be modified except its tolerationSeconds"
    assert causes == [f"spec.tolerations: Forbidden: {why}"]


def test_a_pod_does_not_lose_its_containers() -> None:
    old = created(POD, {"spec": {"containers": [CONTAINER]}})
    _, causes = updated(POD, {"spec": {**old["spec"], "containers": None}}, old)
    assert "spec.containers: Forbidden: pod updates may not add or remove containers" in causes


def test_a_pod_terminates_at_once_where_no_kubelet_has_it() -> None:
    pod = created(POD, {"spec": {"containers": [CONTAINER]}})
    assert grace_period(pod, None) == 0
    pod["spec"]["nodeName"] = "n"
    assert [grace_period(pod, asked) for asked in (None, 5, 0)] == [30, 5, 0]
    pod["status"]["phase"] = "Succeeded"
    assert grace_period(pod, None) == 0


def test_a_workload_must_select_the_pods_of_its_template() -> None:
    deployment = type_of("apps/v1", "Deployment")
    template = {**TEMPLATE, "metadata": {"labels": {"app": "b"}}}
    causes = refused(deployment, {"spec": {**WORKLOAD["spec"], "template": template}})
    assert causes == [
        'spec.template.metadata.labels: Invalid value: {"app":"b"}: `selector` does not match template `labels`'
    ]


def test_a_selector_never_changes() -> None:
    deployment = type_of("apps/v1", "Deployment")
    old = created(deployment, WORKLOAD)
    template = {"metadata": {"labels": {"app": "b"}}, "spec": {"containers": [CONTAINER]}}
    spec = {"selector": {"matchLabels": {"app": "b"}}, "template": template}
    _, causes = updated(deployment, {"spec": spec}, old)
    assert causes == ['spec.selector: Invalid value: {"matchLabels":{"app":"b"}}: field is immutable']


def test_an_update_keeps_the_status() -> None:
    deployment = type_of("apps/v1", "Deployment")
    old = created(deployment, WORKLOAD) | {"status": {"replicas": 2}}
    assert updated(deployment, {**WORKLOAD, "status": {"replicas": 7}}, old)[0]["status"] == {"replicas": 2}


def test_a_daemon_set_counts_the_versions_of_its_template() -> None:
    daemon_set = type_of("apps/v1", "DaemonSet")
    old = created(daemon_set, WORKLOAD)
    counter = "deprecated.daemonset.template.generation"
    assert old["metadata"]["annotations"][counter] == "1"
    template = {"metadata": {"labels": {"app": "a", "b": "c"}}, "spec": {"containers": [CONTAINER]}}
    new, _ = updated(daemon_set, {"spec": {**WORKLOAD["spec"], "template": template}}, old)
    assert new["metadata"]["annotations"][counter] == "2"


def test_a_controller_revision_never_changes_its_data() -> None:
    revision = type_of("apps/v1", "ControllerRevision")
    old = created(revision, {"revision": 1, "data": {"a": 1}})
    _, causes = updated(revision, {"revision": 2, "data": {"a": 2}}, old)
    assert causes == ['data: Invalid value: {"a":2}: field is immutable']


def test_a_job_selects_the_pods_that_bear_its_uid() -> None:
    template = {"spec": {"restartPolicy": "Never", "containers": [CONTAINER]}}
    job = created(type_of("batch/v1", "Job"), {"spec": {"template": template}})
    assert job["spec"]["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": "u"}}
    assert job["spec"]["template"]["metadata"]["labels"]["job-name"] == "n"


def test_the_labels_that_a_job_is_given_stay() -> None:
    type_ = type_of("batch/v1", "Job")
    template = {"spec": {"restartPolicy": "Never", "containers": [CONTAINER]}}
    old = created(type_, {"spec": {"template": template}})
    old["metadata"]["labels"] = {}
    labels = {**old["spec"]["template"]["metadata"]["labels"], "job-name": "x"}
    spec = {**old["spec"], "template": {**old["spec"]["template"], "metadata": {"labels": labels}}}
    _, causes = updated(type_, {"metadata": old["metadata"], "spec": spec}, old)
    assert any(cause.endswith("must be 'n'") for cause in causes)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8"])
def test_an_endpoint_slice_may_not_lead_to_the_host_itself(address: str) -> None:
    slice_ = {"addressType": "IPv4", "endpoints": [{"addresses": [address]}]}
    causes = refused(type_of("discovery.k8s.io/v1", "EndpointSlice"), slice_)
    why = "may not be in the loopback range (127.0.0.0/8, ::1/128)"
    assert causes == [f'endpoints[0].addresses[0]: Invalid value: "{address}": {why}']


def test_an_immutable_secret_does_not_change() -> None:
    secret = type_of("v1", "Secret")
    old = created(secret, {"data": {"a": "YQ=="}, "immutable": True})
    _, causes = updated(secret, {"data": {"a": "Yg=="}, "immutable": True}, old)
    assert causes == ["data: Forbidden: field is immutable when `immutable` is set"]


def test_events_of_both_groups_are_the_same_objects() -> None:
    conversion = type_of("events.k8s.io/v1", "Event").stored_as
    assert conversion is not None
    stored = created(
        type_of("v1", "Event"),
        {
            "involvedObject": {"kind": "Pod", "name": "p", "namespace": "ns"},
            "message": "m",
            "source": {"component": "c"},
            "count": 2,
            "firstTimestamp": "2026-01-02T03:04:05Z",
        },
    )
    event = conversion.from_stored(stored)
    assert event["apiVersion"] == "events.k8s.io/v1"
    assert (event["regarding"]["name"], event["note"], event["deprecatedCount"]) == ("p", "m", 2)
    assert event["deprecatedSource"] == {"component": "c"}
    assert conversion.to_stored(event) == stored


def test_an_event_of_today_is_told_what_it_lacks_as_one_of_the_core_group() -> None:
    with pytest.raises(Refused, match=r'^Event "n" is invalid: \[eventTime: Required value, type: Invalid value: ""'):
        refused(type_of("events.k8s.io/v1", "Event"), {"regarding": {"namespace": "ns"}})


def test_an_autoscaler_of_v1_keeps_what_only_v2_can_say() -> None:
    conversion = type_of("autoscaling/v1", "HorizontalPodAutoscaler").stored_as
    assert conversion is not None
    cpu = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}
    memory = {
        "type": "Resource",
        "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "1Gi"}},
    }
    spec = {"minReplicas": 1, "maxReplicas": 3, "scaleTargetRef": TARGET, "metrics": [memory, cpu]}
    stored = created(type_of("autoscaling/v2", "HorizontalPodAutoscaler"), {"spec": spec})
    old = conversion.from_stored(stored)
    assert old["spec"] == {
        "minReplicas": 1,
        "maxReplicas": 3,
        "scaleTargetRef": TARGET,
        "targetCPUUtilizationPercentage": 50,
    }
    assert conversion.to_stored(old) == stored
