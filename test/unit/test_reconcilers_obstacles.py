"""What is in the way of the reconcilers: that they tell it, and get past it. Against a stub, in virtual time."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import asynccontextmanager
from random import Random
from typing import TYPE_CHECKING, Any

from disvc.api.status import Revision
from disvc.api.types import DistributedInferenceService
from disvc.reconcilers import add_to_manager
from disvc.reconcilers.embedding import NAMES
from disvc.reconcilers.resources import DISVCS, ENDPOINT_SLICES, INGRESSES, ISVCS, REVISIONS, SERVICES
from disvc.rollout.inference_service import member, render
from disvc.rollout.names import DISVC_LABEL, SERVICE_GROUP_LABEL, SERVICE_NAME_LABEL
from disvc.rollout.revision import Record, manifest
from disvc.rollout.service import revision_service, stable
from disvc.rollout.template import template_hash, template_of
from disvc.runtime import Environment, Manager
from disvc.testing.clock import VirtualClock, in_virtual_time
from disvc.testing.stub import Call, StubServer, refusal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from disvc.runtime import Resource
    from disvc.runtime.transport import Answer

    Value = dict[str, Any]

NAMESPACE = "default"
SPEC: dict[str, Any] = {
    "inferenceService": {"predictor": {"model": {"modelFormat": {"name": "sklearn"}, "storageUri": "gs://m"}}},
    "deploymentStrategy": {"propagationSeconds": 0, "drainSeconds": 0},
}
STARTED = "2026-01-01T00:00:00Z"


class Scene:
    """A DISVC `m` in a server, with what is recorded of it, and the operator or a part of it."""

    def __init__(self, *parts: Any, **spec: Any) -> None:
        self.server = StubServer()
        ids = itertools.count()
        environment = Environment(VirtualClock(), Random(0), lambda: f"id-{next(ids)}")
        self.manager = Manager(self.server.transport(), environment=environment)
        add_to_manager(self.manager, only=parts or NAMES)
        self.server.put(DISVCS, "m", NAMESPACE, spec={**SPEC, **spec})

    @property
    def disvc(self) -> DistributedInferenceService:
        return DistributedInferenceService.model_validate(self.server.get(DISVCS, "m", NAMESPACE))

    @property
    def status(self) -> Value:
        value: Value = (self.server.get(DISVCS, "m", NAMESPACE) or {}).get("status", {})
        return value

    def condition(self, kind: str) -> Value:
        return next((c for c in self.status.get("conditions", ()) if c["type"] == kind), {})

    def record(self, number: int, **other: Any) -> Record:
        """Record a revision; `other`: what its spec has in place of the present one."""
        spec = {**(self.server.get(DISVCS, "m", NAMESPACE) or {})["spec"], **other}
        disvc = self.disvc.model_copy(update={"spec": self.disvc.spec.model_validate(spec)})
        ref = Revision(name=f"m-v{number}", number=number, hash=template_hash(template_of(disvc)))
        record = Record(ref, template_of(disvc), render(disvc, number))
        self.put(REVISIONS, manifest(disvc, record))
        return record

    def put(self, resource: Resource[Any], value: Value) -> Value:
        metadata = value["metadata"]
        content = {name: part for name, part in value.items() if name not in ("apiVersion", "kind", "metadata")}
        return self.server.put(
            resource,
            metadata["name"],
            NAMESPACE,
            labels=metadata.get("labels"),
            owners=metadata.get("ownerReferences", ()),
            **content,
        )

    def recorded(self, phase: str, active: Record | None, target: Record, **rollout: Any) -> None:
        """Write down where the rollout is."""
        self.change(
            status={
                "phase": phase,
                "activeRevision": active.ref.model_dump() if active else None,
                "targetRevision": target.ref.model_dump(),
                "rollout": None if phase == "Stable" else {"startedAt": STARTED, "attempt": 1, **rollout},
            }
        )

    def change(self, **content: Any) -> None:
        before = self.server.get(DISVCS, "m", NAMESPACE) or {}
        parts = {"spec": before["spec"], "status": before.get("status", {}), **content}
        self.server.put(DISVCS, "m", NAMESPACE, labels=before["metadata"]["labels"], **parts)

    def members(self, record: Record, *indices: int) -> None:
        for index in indices:
            ready = {"conditions": [{"type": "Ready", "status": "True"}, {"type": "PredictorReady", "status": "True"}]}
            value = member(self.disvc, record, index)
            self.put(ISVCS, {**value, "status": ready})
            key = (NAMESPACE, value["metadata"]["name"])
            # `put` has no argument for annotations, which hold a member's hash
            self.server._objects[ISVCS.path()][key]["metadata"]["annotations"] = value["metadata"]["annotations"]

    def endpoints(self, service: str, *addresses: str) -> None:
        labels = {SERVICE_NAME_LABEL: service, SERVICE_GROUP_LABEL: service}
        endpoints = [{"addresses": [address], "conditions": {"ready": True}} for address in addresses]
        self.server.put(
            ENDPOINT_SLICES, f"{service}-x", NAMESPACE, labels=labels, addressType="IPv4", endpoints=endpoints
        )

    def names(self, resource: Resource[Any]) -> set[str]:
        return {name for _, name in self.server._objects.get(resource.path(), {})}

    def writes(self, resource: Resource[Any], method: str = "") -> list[Call]:
        return [c for c in self.server.writes() if f"/{resource.plural}" in c.path and method in ("", c.method)]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        stop = asyncio.Event()
        task = asyncio.create_task(self.manager.run(stop=stop, handle_signals=False))
        await asyncio.sleep(1)
        try:
            yield
        finally:
            stop.set()
            await task


def refusing(path: str, method: str, answer: Answer) -> Any:
    async def hook(call: Call) -> Answer | None:
        return answer if call.method == method and path in call.path else None

    return hook


@in_virtual_time
async def test_endpoints_of_somebody_elses_service_do_not_make_a_revision_ready() -> None:
    scene = Scene(routing={"type": "None"})
    v1 = scene.record(1, modelName="old")
    v2 = scene.record(2)
    scene.recorded("Progressing", v1, v2)
    scene.put(SERVICES, revision_service(scene.disvc, v1))
    scene.put(SERVICES, stable(scene.disvc, v1))
    scene.server.put(SERVICES, "m-v2", NAMESPACE, labels={"group": "theirs"}, spec={"selector": {"app": "theirs"}})
    scene.members(v1, 0)
    scene.members(v2, 0)
    scene.endpoints("m-v1", "10.0.0.1")
    scene.endpoints("m-v2", "10.0.0.2")
    async with scene.running():
        await asyncio.sleep(60)
    assert scene.status["phase"] == "Progressing"
    assert scene.condition("Stalled")["reason"] == "NameConflict"


@in_virtual_time
async def test_nothing_is_removed_while_endpoints_of_the_stable_service_lag_behind_its_selector() -> None:
    scene = Scene(routing={"type": "None"})
    v1 = scene.record(1, modelName="old")
    v2 = scene.record(2)
    scene.recorded("Switching", v1, v2)
    for record, address in ((v1, "10.0.0.1"), (v2, "10.0.0.2")):
        scene.members(record, 0)
        scene.put(SERVICES, revision_service(scene.disvc, record))
        scene.endpoints(record.ref.name, address)
    scene.put(SERVICES, stable(scene.disvc, v2))
    scene.endpoints("m", "10.0.0.1")
    async with scene.running():
        await asyncio.sleep(60)
        assert scene.status["phase"] == "Switching"
        scene.endpoints("m", "10.0.0.2")
        await asyncio.sleep(60)
        assert scene.status["phase"] == "Stable"
    assert scene.names(ISVCS) == {"m-v2-0"}


@in_virtual_time
async def test_what_cannot_be_removed_is_told() -> None:
    scene = Scene()
    v1 = scene.record(1)
    scene.recorded("Stable", v1, v1)
    scene.members(v1, 0, 1)
    scene.endpoints("m-v1", "10.0.0.1", "10.0.0.2")
    scene.server.hook = refusing("/m-v1-1", "DELETE", refusal(403, "Forbidden", "admission webhook denied the request"))
    async with scene.running():
        await asyncio.sleep(10)
        assert scene.condition("Stalled")["reason"] == "Refused"
        scene.server.hook = None
        await asyncio.sleep(70)
        assert scene.names(ISVCS) == {"m-v1-0"}
        assert scene.condition("Stalled") == {}


@in_virtual_time
async def test_a_child_that_goes_while_it_is_put_back_is_no_missing_kind() -> None:
    scene = Scene()
    v1 = scene.record(1)
    scene.recorded("Stable", v1, v1)
    scene.members(v1, 0)
    scene.endpoints("m-v1", "10.0.0.1")
    async with scene.running():
        scene.server.hook = refusing("/services/m", "PATCH", refusal(404, "NotFound", "services not found"))
        scene.server.put(SERVICES, "m", NAMESPACE, owners=[scene.disvc.owner_reference], spec={"selector": {"a": "b"}})
        await asyncio.sleep(5)
        assert scene.condition("Stalled") == {}


@in_virtual_time
async def test_a_webhook_that_is_down_is_called_once_in_a_pass_not_for_every_member() -> None:
    scene = Scene(replicas=100)
    v1 = scene.record(1)
    scene.recorded("Initializing", None, v1, startedAt=STARTED)
    message = 'failed calling webhook "x": context deadline exceeded'

    async def hook(call: Call) -> Answer | None:
        if call.method != "POST" or "/inferenceservices" not in call.path:
            return None
        await asyncio.sleep(10)
        return refusal(500, "InternalError", message)

    scene.server.hook = hook
    async with scene.running():
        await asyncio.sleep(60)
        assert scene.condition("Ready")["reason"] == "WebhookUnavailable"
        assert len(scene.writes(ISVCS, "POST")) <= 6
        scene.server.hook = None
        await asyncio.sleep(30)
        assert len(scene.names(ISVCS)) == 100


@in_virtual_time
async def test_a_refusal_that_reads_otherwise_each_time_is_tried_again_no_sooner() -> None:
    scene = Scene(replicas=3)
    v1 = scene.record(1)
    scene.recorded("Initializing", None, v1)
    requests = itertools.count()

    async def hook(call: Call) -> Answer | None:
        if call.method != "POST" or "/inferenceservices" not in call.path:
            return None
        return refusal(403, "Forbidden", f"admission webhook x denied the request {next(requests)}")

    scene.server.hook = hook
    async with scene.running():
        await asyncio.sleep(600)
    assert next(requests) <= 3 * 12


@in_virtual_time
async def test_what_is_asked_for_no_more_is_not_done_at_the_end_of_a_long_pass() -> None:
    scene = Scene("inferenceservice", replicas=2)
    v1 = scene.record(1)
    scene.recorded("Stable", v1, v1)
    scene.members(v1, 1, 2)

    async def hook(call: Call) -> Answer | None:
        if call.method == "POST":
            await asyncio.sleep(10)
        return None

    scene.server.hook = hook
    async with scene.running():
        scene.change(spec={**SPEC, "replicas": 3})
        await asyncio.sleep(30)
        assert scene.names(ISVCS) == {"m-v1-0", "m-v1-1", "m-v1-2"}
    assert scene.writes(ISVCS, "DELETE") == []


@in_virtual_time
async def test_an_inference_service_of_its_name_is_in_the_way_of_an_ingress_only() -> None:
    scene = Scene(routing={"type": "None"})
    v1 = scene.record(1)
    scene.recorded("Stable", v1, v1)
    scene.members(v1, 0)
    scene.endpoints("m-v1", "10.0.0.1")
    scene.server.put(INGRESSES, "m", NAMESPACE, owners=[scene.disvc.owner_reference], spec={})
    scene.server.put(ISVCS, "m", NAMESPACE, spec={})
    async with scene.running():
        await asyncio.sleep(30)
        assert scene.names(INGRESSES) == set()
        assert scene.condition("Stalled") == {}


@in_virtual_time
async def test_a_failed_revision_keeps_its_members_while_a_route_leads_to_it_with_recreate_too() -> None:
    scene = Scene("inferenceservice", deploymentStrategy={"type": "Recreate"})
    v1 = scene.record(1, modelName="old")
    v2 = scene.record(2)
    scene.recorded("RollingBack", v1, v2)
    scene.members(v1, 0)
    scene.members(v2, 0)
    scene.put(SERVICES, stable(scene.disvc, v2))
    async with scene.running():
        await asyncio.sleep(10)
        assert scene.names(ISVCS) == {"m-v1-0", "m-v2-0"}
        scene.put(SERVICES, stable(scene.disvc, v1))
        await asyncio.sleep(10)
        assert scene.names(ISVCS) == {"m-v1-0"}


@in_virtual_time
async def test_a_revision_whose_label_somebody_has_removed_is_found_again() -> None:
    scene = Scene()
    v1 = scene.record(1, modelName="old")
    v2 = scene.record(2)
    scene.recorded("Progressing", v1, v2)
    scene.members(v1, 0)
    scene.endpoints("m-v1", "10.0.0.1")
    for record in (v1, v2):
        scene.put(
            REVISIONS,
            {**manifest(scene.disvc, record), "metadata": {**manifest(scene.disvc, record)["metadata"], "labels": {}}},
        )
    async with scene.running():
        await asyncio.sleep(60)
    assert scene.names(ISVCS) == {"m-v1-0", "m-v2-0"}
    labels = (scene.server.get(REVISIONS, "m-v1", NAMESPACE) or {})["metadata"]["labels"]
    assert labels[DISVC_LABEL] == "m"


@in_virtual_time
async def test_a_number_whose_revision_lost_its_label_is_not_taken_again() -> None:
    scene = Scene()
    v1 = scene.record(1, modelName="old")
    value = manifest(scene.disvc, scene.record(2, modelName="other"))
    scene.put(REVISIONS, {**value, "metadata": {**value["metadata"], "labels": {}}})
    scene.recorded("Stable", v1, v1)
    scene.members(v1, 0)
    scene.endpoints("m-v1", "10.0.0.1")
    async with scene.running():
        await asyncio.sleep(60)
    assert scene.status["targetRevision"]["name"] == "m-v3"


@in_virtual_time
async def test_a_revision_that_cannot_be_read_is_told() -> None:
    scene = Scene()
    v1 = scene.record(1)
    scene.recorded("Stable", v1, v1)
    scene.members(v1, 0)
    scene.endpoints("m-v1", "10.0.0.1")
    value = manifest(scene.disvc, v1)
    scene.put(REVISIONS, {**value, "data": {**value["data"], "formatVersion": 2}})
    async with scene.running():
        await asyncio.sleep(60)
    assert "format 2" in scene.condition("Stalled")["message"]


@in_virtual_time
async def test_revisions_that_were_given_up_count_for_the_history_limit() -> None:
    scene = Scene(revisionHistoryLimit=1)
    records = [scene.record(number, modelName=f"n{number}") for number in range(2, 6)]
    v1 = scene.record(1)
    scene.recorded("Stable", v1, v1)
    scene.members(v1, 0)
    async with scene.running():
        await asyncio.sleep(60)
    assert scene.names(REVISIONS) == {"m-v1", records[-1].ref.name}
