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
from disvc.testing.kubectl import KubectlError
from disvc.testing.namespaces import create_namespace, delete_namespace
from disvc.testing.rights import grant
from disvc.testing.users import RequestFailedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from disvc.testing.users import User

    MakeControlPlane = Callable[..., Awaitable[ControlPlane]]

READ_CONFIGMAPS = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list"]}


def create_config_map(user: User, namespace: str, name: str, **metadata: object) -> dict[str, Any]:
    body = {"metadata": {"name": name, **metadata}}
    return user.call("POST", f"/api/v1/namespaces/{namespace}/configmaps", body)


async def eventually(condition: Callable[[], bool]) -> None:
    for _ in range(300):
        if condition():
            return
        await asyncio.sleep(0.2)
    pytest.fail("this did not become so within a minute")


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


async def test_a_user_may_do_what_its_rules_say_and_nothing_else(control_plane: ControlPlane, namespace: str) -> None:
    user = control_plane.user(f"reader-{namespace}", groups=["readers"], rules=[READ_CONFIGMAPS])
    config_maps = f"/api/v1/namespaces/{namespace}/configmaps"
    assert user.request("GET", config_maps).status == 200
    with pytest.raises(RequestFailedError, match='cannot create resource "configmaps"') as refused:
        create_config_map(user, namespace, "a")
    assert refused.value.status == 403
    assert "403" in str(refused.value)


async def test_new_rules_of_a_user_are_in_force_when_the_call_returns(
    control_plane: ControlPlane, namespace: str
) -> None:
    config_maps = f"/api/v1/namespaces/{namespace}/configmaps"
    name = f"changed-{namespace}"
    user = control_plane.user(name)  # kept, as making a connection would take as long as the rules to get there
    for _ in range(30):
        control_plane.user(name, rules=[READ_CONFIGMAPS])
        assert user.request("GET", config_maps).status == 200
        control_plane.user(name)
        assert user.request("GET", config_maps).status == 403


async def test_old_rules_of_a_user_are_not_taken_for_the_new_ones(control_plane: ControlPlane, namespace: str) -> None:
    name = f"versions-{namespace}"
    in_force = grant(control_plane.admin, name, [READ_CONFIGMAPS])
    await eventually(in_force)
    await eventually(grant(control_plane.admin, name, [READ_CONFIGMAPS]))
    assert not in_force()


async def test_the_front_proxy_acts_for_any_user_and_nobody_else_does(
    control_plane: ControlPlane, namespace: str
) -> None:
    reader = control_plane.user(f"proxied-{namespace}", rules=[READ_CONFIGMAPS])
    reviews = control_plane.url + "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    headers = {"X-Remote-User": reader.name, "X-Remote-Group": "system:authenticated"}
    proxy = control_plane.front_proxy
    pool = urllib3.PoolManager(
        ca_certs=str(control_plane.ca_file), cert_file=str(proxy.cert_file), key_file=str(proxy.key_file)
    )
    review = pool.request("POST", reviews, json={}, headers=headers).json()
    assert review["status"]["userInfo"]["username"] == reader.name
    ordinary = urllib3.PoolManager(ssl_context=reader.ssl_context())
    review = ordinary.request("POST", reviews, json={}, headers=headers | {"X-Remote-User": "somebody"}).json()
    assert review["status"]["userInfo"]["username"] == reader.name
    pool.clear()
    ordinary.clear()


async def test_kubectl_acts_as_the_user_it_is_given(control_plane: ControlPlane, namespace: str) -> None:
    user = control_plane.user(f"kubectl-{namespace}", rules=[READ_CONFIGMAPS])
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}
    created = await control_plane.kubectl("-n", namespace, "create", "-f", "-", stdin=json.dumps(manifest))
    assert created == "configmap/a created\n"
    assert "configmap/a" in await control_plane.kubectl("-n", namespace, "get", "cm", "-o", "name", user=user)
    with pytest.raises(KubectlError, match="Forbidden"):
        await control_plane.kubectl("-n", namespace, "delete", "cm", "a", user=user)


async def test_a_kubeconfig_can_point_elsewhere(control_plane: ControlPlane) -> None:
    path = control_plane.kubeconfig(control_plane.admin, server="https://127.0.0.1:1")
    shown = await control_plane.kubectl("config", "view", "--kubeconfig", str(path), "-o", "json")
    assert json.loads(shown)["clusters"][0]["cluster"]["server"] == "https://127.0.0.1:1"


async def test_a_service_account_token_works_and_then_expires(control_plane: ControlPlane, namespace: str) -> None:
    accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    control_plane.admin.call("POST", accounts, {"metadata": {"name": "robot"}})
    token = control_plane.service_account_token(namespace, "robot", lifetime_s=3)
    pool = urllib3.PoolManager(ca_certs=str(control_plane.ca_file), headers={"Authorization": f"Bearer {token}"})
    reviews = control_plane.url + "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    first = pool.request("POST", reviews, json={}).json()
    assert first["status"]["userInfo"]["username"] == f"system:serviceaccount:{namespace}:robot"
    # About 13 s: its life, and what the API server remembers.
    await eventually(lambda: pool.request("POST", reviews, json={}).status == 401)
    pool.clear()


async def test_a_token_of_no_account_is_refused_with_its_name(control_plane: ControlPlane, namespace: str) -> None:
    with pytest.raises(RequestFailedError, match='serviceaccounts "nobody" not found'):
        control_plane.service_account_token(namespace, "nobody", lifetime_s=3)


async def test_the_audit_log_counts_every_call_once(control_plane: ControlPlane, namespace: str) -> None:
    rules = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create", "watch"]}
    user = control_plane.user(f"audited-{namespace}", rules=[rules])
    before = datetime.now(UTC)
    for number in range(100):
        create_config_map(user, namespace, f"a-{number}")
    config_maps = f"/api/v1/namespaces/{namespace}/configmaps"
    assert user.request("GET", config_maps).status == 403
    assert user.request("GET", f"{config_maps}?watch=true&timeoutSeconds=1").status == 200
    audit = await control_plane.audit.settled()
    creates = audit.calls(user=user.name, verb="create", resource="configmaps", namespace=namespace)
    assert [call.name for call in creates] == [f"a-{number}" for number in range(100)]
    assert {call.code for call in creates} == {201}
    assert all(before <= call.received <= call.staged for call in creates)
    assert [call.code for call in audit.calls(user=user.name, verb="list")] == [403]
    assert [call.stage for call in audit.calls(user=user.name, verb="watch")] == ["ResponseComplete"]
    assert len(audit.calls(user=user.name)) == 102
    assert audit.calls(user=user.name, since=datetime.now(UTC)) == []


async def test_the_audit_log_shows_a_watch_that_still_runs(control_plane: ControlPlane, namespace: str) -> None:
    rules = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["watch"]}
    user = control_plane.user(f"watcher-{namespace}", rules=[rules])
    pool = urllib3.PoolManager(ssl_context=user.ssl_context())
    url = f"{control_plane.url}/api/v1/namespaces/{namespace}/configmaps?watch=true"
    watch = pool.request("GET", url, preload_content=False)
    audit = await control_plane.audit.settled()
    assert [call.stage for call in audit.calls(user=user.name)] == ["ResponseStarted"]
    watch.close()
    pool.clear()


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


async def test_a_namespace_goes_with_all_that_is_in_it(control_plane: ControlPlane) -> None:
    admin = control_plane.admin
    name = create_namespace(admin, "goes")
    create_config_map(admin, name, "held", finalizers=["example.org/never"])
    admin.call("POST", f"/apis/coordination.k8s.io/v1/namespaces/{name}/leases", {"metadata": {"name": "a"}})
    delete_namespace(admin, name)
    delete_namespace(admin, name)
    assert admin.request("GET", f"/api/v1/namespaces/{name}").status == 404
    for resource in ("/api/v1/namespaces/{}/configmaps", "/apis/coordination.k8s.io/v1/namespaces/{}/leases"):
        assert admin.call("GET", resource.format(name))["items"] == []


async def test_with_a_controller_manager_dependents_are_collected(
    make_control_plane: MakeControlPlane,
) -> None:
    plane = await make_control_plane(controller_manager=True)
    owner = create_config_map(plane.admin, "default", "owner")
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
    create_config_map(plane.admin, "default", "owned", ownerReferences=[reference])
    plane.admin.call("DELETE", "/api/v1/namespaces/default/configmaps/owner")
    owned = "/api/v1/namespaces/default/configmaps/owned"
    await eventually(lambda: plane.admin.request("GET", owned).status == 404)
