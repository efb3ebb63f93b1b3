"""What the server fills in where a client says nothing."""

from __future__ import annotations

from typing import Any

from disvc.testing.memory.builtin import TYPES

Value = dict[str, Any]


def defaulted(group: str, kind: str, value: Value) -> Value:
    type_ = next(each for each in TYPES if (each.group, each.kind) == (group, kind))
    assert type_.decode is not None
    obj, _ = type_.decode(value)
    type_.strategy.default(obj)
    return obj


def test_defaults_of_a_pod_template_reach_its_containers_probes_and_volumes() -> None:
    container = {
        "name": "c",
        "image": "i",
        "readinessProbe": {"httpGet": {"port": 80}},
        "ports": [{"containerPort": 1}],
    }
    template = {"spec": {"containers": [container], "volumes": [{"name": "v"}]}}
    spec = defaulted("apps", "Deployment", {"spec": {"template": template}})["spec"]
    assert (spec["replicas"], spec["strategy"]["rollingUpdate"]) == (1, {"maxUnavailable": "25%", "maxSurge": "25%"})
    pod = spec["template"]["spec"]
    assert (pod["restartPolicy"], pod["dnsPolicy"], pod["securityContext"]) == ("Always", "ClusterFirst", {})
    assert pod["volumes"] == [{"name": "v", "emptyDir": {}}]
    assert pod["containers"] == [
        {
            "name": "c",
            "image": "i",
            "imagePullPolicy": "Always",
            "ports": [{"containerPort": 1, "protocol": "TCP"}],
            "readinessProbe": {
                "httpGet": {"port": 80, "path": "/", "scheme": "HTTP"},
                "timeoutSeconds": 1,
                "periodSeconds": 10,
                "successThreshold": 1,
                "failureThreshold": 3,
            },
            "resources": {},
            "terminationMessagePath": "/dev/termination-log",
            "terminationMessagePolicy": "File",
        }
    ]
    assert "enableServiceLinks" not in pod


def test_a_pod_requests_what_it_is_limited_to() -> None:
    resources = {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}
    spec = {"containers": [{"name": "c", "image": "i:1", "resources": resources}]}
    container = defaulted("", "Pod", {"spec": spec})["spec"]["containers"][0]
    assert container["resources"]["requests"] == {"cpu": "500m", "memory": "1Gi"}
    assert container["imagePullPolicy"] == "IfNotPresent"


def test_zero_and_false_that_a_client_says_are_kept() -> None:
    spec = defaulted("apps", "Deployment", {"spec": {"replicas": 0, "revisionHistoryLimit": 0}})["spec"]
    assert (spec["replicas"], spec["revisionHistoryLimit"]) == (0, 0)


def test_a_service_s_ports_lead_to_the_same_ports_of_its_pods() -> None:
    spec = defaulted("", "Service", {"spec": {"ports": [{"port": 80}, {"port": 81, "targetPort": "http"}]}})["spec"]
    assert [port["targetPort"] for port in spec["ports"]] == [80, "http"]
    assert (spec["type"], spec["sessionAffinity"], spec["internalTrafficPolicy"]) == ("ClusterIP", "None", "Cluster")


def test_session_affinity_has_a_timeout() -> None:
    spec = defaulted("", "Service", {"spec": {"sessionAffinity": "ClientIP"}})["spec"]
    assert spec["sessionAffinityConfig"] == {"clientIP": {"timeoutSeconds": 10800}}


def test_string_data_of_a_secret_becomes_data() -> None:
    assert defaulted("", "Secret", {"stringData": {"a": "x"}, "data": {"a": "eQ==", "b": "eg=="}}) == {
        "metadata": {},
        "data": {"a": "eA==", "b": "eg=="},
        "type": "Opaque",
    }
