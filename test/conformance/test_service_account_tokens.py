"""Tokens that serviceaccounts/token gives out, and what a TokenReview says of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jwt
import pytest

from disvc.testing.tokens import ISSUER

if TYPE_CHECKING:
    from suite.api import Api, Reply

REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"


class Account:
    """A service account, and its tokens."""

    def __init__(self, api: Api, uid: str) -> None:
        self.api = api
        self.uid = uid
        self.path = f"/api/v1/namespaces/{api.namespace}/serviceaccounts/robot"

    async def ask(self, **spec: Any) -> Reply:
        return await self.api.send("POST", f"{self.path}/token", {"spec": spec})

    async def token(self, **spec: Any) -> str:
        return str((await self.ask(**spec))["status"]["token"])

    async def review(self, token: str, *audiences: str) -> Any:
        return (await self.api.create(REVIEWS, {"spec": {"token": token, "audiences": list(audiences)}}))["status"]


@pytest.fixture
async def account(api: Api) -> Account:
    created = await api.create(f"/api/v1/namespaces/{api.namespace}/serviceaccounts", {"metadata": {"name": "robot"}})
    return Account(api, created["metadata"]["uid"])


async def test_a_token_says_whose_it_is_for_whom_and_how_long(account: Account) -> None:
    reply = await account.ask(expirationSeconds=600)
    assert reply.status == 201
    assert reply["metadata"]["name"] == "robot"
    assert reply["spec"] == {"audiences": [ISSUER], "expirationSeconds": 600, "boundObjectRef": None}
    claims = jwt.decode(reply["status"]["token"], options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == 600
    assert claims["kubernetes.io"] == {
        "namespace": account.api.namespace,
        "serviceaccount": {"name": "robot", "uid": account.uid},
    }


async def test_its_review_says_who_that_is(account: Account) -> None:
    token = await account.token()
    status = await account.review(token)
    name = f"system:serviceaccount:{account.api.namespace}:robot"
    groups = ["system:serviceaccounts", f"system:serviceaccounts:{account.api.namespace}", "system:authenticated"]
    jti = jwt.decode(token, options={"verify_signature": False})["jti"]
    extra = {"authentication.kubernetes.io/credential-id": [f"JTI={jti}"]}
    assert status == {
        "authenticated": True,
        "user": {"username": name, "uid": account.uid, "groups": groups, "extra": extra},
        "audiences": [ISSUER],
    }


async def test_it_is_good_for_its_audiences_only(account: Account) -> None:
    token = await account.token(audiences=["a", "b"])
    assert (await account.review(token, "b", "c"))["audiences"] == ["b"]
    why = f'[invalid bearer token, token audiences ["a" "b"] is invalid for the target audiences ["{ISSUER}"]]'
    assert await account.review(token) == {"user": {}, "error": why}


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        (lambda token: "garbage", "invalid bearer token"),
        (
            lambda token: token[:-8] + ("A" * 8 if token[-8:] != "A" * 8 else "B" * 8),
            "[invalid bearer token, go-jose/go-jose: error in cryptographic primitive]",
        ),
    ],
    ids=["no token", "another signature"],
)
async def test_what_is_no_token_is_nobodys(account: Account, changed: Any, why: str) -> None:
    assert await account.review(changed(await account.token())) == {"user": {}, "error": why}


async def test_it_ends_with_its_account(account: Account) -> None:
    token = await account.token()
    await account.api.delete(account.path)
    assert "authenticated" not in await account.review(token)


async def test_it_ends_with_what_it_is_bound_to(account: Account) -> None:
    secrets = f"/api/v1/namespaces/{account.api.namespace}/secrets"
    await account.api.create(secrets, {"metadata": {"name": "s"}})
    bound = {"apiVersion": "v1", "kind": "Secret", "name": "s"}
    token, other = await account.token(boundObjectRef=bound), await account.token(boundObjectRef=bound)
    assert (await account.review(token))["authenticated"]
    await account.api.delete(f"{secrets}/s")
    assert "authenticated" not in await account.review(other)
    assert (await account.ask(boundObjectRef=bound)).refusal == (404, "NotFound")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"expirationSeconds": 599}, "Invalid value: 599: may not specify a duration less than 10 minutes"),
        (
            {"expirationSeconds": 2**32 + 1},
            "Invalid value: 4294967297: may not specify a duration larger than 2^32 seconds",
        ),
    ],
    ids=["short", "long"],
)
async def test_a_time_too_short_or_too_long_is_refused(account: Account, spec: Any, message: str) -> None:
    reply = await account.ask(**spec)
    assert reply.refusal == (422, "Invalid")
    assert reply["message"] == f'TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: {message}'


async def test_a_token_is_bound_to_a_pod_of_its_account_only(account: Account) -> None:
    bound = {"apiVersion": "v1", "kind": "ConfigMap", "name": "c"}
    reply = await account.ask(boundObjectRef=bound)
    assert reply.refusal == (400, "BadRequest")
    assert reply["message"] == "cannot bind token to object of type /v1, Kind=ConfigMap"
    pods = f"/api/v1/namespaces/{account.api.namespace}/pods"
    spec = {"serviceAccountName": "other", "containers": [{"name": "c", "image": "i"}]}
    await account.api.create(pods, {"metadata": {"name": "p"}, "spec": spec})
    reply = await account.ask(boundObjectRef={"apiVersion": "v1", "kind": "Pod", "name": "p"})
    assert reply.refusal == (400, "BadRequest")
    assert reply["message"] == (
        'cannot bind token for serviceaccount "robot" to pod running with different serviceaccount name.'
    )
