"""What is wrong with a CustomResourceDefinition, and what of it may not change.

The rules and their words are those of k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation. Parts that all
versions have in common stand at the top of the spec there when they are validated, and are found wrong there:
`spec.validation.openAPIV3Schema`. Other than there, conversion by a webhook is refused, as nothing here would call it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from disvc.testing.memory import causes, formats
from disvc.testing.memory.go_text import Struct
from disvc.testing.memory.schema import Schema
from disvc.testing.memory.structural.definition.schema import schema_problems
from disvc.testing.memory.structural.field_paths import find_field

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from disvc.testing.memory.errors import Cause

    Value = dict[str, Any]

__all__ = ["validate"]

_COLUMN_TYPES: Final = ("boolean", "date", "integer", "number", "string")
_COLUMN_FORMATS: Final = ("byte", "date", "date-time", "double", "float", "int32", "int64", "password")
_MOST_SELECTABLE_FIELDS: Final = 8
_LONGEST_WARNING: Final = 256
_IN_COMMON: Final = {
    "schema": "validation",
    "subresources": "subresources",
    "additionalPrinterColumns": "additionalPrinterColumns",
    "selectableFields": "selectableFields",
}
"""What a version has, and what it is called at the top of the spec if all have the same."""
_REPLICAS: Final = (("specReplicasPath", ".spec"), ("statusReplicasPath", ".status"))


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
    found += _stored_version_problems(crd["status"].get("storedVersions") or [], spec["versions"])
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
    yield from _versions_problems(spec)
    for name in ("plural", "singular", "kind", "listKind"):
        if not spec["names"].get(name):
            yield causes.required(f"spec.names.{name}")
    yield from _names_problems(spec["names"])
    yield from _conversion_problems(spec.get("conversion") or {})


def _versions_problems(spec: Value) -> Iterator[Cause]:
    versions = spec["versions"] or []
    for index, version in enumerate(versions):
        if not (version.get("schema") or {}).get("openAPIV3Schema"):
            yield causes.required(f"spec.versions[{index}].schema.openAPIV3Schema")
    common = {
        part for part in _IN_COMMON if versions and all(each.get(part) == versions[0].get(part) for each in versions)
    }
    has_status = any(_has_status(version) for version in versions)
    for index, version in enumerate(versions):
        at = f"spec.versions[{index}]"
        if wrong := formats.dns_1035_label(version["name"]):
            yield causes.invalid(f"{at}.name", version["name"], ",".join(wrong))
        yield from _warning_problems(version, at)
        for part in _IN_COMMON.keys() - common:
            yield from _part_problems(part, version, f"{at}.{part}", has_status=_has_status(version))
    shown = [_shown(version, common) for version in versions]
    if len({version["name"] for version in versions}) != len(versions):
        yield causes.invalid("spec.versions", shown, "must contain unique version names")
    if sum(version["storage"] for version in versions) != 1:
        yield causes.invalid("spec.versions", shown, "must have exactly one version marked as storage version")
    for part, name in _IN_COMMON.items():
        if part in common:
            yield from _part_problems(part, versions[0], f"spec.{name}", has_status=has_status)


def _shown(version: Value, common: set[str]) -> Struct:
    """Return a version as messages show it."""
    columns = None if "additionalPrinterColumns" in common else version.get("additionalPrinterColumns")
    return Struct(
        Name=version["name"],
        Served=version["served"],
        Storage=version["storage"],
        Deprecated=version.get("deprecated", False),
        DeprecationWarning=version.get("deprecationWarning"),
        Schema=None if "schema" in common else version.get("schema"),
        Subresources=None if "subresources" in common else version.get("subresources"),
        AdditionalPrinterColumns=columns,
        SelectableFields=None if "selectableFields" in common else version.get("selectableFields"),
    )


def _has_status(version: Value) -> bool:
    return (version.get("subresources") or {}).get("status") is not None


def _warning_problems(version: Value, path: str) -> Iterator[Cause]:
    warning = version.get("deprecationWarning")
    if warning is None:
        return
    if not version.get("deprecated"):
        wrong = ["can only be set for deprecated versions"]
    else:
        wrong = ["must be <= 256 characters long"] if len(warning.encode()) > _LONGEST_WARNING else []
        wrong += [] if warning else ["must not be an empty string"]
        unprintable = next((index for index, each in enumerate(warning) if not each.isprintable()), None)
        if unprintable is not None:
            text = "must only contain printable UTF-8 characters; non-printable character found at index"
            wrong.append(f"{text} {len(warning[:unprintable].encode())}")
    for text in wrong:
        yield causes.invalid(f"{path}.deprecationWarning", warning, text)


def _part_problems(part: str, version: Value, path: str, *, has_status: bool) -> Iterator[Cause]:
    """Yield what is wrong with a part of a version, `schema` or the like, that stands at `path`."""
    declared = version.get(part)
    if not declared:
        return
    match part:
        case "schema":
            if schema := declared.get("openAPIV3Schema"):
                yield from schema_problems(schema, f"{path}.openAPIV3Schema", has_status=has_status)
        case "subresources":
            if declared.get("scale") is not None:
                yield from _scale_problems(declared["scale"], f"{path}.scale")
        case "additionalPrinterColumns":
            for index, column in enumerate(declared):
                yield from _column_problems(column, f"{path}[{index}]")
        case "selectableFields":
            yield from _selectable_problems(declared, Schema(version["schema"]["openAPIV3Schema"]), path)


def _scale_problems(scale: Value, path: str) -> Iterator[Cause]:
    for name, root in _REPLICAS:
        if not (replicas := scale.get(name, "")):
            yield causes.required(f"{path}.{name}")
        else:
            yield from _path_problems(replicas, f"{path}.{name}", (root,), f"should be a json path under {root}")
    if selector := scale.get("labelSelectorPath"):
        text = "should be a json path under either .spec or .status"
        yield from _path_problems(selector, f"{path}.labelSelectorPath", (".spec", ".status"), text)


def _path_problems(value: str, path: str, roots: Sequence[str], text: str) -> Iterator[Cause]:
    if not value.startswith("."):
        yield causes.invalid(path, value, "must be a simple json path starting with .")
    elif not any(value.startswith(f"{root}.") for root in roots):
        yield causes.invalid(path, value, text)


def _column_problems(column: Value, path: str) -> Iterator[Cause]:
    if not column["name"]:
        yield causes.required(f"{path}.name")
    one_of = f"must be one of {','.join(_COLUMN_TYPES)}"
    if not column["type"]:
        yield causes.required(f"{path}.type", one_of)
    elif column["type"] not in _COLUMN_TYPES:
        yield causes.invalid(f"{path}.type", column["type"], one_of)
    if column.get("format") and column["format"] not in _COLUMN_FORMATS:
        yield causes.invalid(f"{path}.format", column["format"], f"must be one of {','.join(_COLUMN_FORMATS)}")
    if not column["jsonPath"]:
        yield causes.required(f"{path}.JSONPath")
    elif not column["jsonPath"].startswith("."):
        yield causes.invalid(f"{path}.JSONPath", column["jsonPath"], "must be a simple json path starting with .")


def _selectable_problems(declared: Sequence[Value], schema: Schema, path: str) -> Iterator[Cause]:
    seen: set[str] = set()
    for index, each in enumerate(declared):
        at, json_path = f"{path}[{index}].jsonPath", each["jsonPath"]
        if not json_path:
            yield causes.required(at)
            continue
        try:
            normal, found = find_field(json_path, schema, brackets=False)
        except ValueError as error:
            yield causes.invalid(at, json_path, f"is an invalid path: {error}")
            continue
        if normal.split(".", 1)[0] == "metadata":
            yield causes.invalid(at, json_path, "must not point to fields in metadata")
        if found.type not in {"string", "boolean", "integer"}:
            text = "must point to a field of type string, boolean or integer."
            more = "Enum string fields and strings with formats are allowed."
            yield causes.invalid(at, json_path, f"{text} {more}")
        if normal in seen:
            yield causes.duplicate(at, json_path)
        seen.add(normal)
    if len(seen) > _MOST_SELECTABLE_FIELDS:
        yield causes.too_many(path, len(seen), _MOST_SELECTABLE_FIELDS)


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
        yield causes.forbidden("spec.conversion.webhookClientConfig", text)


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


def _stored_version_problems(stored: Sequence[str], versions: Sequence[Value]) -> Iterator[Cause]:
    path = "status.storedVersions"
    if not stored:
        yield causes.invalid(path, stored, "must have at least one stored version")
        return
    for version in versions:
        if version["storage"] and version["name"] not in stored:
            yield causes.invalid(path, stored, f"must have the storage version {version['name']}")
    names = {version["name"] for version in versions}
    for index, name in enumerate(stored):
        if name not in names:
            text = (
                f"missing from spec.versions; {name} was previously a storage version, and must remain in "
                f"spec.versions until a storage migration ensures no data remains persisted in {name} and removes "
                f"{name} from status.storedVersions"
            )
            yield causes.invalid(causes.item(path, index), name, text)
