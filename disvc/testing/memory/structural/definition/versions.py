"""What is wrong with the versions of a CustomResourceDefinition.

The rules and their words are those of k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation. What all
versions have in common stands at the top of the spec there when it is validated, and is found wrong there:
`spec.validation.openAPIV3Schema`.
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

__all__ = ["versions_problems"]

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


def versions_problems(versions: Sequence[Value]) -> Iterator[Cause]:
    """Yield what is wrong with the versions of a CRD, taken together and each for itself."""
    common = {
        part for part in _IN_COMMON if versions and all(each.get(part) == versions[0].get(part) for each in versions)
    }
    for index, version in enumerate(versions):
        yield from _problems_of(version, f"spec.versions[{index}]", common)
    shown = [_shown(version, common) for version in versions]
    if len({version["name"] for version in versions}) != len(versions):
        yield causes.invalid("spec.versions", shown, "must contain unique version names")
    if sum(version["storage"] for version in versions) != 1:
        yield causes.invalid("spec.versions", shown, "must have exactly one version marked as storage version")
    if versions:
        yield from _common_problems(versions, common)


def _problems_of(version: Value, path: str, common: set[str]) -> Iterator[Cause]:
    if (version.get("schema") or {}).get("openAPIV3Schema") is None:
        yield causes.required(f"{path}.schema.openAPIV3Schema")
    if wrong := formats.dns_1035_label(version["name"]):
        yield causes.invalid(f"{path}.name", version["name"], ",".join(wrong))
    yield from _warning_problems(version, path)
    for part in _IN_COMMON:
        if part not in common:
            yield from _part_problems(part, version, f"{path}.{part}", has_status=_has_status(version))


def _common_problems(versions: Sequence[Value], common: set[str]) -> Iterator[Cause]:
    """Yield what is wrong at the top of the spec, where the first version stands for all."""
    if wrong := formats.dns_1035_label(versions[0]["name"]):
        yield causes.invalid("spec.version", versions[0]["name"], ",".join(wrong))
    has_status = any(map(_has_status, versions))
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
            if (schema := declared.get("openAPIV3Schema")) is not None:
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
