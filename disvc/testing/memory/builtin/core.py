"""The core group, v1."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from disvc.testing.memory.builtin import selectable
from disvc.testing.memory.builtin.columns import core as columns
from disvc.testing.memory.builtin.columns.pods import POD
from disvc.testing.memory.builtin.pod import PodStrategy, grace_period
from disvc.testing.memory.builtin.service import ServiceStrategy
from disvc.testing.memory.builtin.strategy import BuiltinStrategy, kind, spec
from disvc.testing.memory.builtin.validation import cluster, configuration, quotas
from disvc.testing.memory.builtin.validation.claims import claim_changes, claim_spec
from disvc.testing.memory.formats import dns_label
from disvc.testing.memory.resource import ALL_VERBS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from disvc.testing.memory.errors import Cause

    Value = dict[str, Any]

__all__ = ["TYPES"]

_NOT_READY: Final = "node.kubernetes.io/not-ready"
_NAME: Final = "kubernetes.io/metadata.name"


class _Namespace(BuiltinStrategy):
    def prepare_for_create(self, obj: Value) -> None:
        """Make it active, and let it go only when the server has removed what is in it."""
        obj["status"] = {"phase": "Active"}
        finalizers = obj["spec"].setdefault("finalizers", [])
        if "kubernetes" not in finalizers:
            finalizers.append("kubernetes")
        obj["metadata"].setdefault("labels", {})[_NAME] = obj["metadata"].get("name", "")

    def prepare_for_update(self, obj: Value, old: Value) -> None:
        super().prepare_for_update(obj, old)
        obj["spec"] = {**obj["spec"], "finalizers": old["spec"]["finalizers"]}

    def validate(self, obj: Value, old: Value | None, subresource: str) -> Sequence[Cause]:
        if subresource == "status" and old is not None:
            return ()
        return list(cluster.finalizers("spec.finalizers", obj["spec"].get("finalizers", [])))


class _ConfigMap(BuiltinStrategy):
    def validate(self, obj: Value, old: Value | None, subresource: str) -> Sequence[Cause]:
        return list(configuration.config_map(obj, old))


class _Secret(BuiltinStrategy):
    def validate(self, obj: Value, old: Value | None, subresource: str) -> Sequence[Cause]:
        return list(configuration.secret(obj, old))


class _Node(BuiltinStrategy):
    """Nodes, and the admission plugin TaintNodesByCondition."""

    def prepare_for_create(self, obj: Value) -> None:
        """Keep the status with which a kubelet registers, and let nothing run there until the node is ready."""
        taints = obj["spec"].setdefault("taints", [])
        if not any(taint["key"] == _NOT_READY for taint in taints):
            taints.append({"key": _NOT_READY, "effect": "NoSchedule"})

    def validate(self, obj: Value, old: Value | None, subresource: str) -> Sequence[Cause]:
        changes = [] if old is None else cluster.node_changes(obj["spec"], old["spec"])
        return [*changes, *cluster.node(obj)]


class _PersistentVolumeClaim(BuiltinStrategy):
    """Claims, and the admission plugin StorageObjectInUseProtection."""

    def prepare_for_create(self, obj: Value) -> None:
        obj["status"] = {"phase": "Pending"}
        finalizers = obj["metadata"].setdefault("finalizers", [])
        if "kubernetes.io/pvc-protection" not in finalizers:
            finalizers.append("kubernetes.io/pvc-protection")

    def validate(self, obj: Value, old: Value | None, subresource: str) -> Sequence[Cause]:
        if subresource == "status" and old is not None:
            return ()
        changes = [] if old is None else claim_changes(obj, old)
        return [*claim_spec("spec", obj["spec"]), *changes]


class _ResourceQuota(BuiltinStrategy):
    def validate(self, obj: Value, old: Value | None, subresource: str) -> Sequence[Cause]:
        return list(quotas.resource_quota(obj["spec"]))


class _LimitRange(BuiltinStrategy):
    def validate(self, obj: Value, old: Value | None, subresource: str) -> Sequence[Cause]:
        return list(quotas.limit_range(obj["spec"]))


class _Endpoints(BuiltinStrategy):
    def validate(self, obj: Value, old: Value | None, subresource: str) -> Sequence[Cause]:
        return list(cluster.endpoints(obj.get("subsets", [])))


TYPES: Final = (
    kind(
        "",
        "v1",
        "Namespace",
        "namespaces",
        _Namespace,
        namespaced=False,
        short_names=("ns",),
        check_name=dns_label,
        verbs=ALL_VERBS - {"deletecollection"},
        columns=columns.NAMESPACE,
        selectable_fields=selectable.NAMESPACE,
    ),
    kind(
        "",
        "v1",
        "Pod",
        "pods",
        PodStrategy,
        short_names=("po",),
        categories=("all",),
        generation_follows=spec,
        answers_deleted_object=True,
        grace_period=grace_period,
        columns=POD,
        selectable_fields=selectable.POD,
    ),
    kind(
        "",
        "v1",
        "Service",
        "services",
        ServiceStrategy,
        short_names=("svc",),
        categories=("all",),
        check_name=dns_label,
        allows_create_on_update=True,
        answers_deleted_object=True,
        columns=columns.SERVICE,
        selectable_fields=selectable.SERVICE,
    ),
    kind(
        "",
        "v1",
        "Endpoints",
        "endpoints",
        _Endpoints,
        short_names=("ep",),
        allows_create_on_update=True,
        columns=columns.ENDPOINTS,
    ),
    kind(
        "",
        "v1",
        "ConfigMap",
        "configmaps",
        _ConfigMap,
        short_names=("cm",),
        columns=columns.CONFIG_MAP,
    ),
    kind(
        "",
        "v1",
        "Secret",
        "secrets",
        _Secret,
        columns=columns.SECRET,
        selectable_fields=selectable.SECRET,
    ),
    kind(
        "",
        "v1",
        "ServiceAccount",
        "serviceaccounts",
        short_names=("sa",),
        answers_deleted_object=True,
        columns=columns.SERVICE_ACCOUNT,
    ),
    kind(
        "",
        "v1",
        "Node",
        "nodes",
        _Node,
        namespaced=False,
        short_names=("no",),
        columns=columns.NODE,
        selectable_fields=selectable.NODE,
    ),
    kind(
        "",
        "v1",
        "PersistentVolumeClaim",
        "persistentvolumeclaims",
        _PersistentVolumeClaim,
        short_names=("pvc",),
        answers_deleted_object=True,
        columns=columns.PERSISTENT_VOLUME_CLAIM,
    ),
    kind(
        "",
        "v1",
        "ResourceQuota",
        "resourcequotas",
        _ResourceQuota,
        short_names=("quota",),
        answers_deleted_object=True,
        columns=columns.RESOURCE_QUOTA,
    ),
    kind(
        "",
        "v1",
        "LimitRange",
        "limitranges",
        _LimitRange,
        short_names=("limits",),
        allows_create_on_update=True,
        columns=columns.LIMIT_RANGE,
    ),
)
