"""What the simulated KServe makes of an ISVC that does well: a test for each fact of design/kserve.md."""

from __future__ import annotations

import math
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any

import pytest

from disvc.runtime import NotFound, Resource
from disvc.runtime.errors import InternalError
from disvc.testing.history import History
from disvc.testing.kserve import INFERENCE_SERVICES, Healthy, ServingRuntime, SimulatedKServe

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from conftest import ISVCs

    Value = dict[str, Any]
    MakeKServe = Callable[..., Awaitable[SimulatedKServe]]

DEPLOYMENTS = Resource("apps/v1", "Deployment", "deployments")
PODS = Resource("v1", "Pod", "pods")
SERVICES = Resource("v1", "Service", "services")
INGRESSES = Resource("networking.k8s.io/v1", "Ingress", "ingresses")
AUTOSCALERS = Resource("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers")
ENDPOINT_SLICES = Resource("discovery.k8s.io/v1", "EndpointSlice", "endpointslices")
EVENTS = Resource("v1", "Event", "events")

AUTOSCALER_CLASS = "serving.kserve.io/autoscalerClass"
LOADED = {
    "copies": {"failedCopies": 0, "totalCopies": 1},
    "states": {"activeModelState": "Loaded", "targetModelState": "Loaded"},
    "transitionStatus": "UpToDate",
}
NEVER_READY = Healthy(startup_seconds=math.inf)


def ready_endpoints(slices: dict[str, Value]) -> list[str]:
    """Return the addresses that get traffic."""
    endpoints = [e for s in slices.values() for e in s["endpoints"] or () if e["conditions"]["ready"]]
    return sorted(address for e in endpoints for address in e["addresses"])


def said(status: Value) -> tuple[Any, ...]:
    """Return status and reason of Ready, PredictorReady, IngressReady and Stopped, and the model's states."""
    conditions = {c["type"]: (c["status"], c.get("reason", "")) for c in status.get("conditions", ())}
    model = status["modelStatus"]
    names = ("Ready", "PredictorReady", "IngressReady", "Stopped")
    return (*(conditions[name] for name in names), model["transitionStatus"], model["states"]["targetModelState"])


async def test_the_status_is_written_in_kserves_order(isvcs: ISVCs, kserve: SimulatedKServe) -> None:
    kserve.behave("a", NEVER_READY)
    async with History(isvcs.client.transport, isvcs.namespace, INFERENCE_SERVICES) as history:
        await isvcs.create("a", predictor=isvcs.predictor(model={"storageUri": "pvc://models/sklearn"}))
        await isvcs.until(INFERENCE_SERVICES, lambda now: "observedGeneration" in now["a"].get("status", {}))
        kserve.recover("a")
        await isvcs.until(
            INFERENCE_SERVICES, lambda now: now["a"]["status"]["modelStatus"]["transitionStatus"] == "UpToDate"
        )
        versions = [moment.change.object.get("status", {}) for moment in await history.moments()]
    # How many copies are ready is also told, at moments that are up to chance: not asked about here.
    told = [(*said(v), v.get("observedGeneration"), v.get("url"), v.get("address")) for v in versions if v]
    waiting, made = ("False", "Predictor ingress not created"), ("True", "")
    url, address = f"http://a-{isvcs.namespace}.example.com", f"http://a-predictor.{isvcs.namespace}.svc.cluster.local"
    running = ("False", "")  # not stopped
    ready = (made, ("True", "NewReplicaSetAvailable"), made, running)
    starting = (waiting, ("False", "MinimumReplicasUnavailable"), waiting, running)
    assert [moment for moment, _ in groupby(told)] == [
        (waiting, ("False", ""), waiting, running, "InProgress", "Pending", None, None, None),
        (*starting, "InProgress", "Pending", 1, None, None),
        (*ready, "InProgress", "Pending", 1, url, {"url": address}),
        (*ready, "UpToDate", "Loaded", 1, url, {"url": address}),
    ]


async def test_its_ingress_is_made_only_when_its_pods_are_ready(isvcs: ISVCs, kserve: SimulatedKServe) -> None:
    kserve.behave("a", NEVER_READY)
    await isvcs.create("a")
    await isvcs.until(INFERENCE_SERVICES, lambda now: "observedGeneration" in now["a"].get("status", {}))
    assert await isvcs.all(INGRESSES) == []
    kserve.recover("a")
    await isvcs.until_ready("a")
    assert [ingress["metadata"]["name"] for ingress in await isvcs.all(INGRESSES)] == ["a"]


async def test_its_observed_generation_is_the_deployments(isvcs: ISVCs, kserve: SimulatedKServe) -> None:
    await isvcs.create("a")
    await isvcs.until_ready("a")
    await isvcs.change("a", {"metadata": {"labels": {"colour": "red"}}})
    now = await isvcs.until(INFERENCE_SERVICES, lambda now: now["a"]["status"]["observedGeneration"] == 2)
    assert now["a"]["metadata"]["generation"] == 1


@pytest.mark.parametrize(("replicas", "failing", "ready"), [(8, 2, "True"), (2, 1, "False")])
async def test_ready_follows_the_deployment_and_not_all_of_its_pods(
    isvcs: ISVCs, kserve: SimulatedKServe, replicas: int, failing: int, ready: str
) -> None:
    await isvcs.create("a", predictor=isvcs.predictor(minReplicas=replicas))
    await isvcs.until(ENDPOINT_SLICES, lambda slices: len(ready_endpoints(slices)) == replicas)
    await isvcs.until_ready("a")
    kserve.fail_pods("a", count=failing)
    await isvcs.until(DEPLOYMENTS, lambda now: now["a-predictor"]["status"].get("unavailableReplicas") == failing)
    await isvcs.until(ENDPOINT_SLICES, lambda slices: len(ready_endpoints(slices)) == replicas - failing)

    def has_noticed(now: dict[str, Value]) -> bool:
        copies = now["a"]["status"]["modelStatus"]["copies"]["totalCopies"]
        return bool(copies == replicas - failing and isvcs.condition(now["a"], "Ready")["status"] == ready)

    await isvcs.until(INFERENCE_SERVICES, has_noticed)


async def test_ready_is_false_while_a_healthy_isvc_scales_up(isvcs: ISVCs, kserve: SimulatedKServe) -> None:
    await isvcs.create("a", predictor=isvcs.predictor(minReplicas=2))
    await isvcs.until_ready("a")
    kserve.behave("a", NEVER_READY)
    await isvcs.change("a", {"spec": {"predictor": {"minReplicas": 6}}})
    isvc = await isvcs.until_ready("a", "False")
    assert isvcs.condition(isvc, "PredictorReady")["reason"] == "MinimumReplicasUnavailable"
    kserve.recover("a")
    await isvcs.until_ready("a")
    await isvcs.change("a", {"spec": {"predictor": {"minReplicas": 1}}})
    await isvcs.until(PODS, lambda pods: len(pods) == 1)
    assert isvcs.condition(await isvcs.get(INFERENCE_SERVICES, "a"), "Ready")["status"] == "True"


async def test_it_is_ready_with_no_pods_where_it_wants_none(isvcs: ISVCs, kserve: SimulatedKServe) -> None:
    await isvcs.create("a", predictor=isvcs.predictor(minReplicas=0))
    isvc = await isvcs.until_ready("a")
    assert isvc["status"]["modelStatus"]["transitionStatus"] == "InProgress"
    assert await isvcs.all(PODS) == []


async def test_it_stays_ready_while_an_update_fails_until_the_deadline(isvcs: ISVCs, make_kserve: MakeKServe) -> None:
    kserve = await make_kserve(progress_deadline_seconds=3)
    await isvcs.create("a")
    await isvcs.until_ready("a")
    kserve.behave("a", NEVER_READY)  # those that are ready stay so
    async with History(isvcs.client.transport, isvcs.namespace, INFERENCE_SERVICES) as history:
        await isvcs.change("a", {"metadata": {"labels": {"colour": "red"}}})
        isvc = await isvcs.until_ready("a", "False")
        versions = [moment.change.object for moment in await history.moments()]
    assert isvcs.condition(isvc, "PredictorReady")["reason"] == "ProgressDeadlineExceeded"
    readiness = [isvcs.condition(version, "Ready")["status"] for version in versions]
    assert readiness.index("False") == len([r for r in readiness if r == "True"])
    await isvcs.until(ENDPOINT_SLICES, lambda slices: len(ready_endpoints(slices)) == 1)


async def test_any_change_of_a_label_or_annotation_rolls_its_pods(isvcs: ISVCs, kserve: SimulatedKServe) -> None:
    await isvcs.create("a")
    await isvcs.until_ready("a")
    for change in ({"labels": {"x": "1"}}, {"labels": {"x": None}}, {"annotations": {"y": "1"}}):
        before = {pod["metadata"]["uid"] for pod in await isvcs.all(PODS)}
        await isvcs.change("a", {"metadata": change})
        await isvcs.until(PODS, partial(none_of, before))
    (pod,) = await isvcs.all(PODS)
    assert pod["metadata"]["annotations"]["y"] == "1"
    assert "x" not in pod["metadata"]["labels"]


def none_of(uids: set[str], objects: dict[str, Value]) -> bool:
    return objects != {} and not uids & {obj["metadata"]["uid"] for obj in objects.values()}


async def test_its_labels_and_annotations_go_to_deployment_pods_and_service_and_no_label_to_the_ingress(
    isvcs: ISVCs, kserve: SimulatedKServe
) -> None:
    transformer = {"containers": [{"name": "transformer-container", "image": "example/transformer"}]}
    own = {"colour": "red", "app": "mine", "component": "mine", "serving.kserve.io/inferenceservice": "mine"}
    annotations = {"team": "blue", "kubectl.kubernetes.io/last-applied-configuration": "{}"}
    await isvcs.create("a", labels=own, annotations=annotations, transformer=transformer)
    await isvcs.until_ready("a")
    pods = await isvcs.until(PODS, lambda pods: len(pods) == 2)
    for component in ("predictor", "transformer"):
        name = f"a-{component}"
        (pod,) = (pod for pod in pods.values() if pod["metadata"]["labels"]["component"] == component)
        for obj in (await isvcs.get(DEPLOYMENTS, name), await isvcs.get(SERVICES, name), pod):
            labels = obj["metadata"]["labels"]
            labels.pop("pod-template-hash", None)
            assert labels == {
                "colour": "red",
                "app": f"isvc.{name}",
                "component": component,
                "serving.kserve.io/inferenceservice": "a",
            }
            assert obj["metadata"]["annotations"]["team"] == "blue"
            assert "kubectl.kubernetes.io/last-applied-configuration" not in obj["metadata"]["annotations"]
    assert "labels" not in (await isvcs.get(INGRESSES, "a"))["metadata"]


async def test_a_transformer_is_the_entry_point(isvcs: ISVCs, kserve: SimulatedKServe) -> None:
    transformer = {"containers": [{"name": "transformer-container", "image": "example/transformer"}]}
    await isvcs.create("a", transformer=transformer)
    isvc = await isvcs.until_ready("a")
    assert isvcs.condition(isvc, "TransformerReady") | {"lastTransitionTime": ""} == {
        "type": "TransformerReady",
        "status": "True",
        "severity": "Info",
        "reason": "NewReplicaSetAvailable",
        "message": isvcs.condition(isvc, "TransformerReady")["message"],
        "lastTransitionTime": "",
    }
    assert isvc["status"]["address"]["url"] == f"http://a-transformer.{isvcs.namespace}.svc.cluster.local"
    rules = (await isvcs.get(INGRESSES, "a"))["spec"]["rules"]
    backends = {rule["host"]: rule["http"]["paths"][0]["backend"]["service"]["name"] for rule in rules}
    domain = f"{isvcs.namespace}.example.com"
    assert backends == {
        f"a-{domain}": "a-transformer",
        f"a-transformer-{domain}": "a-predictor",
        f"a-predictor-{domain}": "a-predictor",
    }


async def test_a_runtime_that_is_edited_rolls_every_isvc_that_uses_it(isvcs: ISVCs, kserve: SimulatedKServe) -> None:
    kserve.put_runtime("mine", ServingRuntime("mine:1", ("sklearn",)))
    await isvcs.create("a", predictor=isvcs.predictor(model={"runtime": "mine"}))
    await isvcs.until(INFERENCE_SERVICES, lambda now: now["a"].get("status", {}).get("modelStatus") == LOADED)
    await isvcs.create("b")
    await isvcs.until_ready("b")  # and by now nothing else makes KServe look at `a`
    before = await isvcs.get(INFERENCE_SERVICES, "a")
    kserve.put_runtime("mine", ServingRuntime("mine:2", ("sklearn",)))

    def images(pods: dict[str, Value]) -> set[str]:
        return {pod["spec"]["containers"][0]["image"] for pod in pods.values()}

    await isvcs.until(PODS, lambda pods: images(pods) == {"mine:2", "kserve/sklearnserver:v0.20.0"})
    after = await isvcs.get(INFERENCE_SERVICES, "a")
    assert (after["spec"], after["metadata"]["generation"]) == (before["spec"], before["metadata"]["generation"])
    assert (await isvcs.get(DEPLOYMENTS, "b-predictor"))["metadata"]["generation"] == 1


async def test_a_deleted_one_is_gone_at_once_and_takes_what_it_consists_of_with_it(
    isvcs: ISVCs, kserve: SimulatedKServe
) -> None:
    await isvcs.create("a")
    isvc = await isvcs.until_ready("a")
    assert isvc["metadata"]["finalizers"] == ["inferenceservice.finalizers"]
    await isvcs.delete("a")
    for kind in (INFERENCE_SERVICES, DEPLOYMENTS, SERVICES, INGRESSES, PODS):
        await isvcs.until(kind, lambda now: not now)


async def test_while_kserve_is_down_deletes_hang_and_creates_and_edits_are_refused_by_its_dead_webhook(
    isvcs: ISVCs, kserve: SimulatedKServe
) -> None:
    await isvcs.create("a")
    await isvcs.create("b")
    await isvcs.until_ready("a")
    await isvcs.until_ready("b")
    await kserve.stop()
    dead = 'failed calling webhook "inferenceservice.kserve-webhook-server.defaulter"'
    with pytest.raises(InternalError, match=dead):
        await isvcs.create("c")
    with pytest.raises(InternalError, match=dead):
        await isvcs.annotate("a", stop="true")
    await isvcs.delete("a")
    assert (await isvcs.get(INFERENCE_SERVICES, "a"))["metadata"]["deletionTimestamp"]
    await kserve.start()
    await isvcs.until(INFERENCE_SERVICES, lambda now: "a" not in now)
    await isvcs.create("c")
    await isvcs.until_ready("c")


async def test_while_kserve_is_down_ready_says_what_it_said_and_endpointslices_say_what_serves(
    isvcs: ISVCs, kserve: SimulatedKServe
) -> None:
    await isvcs.create("a")
    await isvcs.until_ready("a")
    await kserve.stop()
    kserve.fail_pods("a")
    await isvcs.until(ENDPOINT_SLICES, lambda slices: ready_endpoints(slices) == [])
    await isvcs.until(DEPLOYMENTS, lambda now: isvcs.condition(now["a-predictor"], "Available")["status"] == "False")
    assert isvcs.condition(await isvcs.get(INFERENCE_SERVICES, "a"), "Ready")["status"] == "True"
    await kserve.start()
    await isvcs.until_ready("a", "False")


async def test_while_kserve_is_down_no_pod_of_an_isvc_is_made(isvcs: ISVCs, kserve: SimulatedKServe) -> None:
    await isvcs.create("a")
    await isvcs.until_ready("a")
    await kserve.stop()
    (pod,) = await isvcs.all(PODS)
    await isvcs.client.delete(PODS, pod["metadata"]["name"], isvcs.namespace)
    await isvcs.until(EVENTS, lambda events: any("pod-mutator" in event["message"] for event in events.values()))
    assert await isvcs.all(PODS) == []
    await kserve.start()
    await isvcs.until(ENDPOINT_SLICES, lambda slices: len(ready_endpoints(slices)) == 1)


async def test_a_stopped_one_has_no_workload_until_it_is_resumed(isvcs: ISVCs, kserve: SimulatedKServe) -> None:
    await isvcs.create("a")
    await isvcs.until_ready("a")
    await isvcs.annotate("a", stop="true")
    now = await isvcs.until(INFERENCE_SERVICES, lambda now: isvcs.condition(now["a"], "Stopped")["status"] == "True")
    status = now["a"]["status"]
    assert {c["type"]: (c["status"], c.get("reason")) for c in status["conditions"]} == {
        "IngressReady": ("False", "Stopped"),
        "PredictorReady": ("False", "Stopped"),
        "Ready": ("False", "Stopped"),
        "Stopped": ("True", None),
    }
    assert not status.keys() & {"url", "address", "components", "observedGeneration"}
    for kind in (DEPLOYMENTS, SERVICES, INGRESSES, PODS):
        await isvcs.until(kind, lambda now: not now)
    await isvcs.annotate("a", stop=None)
    isvc = await isvcs.until_ready("a")
    assert isvcs.condition(isvc, "Stopped")["status"] == "False"


async def test_what_it_does_not_control_a_stopped_one_leaves(isvcs: ISVCs, kserve: SimulatedKServe) -> None:
    await isvcs.client.create(INGRESSES, ingress("a"), isvcs.namespace)
    await isvcs.create("a", annotations={"serving.kserve.io/stop": "true"})
    await isvcs.until(INFERENCE_SERVICES, lambda now: isvcs.condition(now["a"], "IngressReady"))
    assert (await isvcs.get(INGRESSES, "a"))["spec"] == ingress("a")["spec"]


def ingress(name: str) -> Value:
    """Return an Ingress of somebody else's."""
    backend = {"service": {"name": "elsewhere", "port": {"number": 80}}}
    rule = {"host": "mine.example.com", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}
    return {"metadata": {"name": name, "labels": {"mine": "yes"}}, "spec": {"rules": [rule]}}


async def test_an_ingress_of_its_name_is_overwritten_whoever_owns_it(isvcs: ISVCs, kserve: SimulatedKServe) -> None:
    await isvcs.client.create(INGRESSES, ingress("a"), isvcs.namespace)
    await isvcs.create("a")
    isvc = await isvcs.until_ready("a")
    taken = await isvcs.get(INGRESSES, "a")
    assert taken["spec"]["rules"][0]["host"] == f"a-{isvcs.namespace}.example.com"
    assert taken["metadata"]["ownerReferences"][0]["uid"] == isvc["metadata"]["uid"]
    assert "labels" not in taken["metadata"]


async def test_what_looks_like_its_predictor_under_another_name_is_deleted_whoever_owns_it(
    isvcs: ISVCs, kserve: SimulatedKServe
) -> None:
    labels = {"serving.kserve.io/inferenceservice": "a", "component": "predictor"}
    template = {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "x", "image": "x"}]}}
    deployment = {"replicas": 0, "selector": {"matchLabels": {"app": "x"}}, "template": template}
    for name, marks in (("mine", labels), ("other", {**labels, "component": "transformer"})):
        metadata = {"name": name, "labels": marks}
        await isvcs.client.create(SERVICES, {"metadata": metadata, "spec": {"ports": [{"port": 80}]}}, isvcs.namespace)
        await isvcs.client.create(DEPLOYMENTS, {"metadata": metadata, "spec": deployment}, isvcs.namespace)
    await isvcs.create("a")
    await isvcs.until_ready("a")
    for kind in (SERVICES, DEPLOYMENTS):
        await isvcs.until(kind, lambda now: sorted(now) == ["a-predictor", "other"])


async def test_a_cluster_local_one_has_no_ingress_and_its_url_still_names_the_host(
    isvcs: ISVCs, kserve: SimulatedKServe
) -> None:
    kserve.behave("a", NEVER_READY)
    await isvcs.create("a", labels={"networking.kserve.io/visibility": "cluster-local"})
    now = await isvcs.until(INFERENCE_SERVICES, lambda now: isvcs.condition(now["a"], "IngressReady"))
    assert isvcs.condition(now["a"], "IngressReady")["status"] == "True"
    assert now["a"]["status"]["url"] == f"http://a-{isvcs.namespace}.example.com"
    kserve.recover("a")
    await isvcs.until_ready("a")
    assert await isvcs.all(INGRESSES) == []


async def test_a_name_that_is_too_long_gets_through_and_fails_later(isvcs: ISVCs, kserve: SimulatedKServe) -> None:
    with_the_namespace = 52 - len(isvcs.namespace)  # host NAME-predictor-NAMESPACE, of 63 characters at most
    for length, ready in ((with_the_namespace, "True"), (with_the_namespace + 1, "False"), (49, "False")):
        name = "a" * length
        await isvcs.create(name)
        isvc = await isvcs.until_ready(name, ready)
        reason = isvcs.condition(isvc, "PredictorReady")["reason"]
        assert reason == ("NewReplicaSetAvailable" if ready == "True" else "ReconcileFailed")


@pytest.mark.parametrize(
    ("ports", "expected"),
    [
        (None, [("a-predictor", 80, 8080, None)]),
        ([{"name": "h2c", "containerPort": 8081}], [("h2c", 80, 8081, "kubernetes.io/h2c")]),
        (
            [{"name": "http", "containerPort": 8080}, {"name": "my-grpc", "containerPort": 9000}],
            [("http", 80, 8080, None), ("my-grpc", 9000, 9000, "kubernetes.io/h2c")],
        ),
    ],
)
async def test_its_first_container_port_is_80_and_further_ones_keep_their_number(
    isvcs: ISVCs, kserve: SimulatedKServe, ports: list[Value] | None, expected: list[tuple[Any, ...]]
) -> None:
    await isvcs.create("a", predictor=isvcs.predictor(model={"ports": ports} if ports else {}))
    service = (await isvcs.until(SERVICES, lambda now: now))["a-predictor"]
    found = [(p["name"], p["port"], p["targetPort"], p.get("appProtocol")) for p in service["spec"]["ports"]]
    assert found == expected


async def test_the_runtimes_arguments_come_first_and_its_own_after_them(isvcs: ISVCs, kserve: SimulatedKServe) -> None:
    await isvcs.create("a", predictor=isvcs.predictor(model={"args": ["--model_name=m"]}))
    deployment = (await isvcs.until(DEPLOYMENTS, lambda now: now))["a-predictor"]
    args = deployment["spec"]["template"]["spec"]["containers"][0]["args"]
    assert args == ["--model_name=a", "--model_dir=/mnt/models", "--http_port=8080", "--model_name=m"]


async def test_without_a_runtime_scikit_learn_over_v2_is_served_by_mlserver(
    isvcs: ISVCs, kserve: SimulatedKServe
) -> None:
    model = {"modelFormat": {"name": "sklearn"}, "protocolVersion": "v2"}
    await isvcs.create("a", predictor={"model": model})
    isvc = await isvcs.until_ready("a")
    assert isvc["status"]["clusterServingRuntimeName"] == "kserve-mlserver"


async def test_autoscaler_class_none_means_min_replicas_and_no_autoscaler(
    isvcs: ISVCs, kserve: SimulatedKServe
) -> None:
    await isvcs.create("a", predictor=isvcs.predictor(minReplicas=2))
    await isvcs.create("b", predictor=isvcs.predictor(minReplicas=2), annotations={AUTOSCALER_CLASS: "hpa"})
    await isvcs.until(AUTOSCALERS, lambda now: "b-predictor" in now)
    await isvcs.until_ready("a")
    assert [hpa["metadata"]["name"] for hpa in await isvcs.all(AUTOSCALERS)] == ["b-predictor"]
    assert (await isvcs.get(DEPLOYMENTS, "a-predictor"))["spec"]["replicas"] == 2
    spec = (await isvcs.get(AUTOSCALERS, "b-predictor"))["spec"]
    assert (spec["scaleTargetRef"]["name"], spec["minReplicas"]) == ("b-predictor", 2)


async def test_without_the_annotation_the_mode_is_knative_and_nothing_is_made(
    isvcs: ISVCs, kserve: SimulatedKServe
) -> None:
    await isvcs.create("a", annotations={"serving.kserve.io/deploymentMode": None})
    now = await isvcs.until(INFERENCE_SERVICES, lambda now: now["a"].get("status"))
    assert now["a"]["status"]["deploymentMode"] == "Knative"
    assert isvcs.condition(now["a"], "Ready")["status"] == "Unknown"
    await isvcs.until(EVENTS, lambda events: "ServerlessModeRejected" in [e["reason"] for e in events.values()])
    with pytest.raises(NotFound):
        await isvcs.get(DEPLOYMENTS, "a-predictor")


async def test_every_pod_has_a_node_and_an_address_of_its_own_and_leaves_the_slices_when_it_is_deleted(
    isvcs: ISVCs, make_kserve: MakeKServe
) -> None:
    await make_kserve(termination_seconds=20)
    await isvcs.create("a", predictor=isvcs.predictor(minReplicas=3))
    slices = await isvcs.until(ENDPOINT_SLICES, lambda slices: len(ready_endpoints(slices)) == 3)
    pods = await isvcs.all(PODS)
    assert ready_endpoints(slices) == sorted({pod["status"]["podIP"] for pod in pods})
    assert all(pod["spec"]["nodeName"] for pod in pods)
    await isvcs.change("a", {"spec": {"predictor": {"minReplicas": 2}}})
    slices = await isvcs.until(ENDPOINT_SLICES, lambda slices: len(ready_endpoints(slices)) == 2)
    assert len(await isvcs.all(PODS)) == 3, "it was gone before it had left the slices"
    (ending,) = [e for s in slices.values() for e in s["endpoints"] if e["conditions"]["terminating"]]
    assert ending["addresses"][0] not in ready_endpoints(slices)
