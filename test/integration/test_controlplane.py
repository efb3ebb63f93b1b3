"""The launcher of the real control plane keeps its promises (`disvc.testing.controlplane`, `audit`)."""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
import urllib3

from disvc.testing.audit import AuditLog, AuditLogError
from disvc.testing.controlplane import ControlPlane, ControlPlaneError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from conftest import Until

    from disvc.testing.users import User

    MakeControlPlane = Callable[..., Awaitable[ControlPlane]]

READ_CONFIGMAPS = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list"]}


def create_config_map(user: User, namespace: str, name: str, **metadata: object) -> dict[str, Any]:
    body = {"metadata": {"name": name, **metadata}}
    return user.call("POST", f"/api/v1/namespaces/{namespace}/configmaps", body)


async def test_it_starts_and_reports_how_long_that_took(
    make_control_plane: MakeControlPlane, record_property: Callable[[str, object], None]
) -> None:
    started = time.monotonic()
    plane = await make_control_plane()
    record_property("start_s", round(time.monotonic() - started, 1))
    assert plane.admin.call("GET", "/version")["gitVersion"].startswith("v1.")
    assert plane.url.startswith("https://127.0.0.1:")


async def test_two_run_at_once_and_know_nothing_of_each_other(make_control_plane: MakeControlPlane) -> None:
    one, other = await asyncio.gather(make_control_plane(), make_control_plane())
    create_config_map(one.admin, "default", "here")
    assert one.url != other.url
    assert other.admin.request("GET", "/api/v1/namespaces/default/configmaps/here").status == 404
    with pytest.raises(urllib3.exceptions.SSLError):  # signed by another authority
        urllib3.PoolManager(ca_certs=str(one.ca_file), retries=False).request("GET", other.url)


async def test_a_flag_reaches_the_apiserver_and_a_wrong_one_is_told_with_its_log(
    make_control_plane: MakeControlPlane,
) -> None:
    with pytest.raises(ControlPlaneError, match=r"kube-apiserver ended with 1 (.|\n)*unknown flag: --no-such-flag"):
        await make_control_plane(apiserver_flags=["--no-such-flag"])


async def test_a_stopped_control_plane_says_so() -> None:
    async with ControlPlane() as plane:
        folder = plane.folder
    assert not folder.exists()
    with pytest.raises(ControlPlaneError, match="not started, or was stopped"):
        await plane.stop_apiserver()


async def test_a_start_that_is_cancelled_leaves_nothing_behind() -> None:
    plane = ControlPlane()
    starting = asyncio.create_task(plane.__aenter__())
    await asyncio.sleep(0.5)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert not plane.folder.exists()


async def test_what_the_server_logs_late_is_waited_for_and_what_it_never_logs_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, delay = tmp_path / "audit.log", 0.3

    def answered(mark: str) -> None:
        event = {"auditID": mark, "stage": "ResponseComplete", "verb": "get", "user": {}, "requestURI": f"/{mark}"}
        times = dict.fromkeys(("requestReceivedTimestamp", "stageTimestamp"), datetime.now(UTC).isoformat())
        threading.Timer(delay, path.write_text, [f"{path.read_text()}{json.dumps(event | times)}\n"]).start()

    path.write_text("")
    audit = AuditLog(path, answered)
    assert len((await audit.settled()).calls()) == 2
    monkeypatch.setattr("disvc.testing.audit._SETTLE_S", 0.1)
    with pytest.raises(AuditLogError, match=re.escape(f"is not in the audit log {path}")):
        await AuditLog(path, lambda _: None).settled()


@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_a_restarted_apiserver_has_the_same_url_and_data(make_control_plane: MakeControlPlane, how: str) -> None:
    plane = await make_control_plane()
    created = create_config_map(plane.admin, "default", "kept")
    await (plane.stop_apiserver() if how == "stop" else plane.kill_apiserver())
    with pytest.raises(urllib3.exceptions.NewConnectionError, match="refused"):
        plane.admin.request("GET", "/version")
    await plane.start_apiserver()
    assert plane.admin.call("GET", "/api/v1/namespaces/default/configmaps/kept") == created
    with pytest.raises(ControlPlaneError, match="kube-apiserver is running already"):
        await plane.start_apiserver()


@pytest.mark.parametrize("watch_cache", [True, False])
async def test_after_compaction_an_old_watch_and_a_continued_list_are_gone(
    make_control_plane: MakeControlPlane, watch_cache: bool
) -> None:
    plane = await make_control_plane(apiserver_flags=[f"--watch-cache={json.dumps(watch_cache)}"])
    for name in ("a", "b", "c"):
        create_config_map(plane.admin, "default", name)
    config_maps = "/api/v1/namespaces/default/configmaps"
    page = plane.admin.call("GET", f"{config_maps}?limit=1")["metadata"]
    await plane.compact()
    if watch_cache:
        await plane.stop_apiserver()
        await plane.start_apiserver()
    continued = plane.admin.request("GET", f"{config_maps}?limit=1&continue={page['continue']}")
    assert (continued.status, continued.json()["reason"]) == (410, "Expired")
    watch = f"{config_maps}?watch=true&timeoutSeconds=5&resourceVersion={page['resourceVersion']}"
    event = json.loads(plane.admin.request("GET", watch).data.splitlines()[0])
    assert (event["type"], event["object"]["code"], event["object"]["reason"]) == ("ERROR", 410, "Expired")


async def test_with_a_controller_manager_dependents_are_collected(
    make_control_plane: MakeControlPlane, until: Until
) -> None:
    plane = await make_control_plane(controller_manager=True)
    owner = create_config_map(plane.admin, "default", "owner")
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
    create_config_map(plane.admin, "default", "owned", ownerReferences=[reference])
    plane.admin.call("DELETE", "/api/v1/namespaces/default/configmaps/owner")
    owned = "/api/v1/namespaces/default/configmaps/owned"
    await until(lambda: plane.admin.request("GET", owned).status == 404)
