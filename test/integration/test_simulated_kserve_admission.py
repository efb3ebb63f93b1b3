"""What the simulated KServe's CRD and webhooks make of an ISVC, and what they refuse: the real API server asks them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from disvc.runtime import Forbidden, Invalid
from disvc.runtime.errors import BadRequest
from disvc.testing.kserve import INFERENCE_SERVICES, SimulatedKServe, install
from disvc.testing.namespaces import create_namespace, delete_namespace

if TYPE_CHECKING:
    from conftest import ISVCs

    from disvc.testing.controlplane import ControlPlane

    Value = dict[str, Any]

pytestmark = pytest.mark.usefixtures("kserve")

MODE = "serving.kserve.io/deploymentMode"


@pytest.mark.parametrize(
    ("asked", "kept"), [("RawDeployment", "Standard"), ("Serverless", "Knative"), ("Standard", "Standard")]
)
async def test_the_deployment_mode_is_rewritten(isvcs: ISVCs, asked: str, kept: str) -> None:
    isvc = await isvcs.create("a", annotations={MODE: asked})
    assert isvc["metadata"]["annotations"][MODE] == kept


async def test_quantities_are_written_back_in_their_canonical_form(isvcs: ISVCs) -> None:
    limits = {"cpu": "1000m", "memory": "1024Mi"}
    isvc = await isvcs.create("a", predictor=isvcs.predictor(model={"resources": {"limits": limits}}))
    assert isvc["spec"]["predictor"]["model"]["resources"] == {"limits": {"cpu": "1", "memory": "1Gi"}}


async def test_a_model_gets_what_go_writes_and_the_model_format_as_an_annotation(isvcs: ISVCs) -> None:
    isvc = await isvcs.create("a")
    assert isvc["spec"]["predictor"]["model"] == {**isvcs.predictor()["model"], "name": "", "resources": {}}
    assert isvc["metadata"]["annotations"]["modelFormat"] == "sklearn"


async def test_the_older_spelling_of_a_framework_becomes_a_model(isvcs: ISVCs) -> None:
    isvc = await isvcs.create("a", predictor={"triton": {"storageUri": "gs://a/b"}})
    assert isvc["spec"]["predictor"] == {
        "model": {
            "modelFormat": {"name": "triton"},
            "name": "",
            "protocolVersion": "v2",
            "resources": {},
            "storageUri": "gs://a/b",
        }
    }


async def test_a_container_of_ones_own_gets_kserves_name_and_resources(isvcs: ISVCs) -> None:
    isvc = await isvcs.create("a", predictor={"containers": [{"name": "mine", "image": "mine"}]})
    (container,) = isvc["spec"]["predictor"]["containers"]
    resources = {"cpu": "1", "memory": "2Gi"}
    assert container["name"] == "kserve-container"
    assert container["resources"] == {"limits": resources, "requests": resources}


async def test_a_field_that_kserve_does_not_know_is_dropped(isvcs: ISVCs) -> None:
    isvc = await isvcs.create("a", predictor=isvcs.predictor(model={"unknown": 1}, unknown=2))
    assert "unknown" not in isvc["spec"]["predictor"]
    assert "unknown" not in isvc["spec"]["predictor"]["model"]


@pytest.mark.parametrize(
    ("predictor", "words"),
    [
        (
            {"minReplicas": "two"},
            "string into Go struct field InferenceService.spec.predictor.minReplicas of",
        ),
        (
            {"model": {"args": "--x"}},
            "string into Go struct field InferenceService.spec.predictor.model.args of",
        ),
        ({"model": {"resources": {"limits": {"cpu": "lots"}}}}, "'lots' is no quantity"),
    ],
)
async def test_what_its_go_types_cannot_hold_is_a_bad_request_and_never_gets_to_the_crds_validation(
    isvcs: ISVCs, predictor: Value, words: str
) -> None:
    with pytest.raises(BadRequest) as refused:
        await isvcs.create("a", predictor=isvcs.predictor(**predictor))
    denied = 'admission webhook "inferenceservice.kserve-webhook-server.defaulter" denied the request: '
    assert refused.value.message.startswith(denied)
    assert words in refused.value.message


async def test_what_is_required_and_missing_go_fills_with_its_zero_value(isvcs: ISVCs) -> None:
    isvc = await isvcs.create("a", predictor={"model": {"modelFormat": {}}, "initContainers": [{"image": "x"}]})
    assert isvc["spec"]["predictor"]["model"]["modelFormat"] == {"name": ""}
    assert isvc["spec"]["predictor"]["initContainers"][0]["name"] == ""
    with pytest.raises(Forbidden, match="exactly one of"):
        await isvcs.client.create(INFERENCE_SERVICES, {"metadata": {"name": "b"}, "spec": {}}, isvcs.namespace)


async def test_what_only_the_crd_refuses_is_invalid_with_its_field(isvcs: ISVCs) -> None:
    with pytest.raises(Invalid) as refused:
        await isvcs.create("a", predictor=isvcs.predictor(scaleMetric="luck"))
    assert [cause.field for cause in refused.value.causes] == ["spec.predictor.scaleMetric"]


SKLEARN = {"modelFormat": {"name": "sklearn"}}


@pytest.mark.parametrize(
    ("predictor", "words"),
    [
        ({"model": {**SKLEARN, "name": "mine"}}, "the 'name' field is not allowed in standard predictor"),
        ({}, "exactly one of"),
        ({"model": SKLEARN, "containers": [{"name": "kserve-container", "image": "x"}]}, "exactly one of"),
        ({"model": SKLEARN, "minReplicas": -1}, "'MinReplicas' cannot be less than 0"),
        ({"model": SKLEARN, "maxReplicas": -1}, "'MaxReplicas' cannot be less than 0"),
        ({"model": SKLEARN, "minReplicas": 3, "maxReplicas": 2}, "'MinReplicas' cannot be greater than MaxReplicas"),
        ({"model": SKLEARN, "containerConcurrency": -1}, "parallelism cannot be less than 0"),
        ({"model": {**SKLEARN, "env": [{"name": "PYTHONPATH", "value": "/x"}]}}, "setting PYTHONPATH in container"),
        (
            {"model": {**SKLEARN, "storageUri": "gs://a/b"}, "storageUris": [{"uri": "gs://c/d"}]},
            "Setting both StorageURI and StorageURIs is not supported",
        ),
    ],
)
async def test_what_the_webhook_refuses_is_forbidden_with_its_words(isvcs: ISVCs, predictor: Value, words: str) -> None:
    with pytest.raises(Forbidden) as refused:
        await isvcs.create("a", predictor=predictor)
    denied = 'admission webhook "inferenceservice.kserve-webhook-server.validator" denied the request: '
    assert refused.value.message.startswith(denied)
    assert words in refused.value.message


async def test_names_and_autoscaler_classes_that_kserve_does_not_know_are_refused(isvcs: ISVCs) -> None:
    with pytest.raises(Forbidden, match="a InferenceService name must consist of"):
        await isvcs.create("0a")
    with pytest.raises(Forbidden, match=r"\[vpa\] is not a supported autoscaler class type"):
        await isvcs.create("a", annotations={"serving.kserve.io/autoscalerClass": "vpa"})


async def test_the_deployment_mode_cannot_be_changed_nor_the_predictors_name_alone(isvcs: ISVCs) -> None:
    await isvcs.create("a")
    await isvcs.until_ready("a")
    with pytest.raises(Forbidden, match="deploymentMode cannot be changed from 'Standard' to 'Knative'"):
        await isvcs.annotate("a", deploymentMode="Serverless")
    with pytest.raises(Forbidden, match="name change requires a model change"):
        await isvcs.change("a", {"spec": {"predictor": {"name": "mine"}}})


async def test_other_namespaces_are_not_asked_about(isvcs: ISVCs, control_plane_with_controllers: ControlPlane) -> None:
    other = create_namespace(control_plane_with_controllers.admin, "other")
    value = {"metadata": {"name": "0a"}, "spec": {"predictor": {"model": SKLEARN}}}
    await isvcs.client.create(INFERENCE_SERVICES, value, other)
    delete_namespace(control_plane_with_controllers.admin, other)


async def test_installing_the_crd_again_changes_nothing(
    kserve: SimulatedKServe, control_plane_with_controllers: ControlPlane
) -> None:
    admin = control_plane_with_controllers.admin
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/inferenceservices.serving.kserve.io"
    before = admin.call("GET", path)
    install(admin)
    assert admin.call("GET", path)["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
