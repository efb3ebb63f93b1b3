"""Admission webhooks on the in-memory API server."""

from __future__ import annotations

import base64
import random
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from disvc.runtime import ApiError, Client, Forbidden, Resource
from disvc.runtime.environment import Environment
from disvc.testing.memory import APIServer
from disvc.testing.memory.builtin import TYPES
from disvc.testing.memory.requests import ADMIN, Request
from disvc.testing.memory.webhook_reviews import WebhookError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

CONFIG_MAPS = Resource("v1", "ConfigMap", "configmaps")
NAMESPACES = Resource("v1", "Namespace", "namespaces", namespaced=False)
_GROUP = "admissionregistration.k8s.io/v1"
MUTATING = Resource(_GROUP, "MutatingWebhookConfiguration", "mutatingwebhookconfigurations", namespaced=False)
VALIDATING = Resource(_GROUP, "ValidatingWebhookConfiguration", "validatingwebhookconfigurations", namespaced=False)

Value = dict[str, Any]


class Webhooks:
    """What answers reviews, by URL; `reviews` are those that came."""

    def __init__(self) -> None:
        self.reviews: list[tuple[str, Value]] = []
        self.answers: dict[str, Callable[[Value], Awaitable[Value]]] = {}

    async def ask(self, url: str, trusted: bytes, seconds: float, review: Value) -> Any:
        assert (trusted, seconds) == (b"authority", 10.0)
        name = url.removeprefix("https://").partition("/")[0]
        request = review["request"]
        self.reviews.append((name, request))
        response = await self.answers[name](request)
        return {**review, "response": {"uid": request["uid"], **response}}


@pytest.fixture
def webhooks() -> Webhooks:
    return Webhooks()


@pytest.fixture
def server(webhooks: Webhooks) -> APIServer:
    return APIServer(Environment(random=random.Random(1)), TYPES, ask=webhooks.ask)


@pytest.fixture
def client(server: APIServer) -> Client:
    return Client(server.transport())


def hook(name: str, **options: Any) -> Value:
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"], "operations": ["*"]}
    return {
        "name": f"{name}.example.com",
        "clientConfig": {"url": f"https://{name}/", "caBundle": base64.b64encode(b"authority").decode()},
        "rules": [rule],
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        **options,
    }


async def register(client: Client, resource: Resource[Any], *hooks: Value) -> None:
    await client.create(resource, {"metadata": {"name": "hooks"}, "webhooks": list(hooks)})


def config_map(name: str, **data: str) -> Value:
    return {"metadata": {"name": name, "namespace": "default"}, "data": data}


def setting(**data: str) -> Callable[[Value], Awaitable[Value]]:
    """Return a webhook that sets data."""

    async def answer(request: Value) -> Value:
        patch = [{"op": "add", "path": f"/data/{key}", "value": value} for key, value in data.items()]
        encoded = base64.b64encode(msgspec.json.encode(patch)).decode()
        return {"allowed": True, "patchType": "JSONPatch", "patch": encoded}

    return answer


async def allow(request: Value) -> Value:
    return {"allowed": True}


async def deny(request: Value) -> Value:
    return {"allowed": False, "status": {"code": 403, "reason": "Forbidden", "message": "not today"}}


async def fail(request: Value) -> Value:
    raise WebhookError("failed to call webhook: it is broken")


async def test_a_webhook_changes_what_is_created(client: Client, webhooks: Webhooks) -> None:
    webhooks.answers["m"] = setting(added="yes")
    await register(client, MUTATING, hook("m"))
    created = await client.create(CONFIG_MAPS, config_map("a", x="1"))
    assert created.decode()["data"] == {"x": "1", "added": "yes"}


async def test_a_webhook_is_told_what_is_written_and_by_whom(client: Client, webhooks: Webhooks) -> None:
    webhooks.answers["v"] = allow
    await register(client, VALIDATING, hook("v"))
    await client.create(CONFIG_MAPS, config_map("a", x="1"))
    await client.patch(CONFIG_MAPS, "a", {"data": {"x": "2"}}, "default")
    await client.delete(CONFIG_MAPS, "a", "default")
    requests = [request for _, request in webhooks.reviews]
    assert [request["operation"] for request in requests] == ["CREATE", "UPDATE", "DELETE"]
    assert [request["options"]["kind"] for request in requests] == ["CreateOptions", "UpdateOptions", "DeleteOptions"]
    assert [[bool(request[name]) for name in ("object", "oldObject")] for request in requests] == [
        [True, False],
        [True, True],
        [False, True],
    ]
    update = requests[1]
    assert (update["object"]["data"], update["oldObject"]["data"]) == ({"x": "2"}, {"x": "1"})
    assert (update["name"], update["namespace"], update["dryRun"]) == ("a", "default", False)
    assert update["kind"] == update["requestKind"] == {"group": "", "version": "v1", "kind": "ConfigMap"}
    assert update["userInfo"] == {"username": ADMIN.name, "groups": ADMIN.groups}


@pytest.mark.parametrize("resource", [MUTATING, VALIDATING])
async def test_a_webhook_denies(client: Client, webhooks: Webhooks, resource: Resource[Any]) -> None:
    webhooks.answers["d"] = deny
    await register(client, resource, hook("d"))
    with pytest.raises(Forbidden, match=r'admission webhook "d\.example\.com" denied the request: not today'):
        await client.create(CONFIG_MAPS, config_map("a"))
    assert (await client.list(CONFIG_MAPS)).items == []


async def test_a_webhook_that_fails_fails_the_write_unless_that_is_to_be_ignored(
    client: Client, webhooks: Webhooks
) -> None:
    webhooks.answers["f"] = fail
    await register(client, VALIDATING, hook("f"))
    with pytest.raises(
        ApiError, match=r'failed calling webhook "f\.example\.com": failed to call webhook: it is broken'
    ):
        await client.create(CONFIG_MAPS, config_map("a"))
    await client.patch(VALIDATING, "hooks", {"webhooks": [hook("f", failurePolicy="Ignore")]})
    await client.create(CONFIG_MAPS, config_map("a"))


async def test_selectors_choose_what_a_webhook_is_asked_about(client: Client, webhooks: Webhooks) -> None:
    webhooks.answers["d"] = deny
    by_namespace = {"matchLabels": {"kubernetes.io/metadata.name": "x"}}
    by_object = {"matchExpressions": [{"key": "checked", "operator": "Exists"}]}
    await register(client, VALIDATING, hook("d", namespaceSelector=by_namespace, objectSelector=by_object))
    await client.create(NAMESPACES, {"metadata": {"name": "x"}})
    labelled = {"labels": {"checked": ""}}
    await client.create(CONFIG_MAPS, {"metadata": {"name": "a", "namespace": "default", **labelled}})
    await client.create(CONFIG_MAPS, {"metadata": {"name": "a", "namespace": "x"}})
    with pytest.raises(Forbidden):
        await client.create(CONFIG_MAPS, {"metadata": {"name": "b", "namespace": "x", **labelled}})


async def test_rules_choose_operations_and_resources(client: Client, webhooks: Webhooks) -> None:
    webhooks.answers["d"] = deny
    rule = {"apiGroups": ["*"], "apiVersions": ["*"], "resources": ["configmaps/*"], "operations": ["DELETE"]}
    await register(client, VALIDATING, hook("d", rules=[rule]))
    await client.create(NAMESPACES, {"metadata": {"name": "x"}})
    await client.delete(NAMESPACES, "x")
    await client.create(CONFIG_MAPS, config_map("a"))
    with pytest.raises(Forbidden):
        await client.delete(CONFIG_MAPS, "a", "default")


async def test_a_webhook_with_side_effects_is_not_asked_in_a_dry_run(server: APIServer, webhooks: Webhooks) -> None:
    webhooks.answers["v"] = allow
    await register(Client(server.transport()), VALIDATING, hook("v", sideEffects="None"))
    body = msgspec.json.encode(config_map("a"))
    path = "/api/v1/namespaces/default/configmaps"
    headers = {"content-type": "application/json"}
    dry_run = Request("POST", path, {"dryRun": "All"}, headers, body)
    assert (await server.handle(dry_run)).status == 201
    assert webhooks.reviews[0][1]["dryRun"] is True
    assert webhooks.reviews[0][1]["options"]["dryRun"] == ["All"]
    assert (await Client(server.transport()).list(CONFIG_MAPS)).items == []


async def test_an_object_that_changes_while_a_webhook_is_asked_is_patched_as_it_then_is(
    client: Client, webhooks: Webhooks
) -> None:
    await client.create(CONFIG_MAPS, config_map("a", x="1"))

    async def interfere(request: Value) -> Value:
        if "y" not in request["oldObject"]["data"]:
            await client.delete(MUTATING, "hooks")
            await client.patch(CONFIG_MAPS, "a", {"data": {"y": "theirs"}}, "default")
        return {"allowed": True}

    webhooks.answers["m"] = interfere
    await register(client, MUTATING, hook("m"))
    patched = await client.patch(CONFIG_MAPS, "a", {"data": {"x": "2"}}, "default")
    assert patched.decode()["data"] == {"x": "2", "y": "theirs"}


async def test_a_webhook_is_asked_again_if_it_wants_when_a_later_one_changes_the_object(
    client: Client, webhooks: Webhooks
) -> None:
    webhooks.answers["first"] = allow
    webhooks.answers["second"] = setting(added="yes")
    first = hook("first", reinvocationPolicy="IfNeeded")
    await register(client, MUTATING, first, hook("second"))
    await client.create(CONFIG_MAPS, config_map("a", x="1"))
    assert [name for name, _ in webhooks.reviews] == ["first", "second", "first"]
    assert webhooks.reviews[-1][1]["object"]["data"] == {"x": "1", "added": "yes"}


async def test_an_answer_to_another_review_is_a_failure(client: Client, webhooks: Webhooks) -> None:
    async def other(request: Value) -> Value:
        return {"uid": "other", "allowed": True}

    webhooks.answers["v"] = other
    await register(client, VALIDATING, hook("v"))
    with pytest.raises(ApiError, match=r'received invalid webhook response: expected response\.uid="'):
        await client.create(CONFIG_MAPS, config_map("a"))


async def test_a_validating_webhook_may_not_change_the_object(client: Client, webhooks: Webhooks) -> None:
    webhooks.answers["v"] = setting(added="yes")
    await register(client, VALIDATING, hook("v"))
    with pytest.raises(ApiError, match=r"validating webhook may not return response\.patch"):
        await client.create(CONFIG_MAPS, config_map("a", x="1"))


async def test_nobody_can_lock_the_registrations_by_a_webhook(client: Client, webhooks: Webhooks) -> None:
    webhooks.answers["d"] = deny
    rule = {"apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"], "operations": ["*"]}
    await register(client, VALIDATING, hook("d", rules=[rule]))
    await client.delete(VALIDATING, "hooks")
    await client.create(CONFIG_MAPS, config_map("a"))


def two_versions() -> Value:
    """Return a CRD with the versions v1 and v1beta1, and a scale."""
    free = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    schema = {"type": "object", "properties": {"data": free, "spec": free, "status": free}}
    scale = {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size"}
    versions = [
        {
            "name": name,
            "served": True,
            "storage": name == "v1",
            "schema": {"openAPIV3Schema": schema},
            "subresources": {"scale": scale},
        }
        for name in ("v1", "v1beta1")
    ]
    names = {"plural": "widgets", "kind": "Widget"}
    spec = {"group": "example.com", "scope": "Namespaced", "names": names, "versions": versions}
    return {"metadata": {"name": "widgets.example.com"}, "spec": spec}


CRDS = Resource("apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions", namespaced=False)
OLD_WIDGETS = Resource("example.com/v1beta1", "Widget", "widgets")


def rule(resource: str) -> Value:
    return {"apiGroups": ["example.com"], "apiVersions": ["v1"], "resources": [resource], "operations": ["*"]}


async def test_a_webhook_sees_an_object_in_the_version_that_it_knows_unless_it_wants_that_very_one(
    client: Client, webhooks: Webhooks
) -> None:
    webhooks.answers["m"] = setting(added="yes")
    webhooks.answers["exact"] = deny
    await client.create(CRDS, two_versions())
    exact = hook("exact", rules=[rule("widgets")], matchPolicy="Exact")
    await register(client, MUTATING, hook("m", rules=[rule("widgets")]), exact)
    value = {"metadata": {"name": "a", "namespace": "default"}, "data": {"x": "1"}}
    created = (await client.create(OLD_WIDGETS, value)).decode()
    assert (created["apiVersion"], created["data"]) == ("example.com/v1beta1", {"x": "1", "added": "yes"})
    [(_, review)] = webhooks.reviews
    assert review["object"]["apiVersion"] == "example.com/v1"
    assert (review["kind"]["version"], review["requestKind"]["version"]) == ("v1", "v1beta1")


async def test_a_webhook_of_the_scale_sees_scales(client: Client, webhooks: Webhooks) -> None:
    webhooks.answers["v"] = allow
    await client.create(CRDS, two_versions())
    await register(client, VALIDATING, hook("v", rules=[rule("widgets/scale")]))
    widgets = Resource("example.com/v1", "Widget", "widgets")
    value = {"metadata": {"name": "a", "namespace": "default"}, "spec": {"size": 1}}
    await client.create(widgets, value)
    await client.patch(widgets, "a", {"spec": {"replicas": 5}}, "default", subresource="scale")
    [(_, review)] = webhooks.reviews
    assert (review["subResource"], review["kind"]["kind"]) == ("scale", "Scale")
    assert (review["object"]["spec"], review["oldObject"]["spec"]) == ({"replicas": 5}, {"replicas": 1})
