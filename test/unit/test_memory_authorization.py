"""Who may do what, and the reviews that tell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from disvc.runtime import Client, Forbidden, Resource
from disvc.runtime.environment import Environment
from disvc.testing.memory import APIServer
from disvc.testing.memory.authorization import ANONYMOUS, Attributes, Authorizer
from disvc.testing.memory.builtin import TYPES
from disvc.testing.memory.requests import User

if TYPE_CHECKING:
    from collections.abc import Sequence

    Value = dict[str, Any]

RBAC = "rbac.authorization.k8s.io"
CONFIG_MAPS = Resource("v1", "ConfigMap", "configmaps")
DEPLOYMENTS = Resource("apps/v1", "Deployment", "deployments")
BOB = User("bob", ("devs", "system:authenticated"))
BOT = User("system:serviceaccount:a:bot", ("system:serviceaccounts", "system:authenticated"))
READ = {"apiGroups": ["", "apps"], "resources": ["configmaps", "deployments"], "verbs": ["get", "list"]}


def role(name: str, rules: Sequence[Value], namespace: str = "") -> Value:
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"kind": "Role" if namespace else "ClusterRole", "metadata": metadata, "rules": rules}


def binding(role: Value, subject: Value, namespace: str = "") -> Value:
    kind, name = role["kind"], role["metadata"]["name"]
    metadata = {"name": f"to-{name}", **({"namespace": namespace} if namespace else {})}
    return {
        "kind": "RoleBinding" if namespace else "ClusterRoleBinding",
        "metadata": metadata,
        "roleRef": {"apiGroup": RBAC, "kind": kind, "name": name},
        "subjects": [subject],
    }


def authorizer(*objects: Value) -> Authorizer:
    return Authorizer(lambda plural: [obj for obj in objects if obj["kind"].lower() + "s" == plural])


def may(rule: Value, *asked: str, **more: str) -> bool:
    given = role("r", [rule])
    decided = authorizer(given, binding(given, {"kind": "User", "name": "bob"}))
    return decided.decide(BOB, Attributes(*asked, **more))[0]


@pytest.mark.parametrize(
    ("rule", "asked", "allowed"),
    [
        (READ, ("get", "apps", "deployments"), True),
        (READ, ("watch", "apps", "deployments"), False),
        (READ, ("get", "batch", "deployments"), False),
        (READ, ("get", "apps", "deployments", "status"), False),
        ({**READ, "verbs": ["*"]}, ("frob", "", "configmaps"), True),
        ({**READ, "apiGroups": ["*"]}, ("get", "batch", "deployments"), True),
        ({**READ, "resources": ["*"]}, ("get", "", "pods", "log"), True),
        ({**READ, "resources": ["deployments/status"]}, ("get", "apps", "deployments", "status"), True),
        ({**READ, "resources": ["*/status"]}, ("get", "apps", "deployments", "status"), True),
        ({**READ, "resources": ["*/status"]}, ("get", "apps", "deployments"), False),
        ({**READ, "resourceNames": ["a"]}, ("get", "", "configmaps", "", "", "a"), True),
        ({**READ, "resourceNames": ["a"]}, ("get", "", "configmaps", "", "", "b"), False),
        ({**READ, "resourceNames": ["a"]}, ("list", "", "configmaps"), False),
    ],
)
def test_a_rule_allows_what_it_names(rule: Value, asked: tuple[str, ...], allowed: bool) -> None:
    assert may(rule, *asked) is allowed


@pytest.mark.parametrize(
    ("url", "path", "allowed"),
    [("/healthz", "/healthz", True), ("/api/*", "/api/v1", True), ("/api/*", "/apis", False), ("*", "/metrics", True)],
)
def test_a_rule_for_paths_may_end_in_a_wildcard(url: str, path: str, allowed: bool) -> None:
    assert may({"nonResourceURLs": [url], "verbs": ["get"]}, "get", path=path) is allowed


@pytest.mark.parametrize(
    ("subject", "user", "allowed"),
    [
        ({"kind": "User", "name": "bob"}, BOB, True),
        ({"kind": "User", "name": "bot"}, BOT, False),
        ({"kind": "Group", "name": "devs"}, BOB, True),
        ({"kind": "Group", "name": "ops"}, BOB, False),
        ({"kind": "ServiceAccount", "name": "bot", "namespace": "a"}, BOT, True),
        ({"kind": "ServiceAccount", "name": "bot", "namespace": "b"}, BOT, False),
    ],
)
def test_a_binding_is_for_its_subjects(subject: Value, user: User, allowed: bool) -> None:
    given = role("r", [READ])
    decided = authorizer(given, binding(given, subject))
    assert decided.decide(user, Attributes("get", "", "configmaps"))[0] is allowed


def test_a_binding_in_a_namespace_is_for_that_namespace_whichever_role_it_names() -> None:
    for given in (role("r", [READ]), role("r", [READ], "a")):
        decided = authorizer(given, binding(given, {"kind": "User", "name": "bob"}, "a"))
        allowed = [decided.decide(BOB, Attributes("get", "", "configmaps", "", where))[0] for where in ("a", "b", "")]
        assert allowed == [True, False, False]


def test_a_binding_to_a_role_that_is_not_there_is_told_and_hinders_no_other() -> None:
    gone, there = role("gone", [READ]), role("there", [{**READ, "verbs": ["list"]}])
    bob = {"kind": "User", "name": "bob"}
    decided = authorizer(there, binding(gone, bob), binding(there, bob))
    assert decided.decide(BOB, Attributes("get", "", "configmaps")) == (
        False,
        f'RBAC: clusterrole.{RBAC} "gone" not found',
    )
    assert decided.decide(BOB, Attributes("list", "", "configmaps"))[0]


@pytest.fixture
def server() -> APIServer:
    return APIServer(Environment(), TYPES)


async def grant(server: APIServer, rules: Sequence[Value], subject: Value) -> None:
    client = Client(server.transport())
    given = role("r", rules)
    for plural, obj in (("clusterroles", given), ("clusterrolebindings", binding(given, subject))):
        await client.create(Resource(f"{RBAC}/v1", obj["kind"], plural, namespaced=False), obj)


async def test_a_refusal_says_who_cannot_do_what_where(server: APIServer) -> None:
    client = Client(server.transport(BOB))
    with pytest.raises(Forbidden) as refused:
        await client.list(DEPLOYMENTS, "y")
    assert (
        'deployments.apps is forbidden: User "bob" cannot list resource "deployments" in API group "apps" '
        'in the namespace "y"'
    ) in str(refused.value)
    with pytest.raises(
        Forbidden, match='"a" is forbidden: User "bob" cannot patch resource "configmaps/status" in API group "" in'
    ):
        await client.patch(CONFIG_MAPS, "a", {}, "default", subresource="status")
    with pytest.raises(Forbidden, match='cannot list resource "configmaps" in API group "" at the cluster scope'):
        await client.list(CONFIG_MAPS)


async def test_what_is_granted_is_allowed_at_once(server: APIServer) -> None:
    await grant(server, [READ], {"kind": "Group", "name": "devs"})
    assert (await Client(server.transport(BOB)).list(CONFIG_MAPS, "default")).items == []


async def test_everybody_may_ask_for_health_and_only_who_is_known_for_discovery(server: APIServer) -> None:
    async def code(user: User, path: str) -> int:
        answer = await server.transport(user).request(
            "GET", path, query={}, headers={}, body=None, timeout=10, fence=None
        )
        return answer.status

    assert [await code(ANONYMOUS, path) for path in ("/healthz", "/version", "/apis")] == [200, 200, 403]
    assert await code(BOB, "/apis") == 200


async def review(server: APIServer, user: User, group: str, kind: str, **spec: Any) -> Value:
    answer = await server.transport(user).request(
        "POST",
        f"/apis/{group}/v1/{kind.lower()}s",
        query={},
        headers={},
        body=msgspec.json.encode({"spec": spec}),
        timeout=10,
        fence=None,
    )
    value: Value = msgspec.json.decode(answer.body)
    return value["status"] if answer.status == 201 else value


async def test_a_user_is_told_who_it_is(server: APIServer) -> None:
    told = await review(server, BOB, "authentication.k8s.io", "SelfSubjectReview")
    assert told == {"userInfo": {"username": "bob", "groups": ["devs", "system:authenticated"]}}


async def test_a_user_is_told_what_it_may_do_and_why(server: APIServer) -> None:
    await grant(server, [READ], {"kind": "User", "name": "bob"})
    asked = {"verb": "get", "resource": "configmaps", "namespace": "default"}
    group = "authorization.k8s.io"
    told = await review(server, BOB, group, "SelfSubjectAccessReview", resourceAttributes=asked)
    assert told == {
        "allowed": True,
        "reason": 'RBAC: allowed by ClusterRoleBinding "to-r" of ClusterRole "r" to User "bob"',
    }
    asked = {**asked, "verb": "delete"}
    told = await review(server, BOB, group, "SelfSubjectAccessReview", resourceAttributes=asked)
    assert told == {"allowed": False}


async def test_the_rules_of_a_user_are_listed(server: APIServer) -> None:
    await grant(server, [READ, {"nonResourceURLs": ["/x"], "verbs": ["get"]}], {"kind": "User", "name": "bob"})
    rules = await review(server, BOB, "authorization.k8s.io", "SelfSubjectRulesReview", namespace="default")
    assert READ in rules["resourceRules"]
    assert {"nonResourceURLs": ["/x"], "verbs": ["get"]} in rules["nonResourceRules"]
    assert rules["incomplete"] is False


@pytest.mark.parametrize(
    ("kind", "spec", "message"),
    [
        ("SelfSubjectAccessReview", {}, "exactly one of nonResourceAttributes or resourceAttributes must be specified"),
        (
            "SelfSubjectAccessReview",
            {"resourceAttributes": {}, "nonResourceAttributes": {}},
            "cannot be specified in combination with resourceAttributes",
        ),
        ("SubjectAccessReview", {"resourceAttributes": {}}, "at least one of user or group must be specified"),
        ("SelfSubjectRulesReview", {}, "no namespace on request"),
    ],
)
async def test_a_review_that_asks_nothing_is_refused(server: APIServer, kind: str, spec: Value, message: str) -> None:
    refused = await review(server, User("admin", ("system:masters",)), "authorization.k8s.io", kind, **spec)
    assert refused["kind"] == "Status"
    assert message in refused["message"]
