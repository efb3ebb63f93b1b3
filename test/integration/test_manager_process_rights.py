"""The rights in config/rbac are what the operator needs for the whole life of a service, and no more."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from disvc.testing.program import Program
from disvc.testing.rights import rules_in

if TYPE_CHECKING:
    from disvc.testing.controlplane import ControlPlane
    from disvc.testing.kserve import SimulatedKServe

ROOT = Path(__file__).parents[2]
RBAC = ROOT / "config" / "rbac"
RULES = rules_in(RBAC / "role.yaml", RBAC / "leader_election.yaml", RBAC / "events.yaml")
SAMPLES = ROOT / "config" / "samples"
AT_ONCE = {"deploymentStrategy": {"propagationSeconds": 0, "drainSeconds": 0}, "revisionHistoryLimit": 0}
# Endpoints are listed before the traffic is moved; all else is listed only where a server cannot stream it.
BEFORE_A_MOVE = {("endpointslices", "list")}
# This one is read where an answer was lost, or the cache is behind.
AFTER_FAILURES = {("inferenceservices", "get")}
# Asked for by no request: the admission plugin OwnerReferencesPermissionEnforcement, which is off here, wants it.
BY_ADMISSION = {("distributedinferenceservices/finalizers", "update")}


async def test_a_service_lives_and_dies_with_the_rights_in_config_rbac_and_every_one_is_used(
    control_plane_with_controllers: ControlPlane, kserve: SimulatedKServe, kserve_namespace: str
) -> None:
    plane = control_plane_with_controllers
    user = await asyncio.to_thread(plane.user, "least-privileged", (), RULES)

    async def kubectl(*args: str, stdin: str | None = None) -> str:
        return await plane.kubectl(*args, f"--namespace={kserve_namespace}", stdin=stdin)

    async def apply(sample: str) -> None:
        disvc = yaml.safe_load((SAMPLES / sample).read_text())
        disvc["spec"] |= AT_ONCE
        await kubectl("apply", "-f", "-", stdin=yaml.safe_dump(disvc))

    async def rolled_out() -> None:
        await kubectl("wait", "disvc/iris-rolling", "--for=condition=Ready", "--timeout=60s")

    await plane.kubectl("apply", "--server-side", "-k", str(ROOT / "config" / "crd"))
    flags = [
        f"--kubeconfig={user.kubeconfig}",
        f"--watch-namespaces={kserve_namespace}",
        "--leader-elect",
        f"--leader-election-namespace={kserve_namespace}",
        "--metrics-bind-address=0",
        "--health-probe-bind-address=0",
    ]
    async with Program(ROOT / "cmd" / "manager", *flags, environment={}) as manager:
        await manager.logged("controller started")
        await apply("rolling-update-v1.yaml")
        await rolled_out()
        await apply("rolling-update-v2.yaml")
        await kubectl(
            "wait",
            "disvc/iris-rolling",
            "--for=jsonpath={.status.activeRevision.name}=iris-rolling-v2",
            "--timeout=60s",
        )
        await rolled_out()
        await kubectl("wait", "controllerrevision/iris-rolling-v1", "--for=delete", "--timeout=60s")
        await kubectl("label", "isvc/iris-rolling-v2-0", "disvc=edited", "--overwrite")
        await kubectl(
            "wait", "isvc/iris-rolling-v2-0", "--for=jsonpath={.metadata.labels.disvc}=iris-rolling", "--timeout=60s"
        )
        await kubectl("label", "controllerrevision/iris-rolling-v2", "disvc-")
        await kubectl(
            "wait",
            "controllerrevision/iris-rolling-v2",
            "--for=jsonpath={.metadata.labels.disvc}=iris-rolling",
            "--timeout=60s",
        )
        await kubectl("label", "disvc/iris-rolling", "networking.kserve.io/visibility=cluster-local")
        await kubectl("wait", "ingress/iris-rolling", "--for=delete", "--timeout=60s")
        manager.send(signal.SIGTERM)
        assert await manager.ended() == 0
    calls = (await plane.audit.settled()).calls(user=user.name)
    assert [call for call in calls if call.code == 403] == []
    role = rules_in(RBAC / "role.yaml")
    granted = {(resource, verb) for rule in role for resource in rule["resources"] for verb in rule["verbs"]}
    used = {(f"{call.resource}/{call.subresource}".rstrip("/"), call.verb) for call in calls}
    lists = {(resource, "list") for resource, verb in granted if verb == "watch"}
    assert granted - used == lists - BEFORE_A_MOVE | AFTER_FAILURES | BY_ADMISSION
