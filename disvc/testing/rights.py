"""Gives a user rights by RBAC, tells when they are in force, and reads them from manifests."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from disvc.testing.users import User

__all__ = ["grant", "rules_in"]

_RBAC = "rbac.authorization.k8s.io"
_REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"


def grant(admin: User, name: str, rules: Sequence[Mapping[str, Sequence[str]]]) -> Callable[[], bool]:
    """Give the user `name` exactly these rights, in all namespaces, in place of what was granted here before.

    Args:
        admin: who writes the ClusterRole and its binding.
        name: the user's name.
        rules: PolicyRules.

    Returns:
        What tells whether the API server acts on them: it learns of them by a watch of its own.

    Raises:
        RequestFailedError: the API server refused a rule.

    """
    # Allowed by this version of the rules and by no other, so that asking for it tells which one is in force.
    marker = f"/disvc-testing/{uuid.uuid4()}"
    role_name = f"disvc-testing:{name}"
    role = {
        "apiVersion": f"{_RBAC}/v1",
        "kind": "ClusterRole",
        "metadata": {"name": role_name},
        "rules": [*rules, {"nonResourceURLs": [marker], "verbs": ["get"]}],
    }
    binding = {
        "apiVersion": f"{_RBAC}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": role_name},
        "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": role_name},
        "subjects": [{"apiGroup": _RBAC, "kind": "User", "name": name}],
    }
    for resource, body in (("clusterroles", role), ("clusterrolebindings", binding)):
        path = f"/apis/{_RBAC}/v1/{resource}/{role_name}?fieldManager=disvc-testing&force=true"
        admin.call("PATCH", path, body, content_type="application/apply-patch+yaml")
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": name, "nonResourceAttributes": {"path": marker, "verb": "get"}},
    }
    return lambda: bool(admin.call("POST", _REVIEWS, review)["status"]["allowed"])


def rules_in(*manifests: Path) -> list[dict[str, Any]]:
    """Return the PolicyRules of all ClusterRoles and Roles in YAML files, for `ControlPlane.user`.

    So a program under test runs with the rights that its manifests give it, and no others.
    """
    documents = [document for file in manifests for document in yaml.safe_load_all(file.read_text())]
    return [rule for document in documents if document["kind"] in {"ClusterRole", "Role"} for rule in document["rules"]]
