"""What a real kube-apiserver admits of a DistributedInferenceService, and what it says of what it refuses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from disvc.api.crd import NAME_LIMIT, crd
from disvc.api.types import ABORT, API_VERSION, KIND, PLURAL, PROMOTE, RETRY, DistributedInferenceService
from disvc.rollout.names import (
    CLUSTER_LOCAL,
    DISVC_LABEL,
    GROUP_LABEL,
    HASH_ANNOTATION,
    STOP_ANNOTATION,
    VISIBILITY_LABEL,
)
from disvc.testing.crds import install

if TYPE_CHECKING:
    from disvc.testing.controlplane import ControlPlane
    from disvc.testing.users import User

Value = dict[str, Any]
DEFINITION = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{crd()['metadata']['name']}"
MODEL: Value = {"modelFormat": {"name": "sklearn"}, "name": "", "storageUri": "gs://models/iris"}
PREDICTOR: Value = {"model": MODEL}
TEMPLATE: Value = {"predictor": PREDICTOR}
SPLIT = {"canaryTrafficPercent": 10}
MODE = "serving.kserve.io/deploymentMode"
LONGEST_HOST = ".".join(["x" * 63] * 3 + ["x" * 61])


@dataclass
class Server:
    """The API server, asked about DISVCs of one namespace."""

    admin: User
    namespace: str

    def create(self, spec: object, name: str = "iris", *, query: str = "?dryRun=All", **metadata: object) -> Value:
        """Return what a creation is answered with, which may be a Status."""
        body = {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": name, **metadata}, "spec": spec}
        path = f"/apis/{API_VERSION}/namespaces/{self.namespace}/{PLURAL}{query}"
        answer: Value = self.admin.request("POST", path, body).json()
        return answer

    def patch(self, name: str, patch: object, subresource: str = "") -> Value:
        path = f"/apis/{API_VERSION}/namespaces/{self.namespace}/{PLURAL}/{name}{subresource}"
        return self.admin.call("PATCH", path, patch, content_type="application/merge-patch+json")

    def refusals(self, spec: object, name: str = "iris") -> dict[str, str]:
        """Return the fields that a creation is refused for, with what is said of them; none if it is admitted."""
        answer = self.create(spec, name)
        if answer["kind"] == KIND:
            return {}
        causes = {cause["field"]: cause["message"] for cause in answer["details"]["causes"]}
        return {field: message for field, message in causes.items() if field != "<nil>"}  # "not all rules were checked"


@pytest.fixture(scope="module")
def installed(control_plane: ControlPlane) -> ControlPlane:
    """The shared control plane, which serves DISVCs from now on."""
    install(control_plane.admin, crd())
    return control_plane


@pytest.fixture
def server(installed: ControlPlane) -> Server:
    """For dry runs, which leave nothing behind."""
    return Server(installed.admin, "default")


@pytest.fixture
def store(installed: ControlPlane, namespace: str) -> Server:
    """For what is to be stored."""
    return Server(installed.admin, namespace)


def spec(**fields: object) -> Value:
    return {"inferenceService": TEMPLATE, **fields}


def template(**fields: object) -> Value:
    return {"inferenceService": {**TEMPLATE, **fields}}


def predictor(**fields: object) -> Value:
    return template(predictor={**PREDICTOR, **fields})


def strategy(**fields: object) -> Value:
    return spec(deploymentStrategy=fields)


def routing(**fields: object) -> Value:
    return spec(routing=fields)


def test_the_server_finds_nothing_wrong_with_the_schema(installed: ControlPlane) -> None:
    conditions = installed.admin.call("GET", DEFINITION)["status"]["conditions"]
    found = {condition["type"]: condition["status"] for condition in conditions}
    assert found["NamesAccepted"] == "True"
    assert found.get("NonStructuralSchema", "False") == "False"


@pytest.mark.parametrize(
    ("refused", "field", "message"),
    [
        ({}, "spec.inferenceService", "give the InferenceServiceSpec"),
        ({"inferenceService": None}, "spec.inferenceService", "give the InferenceServiceSpec"),
        (spec(inferenservice=TEMPLATE), "spec.inferenservice", "remove spec.inferenservice"),
        ({"inferenceService": {}}, "spec.inferenceService.predictor", "Required value"),
        ({"inferenservice": {"transformer": {}}}, "spec.inferenservice.predictor", "Required value"),
        (template(predictor={}), "spec.inferenceService.predictor", "at least 1"),
        (predictor(name="canary"), "spec.inferenceService.predictor.name", "use spec.modelName"),
        (
            predictor(canaryTrafficPercent=0),
            "spec.inferenceService.predictor.canaryTrafficPercent",
            "promotion: Manual",
        ),
        (template(transformer=SPLIT), "spec.inferenceService.transformer.canaryTrafficPercent", "promotion: Manual"),
        (template(explainer=SPLIT), "spec.inferenceService.explainer.canaryTrafficPercent", "promotion: Manual"),
        (predictor(workerSpec={}), "spec.inferenceService.predictor.workerSpec", "use spec.replicas"),
        (predictor(model={**MODEL, "name": "x"}), "spec.inferenceService.predictor.model.name", "use spec.modelName"),
        (template(canary=[{"trafficPercent": 10}]), "spec.inferenceService.canary", "promotion: Manual"),
        (template(transformer={"name": "x"}), "spec.inferenceService.transformer.name", "no such field"),
        (template(explainer={"name": "x"}), "spec.inferenceService.explainer.name", "no such field"),
        ({"inferenservice": {"predictor": {"name": "x"}}}, "spec.inferenservice.predictor.name", "use spec.modelName"),
        (strategy(type="Canary"), "spec.deploymentStrategy.type", '"RollingUpdate", "Recreate"'),
        (strategy(type="Recreate", promotion="Manual"), "spec.deploymentStrategy.promotion", "nothing would serve"),
        (strategy(minReadySeconds=600), "spec.deploymentStrategy.progressDeadlineSeconds", "minReadySeconds"),
        (strategy(progressDeadlineSeconds=0), "spec.deploymentStrategy.progressDeadlineSeconds", "minReadySeconds"),
        (strategy(drainSeconds=-1), "spec.deploymentStrategy.drainSeconds", "greater than or equal to 0"),
        (strategy(drainSeconds="30s"), "spec.deploymentStrategy.drainSeconds", "must be of type integer"),
        (spec(replicas=101), "spec.replicas", "less than or equal to 100"),
        (spec(modelName="org/iris"), "spec.modelName", "/v2/models/NAME/infer"),
        (spec(modelName=""), "spec.modelName", "/v2/models/NAME/infer"),
        (spec(labels={"a b": "x"}), "spec.labels", "a key is NAME or PREFIX/NAME"),
        (spec(labels={"Example.com/a": "x"}), "spec.labels", "a key is NAME or PREFIX/NAME"),
        (spec(labels={"a": "x y"}), "spec.labels[a]", "give at most 63"),
        (spec(labels={"a": "x" * 64}), "spec.labels.a", "63"),
        (spec(labels={"a": True}), "spec.labels.a", "must be of type string"),
        (spec(annotations={"/a": "x"}), "spec.annotations", "a key is NAME or PREFIX/NAME"),
        (spec(annotations={STOP_ANNOTATION: "true"}), "spec.annotations", "belongs in metadata.annotations"),
        (spec(annotations={MODE: "Serverless"}), "spec.annotations", "RawDeployment or Standard"),
        (routing(type="Gateway"), "spec.routing.type", '"Ingress", "None"'),
        (routing(host="*.example.com"), "spec.routing.host", "without scheme, wildcard, port or path"),
        (routing(host="iris.example.com:80"), "spec.routing.host", "without scheme, wildcard, port or path"),
        (routing(host="https://iris.example.com"), "spec.routing.host", "without scheme, wildcard, port or path"),
        (routing(host="iris.example.com/v2"), "spec.routing.host", "without scheme, wildcard, port or path"),
        (routing(host="Iris.example.com"), "spec.routing.host", "lower-case letters"),
        (routing(host="10.0.0.1"), "spec.routing.host", "no IP address"),
        (routing(host=f"{'x' * 64}.com"), "spec.routing.host", "at most 63 characters"),
        (routing(host=f"{LONGEST_HOST}x"), "spec.routing.host", "253"),
        (routing(host=""), "spec.routing.host", "give a DNS name"),
        (routing(domain="example.com:80"), "spec.routing.domain", "without scheme, wildcard, port or path"),
        (routing(className="Nginx"), "spec.routing.className", "give the name of an object"),
        (routing(tls={}), "spec.routing.tls.secretName", "Required value"),
        (routing(tls={"secretName": "a_b"}), "spec.routing.tls.secretName", "give the name of an object"),
        (routing(annotations={"a b": "x"}), "spec.routing.annotations", "a key is NAME or PREFIX/NAME"),
        (routing(sessionAffinity={"timeoutSeconds": 86_401}), "spec.routing.sessionAffinity.timeoutSeconds", "86400"),
    ],
)
def test_what_cannot_work_is_refused_with_what_to_do_instead(
    server: Server, refused: Value, field: str, message: str
) -> None:
    refusals = server.refusals(refused)
    assert list(refusals) == [field]
    assert message in refusals[field]


def test_a_disvc_without_a_spec_is_refused(server: Server) -> None:
    assert "Required value" in server.refusals(None)["spec"]


def test_a_negative_number_of_replicas_is_refused(server: Server) -> None:
    assert "greater than or equal to 0" in server.refusals(spec(replicas=-1))["spec.replicas"]


@pytest.mark.parametrize(
    "label",
    [DISVC_LABEL, GROUP_LABEL, VISIBILITY_LABEL, "app", "component", "serving.kserve.io/inferenceservice"],
)
def test_a_label_that_others_set_is_refused_by_its_name(server: Server, label: str) -> None:
    refusals = server.refusals(spec(labels={label: "x", "fine": "x"}))
    assert f"remove {label}:" in refusals.pop("spec.labels")
    assert refusals == {}


@pytest.mark.parametrize("component", ["predictor", "transformer", "explainer"])
@pytest.mark.parametrize("label", [DISVC_LABEL, GROUP_LABEL])
def test_a_label_by_which_pods_are_selected_is_refused_in_a_component_too(
    server: Server, component: str, label: str
) -> None:
    field = f"spec.inferenceService.{component}.labels"
    refusals = server.refusals(template(**{component: {**PREDICTOR, "labels": {label: "x", "app": "x"}}}))
    assert f"remove {label}:" in refusals.pop(field)
    assert refusals == {}


@pytest.mark.parametrize("annotation", [HASH_ANNOTATION, PROMOTE, ABORT, RETRY])
def test_an_annotation_of_the_operators_own_is_refused(server: Server, annotation: str) -> None:
    for field in ("annotations", "routing.annotations"):
        child = {annotation: "x"}
        refusals = server.refusals(spec(annotations=child) if field == "annotations" else routing(annotations=child))
        assert "metadata.annotations" in refusals.pop(f"spec.{field}")
        assert refusals == {}


@pytest.mark.parametrize("length", [NAME_LIMIT + 1, 99, 100, 101, 209, 253])
def test_a_name_too_long_is_refused_with_the_limit_and_its_length(server: Server, length: int) -> None:
    message = server.refusals(spec(), "x" * length)["metadata.name"]
    assert f"the name has {length} characters, and at most {NAME_LIMIT} are possible" in message


@pytest.mark.parametrize("name", ["2nd", "iris.v2", "0"])
def test_a_name_that_no_service_can_have_is_refused(server: Server, name: str) -> None:
    assert "with a letter first" in server.refusals(spec(), name)["metadata.name"]


@pytest.mark.parametrize(
    "admitted",
    [
        spec(),
        {"inferenservice": TEMPLATE},
        {"inferenceService": TEMPLATE, "inferenservice": None},
        predictor(name=""),
        template(canary=[]),
        template(predictor={"minReplicas": 0, "labels": {"app": "x", "team": "ml"}}),
        template(predictor={"a future server": {}}),
        strategy(type="Recreate"),
        strategy(promotion="Manual", onFailure="Hold"),
        strategy(minReadySeconds=2**31 - 2, progressDeadlineSeconds=2**31 - 1),
        spec(replicas=0),
        spec(replicas=100),
        spec(modelName="Iris_2.1-x"),
        spec(labels={"example.com/team": "", "x" * 63: "x" * 63}),
        spec(annotations={"Example.com/Team": "any text\n" * 1000}),
        spec(annotations={MODE: "RawDeployment"}),
        spec(annotations={MODE: "Standard"}),
        routing(host=LONGEST_HOST, domain="localhost", className="nginx.example.com", tls={"secretName": "iris-tls"}),
        routing(type="None", sessionAffinity={"type": "None"}),
    ],
)
def test_what_can_work_is_admitted(server: Server, admitted: Value) -> None:
    assert server.refusals(admitted) == {}


def test_the_longest_name_is_admitted(server: Server) -> None:
    assert server.refusals(spec(), "x" * NAME_LIMIT) == {}


def test_a_name_that_the_server_makes_is_judged_too(server: Server) -> None:
    body = {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"generateName": "x" * NAME_LIMIT}, "spec": spec()}
    path = f"/apis/{API_VERSION}/namespaces/{server.namespace}/{PLURAL}"
    assert "at most 39" in server.admin.request("POST", path, body).json()["message"]


@pytest.mark.parametrize("spelling", ["inferenceService", "inferenservice"])
def test_a_template_is_kept_as_it_is(store: Server, spelling: str) -> None:
    written = {
        "predictor": {
            "model": {**MODEL, "args": [], "unknown": {"a": [1, 2.5, None, True, {"b": "é\n"}]}},
            "labels": {"team": "ml"},
            "unknown": 2**62,
        },
        "transformer": {"containers": [{"name": "kserve-container", "image": "x", "env": [{"name": "A"}]}]},
        "explainer": {"art": {"type": "SquareAttack"}},
        "unknown": {"": {}},
    }
    created = store.create({spelling: written}, query="")
    assert created["spec"][spelling] == written
    patched = store.patch("iris", {"spec": {"replicas": 2}})
    assert patched["spec"][spelling] == written
    assert DistributedInferenceService.model_validate(patched).spec.template == written


@pytest.mark.parametrize(
    "given",
    [
        spec(),
        spec(deploymentStrategy={}, routing={}),
        spec(deploymentStrategy={"drainSeconds": 30}, routing={"sessionAffinity": {}}),
        spec(replicas=None, paused=None, deploymentStrategy={"type": None}, routing=None),
    ],
)
def test_the_server_fills_in_what_the_types_assume(server: Server, given: Value) -> None:
    filled = server.create(given)
    assert filled["spec"] == {
        "inferenceService": TEMPLATE,
        "replicas": 1,
        "deploymentStrategy": {
            "type": "RollingUpdate",
            "promotion": "Automatic",
            "minReadySeconds": 0,
            "progressDeadlineSeconds": 600,
            "propagationSeconds": 5,
            "drainSeconds": 30,
            "onFailure": "Rollback",
            "failedRevisionTTLSeconds": 0,
        },
        "revisionHistoryLimit": 10,
        "paused": False,
        "routing": {"type": "Ingress", "sessionAffinity": {"type": "ClientIP", "timeoutSeconds": 10800}},
    }
    read = DistributedInferenceService.model_validate(filled).spec
    assert read == type(read).model_validate(spec())


def test_a_status_is_kept_as_it_was_written(store: Server) -> None:
    store.create(spec(), query="")
    assert store.patch("iris", {"status": {"phase": "Stable"}}, "/status")["status"] == {"phase": "Stable"}


def test_a_condition_stands_in_a_status_once(store: Server) -> None:
    store.create(spec(), query="")
    condition = {"type": "Ready", "status": "True", "reason": "Ready", "lastTransitionTime": "2026-01-02T03:04:05Z"}
    path = f"/apis/{API_VERSION}/namespaces/{store.namespace}/{PLURAL}/iris/status"
    body = {"status": {"conditions": [condition, condition]}}
    answer = store.admin.request("PATCH", path, body, content_type="application/merge-patch+json")
    assert answer.status == 422
    assert "Duplicate" in answer.json()["message"]


def test_visibility_and_stop_belong_on_the_disvc_itself(server: Server) -> None:
    labels, annotations = {VISIBILITY_LABEL: CLUSTER_LOCAL}, {STOP_ANNOTATION: "true", PROMOTE: "iris-v2"}
    assert server.create(spec(), labels=labels, annotations=annotations)["kind"] == KIND
