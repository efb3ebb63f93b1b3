"""Tokens of service accounts: given out by `serviceaccounts/token`, and read from requests and in TokenReviews.

As those of a kube-apiserver they are JWTs (ES256), for an audience and a time, and good only while the account is there
and what they are bound to: a Pod, a Secret or a Node.
https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import jwt

from disvc.runtime.timestamps import metav1_time
from disvc.testing.memory import causes, decoding, errors
from disvc.testing.memory.answers import value_answer
from disvc.testing.memory.builtin.decoding import Unreadable, read
from disvc.testing.memory.go_text import quote
from disvc.testing.memory.requests import User
from disvc.testing.tokens import ISSUER

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from disvc.runtime.environment import Environment
    from disvc.runtime.transport import Answer
    from disvc.testing.memory.errors import Cause
    from disvc.testing.memory.registry import Registry
    from disvc.testing.memory.requests import Call
    from disvc.testing.memory.store import Store

    Value = dict[str, Any]

__all__ = ["SERVICE_ACCOUNTS", "BadToken", "ServiceAccountTokens", "groups_of_service_account"]

SERVICE_ACCOUNTS: Final = ("", "serviceaccounts")
_DEFINITION: Final = "io.k8s.api.authentication.v1.TokenRequest"
_GROUP: Final = "authentication.k8s.io"
_CREDENTIAL: Final = "authentication.kubernetes.io/credential-id"
_BINDABLE: Final = {("v1", "Node"): "nodes", ("v1", "Pod"): "pods", ("v1", "Secret"): "secrets"}
_SECONDS: Final = 3600
_SHORTEST_S: Final = 600
_LONGEST_S: Final = 1 << 32
_LEEWAY_S: Final = 60


class BadToken(Exception):
    """A token says nobody's name; why, as a TokenReview tells it."""


class ServiceAccountTokens:
    """Gives tokens out and reads them, by the environment's clock.

    `key` is the EC key (PEM) that signs them; with none, no token is given out and none is good.
    """

    def __init__(self, store: Store, registry: Registry, environment: Environment, key: bytes) -> None:
        self._store = store
        self._registry = registry
        self._environment = environment
        self._key = key

    def create(self, call: Call) -> Answer:
        """Answer a TokenRequest. Raises `Refused`."""
        if not self._key:
            raise errors.unknown_path()
        try:
            request = read(_DEFINITION, decoding.read_value(call))[0]
        except Unreadable as error:
            raise errors.bad_request(str(error)) from error
        decoding.check_namespace(call, request)
        account = self._find("serviceaccounts", call.namespace, call.name)
        if account is None:
            raise errors.not_found(call.resource, call.name)
        spec = request["spec"]
        spec["audiences"] = spec.get("audiences") or [ISSUER]
        if spec.get("expirationSeconds") is None:
            spec["expirationSeconds"] = _SECONDS
        if wrong := list(_wrong(spec["expirationSeconds"])):
            raise errors.invalid(_GROUP, "TokenRequest", "", wrong)
        if (name := request["metadata"].get("name") or call.name) != call.name:
            wrong = [causes.invalid("metadata.name", name, "must match the service account name if specified")]
            raise errors.invalid(_GROUP, "TokenRequest", call.name, wrong)
        bound = self._bound(call, spec.get("boundObjectRef"))
        now = self._environment.clock.now()
        end = int(now.timestamp()) + spec["expirationSeconds"]
        owner = {"serviceaccount": {"name": call.name, "uid": account["metadata"]["uid"]}}
        claims = {
            "aud": spec["audiences"],
            "exp": end,
            "iat": int(now.timestamp()),
            "iss": ISSUER,
            "jti": self._environment.new_uid(),
            "kubernetes.io": {"namespace": call.namespace, **bound, **owner},
            "nbf": int(now.timestamp()),
            "sub": _user_name(call.namespace, call.name),
        }
        answered = {
            "kind": "TokenRequest",
            "apiVersion": f"{_GROUP}/v1",
            "metadata": {
                "name": call.name,
                "namespace": call.namespace,
                "uid": account["metadata"]["uid"],
                "creationTimestamp": metav1_time(now),
            },
            "spec": {"boundObjectRef": None, **spec},
            "status": {
                "token": jwt.encode(claims, self._key, algorithm="ES256"),
                "expirationTimestamp": metav1_time(datetime.fromtimestamp(end, UTC)),
            },
        }
        return value_answer(call, answered, 201)

    def review(self, review: Value) -> Value:
        """Return a TokenReview with its status. Raises `Refused` (400)."""
        spec = review["spec"]
        if not spec.get("token"):
            raise errors.bad_request("token is required for TokenReview in authentication")
        try:
            user, audiences = self.user(spec["token"], spec.get("audiences") or (ISSUER,))
        except BadToken as error:
            why = f"[invalid bearer token, {error}]" if str(error) else "invalid bearer token"
            return {**review, "metadata": {}, "status": {"user": {}, "error": why}}
        status = {"authenticated": True, "user": user.info(), "audiences": audiences}
        return {**review, "metadata": {}, "status": status}

    def user(self, token: str, audiences: Iterable[str] = (ISSUER,)) -> tuple[User, list[str]]:
        """Return whose token it is, and for which of the audiences. Raises `BadToken`."""
        try:
            # When it is good is told by our clock, and for whom in Kubernetes' words.
            claims = jwt.decode(
                token,
                self._key,
                algorithms=["ES256"],
                issuer=ISSUER,
                options={"verify_aud": False, "verify_exp": False, "verify_iat": False, "verify_nbf": False},
            )
            of = claims["kubernetes.io"]
            namespace, (name, uid) = of["namespace"], _reference(of["serviceaccount"])
            bound = [(f"{kind}s", *_reference(of[kind])) for kind in ("node", "pod", "secret") if kind in of]
            start, end, meant, credential = claims["nbf"], claims["exp"], claims["aud"], claims["jti"]
        except jwt.InvalidSignatureError as error:
            raise BadToken("go-jose/go-jose: error in cryptographic primitive") from error
        except (jwt.PyJWTError, KeyError) as error:
            raise BadToken from error  # it is something else
        if not start - _LEEWAY_S <= self._environment.clock.now().timestamp() < end + _LEEWAY_S:
            raise BadToken("service account token has expired")
        asked = list(audiences)
        if not (good := [each for each in meant if each in asked]):
            raise BadToken(f"token audiences {_list(meant)} is invalid for the target audiences {_list(asked)}")
        for plural, known, its_uid in (("serviceaccounts", name, uid), *bound):
            found = self._find(plural, namespace, known)
            if found is None or found["metadata"]["uid"] != its_uid:
                raise BadToken("service account token has been invalidated")
        extra = {_CREDENTIAL: (f"JTI={credential}",)}
        return User(_user_name(namespace, name), groups_of_service_account(namespace), uid, extra), good

    def _bound(self, call: Call, reference: Value | None) -> Value:
        """Return the claims about what a token is bound to. Raises `Refused`."""
        if reference is None:
            return {}
        version, kind, name = (reference.get(part, "") for part in ("apiVersion", "kind", "name"))
        resource = self._registry.find("", "v1", _BINDABLE.get((version, kind), ""))
        if resource is None:
            raise errors.bad_request(f"cannot bind token to object of type /{version}, Kind={kind}")
        found = self._find(resource.plural, call.namespace, name)
        if found is None:
            raise errors.not_found(resource, name)
        uid = found["metadata"]["uid"]
        if reference.get("uid", uid) != uid:
            why = (
                f"the UID in the bound object reference ({reference['uid']}) does not match the UID in record. "
                "The object might have been deleted and then recreated"
            )
            raise errors.conflict(resource, name, why)
        if kind == "Pod" and found["spec"].get("serviceAccountName") != call.name:
            account = f"serviceaccount {quote(call.name)}"
            why = f"cannot bind token for {account} to pod running with different serviceaccount name."
            raise errors.bad_request(why)
        return {kind.lower(): {"name": name, "uid": uid}}

    def _find(self, plural: str, namespace: str, name: str) -> Value | None:
        resource = self._registry.find("", "v1", plural)
        if resource is None:
            return None
        found = self._store.of(resource).get(f"{namespace}/{name}" if resource.namespaced else name)
        return found.value if found else None


def groups_of_service_account(namespace: str) -> tuple[str, ...]:
    """Return the groups of all service accounts of a namespace."""
    return ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")


def _user_name(namespace: str, name: str) -> str:
    return f"system:serviceaccount:{namespace}:{name}"


def _reference(claim: Value) -> tuple[str, str]:
    return claim["name"], claim["uid"]


def _wrong(seconds: int) -> Iterator[Cause]:
    path = "spec.expirationSeconds"
    if seconds < _SHORTEST_S:
        yield causes.invalid(path, seconds, "may not specify a duration less than 10 minutes")
    if seconds > _LONGEST_S:
        yield causes.invalid(path, seconds, "may not specify a duration larger than 2^32 seconds")


def _list(texts: list[str]) -> str:
    return f"[{' '.join(map(quote, texts))}]"
