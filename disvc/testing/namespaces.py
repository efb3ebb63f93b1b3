"""Namespaces that come and go on a control plane without a controller manager.

What the namespace controller does on a whole cluster is done here by the caller: delete what is in the
namespace, then take the `kubernetes` finalizer off it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from disvc.testing.users import RequestFailedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from disvc.testing.users import User

__all__ = ["create_namespace", "delete_namespace"]

_AGGREGATED_DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_METADATA_ONLY = "application/json;g=meta.k8s.io;v=v1;as=PartialObjectMetadataList"
_NOT_FOUND = 404
_DELETE_NOW = {
    "kind": "DeleteOptions",
    "apiVersion": "v1",
    "gracePeriodSeconds": 0,
    "propagationPolicy": "Background",
}


def create_namespace(admin: User, prefix: str) -> str:
    """Create a namespace with a name of its own that starts with `prefix`, and return the name."""
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"generateName": f"{prefix}-"}}
    name: str = admin.call("POST", "/api/v1/namespaces", body)["metadata"]["name"]
    return name


def delete_namespace(admin: User, name: str) -> None:
    """Delete a namespace with all that is in it, finalizers or not; nothing happens if it is gone.

    Raises:
        RequestFailedError: the server refused it.

    """
    path = f"/api/v1/namespaces/{name}"
    if admin.request("DELETE", path).status == _NOT_FOUND:  # from now on nothing new can be created in it
        return
    for collection in _collections(admin, name):
        if admin.request("DELETE", collection, _DELETE_NOW).status == _NOT_FOUND:
            continue  # discovery may still tell of a CRD that has just been deleted
        for item in admin.call("GET", collection, accept=_METADATA_ONLY)["items"] or ():
            object_path = f"{collection}/{quote(item['metadata']['name'], safe='')}"
            no_finalizers = {"metadata": {"finalizers": None}}
            admin.request("PATCH", object_path, no_finalizers, content_type="application/merge-patch+json")
    finalized = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name},
        "spec": {"finalizers": []},
    }
    admin.request("PUT", f"{path}/finalize", finalized)  # a controller manager may have done it before
    if (status := admin.request("GET", path).status) != _NOT_FOUND:
        msg = f"namespace {name} is still there after it was deleted and finalized; look at its finalizers"
        raise RequestFailedError(msg, status)


def _collections(admin: User, namespace: str) -> set[str]:
    """Return the paths of all that can be deleted in a namespace."""
    return {
        f"{base}/namespaces/{namespace}/{resource['resource']}"
        for base, resource in _resources(admin)
        if resource["scope"] == "Namespaced" and "deletecollection" in resource["verbs"]
    }


def _resources(admin: User) -> Iterator[tuple[str, dict[str, Any]]]:
    for root in ("/api", "/apis"):
        for group in admin.call("GET", root, accept=_AGGREGATED_DISCOVERY)["items"]:
            base = "/".join(filter(None, (root, group["metadata"].get("name"))))
            for version in group.get("versions") or ():
                for resource in version.get("resources") or ():
                    yield f"{base}/{version['version']}", resource
