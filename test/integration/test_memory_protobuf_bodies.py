"""What the in-memory server reads in protobuf is what a kube-apiserver means by it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from disvc.testing.memory.builtin import TYPES
from disvc.testing.memory.protobuf import decode

if TYPE_CHECKING:
    from disvc.testing.controlplane import ControlPlane

POD = {
    "terminationGracePeriodSeconds": 0,
    "volumes": [
        {"name": "a", "configMap": {"name": "c", "defaultMode": 0o400, "optional": False}},
        {"name": "b", "emptyDir": {"sizeLimit": "1Gi"}},
    ],
    "containers": [
        {
            "name": "web",
            "image": "nginx",
            "ports": [{"containerPort": 80}],
            "env": [
                {"name": "A", "value": ""},
                {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            ],
            "resources": {"requests": {"cpu": "100m"}, "limits": {"memory": "1Gi"}},
            "readinessProbe": {"httpGet": {"port": "http", "path": "/"}, "initialDelaySeconds": 3},
            "livenessProbe": {"tcpSocket": {"port": 80}},
        }
    ],
}
LABELS = {"matchLabels": {"app": "web"}}
TEMPLATE = {"metadata": {"labels": {"app": "web"}}, "spec": POD}
OBJECTS: list[dict[str, Any]] = [
    {"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": ""}, "binaryData": {"b": "AAE="}, "immutable": True},
    {"apiVersion": "v1", "kind": "Pod", "spec": POD},
    {
        "apiVersion": "v1",
        "kind": "Service",
        "spec": {"ports": [{"port": 80, "targetPort": "http"}], "type": "NodePort"},
    },
    {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "spec": {
            "replicas": 0,
            "selector": LABELS,
            "template": TEMPLATE,
            "strategy": {"rollingUpdate": {"maxSurge": "50%", "maxUnavailable": 0}},
        },
    },
    {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "revision": 3,
        "data": {"spec": {"a": [1, None, 0.5]}},
    },
    {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "spec": {"selector": {"matchExpressions": [{"key": "a", "operator": "Exists"}]}, "minAvailable": 0},
    },
    {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "spec": {"renewTime": "2026-01-02T03:04:05.000678Z", "leaseTransitions": 0},
    },
    {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": False}}],
        "ports": [{"port": 80}],
    },
    {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}],
    },
]


@pytest.mark.parametrize("obj", OBJECTS, ids=lambda obj: str(obj["kind"]))
def test_an_object_in_protobuf_is_the_same_object_in_json(
    control_plane: ControlPlane, namespace: str, obj: dict[str, Any]
) -> None:
    admin = control_plane.admin
    (resource,) = (each for each in TYPES if (each.api_version, each.kind) == (obj["apiVersion"], obj["kind"]))
    assert resource.decode is not None
    prefix = f"/apis/{resource.group}" if resource.group else "/api"
    collection = f"{prefix}/{resource.version}/namespaces/{namespace}/{resource.plural}"
    admin.call("POST", collection, {**obj, "metadata": {"name": "a", "finalizers": ["x.io/y"]}})
    admin.call("DELETE", f"{collection}/a")  # for its deletionTimestamp
    as_json = admin.call("GET", f"{collection}/a")
    as_protobuf = admin.request("GET", f"{collection}/a", accept="application/vnd.kubernetes.protobuf")
    assert resource.decode(decode(as_protobuf.data)) == (as_json, [])
