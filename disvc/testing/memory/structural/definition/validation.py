"""What is wrong with a CustomResourceDefinition, and what of it may not change.

The rules and their words are those of k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation. Other than
there, conversion by a webhook is refused, as nothing here would call it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from disvc.testing.memory import causes, formats
from disvc.testing.memory.structural.definition.versions import versions_problems

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from disvc.testing.memory.errors import Cause

    Value = dict[str, Any]

__all__ = ["validate"]


def validate(crd: Value, old: Value | None = None) -> list[Cause]:
    """Return what is wrong with a new CRD, or with an update of `old`; not what can be wrong with any metadata.

    Args:
        crd: with its defaults filled in, as Go writes it.
        old: the one that it replaces.

    """
    spec = crd["spec"]
    found = list(_name_problems(crd["metadata"].get("name", ""), spec))
    found += _spec_problems(spec)
    if old is not None:
        found += _change_problems(spec, old)
    found += _stored_version_problems(crd["status"].get("storedVersions"), spec["versions"])
    if spec.get("preserveUnknownFields"):
        text = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"
        found.append(causes.invalid("spec.preserveUnknownFields", True, text))
    return found


def _name_problems(name: str, spec: Value) -> Iterator[Cause]:
    if name and name != f"{spec['names']['plural']}.{spec['group']}":
        yield causes.invalid("metadata.name", name, 'must be spec.names.plural+"."+spec.group')


def _spec_problems(spec: Value) -> Iterator[Cause]:
    group = spec["group"]
    if not group:
        yield causes.required("spec.group")
    elif wrong := formats.dns_subdomain(group):
        yield causes.invalid("spec.group", group, ",".join(wrong))
    elif "." not in group:
        yield causes.invalid("spec.group", group, "should be a domain with at least one dot")
    if not spec["scope"]:
        yield causes.required("spec.scope")
    elif spec["scope"] not in {"Cluster", "Namespaced"}:
        yield causes.not_supported("spec.scope", spec["scope"], ("Cluster", "Namespaced"))
    yield from versions_problems(spec["versions"] or [])
    for name in ("plural", "singular", "kind", "listKind"):
        if not spec["names"].get(name):
            yield causes.required(f"spec.names.{name}")
    yield from _names_problems(spec["names"])
    yield from _conversion_problems(spec.get("conversion") or {})


def _names_problems(names: Value) -> Iterator[Cause]:
    for name in ("plural", "singular"):
        yield from _label_problems(names.get(name, ""), f"spec.names.{name}")
    for name in ("kind", "listKind"):
        kind = names.get(name, "")
        if kind and (wrong := formats.dns_1035_label(kind.lower())):
            text = f"may have mixed case, but should otherwise match: {','.join(wrong)}"
            yield causes.invalid(f"spec.names.{name}", kind, text)
    if names.get("kind") and names["kind"] == names.get("listKind"):
        yield causes.invalid("spec.names.listKind", names["kind"], "kind and listKind may not be the same")
    for listed in ("shortNames", "categories"):
        for index, name in enumerate(names.get(listed) or ()):
            yield from _label_problems(name or " ", f"spec.names.{listed}[{index}]", name)


def _label_problems(label: str, path: str, shown: str | None = None) -> Iterator[Cause]:
    if label and (wrong := formats.dns_1035_label(label)):
        yield causes.invalid(path, label if shown is None else shown, ",".join(wrong))


def _conversion_problems(conversion: Value) -> Iterator[Cause]:
    strategy = conversion.get("strategy", "")
    if strategy == "Webhook":
        text = "this in-memory API server calls no webhook for conversion; use None, or a real kube-apiserver"
        yield causes.invalid("spec.conversion.strategy", strategy, text)
    elif strategy != "None":
        at = "spec.conversion.strategy"
        yield causes.not_supported(at, strategy, ("None", "Webhook")) if strategy else causes.required(at)
    if strategy != "Webhook" and conversion.get("webhook") is not None:
        text = "should not be set when strategy is not set to Webhook"
        for name, shown in (("clientConfig", "webhookClientConfig"), *[("conversionReviewVersions",) * 2]):
            if conversion["webhook"].get(name):
                yield causes.forbidden(f"spec.conversion.{shown}", text)


def _change_problems(spec: Value, old: Value) -> Iterator[Cause]:
    conditions = old["status"].get("conditions") or ()
    fields = [("group",), ("names", "plural")]
    if any(each["type"] == "Established" and each["status"] == "True" for each in conditions):
        fields = [("scope",), ("names", "kind"), *fields]
    for field in fields:
        new_value, old_value = _at(spec, field), _at(old["spec"], field)
        if new_value != old_value:
            yield causes.invalid(".".join(("spec", *field)), new_value, "field is immutable")


def _at(value: Any, path: Sequence[str]) -> Any:
    for name in path:
        value = value[name]
    return value


def _stored_version_problems(stored: Sequence[str] | None, versions: Sequence[Value]) -> Iterator[Cause]:
    path = "status.storedVersions"
    if not stored:
        yield causes.invalid(path, stored, "must have at least one stored version")
        return
    left = list(stored)
    for version in versions:
        if version["storage"] and version["name"] not in left:
            yield causes.invalid(path, stored, f"must have the storage version {version['name']}")
        left = [name for name in left if name != version["name"]]
    for index, name in enumerate(stored):
        if name in left:
            text = (
                f"missing from spec.versions; {name} was previously a storage version, and must remain in "
                f"spec.versions until a storage migration ensures no data remains persisted in {name} and removes "
                f"{name} from status.storedVersions"
            )
            yield causes.invalid(causes.item(path, index), name, text)
