"""What a cluster may put in a program's way, from rights that are missing to objects that make no sense.

Each is said in the log with what to do, is tried again with back-off and not in a storm, and is over by itself
when its cause is; what is not concerned goes on meanwhile.
"""

from __future__ import annotations

import asyncio
import json
import stat
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import urllib3
import yaml

from disvc.runtime import Controller, Delta, Manager, Request, Resource, Result, Selection
from disvc.testing.certificates import Authority

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from conftest import MakeOthers, MakeProxy, Until, Watching

    from disvc.testing.controlplane import ControlPlane


CONFIG_MAPS = Resource("v1", "ConfigMap", "configmaps")
SECRETS = Resource("v1", "Secret", "secrets")
RULES = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["*"]}]
WITH_SECRETS = [{"apiGroups": [""], "resources": ["configmaps", "secrets"], "verbs": ["*"]}]
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def names(prefix: str, count: int) -> list[str]:
    return [f"{prefix}-{number}" for number in range(count)]


class SiteSpec(msgspec.Struct):
    replicas: int


class Site(msgspec.Struct):
    """The program's model, stricter than the CRD's schema."""

    metadata: dict[str, Any]
    spec: SiteSpec


class Sites:
    """A CRD that comes and goes."""

    def __init__(self, plane: ControlPlane, namespace: str, until: Until) -> None:
        self._until = until
        group = f"{namespace}.example.org"
        self.resource = Resource(f"{group}/v1", "Site", "sites", model=Site)
        self.rules = [*RULES, {"apiGroups": [group], "resources": ["sites"], "verbs": ["*"]}]
        self._admin = plane.admin
        self._name = f"sites.{group}"
        schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
        self._definition = {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": self._name},
            "spec": {
                "group": group,
                "scope": "Namespaced",
                "names": {"plural": "sites", "singular": "site", "kind": "Site"},
                "versions": [version],
            },
        }

    async def install(self) -> None:
        """Create the CRD, and wait until its objects can be listed."""
        await asyncio.to_thread(self._admin.call, "POST", CRDS, self._definition)
        await self._answers(200)

    async def remove(self) -> None:
        """Delete the CRD if it is there, and wait until it and all its objects are gone."""
        await asyncio.to_thread(self._admin.request, "DELETE", f"{CRDS}/{self._name}")
        await self._answers(404)

    async def _answers(self, status: int) -> None:
        async def is_so() -> bool:
            paths = (f"{CRDS}/{self._name}", self.resource.path())
            answers = [await asyncio.to_thread(self._admin.request, "GET", path) for path in paths]
            return all(answer.status == status for answer in answers)

        await self._until(is_so)


@pytest.fixture
async def sites(control_plane: ControlPlane, namespace: str, until: Until) -> AsyncIterator[Sites]:
    """A CRD of this test's own, not installed yet."""
    sites = Sites(control_plane, namespace, until)
    yield sites
    await sites.remove()


async def test_403_is_said_with_verb_and_resource_while_others_run_and_ends_when_the_right_is_granted(
    control_plane: ControlPlane, namespace: str, make_others: MakeOthers, watching: Watching
) -> None:
    user = await asyncio.to_thread(control_plane.user, f"forbidden-{namespace}", (), RULES)
    config_maps = await make_others(control_plane, namespace)
    secrets = await make_others(control_plane, namespace, SECRETS)
    await config_maps.create(*names("a", 5))
    await secrets.create(*names("s", 5))
    async with watching(user.kubeconfig, Selection(CONFIG_MAPS, (namespace,))) as program:
        forbidden = program.observe(Selection(SECRETS, (namespace,)))
        await program.agrees_with(config_maps)
        await program.until_logged("grant list and watch on secrets")
        await asyncio.sleep(5)
        await config_maps.change(*names("a", 5))
        await program.agrees_with(config_maps)
        assert not forbidden.subscription.has_synced
        said = program.logged("403")
        refusals = (await control_plane.audit.settled()).calls(user=user.name, resource="secrets")
        assert {call.code for call in refusals} == {403}
        assert 2 <= len(refusals) <= 15, "it is asked again, and not in a storm"
        assert len(said) < len(refusals) or len(refusals) == 2
        assert 'cannot watch resource "secrets"' in said[0]["error"]
        assert namespace in said[0]["error"]
        await asyncio.to_thread(control_plane.user, user.name, (), WITH_SECRETS)
        await forbidden.agrees_with(secrets)


async def test_rights_that_are_taken_away_while_it_runs_and_given_back_leave_no_trace(
    control_plane: ControlPlane,
    namespace: str,
    make_proxy: MakeProxy,
    make_others: MakeOthers,
    watching: Watching,
) -> None:
    user = await asyncio.to_thread(control_plane.user, f"revoked-{namespace}", (), RULES)
    proxy = await make_proxy(control_plane, user.name)
    others = await make_others(control_plane, namespace)
    await others.create(*names("a", 20))
    kubeconfig = control_plane.kubeconfig(user, server=proxy.url)
    async with watching(kubeconfig, Selection(CONFIG_MAPS, (namespace,))) as program:
        await program.agrees_with(others)
        await asyncio.to_thread(control_plane.user, user.name)
        proxy.cut_all()
        await others.change(*names("a", 10))
        await others.delete(*names("a", 5))
        await program.until_logged('cannot watch resource "configmaps"')
        await asyncio.to_thread(control_plane.user, user.name, (), RULES)
        await program.agrees_with(others)
        program.saw_deleted(others, *names("a", 5))


async def test_a_crd_that_is_not_installed_yet_is_waited_for_while_others_run(
    control_plane: ControlPlane, namespace: str, sites: Sites, make_others: MakeOthers, watching: Watching
) -> None:
    user = await asyncio.to_thread(control_plane.user, f"early-{namespace}", (), sites.rules)
    config_maps = await make_others(control_plane, namespace)
    others = await make_others(control_plane, namespace, sites.resource)
    await config_maps.create(*names("a", 5))
    async with watching(user.kubeconfig, Selection(CONFIG_MAPS, (namespace,))) as program:
        early = program.observe(Selection(sites.resource, (namespace,)))
        await program.agrees_with(config_maps)
        await program.until_logged(f"is the CustomResourceDefinition {sites.resource} installed? waiting for it")
        assert not early.subscription.has_synced
        await sites.install()
        await others.create(*names("s", 5), spec={"replicas": 1})
        await early.agrees_with(others)


@pytest.mark.parametrize("looking", [True, False])
async def test_a_crd_that_is_deleted_and_installed_again_takes_its_objects_with_it(
    control_plane: ControlPlane,
    namespace: str,
    sites: Sites,
    make_proxy: MakeProxy,
    make_others: MakeOthers,
    watching: Watching,
    looking: bool,
) -> None:
    user = await asyncio.to_thread(control_plane.user, f"again-{namespace}", (), sites.rules)
    proxy = await make_proxy(control_plane, user.name)
    others = await make_others(control_plane, namespace, sites.resource)
    await sites.install()
    await others.create(*names("s", 20), spec={"replicas": 1})
    before = dict(others.uids)
    kubeconfig = control_plane.kubeconfig(user, server=proxy.url)
    async with watching(kubeconfig, Selection(sites.resource, (namespace,))) as program:
        await program.agrees_with(others)
        if not looking:
            await proxy.refuse_connections()
            proxy.cut_all()
        await sites.remove()
        if looking:
            await program.until_logged("installed? waiting for it")
        await sites.install()
        await others.create(*names("s", 10), spec={"replicas": 2})
        proxy.accept_connections()
        await program.agrees_with(others)
        told = {(key.name, uid) for key, uid in program.seen.deleted}
        assert told == set(before.items())


async def test_an_object_that_does_not_decode_is_reported_and_the_rest_goes_on(
    control_plane: ControlPlane,
    namespace: str,
    sites: Sites,
    make_others: MakeOthers,
    watching: Watching,
    until: Until,
) -> None:
    replicas: dict[str, int] = {}
    told: dict[str, int] = {}

    class Reconciler:
        def __init__(self, manager: Manager) -> None:
            self._cache = manager.cache(sites.resource)

        async def reconcile(self, request: Request) -> Result | None:
            site = self._cache.get(request)
            assert site is not None
            replicas[request.name] = site.decode().spec.replicas
            return None

    async def handle(delta: Delta[Site]) -> None:
        told[delta.object.key.name] = delta.object.decode().spec.replicas

    def prepare(manager: Manager) -> None:
        manager.add(Controller("sites", for_=sites.resource, reconciler=Reconciler(manager)))
        manager.informers.subscribe(Selection(sites.resource, (namespace,)), handle, "decoding handler")

    user = await asyncio.to_thread(control_plane.user, f"lax-{namespace}", (), sites.rules)
    others = await make_others(control_plane, namespace, sites.resource)
    await sites.install()
    await others.create("first", "second", spec={"replicas": 1})
    await others.create("bad", spec={"replicas": "many"})
    await others.create("third", spec={"replicas": 1})
    options = {"prepare": prepare, "namespaces": (namespace,)}
    async with watching(user.kubeconfig, Selection(sites.resource, (namespace,)), **options) as program:
        await program.agrees_with(others)
        await program.until_logged("reconcile failed")
        await others.change("third", spec={"replicas": 3})
        await until(lambda: replicas == told == {"first": 1, "second": 1, "third": 3})
        await asyncio.sleep(2)
        (report,) = [entry for entry in program.log if entry["event"].startswith("reconcile failed")]
        assert f"{sites.resource} {namespace}/bad does not decode as Site" in report["error"]
        assert "Expected `int`, got `str`" in report["error"]
        reports = [entry for entry in program.log if entry["event"].startswith("event handler failed")]
        assert reports, "the handler that raised is told of"
        assert all(f"{namespace}/bad" in entry["object"] for entry in reports)
        await others.change("bad", spec={"replicas": 7})
        await until(lambda: replicas.get("bad") == told.get("bad") == 7)


async def test_a_server_whose_certificate_is_not_trusted_is_said_to_be_so(
    control_plane: ControlPlane, namespace: str, tmp_path: Path, watching: Watching
) -> None:
    config = yaml.safe_load(control_plane.admin.kubeconfig.read_text())
    config["clusters"][0]["cluster"]["certificate-authority"] = str(Authority("other", tmp_path).ca_file)
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(config))
    async with watching(kubeconfig, Selection(CONFIG_MAPS, (namespace,))) as program:
        await program.until_logged("is certificate-authority in the kubeconfig the one that signed")
        (first, *_) = program.logged("TLS handshake")
        assert control_plane.url in first["error"]
        await asyncio.sleep(3)
        assert program.metric("disvc_reflector_failures_total") <= 15, "it is tried again, and not in a storm"
        assert len(program.logged("TLS handshake")) <= 5
        assert not program.subscription.has_synced


async def test_a_server_that_is_unreachable_at_the_start_is_waited_for(
    control_plane: ControlPlane,
    namespace: str,
    make_proxy: MakeProxy,
    make_others: MakeOthers,
    watching: Watching,
) -> None:
    user = await asyncio.to_thread(control_plane.user, f"unreachable-{namespace}", (), RULES)
    proxy = await make_proxy(control_plane, user.name)
    others = await make_others(control_plane, namespace)
    await others.create(*names("a", 5))
    await proxy.refuse_connections()
    kubeconfig = control_plane.kubeconfig(user, server=proxy.url)
    async with watching(kubeconfig, Selection(CONFIG_MAPS, (namespace,))) as program:
        await program.until_logged(f"{proxy.url} cannot be reached")
        await asyncio.sleep(3)
        assert program.metric("disvc_reflector_failures_total") <= 15, "it is tried again, and not in a storm"
        assert len(program.logged("cannot be reached")) <= 5
        proxy.accept_connections()
        await program.agrees_with(others)


class Robot:
    """A service account whose short-lived tokens a program reads from a file, or gets from an exec plugin."""

    def __init__(self, plane: ControlPlane, namespace: str, folder: Path, server: str, how: str, until: Until) -> None:
        self._until = until
        self._plane = plane
        self._namespace = namespace
        self._file = folder / "token"
        self._plugin = folder / "plugin"
        credential = {
            "apiVersion": "client.authentication.k8s.io/v1",
            "kind": "ExecCredential",
            "status": {"token": "%s"},
        }
        self._plugin.write_text(f"#!/bin/sh\nprintf '{json.dumps(credential)}' \"$(cat '{self._file}')\"\n")
        self._plugin.chmod(stat.S_IRWXU)
        plugin = {
            "apiVersion": credential["apiVersion"],
            "command": str(self._plugin),
            "interactiveMode": "Never",
        }
        user = {"tokenFile": str(self._file)} if how == "tokenFile" else {"exec": plugin}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": {"server": server}}],
            "users": [{"name": "test", "user": user}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "current-context": "test",
        }
        self.kubeconfig = folder / "kubeconfig"
        self.kubeconfig.write_text(yaml.safe_dump(config))

    async def get_token(self, lifetime_s: float) -> None:
        """Put a new token where the program finds it."""
        token = self._plane.service_account_token
        self._file.write_text(await asyncio.to_thread(token, self._namespace, "robot", lifetime_s))

    async def token_expires(self) -> None:
        """Wait until the server refuses the token that is there now."""
        headers = {"Authorization": f"Bearer {self._file.read_text()}"}
        path = f"{self._plane.url}/api/v1/namespaces/{self._namespace}/configmaps?limit=1"
        with urllib3.PoolManager(ca_certs=str(self._plane.ca_file)) as pool:

            async def is_refused() -> bool:
                return (await asyncio.to_thread(pool.request, "GET", path, headers=headers)).status == 401

            await self._until(is_refused)


@pytest.fixture
async def make_robot(
    control_plane: ControlPlane, namespace: str, tmp_path: Path, until: Until
) -> Callable[[str, str], Awaitable[Robot]]:
    """`await make_robot(server_url, how)`; how is tokenFile or exec."""

    async def make(server: str, how: str) -> Robot:
        accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
        await asyncio.to_thread(control_plane.admin.call, "POST", accounts, {"metadata": {"name": "robot"}})
        user = f"system:serviceaccount:{namespace}:robot"
        await asyncio.to_thread(control_plane.user, user, (), RULES)
        return Robot(control_plane, namespace, tmp_path, server, how, until)

    return make


@pytest.mark.parametrize("how", ["tokenFile", "exec"])
async def test_a_token_that_expires_is_renewed_and_nobody_notices(
    control_plane: ControlPlane,
    namespace: str,
    make_proxy: MakeProxy,
    make_others: MakeOthers,
    watching: Watching,
    make_robot: Callable[[str, str], Awaitable[Robot]],
    how: str,
) -> None:
    proxy = await make_proxy(control_plane)
    robot = await make_robot(proxy.url, how)
    await robot.get_token(15)
    others = await make_others(control_plane, namespace)
    await others.create(*names("a", 20))
    async with watching(robot.kubeconfig, Selection(CONFIG_MAPS, (namespace,))) as program:
        await program.agrees_with(others)
        await robot.token_expires()
        await robot.get_token(600)
        client = program.manager.client
        created = await asyncio.gather(
            *(client.create(CONFIG_MAPS, {"metadata": {"name": name}}, namespace) for name in names("own", 20))
        )
        assert len(created) == 20
        proxy.cut_all()
        await others.delete(*names("a", 5))
        await program.agrees_with(others)
        program.saw_deleted(others, *names("a", 5))
        assert not program.logged("401")
        refused = [exchange for exchange in proxy.requests if exchange.status == 401]
        assert 1 <= len(refused) <= 20, "each write that was under way may be refused once"


async def test_fields_that_the_server_does_not_know_and_drops_are_logged_once_each(
    control_plane: ControlPlane, namespace: str, watching: Watching
) -> None:
    def config_map(name: str) -> dict[str, Any]:
        return {"metadata": {"name": name}, "spec": {}, "größe": 1}

    async with watching(control_plane.kubeconfig(control_plane.admin), Selection(CONFIG_MAPS, (namespace,))) as program:
        for name in "ab":
            await program.manager.client.create(CONFIG_MAPS, config_map(name), namespace)
        await program.manager.client.patch(CONFIG_MAPS, "b", {'"quoted"': 1}, namespace)
    assert [(entry["call"], entry["warning"]) for entry in program.logged("the API server warns")] == [
        (f"create configmaps {namespace}/a", 'unknown field "spec"'),
        (f"create configmaps {namespace}/a", 'unknown field "größe"'),
        (f"patch configmaps {namespace}/b", r'unknown field "\"quoted\""'),
    ]


@pytest.mark.parametrize("how", ["tokenFile", "exec"])
async def test_401_is_said_without_a_storm_and_ends_when_there_is_a_new_token(
    control_plane: ControlPlane,
    namespace: str,
    make_proxy: MakeProxy,
    make_others: MakeOthers,
    watching: Watching,
    make_robot: Callable[[str, str], Awaitable[Robot]],
    how: str,
) -> None:
    proxy = await make_proxy(control_plane)
    robot = await make_robot(proxy.url, how)
    await robot.get_token(-60)
    others = await make_others(control_plane, namespace)
    await others.create(*names("a", 20))
    async with watching(robot.kubeconfig, Selection(CONFIG_MAPS, (namespace,))) as program:
        await program.until_logged("the server does not accept these credentials; are they expired?")
        await asyncio.sleep(5)
        assert 2 <= len(proxy.requests) <= 15, "it is asked again, and not in a storm"
        assert len(program.logged("401")) <= 5
        await robot.get_token(600)
        await program.agrees_with(others)
