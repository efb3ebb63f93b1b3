"""The rights in config/rbac are what a manager needs: no request is refused, and no right is unused."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from disvc.runtime import LeaderElection, Manager, Resource, connect

if TYPE_CHECKING:
    from disvc.runtime import Object
    from disvc.testing.audit import AuditLog
    from disvc.testing.controlplane import ControlPlane

RBAC = Path(__file__).parents[2] / "config" / "rbac"
SERVICE_ACCOUNTS = Resource("v1", "ServiceAccount", "serviceaccounts")


class Records:
    """Records an Event three times, so that the server gets one with a series, and goes on until cancelled."""

    needs_leader_election = True

    def __init__(self, manager: Manager, about: Object[Any]) -> None:
        self._manager = manager
        self._about = about

    async def run(self) -> None:
        for _ in range(3):
            self._manager.events.event(self._about, "Normal", "Started", "Start", "a manager leads")
            await asyncio.sleep(0.5)
        await asyncio.Event().wait()


async def seen(audit: AuditLog, *, user: str, resource: str, verb: str) -> None:
    for _ in range(300):
        if (await audit.settled()).calls(user=user, resource=resource, verb=verb):
            return
        await asyncio.sleep(0.2)
    pytest.fail(f"{user} has not asked to {verb} {resource} within a minute")


@pytest.fixture
def overlay(namespace: str, tmp_path: Path) -> Path:
    """A kustomization of config/rbac for a namespace of the test's own."""
    base = os.path.relpath(RBAC, tmp_path)
    kustomization = {
        "resources": [base],
        "namespace": namespace,
        "namePrefix": "disvc-",
        "nameSuffix": f"-{namespace}",
    }
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    return tmp_path


async def test_a_manager_needs_the_rights_in_config_rbac_and_no_more(
    control_plane: ControlPlane, namespace: str, overlay: Path, tmp_path: Path
) -> None:
    await control_plane.kubectl("apply", "-k", str(overlay))
    account = f"disvc-manager-{namespace}"
    about = control_plane.admin.request("GET", f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}").data
    token = control_plane.service_account_token(namespace, account, lifetime_s=600)
    kubeconfig = yaml.safe_load(control_plane.admin.kubeconfig.read_text())
    kubeconfig["users"][0]["user"] = {"token": token}
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(kubeconfig))
    audit = control_plane.audit
    user = f"system:serviceaccount:{namespace}:{account}"

    async with connect(tmp_path / "kubeconfig") as transport, asyncio.TaskGroup() as group:

        def start() -> asyncio.Event:
            manager = Manager(transport, leader_election=LeaderElection(name="manager", namespace=namespace))
            manager.add(Records(manager, SERVICE_ACCOUNTS.read(about)))
            group.create_task(manager.run(stop=(stop := asyncio.Event()), handle_signals=False))
            return stop

        stop_leader = start()
        await seen(audit, user=user, resource="events", verb="patch")
        stop_waiting = start()
        await seen(audit, user=user, resource="leases", verb="watch")
        stop_leader.set()
        stop_waiting.set()

    await audit.settled()
    assert [call for call in audit.calls(user=user) if call.code == 403] == []
    granted = {
        (resource, verb)
        for text in ("leader_election.yaml", "events.yaml")
        for document in yaml.safe_load_all((RBAC / text).read_text())
        for rule in document.get("rules", ())
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert {(call.resource, call.verb) for call in audit.calls(user=user)} == granted
    await control_plane.kubectl("delete", "-k", str(overlay), "--wait=false")
