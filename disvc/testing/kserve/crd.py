"""Puts the InferenceService CRD on a control plane."""

from __future__ import annotations

import time
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final

import yaml

if TYPE_CHECKING:
    from disvc.testing.kserve.resources import Value
    from disvc.testing.users import User

_PATH: Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_TIMEOUT_S: Final = 30.0
_POLL_S: Final = 0.05


@cache
def definition() -> Value:
    """Return the CRD; do not change it."""
    crd: Value = yaml.safe_load(files(__package__).joinpath("inferenceservices.yaml").read_text())
    return crd


def spec_schema() -> Value:
    """Return the CRD's schema of an ISVC's spec."""
    schema: Value = definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return schema


def install(admin: User) -> None:
    """Create or update the InferenceService CRD, and wait until it is served; blocks for a moment.

    Called again, it changes nothing. What it installs is our own: the types and the pruning of KServe v0.20's CRD
    for the fields of predictor, transformer and their containers, not its text.

    Args:
        admin: a user who may write CRDs, like `ControlPlane.admin`.

    Raises:
        RequestFailedError: the server refused it.
        TimeoutError: it was not established within 30 s.

    """
    crd = definition()
    path = f"{_PATH}/{crd['metadata']['name']}?fieldManager=disvc-testing&force=true"
    admin.call("PATCH", path, crd, content_type="application/apply-patch+yaml")
    deadline = time.monotonic() + _TIMEOUT_S
    collection = f"/apis/{crd['spec']['group']}/v1beta1/{crd['spec']['names']['plural']}?limit=1"
    while not (_established(admin, crd["metadata"]["name"]) and admin.request("GET", collection).status == 200):
        if time.monotonic() > deadline:
            raise TimeoutError(f"the CRD {crd['metadata']['name']} was not established within {_TIMEOUT_S:g} s")
        time.sleep(_POLL_S)


def _established(admin: User, name: str) -> bool:
    status = admin.call("GET", f"{_PATH}/{name}").get("status") or {}
    conditions = status.get("conditions") or ()
    return any(c["type"] == "Established" and c["status"] == "True" for c in conditions)
