"""The three workflows of the mission, from config/samples, with every field of the contract read back from the server.

Names, labels, selectors, ports and addresses are what people and their manifests rely on: they stand here in full.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from disvc.reconcilers.resources import INGRESSES, ISVCS, PODS, REVISIONS, SERVICES

if TYPE_CHECKING:
    from disvc.runtime import Manager

    Value = dict[str, Any]

pytestmark = pytest.mark.usefixtures("kserve")

SAMPLES = Path(__file__).parents[2] / "config/samples"
MODEL = {
    "modelFormat": {"name": "sklearn"},
    "name": "",
    "protocolVersion": "v2",
    "runtime": "kserve-sklearnserver",
    "storageUri": "gs://kfserving-examples/models/sklearn/1.0/model",
}


def sample(name: str) -> Value:
    value: Value = yaml.safe_load((SAMPLES / f"{name}.yaml").read_text())
    return value


def is_controlled_by(child: Value, disvc: Value) -> bool:
    owner = {
        "apiVersion": "serving.kserve.io/v1alpha1",
        "kind": "DistributedInferenceService",
        "name": disvc["metadata"]["name"],
        "uid": disvc["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    return bool(child["metadata"]["ownerReferences"] == [owner])


def backend(ingress: Value) -> Value:
    (rule,) = ingress["spec"]["rules"]
    (path,) = rule["http"]["paths"]
    assert (path["path"], path["pathType"]) == ("/", "Prefix")
    service: Value = path["backend"]["service"]
    return {"host": rule["host"], **service}


async def test_scale_out_over_rest_gives_every_object_of_the_contract(cluster: Any, operator: Manager) -> None:
    disvc = await cluster.create(sample("scale-out-rest"))
    status = await cluster.until_ready("iris-rest")
    namespace = cluster.namespace

    isvcs, services = await cluster.list(ISVCS), await cluster.list(SERVICES)
    ingresses, revisions = await cluster.list(INGRESSES), await cluster.list(REVISIONS)
    assert {name for found in (isvcs, ingresses, revisions) for name in found if "predictor" not in name} == {
        "iris-rest-v1-0",  # the InferenceService
        "iris-rest",  # the Ingress
        "iris-rest-v1",  # the ControllerRevision
    }
    assert {name for name in services if "predictor" not in name} == {"iris-rest", "iris-rest-v1"}

    isvc = isvcs["iris-rest-v1-0"]
    assert is_controlled_by(isvc, disvc)
    labels = isvc["metadata"]["labels"]
    assert {name: labels[name] for name in ("disvc", "disvc.group", "app", "component")} == {
        "disvc": "iris-rest",
        "disvc.group": "iris-rest-v1",
        "app": "isvc.iris-rest-v1-0-predictor",
        "component": "predictor",
    }
    assert labels["serving.kserve.io/inferenceservice"] == "iris-rest-v1-0"
    assert labels["networking.kserve.io/visibility"] == "cluster-local"
    assert isvc["metadata"]["annotations"]["serving.kserve.io/autoscalerClass"] == "none"
    # As KServe's webhook writes RawDeployment.
    assert isvc["metadata"]["annotations"]["serving.kserve.io/deploymentMode"] == "Standard"
    model = {**MODEL, "args": ["--model_name=iris-rest"]}
    assert isvc["spec"]["predictor"]["model"].items() >= model.items()

    assert services["iris-rest"]["metadata"]["labels"] == {"disvc": "iris-rest", "group": "iris-rest"}
    assert services["iris-rest"]["spec"]["selector"] == {"disvc": "iris-rest", "disvc.group": "iris-rest-v1"}
    assert services["iris-rest-v1"]["metadata"]["labels"] == {"group": "iris-rest-v1"}
    assert services["iris-rest-v1"]["spec"]["selector"] == {"disvc.group": "iris-rest-v1"}
    for service in (services["iris-rest"], services["iris-rest-v1"]):
        assert is_controlled_by(service, disvc)
        assert service["spec"]["ports"] == [{"protocol": "TCP", "port": 80, "targetPort": 8080}]
        assert service["spec"]["type"] == "ClusterIP"
        assert service["spec"]["sessionAffinity"] == "ClientIP"

    ingress = ingresses["iris-rest"]
    host = f"iris-rest-{namespace}.example.com"
    assert is_controlled_by(ingress, disvc)
    assert backend(ingress) == {"host": host, "name": "iris-rest-v1", "port": {"number": 80}}
    assert "tls" not in ingress["spec"]
    assert "nginx.ingress.kubernetes.io/backend-protocol" not in ingress["metadata"]["annotations"]
    assert ingress["metadata"]["annotations"]["nginx.ingress.kubernetes.io/upstream-hash-by"] == "$binary_remote_addr"

    assert status["url"] == f"http://{host}"
    assert status["address"] == {"url": f"http://iris-rest-v1.{namespace}.svc.cluster.local"}
    assert status["selector"] == "disvc=iris-rest"
    assert (status["phase"], status["ready"], status["replicas"], status["readyReplicas"]) == ("Stable", "1/1", 1, 1)
    assert status["activeRevision"] == status["targetRevision"]
    assert status["activeRevision"]["name"] == "iris-rest-v1"
    assert {c["type"]: c["status"] for c in status["conditions"]} == {
        "Ready": "True",
        "Available": "True",
        "TrafficReady": "True",
    }

    # The model answers to the DISVC's name, as of several --model_name the last one counts.
    (pod,) = (await cluster.list(PODS)).values()
    names = [arg for arg in pod["spec"]["containers"][0]["args"] if arg.startswith("--model_name")]
    assert names[-1] == "--model_name=iris-rest"


async def test_scale_out_over_grpc_differs_in_ports_tls_and_protocol(cluster: Any, operator: Manager) -> None:
    await cluster.create(sample("scale-out-grpc"))
    status = await cluster.until_ready("iris-grpc")

    isvc = await cluster.get("iris-grpc-v1-0", ISVCS)
    model = isvc["spec"]["predictor"]["model"]
    assert model["args"] == ["--model_name=iris-grpc"]
    assert model["ports"] == [{"name": "h2c", "protocol": "TCP", "containerPort": 8081}]
    for name in ("iris-grpc", "iris-grpc-v1"):
        (port,) = (await cluster.get(name, SERVICES))["spec"]["ports"]
        assert (port["protocol"], port["port"], port["targetPort"]) == ("TCP", 80, 8081)
        assert port["appProtocol"] == "kubernetes.io/h2c"

    ingress = await cluster.get("iris-grpc", INGRESSES)
    host = f"iris-grpc-{cluster.namespace}.example.com"
    assert ingress["metadata"]["annotations"]["nginx.ingress.kubernetes.io/backend-protocol"] == "GRPC"
    assert ingress["spec"]["tls"] == [{"hosts": [host], "secretName": "grpc-tls"}]
    assert backend(ingress) == {"host": host, "name": "iris-grpc-v1", "port": {"number": 80}}
    assert status["url"] == f"http://{host}"


async def test_a_changed_template_moves_everything_to_the_next_revision(cluster: Any, operator: Manager) -> None:
    await cluster.kubectl("apply", "-f", str(SAMPLES / "rolling-update-v1.yaml"))
    await cluster.set_spec("iris-rolling", deploymentStrategy={"propagationSeconds": 0, "drainSeconds": 0})
    await cluster.until_ready("iris-rolling")
    stable = await cluster.get("iris-rolling", SERVICES)

    await cluster.kubectl("apply", "-f", str(SAMPLES / "rolling-update-v2.yaml"))
    status = await cluster.until_ready("iris-rolling")
    await cluster.until_gone(ISVCS, "iris-rolling-v1-0")
    await cluster.until_gone(SERVICES, "iris-rolling-v1")

    (isvc,) = (await cluster.list(ISVCS)).values()
    assert isvc["metadata"]["name"] == "iris-rolling-v2-0"
    assert isvc["metadata"]["annotations"]["version"] == "v2"
    assert isvc["metadata"]["labels"]["disvc.group"] == "iris-rolling-v2"
    services = await cluster.list(SERVICES)
    assert {name for name in services if "predictor" not in name} == {"iris-rolling", "iris-rolling-v2"}
    assert services["iris-rolling"]["metadata"]["uid"] == stable["metadata"]["uid"]
    assert services["iris-rolling"]["spec"]["clusterIP"] == stable["spec"]["clusterIP"]
    assert services["iris-rolling"]["spec"]["selector"] == {"disvc": "iris-rolling", "disvc.group": "iris-rolling-v2"}
    assert backend(await cluster.get("iris-rolling", INGRESSES))["name"] == "iris-rolling-v2"
    assert status["address"] == {"url": f"http://iris-rolling-v2.{cluster.namespace}.svc.cluster.local"}
    assert status["url"] == f"http://iris-rolling-{cluster.namespace}.example.com"
    assert status["activeRevision"]["number"] == 2
    assert await cluster.names(REVISIONS) == {"iris-rolling-v1", "iris-rolling-v2"}
