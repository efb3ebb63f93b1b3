"""Puts a CustomResourceDefinition on a control plane."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from disvc.testing.users import User

__all__ = ["install"]

_PATH: Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_TIMEOUT_S: Final = 60.0
_POLL_S: Final = 0.05
_OK: Final = 200


def install(admin: User, crd: Mapping[str, Any]) -> None:
    """Create or update a definition, and wait until its objects can be listed; blocks for a moment.

    Called again, it changes nothing.

    Args:
        admin: a user who may write definitions and list what they define, like `ControlPlane.admin`.
        crd: the CustomResourceDefinition.

    Raises:
        RequestFailedError: the server refused it.
        TimeoutError: it was not served within a minute.

    """
    name, spec = crd["metadata"]["name"], crd["spec"]
    path = f"{_PATH}/{name}?fieldManager=disvc-testing&force=true"
    admin.call("PATCH", path, crd, content_type="application/apply-patch+yaml")
    version = next(version["name"] for version in spec["versions"] if version["served"])
    collection = f"/apis/{spec['group']}/{version}/{spec['names']['plural']}?limit=1"
    deadline = time.monotonic() + _TIMEOUT_S
    while admin.request("GET", collection).status != _OK:  # served is a moment later than Established
        if time.monotonic() > deadline:
            msg = f"{name} is not served {_TIMEOUT_S:g} s after it was created; look at its conditions"
            raise TimeoutError(msg)
        time.sleep(_POLL_S)
