"""Bad input that only a cluster can tell: a clear error in the status, the old revision serving, and nothing lost.

What the CRD refuses is in test_crd_admission, flags are in test_cli_settings, storageUris that fail in
test_failing_members.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import structlog
import yaml

from disvc.reconcilers import add_to_manager
from disvc.reconcilers.resources import DISVCS, INGRESSES, ISVCS, REVISIONS, SERVICES
from disvc.runtime import Client, Invalid, Manager, Resource, connect
from disvc.testing.crds import install
from disvc.testing.kserve import Healthy
from disvc.testing.kserve import install as install_kserve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

    from disvc.testing.controlplane import ControlPlane
    from disvc.testing.history import History, Moment
    from disvc.testing.kserve import SimulatedKServe

    Value = dict[str, Any]
    Violations = Callable[[Iterable[Moment]], list[str]]

NEVER_READY = Healthy(startup_seconds=math.inf)
V1, V2, V3 = ({"version": f"v{number}"} for number in (1, 2, 3))
QUOTAS: Resource[Value] = Resource("v1", "ResourceQuota", "resourcequotas")
NAMESPACES: Resource[Value] = Resource("v1", "Namespace", "namespaces", namespaced=False)
CRDS: Resource[Value] = Resource(
    "apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions", namespaced=False
)
UNTYPED: Resource[Value] = Resource(DISVCS.api_version, DISVCS.kind, DISVCS.plural)
CONFIG = Path(__file__).parents[2] / "config"
CONTROLLERS = ("inferenceservice", "service", "ingress", "status")


async def serve(cluster: Any, **spec: Any) -> None:
    await cluster.create(cluster.manifest(annotations=V1, **spec))
    await cluster.until_ready()


async def is_just_v1(cluster: Any) -> bool:
    """Whether v1 serves as it did, and there is no member of another revision."""
    service = await cluster.get("m", SERVICES)
    return bool(
        await cluster.names(ISVCS) == {"m-v1-0"}
        and service["spec"]["selector"]["disvc.group"] == "m-v1"
        and (await cluster.condition("Available"))["status"] == "True"
    )


def predictor(**fields: Any) -> Value:
    return {"inferenservice": {"predictor": fields}}


@pytest.mark.parametrize(
    ("bad", "words", "good"),
    [
        (
            predictor(scaleMetric="happiness"),
            ['InferenceService.serving.kserve.io "m-v2-0" is invalid: spec.predictor.scaleMetric: Unsupported value'],
            predictor(scaleMetric="cpu"),
        ),
        (
            predictor(minReplicas="two"),
            ['webhook "inferenceservice.kserve-webhook-server.defaulter" denied', "minReplicas of type integer"],
            predictor(minReplicas=1),
        ),
        (
            predictor(minReplicas=3, maxReplicas=2),
            ['webhook "inferenceservice.kserve-webhook-server.validator" denied', "cannot be greater than MaxReplicas"],
            predictor(minReplicas=1),
        ),
    ],
    ids=["by its CRD", "by its defaulter", "by its validator"],
)
async def test_a_template_that_kserve_refuses_is_told_in_the_servers_words_and_solved_by_another(
    cluster: Any,
    kserve: SimulatedKServe,
    operator: Manager,
    history: History,
    violations: Violations,
    bad: Value,
    words: list[str],
    good: Value,
) -> None:
    await serve(cluster)
    await cluster.set_spec("m", **bad)
    stalled = await cluster.until_condition("Stalled", reason="Refused")
    for word in ("m-v2-0", *words):
        assert word in stalled["message"]
    assert (await cluster.condition("Ready"))["status"] == "False"
    assert await is_just_v1(cluster)
    await cluster.set_spec("m", **good, annotations=V2)
    status = await cluster.until_ready()
    assert status["activeRevision"]["name"] == "m-v3"
    assert await cluster.condition("Stalled") == {}
    assert violations(await history.moments()) == []


@pytest.mark.parametrize(
    ("counted", "used"),
    [("count/controllerrevisions.apps", 1), ("services", 3)],
    ids=["of ControllerRevisions", "of Services"],
)
async def test_a_rollout_that_a_quota_forbids_says_so_and_goes_on_when_that_is_raised(
    cluster: Any,
    kserve: SimulatedKServe,
    operator: Manager,
    history: History,
    violations: Violations,
    counted: str,
    used: int,
) -> None:
    await serve(cluster)
    await cluster.create({"metadata": {"name": "q"}, "spec": {"hard": {counted: f"{used}"}}}, QUOTAS)

    async def is_counted() -> bool:
        known = (await cluster.get("q", QUOTAS)).get("status", {}).get("used", {})
        return bool(known.get(counted) == f"{used}")

    await cluster.until(is_counted)
    await cluster.set_spec("m", annotations=V2)
    stalled = await cluster.until_condition("Stalled", reason="QuotaExceeded")
    assert f"/m-v2: 403 Forbidden: {counted.removeprefix('count/')} " in stalled["message"]
    assert f"quota: q, requested: {counted}=1, used: {counted}={used}, limited: {counted}={used}" in stalled["message"]
    assert (await cluster.get("m", SERVICES))["spec"]["selector"]["disvc.group"] == "m-v1"
    assert (await cluster.condition("Available"))["status"] == "True"
    await cluster.change("q", {"spec": {"hard": {counted: "9"}}}, QUOTAS)
    status = await cluster.until_ready()
    assert status["activeRevision"]["name"] == "m-v2"
    assert violations(await history.moments()) == []


async def test_names_that_are_too_long_with_the_namespace_are_refused_before_anything_is_made(
    cluster: Any, operator: Manager
) -> None:
    fits = "-v1-0-predictor-" + cluster.namespace
    name = "n" * (64 - len(fits))
    await cluster.create(cluster.manifest(name))
    stalled = await cluster.until_condition("Stalled", reason="NameTooLong", name=name)
    assert f"{name}{fits}, which has 64 characters, and the limit is 63" in stalled["message"]
    assert "use a shorter name or namespace" in stalled["message"]
    assert (await cluster.condition("Ready", name))["status"] == "False"
    for resource in (ISVCS, SERVICES, INGRESSES, REVISIONS):
        assert await cluster.names(resource) == set()
    await cluster.create(cluster.manifest(name[1:]))
    await cluster.until(lambda: cluster.find(f"{name[1:]}-v1-0", ISVCS))


async def test_a_deployment_mode_in_the_metadata_that_is_not_supported_is_refused_before_anything_is_made(
    cluster: Any, kserve: SimulatedKServe, operator: Manager
) -> None:
    value = cluster.manifest()
    value["metadata"]["annotations"]["serving.kserve.io/deploymentMode"] = "Serverless"
    await cluster.create(value)
    stalled = await cluster.until_condition("Stalled", reason="UnsupportedDeploymentMode")
    assert "'Serverless', and only RawDeployment or Standard is supported" in stalled["message"]
    for resource in (ISVCS, SERVICES, INGRESSES, REVISIONS):
        assert await cluster.names(resource) == set()
    mode = {"metadata": {"annotations": {"serving.kserve.io/deploymentMode": None}}}
    await cluster.change("m", mode)
    await cluster.until_ready()


async def test_a_status_that_somebody_writes_by_hand_takes_the_traffic_from_nobody(
    cluster: Any, kserve: SimulatedKServe, operator: Manager, history: History, violations: Violations
) -> None:
    await serve(cluster)

    async def write(**status: Any) -> None:
        await cluster.client.patch(UNTYPED, "m", {"status": status}, cluster.namespace, subresource="status")

    with pytest.raises(Invalid, match="phase"):
        await write(phase="Shining")
    await write(conditions=[], readyReplicas=7, url="http://elsewhere")
    await cluster.until_ready()
    assert (await cluster.status())["readyReplicas"] == 1
    active = (await cluster.status())["activeRevision"]
    nowhere = {"name": "m-v7", "number": 7, "hash": "0000000000"}
    await write(activeRevision=nowhere, targetRevision=nowhere)  # Ready stays as it was until the operator has seen it

    async def is_found_anew() -> bool:
        return (await cluster.status()).get("activeRevision") == active and await is_just_v1(cluster)

    await cluster.until(is_found_anew)
    await cluster.set_spec("m", annotations=V2)
    status = await cluster.until_ready()
    assert status["activeRevision"]["name"] == "m-v2"
    assert violations(await history.moments()) == []


async def test_a_namespace_that_is_deleted_mid_rollout_goes_without_a_storm_of_errors(
    cluster: Any, kserve: SimulatedKServe, operator: Manager
) -> None:
    await serve(cluster)
    kserve.behave("m-v2-0", NEVER_READY)
    await cluster.set_spec("m", annotations=V2)
    await cluster.until(lambda: cluster.find("m-v2-0", ISVCS))
    since = datetime.now(UTC)
    await cluster.client.delete(NAMESPACES, cluster.namespace)
    await cluster.until_gone(DISVCS, "m")
    await cluster.until_gone(ISVCS, "m-v1-0", "m-v2-0")
    await cluster.until_gone(SERVICES, "m", "m-v1", "m-v2")
    count = operator.metrics.registry.get_sample_value
    failed = {one: count("controller_runtime_reconcile_errors_total", {"controller": one}) for one in CONTROLLERS}
    assert failed == dict.fromkeys(CONTROLLERS, 0)
    log = await cluster.plane.audit.settled()
    calls = log.calls(user="operator", namespace=cluster.namespace, since=since)
    told = Counter(f"{call.verb} {call.resource} {call.code}" for call in calls)
    assert told.total() < 100, f"a few for each of two dozen objects that go are no storm: {told}"


@asynccontextmanager
async def operator_of(plane: ControlPlane) -> AsyncIterator[Client]:
    """Run an operator for the namespace default of a control plane, and give its user's client."""
    async with connect(plane.admin.kubeconfig) as transport:
        manager = Manager(transport, namespaces=["default"])
        add_to_manager(manager)
        stop = asyncio.Event()
        running = asyncio.create_task(manager.run(stop=stop, handle_signals=False))
        try:
            yield Client(transport)
        finally:
            stop.set()
            await running


async def test_without_kserve_it_says_what_to_install_and_serves_what_waits_when_that_is_there(
    make_control_plane: Callable[..., Awaitable[ControlPlane]],
) -> None:
    plane = await make_control_plane()
    crd = yaml.safe_load((CONFIG / "crd/bases/serving.kserve.io_distributedinferenceservices.yaml").read_text())
    await asyncio.to_thread(install, plane.admin, crd)
    model = {"modelFormat": {"name": "sklearn"}}
    waits = {"metadata": {"name": "m"}, "spec": {"inferenceService": {"predictor": {"model": model}}}}
    with structlog.testing.capture_logs() as lines:
        async with operator_of(plane) as client, asyncio.timeout(60):
            await client.create(UNTYPED, waits, "default")
            while not any("install KServe: https://" in line.get("hint", "") for line in lines):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            await asyncio.to_thread(install_kserve, plane.admin)
            while not (await client.list(ISVCS, "default")).items:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
