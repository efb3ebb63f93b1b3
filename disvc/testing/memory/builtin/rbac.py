"""The group rbac.authorization.k8s.io, v1."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from disvc.testing.memory import causes, formats
from disvc.testing.memory.builtin.columns import others as columns
from disvc.testing.memory.builtin.strategy import BuiltinStrategy, kind
from disvc.testing.memory.builtin.validation.fields import formatted, label_selector, required
from disvc.testing.memory.causes import item
from disvc.testing.memory.go_text import Struct

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from disvc.testing.memory.errors import Cause

    Value = dict[str, Any]

__all__ = ["TYPES"]

_GROUP: Final = "rbac.authorization.k8s.io"
_NOT_OF_RESOURCES: Final = ("apiGroups", "resources", "resourceNames")


class _Role(BuiltinStrategy):
    def validate(self, obj: Value, old: Value | None, subresource: str) -> Sequence[Cause]:
        return list(_rules(obj["rules"] or [], is_namespaced=True))


class _ClusterRole(BuiltinStrategy):
    def validate(self, obj: Value, old: Value | None, subresource: str) -> Sequence[Cause]:
        return [*_rules(obj["rules"] or [], is_namespaced=False), *_aggregation(obj.get("aggregationRule"))]


class _RoleBinding(BuiltinStrategy):
    is_namespaced = True

    def validate(self, obj: Value, old: Value | None, subresource: str) -> Sequence[Cause]:
        return list(_binding(obj, old, is_namespaced=self.is_namespaced))


class _ClusterRoleBinding(_RoleBinding):
    is_namespaced = False


def _rules(rules: list[Value], *, is_namespaced: bool) -> Iterator[Cause]:
    for index, rule in enumerate(rules):
        path = item("rules", index)
        if not rule["verbs"]:
            yield causes.required(f"{path}.verbs", "verbs must contain at least one value")
        if urls := rule.get("nonResourceURLs"):
            if is_namespaced:
                why = "namespaced rules cannot apply to non-resource URLs"
                yield causes.invalid(f"{path}.nonResourceURLs", urls, why)
            if any(rule.get(name) for name in _NOT_OF_RESOURCES):
                why = "rules cannot apply to both regular resources and non-resource URLs"
                yield causes.invalid(f"{path}.nonResourceURLs", urls, why)
            continue
        if not rule.get("apiGroups"):
            yield causes.required(f"{path}.apiGroups", "resource rules must supply at least one api group")
        if not rule.get("resources"):
            yield causes.required(f"{path}.resources", "resource rules must supply at least one resource")


def _aggregation(rule: Value | None) -> Iterator[Cause]:
    if rule is None:
        return
    path, selectors = "aggregationRule.clusterRoleSelectors", rule.get("clusterRoleSelectors", [])
    if not selectors:
        yield causes.required(path, "at least one clusterRoleSelector required if aggregationRule is non-nil")
    for index, selector in enumerate(selectors):
        yield from label_selector(item(path, index), selector)


def _binding(binding: Value, old: Value | None, *, is_namespaced: bool) -> Iterator[Cause]:
    role = binding["roleRef"]
    kinds = ("Role", "ClusterRole") if is_namespaced else ("ClusterRole",)
    if role["apiGroup"] != _GROUP:
        yield causes.not_supported("roleRef.apiGroup", role["apiGroup"], (_GROUP,))
    if role["kind"] not in kinds:
        yield causes.not_supported("roleRef.kind", role["kind"], kinds)
    yield from required("roleRef.name", role["name"], formats.path_segment)
    for index, subject in enumerate(binding.get("subjects", ())):
        yield from _subject(item("subjects", index), subject, is_namespaced=is_namespaced)
    if old is not None and role != old["roleRef"]:
        shown = Struct(APIGroup=role["apiGroup"], Kind=role["kind"], Name=role["name"])
        yield causes.invalid("roleRef", shown, "cannot change roleRef")


def _subject(path: str, subject: Value, *, is_namespaced: bool) -> Iterator[Cause]:
    group, name = subject.get("apiGroup", ""), subject["name"]
    if not name:
        yield causes.required(f"{path}.name")
    match subject["kind"]:
        case "ServiceAccount":
            if name:
                yield from formatted(f"{path}.name", name, formats.dns_subdomain)
            if group:
                yield causes.not_supported(f"{path}.apiGroup", group, ("",))
            if not is_namespaced and not subject.get("namespace"):
                yield causes.required(f"{path}.namespace")
        case "User" | "Group":
            if group != _GROUP:
                yield causes.not_supported(f"{path}.apiGroup", group, (_GROUP,))
        case other:
            yield causes.not_supported(f"{path}.kind", other, ("ServiceAccount", "User", "Group"))


def _kind(name: str, strategy: type[BuiltinStrategy], **particular: Any) -> Any:
    return kind(
        _GROUP,
        "v1",
        name,
        f"{name.lower()}s",
        strategy,
        check_name=formats.path_segment,
        allows_create_on_update=True,
        **particular,
    )


TYPES: Final = (
    _kind("Role", _Role, columns=columns.DEFAULT),
    _kind("ClusterRole", _ClusterRole, namespaced=False, columns=columns.DEFAULT),
    _kind("RoleBinding", _RoleBinding, columns=columns.BINDING),
    _kind("ClusterRoleBinding", _ClusterRoleBinding, namespaced=False, columns=columns.CLUSTER_ROLE_BINDING),
)
