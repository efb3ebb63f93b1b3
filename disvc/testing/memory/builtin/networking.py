"""The group networking.k8s.io, v1."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from disvc.testing.memory.builtin.columns import others as columns
from disvc.testing.memory.builtin.strategy import BuiltinStrategy, kind, spec
from disvc.testing.memory.builtin.validation.networking import ingress, ingress_class, ingress_status, network_policy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from disvc.testing.memory.errors import Cause

    Value = dict[str, Any]

__all__ = ["TYPES"]

_GROUP: Final = "networking.k8s.io"


class _Ingress(BuiltinStrategy):
    def validate(self, obj: Value, old: Value | None, subresource: str) -> Sequence[Cause]:
        return list(ingress_status(obj["status"]) if subresource == "status" else ingress(obj, old))


class _IngressClass(BuiltinStrategy):
    def validate(self, obj: Value, old: Value | None, subresource: str) -> Sequence[Cause]:
        return list(ingress_class(obj["spec"], None if old is None else old["spec"]))


class _NetworkPolicy(BuiltinStrategy):
    def validate(self, obj: Value, old: Value | None, subresource: str) -> Sequence[Cause]:
        return list(network_policy(obj["spec"]))


TYPES: Final = (
    kind(
        _GROUP,
        "v1",
        "Ingress",
        "ingresses",
        _Ingress,
        short_names=("ing",),
        generation_follows=spec,
        columns=columns.INGRESS,
    ),
    kind(
        _GROUP,
        "v1",
        "IngressClass",
        "ingressclasses",
        _IngressClass,
        namespaced=False,
        generation_follows=spec,
        columns=columns.INGRESS_CLASS,
    ),
    kind(
        _GROUP,
        "v1",
        "NetworkPolicy",
        "networkpolicies",
        _NetworkPolicy,
        short_names=("netpol",),
        generation_follows=spec,
        columns=columns.NETWORK_POLICY,
    ),
)
