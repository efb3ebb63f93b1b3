"""The group networking.k8s.io, v1."""

from __future__ import annotations

from typing import Final

from disvc.testing.memory.builtin.strategy import kind, spec

__all__ = ["TYPES"]

_GROUP: Final = "networking.k8s.io"

TYPES: Final = (
    kind(_GROUP, "v1", "Ingress", "ingresses", short_names=("ing",), generation_follows=spec),
    kind(_GROUP, "v1", "IngressClass", "ingressclasses", namespaced=False, generation_follows=spec),
    kind(_GROUP, "v1", "NetworkPolicy", "networkpolicies", short_names=("netpol",), generation_follows=spec),
)
