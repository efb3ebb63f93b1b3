"""What both control planes do alike, the real one and the in-memory one: users, rights, tokens, the audit log."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
import urllib3

from disvc.testing.kubectl import KubectlError
from disvc.testing.namespaces import create_namespace, delete_namespace
from disvc.testing.rights import grant
from disvc.testing.users import RequestFailedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Until

    from disvc.testing.plane import Plane
    from disvc.testing.users import User

READ_CONFIGMAPS = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list"]}


def create_config_map(user: User, namespace: str, name: str, **metadata: object) -> dict[str, Any]:
    body = {"metadata": {"name": name, **metadata}}
    return user.call("POST", f"/api/v1/namespaces/{namespace}/configmaps", body)


@pytest.fixture(params=["real", "memory"])
def plane(request: pytest.FixtureRequest) -> Plane:
    name = "control_plane" if request.param == "real" else "memory_control_plane"
    found: Plane = request.getfixturevalue(name)
    return found


@pytest.fixture
def namespace(plane: Plane) -> Iterator[str]:
    name = create_namespace(plane.admin, "test")
    yield name
    delete_namespace(plane.admin, name)


async def test_a_user_may_do_what_its_rules_say_and_nothing_else(plane: Plane, namespace: str) -> None:
    user = plane.user(f"reader-{namespace}", groups=["readers"], rules=[READ_CONFIGMAPS])
    config_maps = f"/api/v1/namespaces/{namespace}/configmaps"
    assert user.request("GET", config_maps).status == 200
    with pytest.raises(RequestFailedError, match='cannot create resource "configmaps"') as refused:
        create_config_map(user, namespace, "a")
    assert refused.value.status == 403
    assert "403" in str(refused.value)


async def test_new_rules_of_a_user_are_in_force_when_the_call_returns(plane: Plane, namespace: str) -> None:
    config_maps = f"/api/v1/namespaces/{namespace}/configmaps"
    name = f"changed-{namespace}"
    user = plane.user(name)  # kept, as making a connection would take as long as the rules to get there
    for _ in range(30):
        plane.user(name, rules=[READ_CONFIGMAPS])
        assert user.request("GET", config_maps).status == 200
        plane.user(name)
        assert user.request("GET", config_maps).status == 403


async def test_old_rules_of_a_user_are_not_taken_for_the_new_ones(plane: Plane, namespace: str, until: Until) -> None:
    name = f"versions-{namespace}"
    in_force = grant(plane.admin, name, [READ_CONFIGMAPS])
    await until(in_force)
    await until(grant(plane.admin, name, [READ_CONFIGMAPS]))
    assert not in_force()


async def test_the_front_proxy_acts_for_any_user_and_nobody_else_does(plane: Plane, namespace: str) -> None:
    reader = plane.user(f"proxied-{namespace}", rules=[READ_CONFIGMAPS])
    reviews = plane.url + "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    headers = {"X-Remote-User": reader.name, "X-Remote-Group": "system:authenticated"}
    proxy = plane.front_proxy
    pool = urllib3.PoolManager(
        ca_certs=str(plane.ca_file), cert_file=str(proxy.cert_file), key_file=str(proxy.key_file)
    )
    review = pool.request("POST", reviews, json={}, headers=headers).json()
    assert review["status"]["userInfo"]["username"] == reader.name
    ordinary = urllib3.PoolManager(ssl_context=reader.ssl_context())
    review = ordinary.request("POST", reviews, json={}, headers=headers | {"X-Remote-User": "somebody"}).json()
    assert review["status"]["userInfo"]["username"] == reader.name
    pool.clear()
    ordinary.clear()


async def test_kubectl_acts_as_the_user_it_is_given(plane: Plane, namespace: str) -> None:
    user = plane.user(f"kubectl-{namespace}", rules=[READ_CONFIGMAPS])
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}
    created = await plane.kubectl("-n", namespace, "create", "-f", "-", stdin=json.dumps(manifest))
    assert created == "configmap/a created\n"
    assert "configmap/a" in await plane.kubectl("-n", namespace, "get", "cm", "-o", "name", user=user)
    with pytest.raises(KubectlError, match="Forbidden"):
        await plane.kubectl("-n", namespace, "delete", "cm", "a", user=user)


async def test_a_kubeconfig_can_point_elsewhere(plane: Plane) -> None:
    path = plane.kubeconfig(plane.admin, server="https://127.0.0.1:1")
    shown = await plane.kubectl("config", "view", "--kubeconfig", str(path), "-o", "json")
    assert json.loads(shown)["clusters"][0]["cluster"]["server"] == "https://127.0.0.1:1"


async def test_a_service_account_token_works_and_then_expires(plane: Plane, namespace: str, until: Until) -> None:
    accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    plane.admin.call("POST", accounts, {"metadata": {"name": "robot"}})
    token = plane.service_account_token(namespace, "robot", lifetime_s=3)
    pool = urllib3.PoolManager(ca_certs=str(plane.ca_file), headers={"Authorization": f"Bearer {token}"})
    reviews = plane.url + "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    first = pool.request("POST", reviews, json={}).json()
    assert first["status"]["userInfo"]["username"] == f"system:serviceaccount:{namespace}:robot"
    # About 13 s: its life, and what the API server remembers.
    await until(lambda: pool.request("POST", reviews, json={}).status == 401)
    pool.clear()


async def test_a_token_of_no_account_is_refused_with_its_name(plane: Plane, namespace: str) -> None:
    with pytest.raises(RequestFailedError, match='serviceaccounts "nobody" not found'):
        plane.service_account_token(namespace, "nobody", lifetime_s=3)


async def test_the_audit_log_counts_every_call_once(plane: Plane, namespace: str) -> None:
    rules = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create", "watch"]}
    user = plane.user(f"audited-{namespace}", rules=[rules])
    before = datetime.now(UTC)
    for number in range(100):
        create_config_map(user, namespace, f"a-{number}")
    config_maps = f"/api/v1/namespaces/{namespace}/configmaps"
    assert user.request("GET", config_maps).status == 403
    assert user.request("GET", f"{config_maps}?watch=true&timeoutSeconds=1").status == 200
    audit = await plane.audit.settled()
    creates = audit.calls(user=user.name, verb="create", resource="configmaps", namespace=namespace)
    assert [call.name for call in creates] == [f"a-{number}" for number in range(100)]
    assert {call.code for call in creates} == {201}
    assert all(before <= call.received <= call.staged for call in creates)
    assert [call.code for call in audit.calls(user=user.name, verb="list")] == [403]
    assert [call.stage for call in audit.calls(user=user.name, verb="watch")] == ["ResponseComplete"]
    assert len(audit.calls(user=user.name)) == 102
    assert audit.calls(user=user.name, since=datetime.now(UTC)) == []


async def test_the_audit_log_shows_a_watch_that_still_runs(plane: Plane, namespace: str) -> None:
    rules = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["watch"]}
    user = plane.user(f"watcher-{namespace}", rules=[rules])
    pool = urllib3.PoolManager(ssl_context=user.ssl_context())
    url = f"{plane.url}/api/v1/namespaces/{namespace}/configmaps?watch=true"
    watch = pool.request("GET", url, preload_content=False)
    audit = await plane.audit.settled()
    assert [call.stage for call in audit.calls(user=user.name)] == ["ResponseStarted"]
    watch.close()
    pool.clear()


async def test_a_namespace_goes_with_all_that_is_in_it(plane: Plane) -> None:
    admin = plane.admin
    name = create_namespace(admin, "goes")
    create_config_map(admin, name, "held", finalizers=["example.org/never"])
    admin.call("POST", f"/apis/coordination.k8s.io/v1/namespaces/{name}/leases", {"metadata": {"name": "a"}})
    delete_namespace(admin, name)
    delete_namespace(admin, name)
    assert admin.request("GET", f"/api/v1/namespaces/{name}").status == 404
    for resource in ("/api/v1/namespaces/{}/configmaps", "/apis/coordination.k8s.io/v1/namespaces/{}/leases"):
        assert admin.call("GET", resource.format(name))["items"] == []
