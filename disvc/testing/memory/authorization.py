"""Who may do what: RBAC over the Roles and bindings of the store, and the words of a refusal.

Rules are those of Kubernetes (https://kubernetes.io/docs/reference/access-authn-authz/rbac/): additive, a request is
allowed by any rule of any role that is bound to the user or to one of its groups. Members of `system:masters` may do
everything. The roles that every cluster has are in `bootstrap`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from disvc.testing.memory.errors import Refused
from disvc.testing.memory.requests import User

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Value = dict[str, Any]
    Objects = Callable[[str], Iterable[Value]]

__all__ = ["ANONYMOUS", "Attributes", "Authorizer"]

ANONYMOUS: Final = User("system:anonymous", ("system:unauthenticated",))
"""Who sends no credentials."""

_GROUP: Final = "rbac.authorization.k8s.io"
_MASTERS: Final = "system:masters"
_SERVICE_ACCOUNT: Final = "system:serviceaccount:"


class Attributes(NamedTuple):
    """What is asked for: of a resource, or, where `path` is given, of another path."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""

    def allowed_by(self, rule: Value) -> bool:
        """Return whether a PolicyRule allows it."""
        if not _has(rule, "verbs", self.verb):
            return False
        if self.path:
            return any(_covers(url, self.path) for url in rule.get("nonResourceURLs") or ())
        resource = f"{self.resource}/{self.subresource}" if self.subresource else self.resource
        wildcard = f"*/{self.subresource}"
        return (
            _has(rule, "apiGroups", self.group)
            and (_has(rule, "resources", resource) or (self.subresource != "" and wildcard in rule["resources"]))
            and (not rule.get("resourceNames") or self.name in rule["resourceNames"])
        )

    def forbidden(self, user: User, reason: str) -> Refused:
        """Return the 403 for it; `reason` is what the authorizer has to say about it."""
        if self.path:
            message = f'forbidden: User "{user.name}" cannot {self.verb} path "{self.path}"{reason and f": {reason}"}'
            return Refused(403, "Forbidden", message, details={})
        resource = f"{self.resource}/{self.subresource}" if self.subresource else self.resource
        scope = f'in the namespace "{self.namespace}"' if self.namespace else "at the cluster scope"
        cannot = (
            f'User "{user.name}" cannot {self.verb} resource "{resource}" in API group "{self.group}" {scope}'
            f"{reason and f': {reason}'}"
        )
        qualified = f"{self.resource}.{self.group}" if self.group else self.resource
        named = f'{qualified} "{self.name}"' if self.name else qualified
        details = {"name": self.name, "group": self.group, "kind": self.resource}
        return Refused(
            403,
            "Forbidden",
            f"{named} is forbidden: {cannot}",
            details={key: value for key, value in details.items() if value},
        )


@dataclass(frozen=True)
class Authorizer:
    """Decides by what is in the store at the moment.

    Args:
        objects: returns the objects of the resource of that plural in `rbac.authorization.k8s.io`, of all namespaces.

    """

    objects: Objects

    def check(self, user: User, attributes: Attributes) -> None:
        """Return if it is allowed. Raises `Refused` (403)."""
        allowed, reason = self.decide(user, attributes)
        if not allowed:
            raise attributes.forbidden(user, reason)

    def decide(self, user: User, attributes: Attributes) -> tuple[bool, str]:
        """Return whether a user may do that, and why, or what went wrong ("" where there is nothing to say)."""
        if _MASTERS in user.groups:
            return True, ""
        errors = []
        for bound in self._bound(user, attributes.namespace):
            if isinstance(bound, str):
                errors.append(bound)
            elif attributes.allowed_by(bound.rule):
                return True, f"RBAC: allowed by {bound.description}"
        listed = errors[0] if len(errors) == 1 else f"[{', '.join(errors)}]"
        return False, f"RBAC: {listed}" if errors else ""

    def rules(self, user: User, namespace: str) -> list[Value]:
        """Return the PolicyRules that hold for a user in a namespace, those for the whole cluster included."""
        everything = [
            {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
            {"verbs": ["*"], "nonResourceURLs": ["*"]},
        ]
        # The real server has them twice: of a list of its own, and of the role cluster-admin.
        rules = list(everything) if _MASTERS in user.groups else []
        rules += [bound.rule for bound in self._bound(user, namespace) if not isinstance(bound, str)]
        return [rule for place, rule in enumerate(rules) if rule not in rules[:place]]

    def _bound(self, user: User, namespace: str) -> Iterator[_Bound | str]:
        """Yield each rule that is bound to a user, and the text of an error for each role that is not there."""
        bindings = [("ClusterRoleBinding", each) for each in self.objects("clusterrolebindings")]
        if namespace:
            of_namespace = (each for each in self.objects("rolebindings") if each["metadata"]["namespace"] == namespace)
            bindings += [("RoleBinding", each) for each in of_namespace]
        for kind, binding in bindings:
            subject = next((each for each in binding.get("subjects") or () if _is(each, user, namespace)), None)
            if subject is None:
                continue
            role = binding["roleRef"]
            rules = self._rules_of(role, namespace)
            if rules is None:
                yield f'{role["kind"].lower()}.{_GROUP} "{role["name"]}" not found'
                continue
            name = binding["metadata"]["name"] + (f"/{namespace}" if kind == "RoleBinding" else "")
            to = _described(subject, namespace)
            for rule in rules:
                yield _Bound(rule, f'{kind} "{name}" of {role["kind"]} "{role["name"]}" to {to}')

    def _rules_of(self, role: Value, namespace: str) -> list[Value] | None:
        is_in_cluster = role["kind"] == "ClusterRole"
        for each in self.objects("clusterroles" if is_in_cluster else "roles"):
            metadata = each["metadata"]
            if metadata["name"] == role["name"] and (is_in_cluster or metadata["namespace"] == namespace):
                return each.get("rules") or []
        return None


class _Bound(NamedTuple):
    rule: Value
    description: str


def _has(rule: Value, field: str, wanted: str) -> bool:
    values = rule.get(field) or ()
    return wanted in values or "*" in values


def _covers(url: str, path: str) -> bool:
    return url in ("*", path) or (url.endswith("*") and path.startswith(url.rstrip("*")))


def _is(subject: Value, user: User, namespace: str) -> bool:
    match subject["kind"]:
        case "User":
            return bool(subject["name"] == user.name)
        case "Group":
            return subject["name"] in user.groups
        case "ServiceAccount":
            of = subject.get("namespace") or namespace
            return bool(of) and user.name == f"{_SERVICE_ACCOUNT}{of}:{subject['name']}"
    return False


def _described(subject: Value, namespace: str) -> str:
    name = subject["name"]
    if subject["kind"] == "ServiceAccount":
        name = f"{name}/{subject.get('namespace') or namespace}"
    return f'{subject["kind"]} "{name}"'
