"""What puts children back, on a real kube-apiserver, with the simulated KServe's webhook where there are ISVCs.

Each test creates an object as the operator does, lets others do something to it, and asks what is to be put back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from disvc.api.status import Revision
from disvc.api.types import DistributedInferenceService
from disvc.rollout import ingress as ingresses
from disvc.rollout import service as services
from disvc.rollout.configuration import RoutingDefaults
from disvc.rollout.drift import drift
from disvc.rollout.inference_service import member, render
from disvc.rollout.revision import Record
from disvc.runtime import Client, Resource, connect
from disvc.testing.kserve import INFERENCE_SERVICES

Value = dict[str, Any]

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from conftest import Until

    from disvc.testing.controlplane import ControlPlane
    from disvc.testing.kserve import SimulatedKServe

SERVICES = Resource("v1", "Service", "services")
INGRESSES = Resource("networking.k8s.io/v1", "Ingress", "ingresses")
INGRESS_CLASSES = Resource("networking.k8s.io/v1", "IngressClass", "ingressclasses", namespaced=False)
MODEL: Value = {
    "modelFormat": {"name": "sklearn"},
    "name": "",
    "runtime": "kserve-sklearnserver",
    "storageUri": "gs://models/iris",
    "args": ["--a"],
    "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
    "ports": [{"containerPort": 8080, "name": "http"}, {"containerPort": 8081, "name": "h2c", "protocol": "TCP"}],
    "resources": {"requests": {"cpu": "1000m", "memory": "1024Mi"}},
}
TRANSFORMER = {"containers": [{"name": "mine", "image": "a", "ports": [{"containerPort": 8080}]}], "minReplicas": 1}


class Child:
    """One child, and who writes it."""

    def __init__(self, operator: Client, others: Client, resource: Resource[Any], exact: Any, until: Until) -> None:
        self._operator = operator
        self._others = others
        self._resource = resource
        self._exact = exact
        self._until = until
        self.wanted: Value = {}

    async def create(self, wanted: Value) -> None:
        self.wanted = wanted
        await self._operator.create(self._resource, wanted)

    async def create_and_wait(self, wanted: Value) -> Value:
        """Create a member, and return it as it is once KServe has seen it."""
        await self.create(wanted)

        async def seen() -> bool:
            return "deploymentMode" in (await self.live()).get("status", {})

        await self._until(seen)
        return await self.live()

    async def live(self) -> Value:
        metadata = self.wanted["metadata"]
        value: Value = (await self._others.get(self._resource, metadata["name"], metadata["namespace"])).decode()
        return value

    async def edit(self, patch: Value) -> None:
        metadata = self.wanted["metadata"]
        await self._others.patch(self._resource, metadata["name"], patch, metadata["namespace"])

    async def drift(self) -> Value | None:
        return drift(self.wanted, await self.live(), manager=self._operator.field_manager, exact=self._exact)

    async def put_back(self) -> None:
        metadata = self.wanted["metadata"]
        patch = await self.drift()
        assert patch is not None
        await self._operator.patch(self._resource, metadata["name"], patch, metadata["namespace"])

    async def is_restored(self, before: Value) -> None:
        """Assert that something is to be done, do it, and assert that it was all, and that it leads back."""
        await self.put_back()
        assert await self.drift() is None
        assert contents(await self.live()) == contents(before)


def contents(value: Value) -> Value:
    """Return what people mean by an object."""
    metadata = value["metadata"]
    return {
        "labels": metadata.get("labels"),
        "annotations": metadata.get("annotations"),
        "finalizers": metadata.get("finalizers"),
        "spec": value["spec"],
    }


class Children:
    """The namespace's children, by kind."""

    def __init__(self, operator: Client, others: Client, namespace: str, until: Until) -> None:
        self.namespace = namespace
        self.others = others
        self.isvc = Child(operator, others, INFERENCE_SERVICES, (), until)
        self.service = Child(operator, others, SERVICES, services.EXACT, until)
        self.ingress = Child(operator, others, INGRESSES, ingresses.EXACT, until)

    def disvc(self, **spec: Any) -> DistributedInferenceService:
        spec = {"inferenceService": {"predictor": {"model": MODEL}}, "annotations": {"version": "v1"}, **spec}
        metadata = {"name": "iris", "namespace": self.namespace, "uid": "5f2a4e9c-0000-4000-8000-000000000000"}
        return DistributedInferenceService.model_validate({"metadata": metadata, "spec": spec})

    def wanted_isvc(self, **spec: Any) -> Value:
        disvc = self.disvc(**spec)
        return _without_owner(member(disvc, _record(disvc), 0))

    def wanted_service(self, number: int = 1, **spec: Any) -> Value:
        disvc = self.disvc(**spec)
        return _without_owner(services.stable(disvc, _record(disvc, number)))

    def wanted_ingress(self, number: int = 1, **spec: Any) -> Value:
        disvc = self.disvc(**spec)
        return _without_owner(ingresses.ingress(disvc, _record(disvc, number), RoutingDefaults()))


def _record(disvc: DistributedInferenceService, number: int = 1) -> Record:
    return Record(Revision(name=f"iris-v{number}", number=number, hash="x"), None, render(disvc, number))


def _without_owner(value: Value) -> Value:
    """Return a child without its owner, who does not exist: garbage collection would take it."""
    return {**value, "metadata": {k: v for k, v in value["metadata"].items() if k != "ownerReferences"}}


@pytest.fixture
async def children(
    control_plane_with_controllers: ControlPlane, kserve_namespace: str, until: Until
) -> AsyncIterator[Children]:
    async with connect(control_plane_with_controllers.admin.kubeconfig) as transport:
        operator, others = Client(transport, field_manager="disvc"), Client(transport, field_manager="kubectl-edit")
        yield Children(operator, others, kserve_namespace, until)


SPECS = [
    {"predictor": {"model": MODEL}},
    {"predictor": {"sklearn": {"storageUri": "gs://a", "resources": {"limits": {"cpu": "1500m"}}}}},
    {"predictor": {"containers": [{"name": "mine", "image": "a", "env": [{"name": "A", "value": "1"}]}]}},
    {"predictor": {"model": MODEL, "minReplicas": 1, "tolerations": []}, "transformer": TRANSFORMER},
]


@pytest.mark.parametrize("spec", SPECS)
async def test_what_kserves_webhook_rewrites_is_not_fought_over(
    children: Children, kserve: SimulatedKServe, spec: Value
) -> None:
    isvc = children.isvc
    live = await isvc.create_and_wait(children.wanted_isvc(inferenceService=spec))
    assert await isvc.drift() is None
    assert live["metadata"]["annotations"]["serving.kserve.io/deploymentMode"] == "Standard"
    assert live["spec"] != isvc.wanted["spec"]


HASH = "disvc.serving.kserve.io/hash"
EDITS: dict[str, Value] = {
    "a field has another value": {"spec": {"predictor": {"model": {"storageUri": "gs://other"}}}},
    "a field is gone": {"spec": {"predictor": {"model": {"runtime": None}}}},
    "a field is there in addition": {"spec": {"predictor": {"minReplicas": 3}}},
    "fields are there in addition": {"spec": {"predictor": {"nodeSelector": {"a": "b"}, "timeout": 3}}},
    "a component is there in addition": {"spec": {"transformer": TRANSFORMER}},
    "a rewritten value has another value": {
        "spec": {"predictor": {"model": {"resources": {"requests": {"cpu": "2"}}}}}
    },
    "a rewritten value is gone": {"spec": {"predictor": {"model": {"resources": {"requests": {"cpu": None}}}}}},
    "an entry is there beside rewritten ones": {
        "spec": {"predictor": {"model": {"resources": {"limits": {"cpu": "9"}}}}}
    },
    "all rewritten values are gone": {
        "spec": {"predictor": {"model": {"resources": {"requests": {"cpu": None, "memory": None}}}}}
    },
    "a part is gone, and admission makes it anew": {"spec": {"predictor": {"model": {"resources": None}}}},
    "a list has another value": {"spec": {"predictor": {"model": {"args": ["--b"]}}}},
    "a list is longer": {"spec": {"predictor": {"model": {"args": ["--a", "--model_name=iris", "--b"]}}}},
    "a list is gone": {"spec": {"predictor": {"model": {"env": None}}}},
    "a list is empty": {"spec": {"predictor": {"model": {"env": []}}}},
    "a list with keys lacks an item": {"spec": {"predictor": {"model": {"ports": MODEL["ports"][:1]}}}},
    "a list with keys has another item": {
        "spec": {"predictor": {"model": {"ports": [*MODEL["ports"], {"containerPort": 9090, "name": "x"}]}}}
    },
    "an item with keys has another value": {
        "spec": {"predictor": {"model": {"ports": [{"containerPort": 8080, "name": "x"}, MODEL["ports"][1]]}}}
    },
    "an item with keys has lost a value": {
        "spec": {"predictor": {"model": {"ports": [{"containerPort": 8080}, MODEL["ports"][1]]}}}
    },
    "an item with keys has a value in addition": {
        "spec": {"predictor": {"model": {"ports": [{**MODEL["ports"][0], "hostPort": 80}, MODEL["ports"][1]]}}}
    },
    "an annotation has another value": {"metadata": {"annotations": {"version": "v9"}}},
    "an annotation is gone": {"metadata": {"annotations": {"version": None}}},
    "the hash is gone": {"metadata": {"annotations": {HASH: None}}},
    "the mode is gone": {"metadata": {"annotations": {"serving.kserve.io/deploymentMode": None}}},
    "all annotations of ours are gone, one by one": {"metadata": {"annotations": {"version": None, HASH: None}}},
    "a label has another value": {"metadata": {"labels": {"disvc.group": "iris-v9"}}},
    "a label is gone": {"metadata": {"labels": {"disvc": None}}},
    "all labels are gone": {"metadata": {"labels": None}},
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS.keys())
async def test_a_hand_edit_of_a_member_is_put_back(children: Children, kserve: SimulatedKServe, edit: Value) -> None:
    isvc = children.isvc
    before = await isvc.create_and_wait(children.wanted_isvc())
    await isvc.edit(edit)
    assert contents(await isvc.live()) != contents(before)
    await isvc.is_restored(before)


async def test_a_hand_edit_of_what_the_webhook_made_of_a_field_is_put_back(
    children: Children, kserve: SimulatedKServe
) -> None:
    isvc = children.isvc
    before = await isvc.create_and_wait(
        children.wanted_isvc(inferenceService={"predictor": {"sklearn": {"storageUri": "gs://a"}}})
    )
    await isvc.edit({"spec": {"predictor": {"model": {"storageUri": "gs://other"}}}})
    await isvc.is_restored(before)


async def test_two_people_who_edit_a_member_are_both_undone(children: Children, kserve: SimulatedKServe) -> None:
    isvc = children.isvc
    before = await isvc.create_and_wait(children.wanted_isvc())
    await isvc.edit({"spec": {"predictor": {"model": {"storageUri": "gs://other"}, "minReplicas": 2}}})
    await children.others.apply(
        INFERENCE_SERVICES,
        {
            "metadata": {"name": "iris-v1-0", "namespace": children.namespace, "labels": {"disvc": "rose"}},
            "spec": {"predictor": {"model": {"modelFormat": {"name": "xgboost"}}, "maxReplicas": 3}},
        },
        children.namespace,
        force=True,
    )
    await isvc.is_restored(before)


async def test_labels_and_annotations_of_others_stay_on_a_member_as_any_change_would_roll_its_pods(
    children: Children, kserve: SimulatedKServe
) -> None:
    isvc = children.isvc
    await isvc.create_and_wait(children.wanted_isvc())
    await isvc.edit({"metadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}}})
    assert await isvc.drift() is None


async def test_what_kserve_does_to_a_member_is_not_undone(children: Children, kserve: SimulatedKServe) -> None:
    isvc = children.isvc
    kserve_itself = Client(children.others.transport, field_manager="manager")  # its binary's name
    await isvc.create_and_wait(children.wanted_isvc())
    patch = {"spec": {"predictor": {"model": {"storageUri": "gs://rewritten"}, "minReplicas": 1}}}
    await kserve_itself.patch(INFERENCE_SERVICES, "iris-v1-0", patch, children.namespace)
    assert await isvc.drift() is None


async def test_our_own_service_and_ingress_are_as_they_were_made(children: Children) -> None:
    await children.service.create(children.wanted_service())
    await children.ingress.create(children.wanted_ingress(routing={"tls": {"secretName": "s"}, "className": "a"}))
    assert await children.service.drift() is None
    assert await children.ingress.drift() is None


SERVICE_CHANGES: dict[str, tuple[Value, Value]] = {
    "another revision": ({}, {"number": 2}),
    "other ports": (
        {},
        {"inferenceService": {"predictor": {"model": {"ports": [{"containerPort": 9000, "name": "grpc"}]}}}},
    ),
    "an entry point": ({}, {"inferenceService": {"predictor": {"model": {}}, "transformer": TRANSFORMER}}),
    "no entry point": ({"inferenceService": {"predictor": {"model": {}}, "transformer": TRANSFORMER}}, {}),
    "no affinity": ({}, {"routing": {"sessionAffinity": {"type": "None"}}}),
    "an affinity": ({"routing": {"sessionAffinity": {"type": "None"}}}, {}),
    "a shorter affinity": ({}, {"routing": {"sessionAffinity": {"timeoutSeconds": 60}}}),
}


@pytest.mark.parametrize(("before", "after"), SERVICE_CHANGES.values(), ids=SERVICE_CHANGES.keys())
async def test_a_service_follows_what_is_wanted_of_it(children: Children, before: Value, after: Value) -> None:
    await children.service.create(children.wanted_service(**before))
    children.service.wanted = children.wanted_service(**after)
    await children.service.put_back()
    assert await children.service.drift() is None
    changed = contents(await children.service.live())
    await children.others.delete(SERVICES, "iris", children.namespace)
    await children.service.create(children.wanted_service(**after))
    fresh = contents(await children.service.live())
    for value in (changed, fresh):
        del value["spec"]["clusterIP"], value["spec"]["clusterIPs"]
    assert changed == fresh


INGRESS_CHANGES: dict[str, tuple[Value, Value]] = {
    "another revision": ({}, {"number": 2}),
    "gRPC": ({}, {"inferenceService": {"predictor": {"model": {"ports": [{"containerPort": 1, "name": "h2c"}]}}}}),
    "no gRPC": ({"inferenceService": {"predictor": {"model": {"ports": [{"containerPort": 1, "name": "h2c"}]}}}}, {}),
    "another host": ({}, {"routing": {"host": "a.b"}}),
    "TLS": ({}, {"routing": {"tls": {"secretName": "s"}}}),
    "no TLS": ({"routing": {"tls": {"secretName": "s"}}}, {}),
    "no affinity": ({}, {"routing": {"sessionAffinity": {"type": "None"}}}),
    "a class": ({}, {"routing": {"className": "a"}}),
    "no class": ({"routing": {"className": "a"}}, {}),
    "other annotations": ({"routing": {"annotations": {"a": "1", "b": "1"}}}, {"routing": {"annotations": {"b": "2"}}}),
    "no annotations": (
        {"routing": {"annotations": {"a": "1"}}},
        {"routing": {"sessionAffinity": {"type": "None"}}},
    ),
}


@pytest.mark.parametrize(("before", "after"), INGRESS_CHANGES.values(), ids=INGRESS_CHANGES.keys())
async def test_an_ingress_follows_what_is_wanted_of_it(children: Children, before: Value, after: Value) -> None:
    await children.ingress.create(children.wanted_ingress(**before))
    children.ingress.wanted = children.wanted_ingress(**after)
    await children.ingress.put_back()
    assert await children.ingress.drift() is None
    changed = contents(await children.ingress.live())
    await children.others.delete(INGRESSES, "iris", children.namespace)
    await children.ingress.create(children.wanted_ingress(**after))
    assert changed == contents(await children.ingress.live())


SERVICE_EDITS: dict[str, Value] = {
    "another selector": {"spec": {"selector": {"disvc.group": "iris-v9"}}},
    "a longer selector": {"spec": {"selector": {"a": "b"}}},
    "a shorter selector": {"spec": {"selector": {"disvc.group": None}}},
    "no selector": {"spec": {"selector": None}},
    "another port": {"spec": {"ports": [{"port": 80, "targetPort": 1, "name": "a"}, {"port": 81, "name": "b"}]}},
    "another type": {"spec": {"type": "NodePort"}},
    "no affinity": {"spec": {"sessionAffinity": "None", "sessionAffinityConfig": None}},
    "a shorter affinity": {"spec": {"sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 1}}}},
    "another label": {"metadata": {"labels": {"group": "x"}}},
    "no labels": {"metadata": {"labels": None}},
}


@pytest.mark.parametrize("edit", SERVICE_EDITS.values(), ids=SERVICE_EDITS.keys())
async def test_a_hand_edit_of_a_service_is_put_back(children: Children, edit: Value) -> None:
    await children.service.create(children.wanted_service())
    before = await children.service.live()
    await children.service.edit(edit)
    assert contents(await children.service.live()) != contents(before)
    await children.service.is_restored(before)


INGRESS_EDITS: dict[str, Value] = {
    "other rules": {"spec": {"rules": [{"host": "other.example.com"}]}},
    "TLS": {"spec": {"tls": [{"hosts": ["a.b"], "secretName": "c"}]}},
    "a class": {"spec": {"ingressClassName": "a"}},
    "a default backend": {"spec": {"defaultBackend": {"service": {"name": "a", "port": {"number": 1}}}}},
    "another annotation": {"metadata": {"annotations": {"nginx.ingress.kubernetes.io/upstream-hash-by": "$host"}}},
    "no annotations": {"metadata": {"annotations": None}},
}


@pytest.mark.parametrize("edit", INGRESS_EDITS.values(), ids=INGRESS_EDITS.keys())
async def test_a_hand_edit_of_an_ingress_is_put_back(children: Children, edit: Value) -> None:
    await children.ingress.create(children.wanted_ingress())
    before = await children.ingress.live()
    await children.ingress.edit(edit)
    assert contents(await children.ingress.live()) != contents(before)
    await children.ingress.is_restored(before)


async def test_what_others_add_to_a_service_or_ingress_stays(children: Children) -> None:
    await children.service.create(children.wanted_service())
    await children.ingress.create(children.wanted_ingress())
    added = {"metadata": {"labels": {"a": "b"}, "annotations": {"cloud.example.com/load-balancer": "x"}}}
    await children.service.edit({**added, "spec": {"externalIPs": ["192.0.2.1"], "publishNotReadyAddresses": True}})
    await children.ingress.edit(added)
    assert await children.service.drift() is None
    assert await children.ingress.drift() is None


async def test_the_class_that_the_api_server_has_chosen_stays(children: Children) -> None:
    default: Value = {
        "metadata": {
            "name": f"default-{children.namespace}",
            "annotations": {"ingressclass.kubernetes.io/is-default-class": "true"},
        },
        "spec": {"controller": "example.com/none"},
    }
    await children.others.create(INGRESS_CLASSES, default)
    try:
        await children.ingress.create(children.wanted_ingress())
        live = await children.ingress.live()
        assert live["spec"]["ingressClassName"] == default["metadata"]["name"]
        assert await children.ingress.drift() is None
    finally:
        await children.others.delete(INGRESS_CLASSES, default["metadata"]["name"])
