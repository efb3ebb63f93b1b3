"""Puts the InferenceService CRD on a control plane."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

import yaml

from disvc.testing import crds

if TYPE_CHECKING:
    from disvc.testing.kserve.resources import Value
    from disvc.testing.users import User


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
        TimeoutError: it was not served within a minute.

    """
    crds.install(admin, definition())
