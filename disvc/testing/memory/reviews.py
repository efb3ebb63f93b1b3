"""Reviews: kinds that are created to be answered, and not kept. They say who somebody is, and what they may do.

SelfSubjectReview and TokenReview of authentication.k8s.io; SubjectAccessReview, its Local and Self forms, and
SelfSubjectRulesReview of authorization.k8s.io. `kubectl auth whoami` and `kubectl auth can-i` live on them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from disvc.testing.memory import causes, errors
from disvc.testing.memory.authorization import Attributes
from disvc.testing.memory.builtin.strategy import kind
from disvc.testing.memory.errors import Refused
from disvc.testing.memory.requests import User

if TYPE_CHECKING:
    from disvc.testing.memory.authorization import Authorizer
    from disvc.testing.memory.errors import Cause
    from disvc.testing.memory.resource import ResourceType
    from disvc.testing.memory.service_account_tokens import ServiceAccountTokens

    Value = dict[str, Any]

__all__ = ["TYPES", "answer", "is_review"]

TYPES: Final = tuple(
    replace(
        kind(group, "v1", name, f"{name.lower()}s", namespaced=name.startswith("Local"), verbs=frozenset({"create"})),
        has_status=False,  # as a subresource
    )
    for group, name in (
        ("authentication.k8s.io", "SelfSubjectReview"),
        ("authentication.k8s.io", "TokenReview"),
        ("authorization.k8s.io", "LocalSubjectAccessReview"),
        ("authorization.k8s.io", "SelfSubjectAccessReview"),
        ("authorization.k8s.io", "SelfSubjectRulesReview"),
        ("authorization.k8s.io", "SubjectAccessReview"),
    )
)


def is_review(resource: ResourceType) -> bool:
    """Return whether it is one of `TYPES`."""
    return resource.group in {"authentication.k8s.io", "authorization.k8s.io"}


def answer(
    review: Value, namespace: str, user: User, authorizer: Authorizer, tokens: ServiceAccountTokens, time: str
) -> Value:
    """Return the review with its status.

    Args:
        review: what the client sent, its kind and apiVersion as of the path.
        namespace: of the path, "" where there is none.
        user: who asks.
        authorizer: knows who may do what.
        tokens: knows whose token it is.
        time: the time now, as metadata has it.

    Raises:
        Refused: 400 or 422, the review does not say what it must.

    """
    match review["kind"]:
        case "SelfSubjectReview":
            return {**review, "metadata": {"creationTimestamp": time}, "status": {"userInfo": user.info()}}
        case "TokenReview":
            return tokens.review(review)
        case "SelfSubjectRulesReview":
            return {**review, "metadata": {}, "status": _rules(review, user, authorizer)}
    spec = review.get("spec") or {}
    wrong = list(_wrong(review, spec, namespace))
    if wrong:
        # The server does not say which kind of review it is.
        raise errors.invalid("authorization.k8s.io", "", "", wrong)
    if review["kind"] != "SelfSubjectAccessReview":
        extra = {key: tuple(values) for key, values in (spec.get("extra") or {}).items()}
        user = User(spec.get("user", ""), tuple(spec.get("groups") or ()), spec.get("uid", ""), extra)
    allowed, reason = authorizer.decide(user, _attributes(spec))
    status: Value = {"allowed": allowed, "reason": reason} if reason else {"allowed": allowed}
    return {**review, "metadata": {"namespace": namespace} if namespace else {}, "status": status}


def _rules(review: Value, user: User, authorizer: Authorizer) -> Value:
    namespace = (review.get("spec") or {}).get("namespace")
    if not namespace:
        raise Refused(400, "BadRequest", "no namespace on request")
    rules = authorizer.rules(user, namespace)
    of_resources = ("verbs", "apiGroups", "resources", "resourceNames")
    of_paths = ("verbs", "nonResourceURLs")
    return {
        "resourceRules": [_only(rule, of_resources) for rule in rules if rule.get("resources")],
        "nonResourceRules": [_only(rule, of_paths) for rule in rules if rule.get("nonResourceURLs")],
        "incomplete": False,
    }


def _only(rule: Value, fields: tuple[str, ...]) -> Value:
    return {field: rule[field] for field in fields if rule.get(field)}


def _wrong(review: Value, spec: Value, namespace: str) -> list[Cause]:
    """Return the causes of a 422, as k8s.io/kubernetes/pkg/apis/authorization/validation has them."""
    of_resource, of_path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    wrong = []
    if of_resource is not None and of_path is not None:
        shown = {"Path": of_path.get("path", ""), "Verb": of_path.get("verb", "")}
        both = "cannot be specified in combination with resourceAttributes"
        wrong.append(causes.invalid("spec.nonResourceAttributes", shown, both))
    if of_resource is None and of_path is None:
        neither = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        wrong.append(causes.invalid("spec.resourceAttributes", None, neither))
    is_own = review["kind"] == "SelfSubjectAccessReview"
    if not is_own and not spec.get("user") and not spec.get("groups"):
        wrong.append(causes.invalid("spec.user", "", "at least one of user or group must be specified"))
    is_local = review["kind"] == "LocalSubjectAccessReview"
    metadata = {key: value for key, value in (review.get("metadata") or {}).items() if value}
    if is_local:
        metadata.pop("namespace", None)
        if of_resource is not None and of_resource.get("namespace", "") != namespace:
            elsewhere = of_resource.get("namespace", "")
            field = "spec.resourceAttributes.namespace"
            wrong.append(causes.invalid(field, elsewhere, "must match metadata.namespace"))
    if metadata.keys() - {"managedFields"}:
        must = "must be empty except for namespace" if is_local else "must be empty"
        wrong.append(causes.invalid("metadata", metadata, must))
    return wrong


def _attributes(spec: Value) -> Attributes:
    of_path = spec.get("nonResourceAttributes")
    if of_path is not None:
        return Attributes(of_path.get("verb", ""), path=of_path.get("path", ""))
    asked = spec["resourceAttributes"]
    fields = ("verb", "group", "resource", "subresource", "namespace", "name")
    return Attributes(*(asked.get(field, "") for field in fields))
