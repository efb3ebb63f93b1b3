"""What a cluster has before anybody uses it: its namespaces, the Service of the API server, and who may do what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    Value = dict[str, Any]

__all__ = ["objects"]

_NAMESPACES: Final = ("kube-system", "kube-public", "kube-node-lease", "default")
_RBAC: Final = "rbac.authorization.k8s.io"
_READABLE: Final = ("/healthz", "/livez", "/readyz", "/version", "/version/")
_DISCOVERY: Final = ("/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*")
_ROLES: Final = {
    "cluster-admin": (
        [
            {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
            {"nonResourceURLs": ["*"], "verbs": ["*"]},
        ],
        ["system:masters"],
    ),
    "system:basic-user": (
        [
            {
                "apiGroups": ["authorization.k8s.io"],
                "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
                "verbs": ["create"],
            },
            {"apiGroups": ["authentication.k8s.io"], "resources": ["selfsubjectreviews"], "verbs": ["create"]},
        ],
        ["system:authenticated"],
    ),
    "system:discovery": (
        [{"nonResourceURLs": sorted([*_READABLE, *_DISCOVERY]), "verbs": ["get"]}],
        ["system:authenticated"],
    ),
    "system:service-account-issuer-discovery": (
        [
            {
                "nonResourceURLs": [
                    "/.well-known/openid-configuration",
                    "/.well-known/openid-configuration/",
                    "/openid/v1/jwks",
                    "/openid/v1/jwks/",
                ],
                "verbs": ["get"],
            }
        ],
        ["system:serviceaccounts"],
    ),
    "system:public-info-viewer": (
        [{"nonResourceURLs": list(_READABLE), "verbs": ["get"]}],
        ["system:authenticated", "system:unauthenticated"],
    ),
}
"""The ClusterRoles, as far as they matter here: rules, and the groups that they are bound to."""


def objects() -> list[Value]:
    """Return the objects, each with apiVersion and kind, in the order in which they are to be made."""
    namespaces = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in _NAMESPACES]
    kubernetes = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "labels": {"component": "apiserver", "provider": "kubernetes"},
        },
        "spec": {"clusterIP": "10.96.0.1", "ports": [{"name": "https", "port": 443, "targetPort": 6443}]},
    }
    return [*namespaces, kubernetes, *_roles()]


def _roles() -> list[Value]:
    """Return the ClusterRoles, each with its ClusterRoleBinding."""
    objects: list[Value] = []
    for name, (rules, groups) in _ROLES.items():
        metadata = {
            "name": name,
            "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
            "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
        }
        api = {"apiVersion": f"{_RBAC}/v1"}
        objects.append({**api, "kind": "ClusterRole", "metadata": metadata, "rules": rules})
        objects.append(
            {
                **api,
                "kind": "ClusterRoleBinding",
                "metadata": metadata,
                "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": name},
                "subjects": [{"apiGroup": _RBAC, "kind": "Group", "name": group} for group in groups],
            }
        )
    return objects
