"""Whether a schema is structural: every field has a type, and what combines schemas says nothing of types.

The rules and their words are those of validation.go and complete.go of
k8s.io/apiextensions-apiserver/pkg/apiserver/schema.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

from disvc.testing.memory import causes
from disvc.testing.memory.structural.regular_expressions import compile_expression

if TYPE_CHECKING:
    from collections.abc import Iterator

    from disvc.testing.memory.errors import Cause
    from disvc.testing.memory.schema import Schema

    Level = Literal["root", "items", "field"]

__all__ = ["structural_problems"]

_INT_OR_STRING: Final = [{"type": "integer"}, {"type": "string"}]
_NO_TYPE: Final = {
    "root": "must not be empty at the root",
    "items": "must not be empty for specified array items",
    "field": "must not be empty for specified object fields",
}
_FORBIDDEN_WHEN_NESTED: Final = {
    "type": "must be empty to be structural",
    "additionalProperties": "must be undefined to be structural",
    "default": "must be undefined to be structural",
    "title": "must be empty to be structural",
    "description": "must be empty to be structural",
    "nullable": "must be false to be structural",
    "x-kubernetes-preserve-unknown-fields": "must be false to be structural",
    "x-kubernetes-embedded-resource": "must be false to be structural",
    "x-kubernetes-int-or-string": "must be false to be structural",
    "x-kubernetes-list-map-keys": "must be empty to be structural",
    "x-kubernetes-list-type": "must be undefined to be structural",
    "x-kubernetes-map-type": "must be undefined to be structural",
    "x-kubernetes-validations": "must be empty to be structural",
}
_COMBINING: Final = ("anyOf", "allOf", "oneOf")


def structural_problems(schema: Schema, path: str) -> list[Cause]:
    """Return what is not structural in the schema of a whole object that stands at `path`."""
    return sorted([*_invariants(schema, "root", path), *_completeness(schema.raw, schema, path, path)], key=str)


def _invariants(schema: Schema, level: Level, path: str) -> Iterator[Cause]:
    raw = schema.raw
    if schema.type == "array" and schema.items is None:
        yield causes.required(f"{path}.items", "must be specified")
    if schema.items is not None:
        yield from _invariants(schema.items, "items", f"{path}.items")
    for name, field in schema.properties.items():
        yield from _invariants(field, "field", f"{path}.properties[{name}]")
    if raw.get("additionalProperties") is not None and level == "root":
        yield causes.forbidden(f"{path}.additionalProperties", "must not be used at the root")
    if schema.additional is not None:
        yield from _invariants(schema.additional, "field", f"{path}.additionalProperties")
    if raw.get("x-kubernetes-int-or-string"):
        for keyword in ("x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"):
            if raw.get(keyword):
                yield causes.invalid(f"{path}.{keyword}", True, "must be false if x-kubernetes-int-or-string is true")
    all_of = raw.get("allOf") or [{}]
    yield from _value_validation(
        raw,
        path,
        skips_any_of=raw.get("anyOf") == _INT_OR_STRING,
        skips_in_first=all_of[0].get("anyOf") == _INT_OR_STRING,
    )
    yield from _type_problems(schema, level, path)
    yield from _metadata_problems(schema, level, path)


def _type_problems(schema: Schema, level: Level, path: str) -> Iterator[Cause]:
    if schema.is_embedded_resource and schema.type != "object":
        text = "must be object if x-kubernetes-embedded-resource is true"
        if schema.type:
            yield causes.invalid(f"{path}.type", schema.type, text)
        else:
            yield causes.required(f"{path}.type", text)
    elif not (schema.type or schema.raw.get("x-kubernetes-int-or-string") or schema.preserves_unknown_fields):
        yield causes.required(f"{path}.type", _NO_TYPE[level])
    if schema.is_embedded_resource and schema.raw.get("additionalProperties") is not None:
        text = "must not be used if x-kubernetes-embedded-resource is set"
        yield causes.forbidden(f"{path}.additionalProperties", text)
    if level == "root" and schema.type and schema.type != "object":
        yield causes.invalid(f"{path}.type", schema.type, "must be object at the root")
    if schema.is_embedded_resource and not schema.preserves_unknown_fields and not schema.properties:
        without = "x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields"
        yield causes.required(f"{path}.properties", f"must not be empty if {without}")


def _metadata_problems(schema: Schema, level: Level, path: str) -> Iterator[Cause]:
    if level == "root" or schema.is_embedded_resource:
        for name, type_ in (("kind", "string"), ("apiVersion", "string"), ("metadata", "object")):
            field = schema.properties.get(name)
            if field is not None and field.type != type_:
                yield causes.invalid(f"{path}.properties[{name}].type", field.type, f"must be {type_}")
    metadata = schema.properties.get("metadata")
    if level == "root" and metadata is not None:
        more = {key for key, value in metadata.raw.items() if value} - {"type", "default", "properties"}
        if more or not set(metadata.properties) <= {"name", "generateName"}:
            text = "must not specify anything other than name and generateName, but metadata is implicitly specified"
            yield causes.forbidden(f"{path}.properties[metadata]", text)


def _value_validation(raw: Any, path: str, *, skips_any_of: bool, skips_in_first: bool) -> Iterator[Cause]:
    for keyword in _COMBINING:
        if keyword == "anyOf" and skips_any_of:
            continue
        for index, nested in enumerate(raw.get(keyword) or ()):
            skips = keyword == "allOf" and index == 0 and skips_in_first
            yield from _nested(nested, f"{path}.{keyword}[{index}]", skips_any_of=skips)
    if raw.get("not") is not None:
        yield from _nested(raw["not"], f"{path}.not")
    if pattern := raw.get("pattern"):
        try:
            compile_expression(pattern)
        except ValueError as error:
            text = f"must be a valid regular expression, but isn't: {error}"
            yield causes.invalid(f"{path}.pattern", pattern, text)


def _nested(raw: Any, path: str, *, skips_any_of: bool = False) -> Iterator[Cause]:
    yield from _value_validation(raw, path, skips_any_of=skips_any_of, skips_in_first=False)
    if isinstance(raw.get("items"), dict):
        yield from _nested(raw["items"], f"{path}.items")
    for name, field in (raw.get("properties") or {}).items():
        yield from _nested(field, f"{path}.properties[{name}]")
    for keyword, text in _FORBIDDEN_WHEN_NESTED.items():
        if raw.get(keyword):
            yield causes.forbidden(f"{path}.{keyword}", text)
    if "metadata" in (raw.get("properties") or {}):
        yield causes.forbidden(f"{path}.properties[metadata]", "must not be specified in a nested context")


def _completeness(raw: Any, schema: Schema | None, path: str, nested_path: str) -> Iterator[Cause]:
    """Yield what is validated in a nested context without being declared outside of it."""
    if schema is None:
        yield causes.required(path, f"because it is defined in {nested_path}")
        return
    parts = [("not", raw["not"])] if raw.get("not") is not None else []
    parts += [
        (f"{keyword}[{index}]", part) for keyword in _COMBINING for index, part in enumerate(raw.get(keyword) or ())
    ]
    for name, part in parts:
        yield from _nested_completeness(part, schema, path, f"{nested_path}.{name}")


def _nested_completeness(raw: Any, schema: Schema | None, path: str, nested_path: str) -> Iterator[Cause]:
    yield from _completeness(raw, schema, path, nested_path)
    if schema is None:
        return
    if isinstance(raw.get("items"), dict):
        yield from _nested_completeness(raw["items"], schema.items, f"{path}.items", f"{nested_path}.items")
    for name, part in (raw.get("properties") or {}).items():
        at = f"properties[{name}]"
        yield from _nested_completeness(part, schema.properties.get(name), f"{path}.{at}", f"{nested_path}.{at}")
