"""The order of API versions, the one that clients prefer first: k8s.io/apimachinery/pkg/version's priority."""

from __future__ import annotations

import re

__all__ = ["preference"]


def preference(version: str) -> tuple[object, ...]:
    """Return what sorts versions as clients prefer them: v2, v1, v2beta1, v1alpha1, and then other names."""
    found = re.fullmatch(r"v([1-9]\d*)(?:(alpha|beta)([1-9]\d*))?", version)
    if found is None:
        return (1, version)
    major, stage, minor = found.groups()
    return (0, {None: 0, "beta": 1, "alpha": 2}[stage], -int(major), -int(minor or 0))
