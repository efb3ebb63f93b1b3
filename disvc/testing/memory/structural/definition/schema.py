"""What is wrong with the schema of a version, `openAPIV3Schema`, validation rules included.

The rules and their words are those of k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation. Not as there: a
rule is never too costly, and where a rule cannot be evaluated here, that is told with the rule.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import msgspec

from disvc.testing.memory import causes
from disvc.testing.memory.errors import Cause
from disvc.testing.memory.go_text import Struct
from disvc.testing.memory.schema import Schema
from disvc.testing.memory.structural.cel import Rule, check_rules
from disvc.testing.memory.structural.definition.default_values import default_problems
from disvc.testing.memory.structural.definition.lists import list_problems
from disvc.testing.memory.structural.definition.structure import structural_problems
from disvc.testing.memory.structural.field_paths import find_field

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["schema_problems"]

_TYPES: Final = ("array", "boolean", "integer", "number", "object", "string")
_REASONS: Final = ("FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired")
_REFERENCE: Final = "a reference"
_UNSUPPORTED: Final = {
    **{name: name for name in ("id", "additionalItems", "patternProperties", "definitions", "dependencies")},
    _REFERENCE: "$ref",
}
"""Keywords that no schema of a CRD may have, with their names."""
_RULES: Final = "x-kubernetes-validations"
_NO_RULES_HERE: Final = (
    "Internal error: internal error: failed to construct type information for x-kubernetes-validations rules: "
    "unable to convert structural schema to CEL declarations"
)
_TYPE_FIELDS: Final = frozenset({"metadata", "kind", "apiVersion"})
_AT_ROOT: Final = {
    "description": "Description",
    "type": "Type",
    "format": "Format",
    "title": "Title",
    "maximum": "Maximum",
    "exclusiveMaximum": "ExclusiveMaximum",
    "minimum": "Minimum",
    "exclusiveMinimum": "ExclusiveMinimum",
    "maxLength": "MaxLength",
    "minLength": "MinLength",
    "pattern": "Pattern",
    "maxItems": "MaxItems",
    "minItems": "MinItems",
    "uniqueItems": "UniqueItems",
    "multipleOf": "MultipleOf",
    "required": "Required",
    "items": "Items",
    "properties": "Properties",
    "externalDocs": "ExternalDocs",
    "example": "Example",
    "x-kubernetes-preserve-unknown-fields": "XPreserveUnknownFields",
    "x-kubernetes-validations": "XValidations",
}
"""Keywords that may stand at the root beside a status subresource, and what messages call them."""


def schema_problems(raw: Mapping[str, Any], path: str, *, has_status: bool) -> Sequence[Cause]:
    """Return what is wrong with a schema that stands at `path`."""
    return _schema_problems(msgspec.json.encode(raw), path, has_status)


@lru_cache(maxsize=64)
def _schema_problems(encoded: bytes, path: str, has_status: bool) -> Sequence[Cause]:
    raw = msgspec.json.decode(encoded)
    schema = Schema(_with_marked_references(raw))
    found = list(_root_problems(raw, path, has_status=has_status))
    is_supported = not _has_unsupported(schema)
    not_structural = (structural_problems(schema, path) or list(default_problems(schema, path))) if is_supported else []
    found += not_structural
    walk = _Walk(checks_rules=is_supported and not not_structural)
    walk.visit(schema, path, _Place(is_root=True))
    return [*found, *walk.found, *walk.found_in_rules]


def _with_marked_references(raw: Any) -> Any:
    """Return a schema in which no reference is followed, for there is nothing to which one could lead."""
    match raw:
        case dict():
            return {
                _REFERENCE if name == "$ref" and isinstance(part, str) else name: _with_marked_references(part)
                for name, part in raw.items()
            }
        case list():
            return [_with_marked_references(part) for part in raw]
        case _:
            return raw


def _has_unsupported(schema: Schema) -> bool:
    """Return whether a schema or one of its parts has what makes it impossible to look for its structure."""
    if isinstance(schema.raw.get("items"), list) or any(schema.raw.get(keyword) for keyword in _UNSUPPORTED):
        return True
    parts = [*schema.properties.values(), schema.additional, schema.items, schema.not_]
    parts += [*schema.all_of, *schema.any_of, *schema.one_of]
    return any(part is not None and _has_unsupported(part) for part in parts)


def _root_problems(raw: Mapping[str, Any], path: str, *, has_status: bool) -> Iterator[Cause]:
    if has_status:
        if raw.get("type") != "object":
            text = 'only "object" is allowed as the type at the root of the schema if the status subresource is enabled'
            yield causes.invalid(f"{path}.type", raw.get("type", ""), text)
        elif any(value and keyword not in _AT_ROOT for keyword, value in raw.items()):
            allowed = f"only [{' '.join(_AT_ROOT.values())}] fields are allowed at the root of the schema"
            yield causes.invalid(path, dict(raw), f"{allowed} if the status subresource is enabled")
    if raw.get("nullable"):
        yield causes.forbidden(f"{path}.nullable", "nullable cannot be true at the root")


@dataclass(frozen=True)
class _Place:
    """Where in a schema one of its parts is."""

    is_root: bool = False
    is_in_metadata: bool = False
    no_defaults: str = ""
    """Where no default may be set, and that is so; "" where there may."""
    uncorrelated: str = ""
    """The path of the innermost value around whose parts cannot be told from those of its old value; "" for none."""
    is_nested: bool = False
    """Whether it is in `not`, `allOf` or the like."""

    def inside(self, **changes: Any) -> _Place:
        return replace(self, is_root=False, **changes)

    def below_uncorrelated(self, path: str) -> _Place:
        return self.inside(uncorrelated=self.uncorrelated or path)


@dataclass
class _Walk:
    """Goes through a schema and gathers what is wrong, apart for the schema itself and for rules."""

    checks_rules: bool
    found: list[Cause] = field(default_factory=list)
    found_in_rules: list[Cause] = field(default_factory=list)

    def visit(self, schema: Schema, path: str, place: _Place) -> None:
        """Gather what is wrong with a schema and with its parts."""
        before = len(self.found)
        self.found += _keyword_problems(schema.raw, path, place)
        self._visit_parts(schema, path, place)
        self.found += list_problems(schema, path)
        rules = schema.raw.get(_RULES) or ()
        for index, rule in enumerate(rules):
            self.found += _rule_problems(rule, schema, f"{path}.{_RULES}[{index}]")
        if rules and len(self.found) == before and self.checks_rules and not place.is_nested:
            self._check_rules(schema, path, place)

    def _visit_parts(self, schema: Schema, path: str, place: _Place) -> None:
        raw = schema.raw
        if raw.get("properties") and raw.get("additionalProperties") not in (None, True):
            text = "additionalProperties and properties are mutual exclusive"
            self.found.append(causes.forbidden(f"{path}.additionalProperties", text))
        if schema.additional is not None:
            no_defaults = "inside additionalProperties applying to object metadata" if place.is_in_metadata else ""
            inside = place.inside(no_defaults=no_defaults or place.no_defaults)
            self.visit(schema.additional, f"{path}.additionalProperties", inside)
        for name, part in schema.properties.items():
            inside = place.inside()
            if name in _TYPE_FIELDS and (place.is_root or schema.is_embedded_resource):
                no_defaults = f"in top-level {name}" if place.is_root else place.no_defaults
                inside = place.inside(is_in_metadata=True, no_defaults=no_defaults)
            self.visit(part, f"{path}.properties[{name}]", inside)
        nested = place.inside(is_nested=True)
        if schema.not_ is not None:
            self.visit(schema.not_, f"{path}.not", nested)
        for keyword, parts in (("allOf", schema.all_of), ("oneOf", schema.one_of), ("anyOf", schema.any_of)):
            for index, part in enumerate(parts):
                self.visit(part, f"{path}.{keyword}[{index}]", nested)
        if schema.items is not None:
            inside = place.inside() if schema.list_type == "map" else place.below_uncorrelated(path)
            self.visit(schema.items, f"{path}.items", inside)

    def _check_rules(self, schema: Schema, path: str, place: _Place) -> None:
        problems = check_rules(schema, is_resource=place.is_root)
        if problems is None:
            self.found_in_rules.append(Cause("InternalError", _NO_RULES_HERE, f"{path}.{_RULES}"))
            return
        for index, (declared, problem) in enumerate(zip(schema.raw[_RULES], problems, strict=True)):
            at = f"{path}.{_RULES}[{index}]"
            if problem is not None:
                self.found_in_rules.append(causes.invalid(f"{at}.{problem.field}", _shown(declared), problem.text))
                continue
            uses_old_self = Rule(declared, schema).uses_old_self
            if uses_old_self and place.uncorrelated:
                text = f"oldSelf cannot be used on the uncorrelatable portion of the schema within {place.uncorrelated}"
                self.found_in_rules.append(causes.invalid(f"{at}.rule", declared["rule"], text))
            elif not uses_old_self and declared.get("optionalOldSelf") is not None:
                text = "may not be set if oldSelf is not used in rule"
                self.found_in_rules.append(causes.invalid(f"{at}.optionalOldSelf", declared["optionalOldSelf"], text))


def _shown(declared: Mapping[str, Any]) -> Struct:
    """Return a rule as messages show it."""
    return Struct(
        Rule=declared["rule"],
        Message=declared.get("message", ""),
        MessageExpression=declared.get("messageExpression", ""),
        Reason=declared.get("reason"),
        FieldPath=declared.get("fieldPath", ""),
        OptionalOldSelf=declared.get("optionalOldSelf"),
    )


def _keyword_problems(raw: Mapping[str, Any], path: str, place: _Place) -> Iterator[Cause]:
    type_ = raw.get("type", "")
    if type_ and type_ not in _TYPES:
        yield causes.not_supported(f"{path}.type", type_, _TYPES)
    if raw.get("default") is not None and place.no_defaults:
        yield causes.forbidden(f"{path}.default", f"must not be set {place.no_defaults}")
    for keyword, name in _UNSUPPORTED.items():
        if raw.get(keyword):
            yield causes.forbidden(f"{path}.{name}", f"{name} is not supported")
    if type_ == "null":
        yield causes.forbidden(f"{path}.type", "type cannot be set to null, use nullable as an alternative")
    if isinstance(raw.get("items"), list):
        yield causes.forbidden(f"{path}.items", "items must be a schema object and not an array")
    if place.is_in_metadata and raw.get("x-kubernetes-embedded-resource"):
        yield causes.forbidden(f"{path}.x-kubernetes-embedded-resource", "must not be used inside of resource meta")
    if raw.get("uniqueItems"):
        text = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        yield causes.forbidden(f"{path}.uniqueItems", text)
    if raw.get("x-kubernetes-preserve-unknown-fields") is False:
        yield causes.invalid(f"{path}.x-kubernetes-preserve-unknown-fields", False, "must be true or undefined")


def _rule_problems(declared: Mapping[str, Any], schema: Schema, path: str) -> Iterator[Cause]:
    """Yield what is wrong with how a rule is written down; whether it compiles is another question."""
    rule, message = declared.get("rule", ""), declared.get("message", "")
    if not rule.strip():
        yield causes.required(f"{path}.rule", "rule is not specified")
    elif message and not message.strip():
        yield causes.invalid(f"{path}.message", message, "must be non-empty if specified")
    elif _has_line_break(message.strip()):
        yield causes.invalid(f"{path}.message", message, "must not contain line breaks")
    elif _has_line_break(rule.strip()) and not message.strip():
        yield causes.required(f"{path}.message", "message must be specified if rule contains line breaks")
    if (expression := declared.get("messageExpression")) and not expression.strip():
        yield causes.required(f"{path}.messageExpression", "messageExpression must be non-empty if specified")
    if (reason := declared.get("reason")) is not None and reason not in _REASONS:
        yield causes.not_supported(f"{path}.reason", reason, _REASONS)
    if field_path := declared.get("fieldPath", ""):
        yield from _field_path_problems(field_path, schema, f"{path}.fieldPath")


def _field_path_problems(field_path: str, schema: Schema, path: str) -> Iterator[Cause]:
    if not field_path.strip():
        yield causes.invalid(path, field_path, "must be non-empty if specified")
    if _has_line_break(field_path):
        yield causes.invalid(path, field_path, "must not contain line breaks")
    try:
        find_field(field_path, schema)
    except ValueError:
        yield causes.invalid(path, field_path, "must be a valid path")


def _has_line_break(text: str) -> bool:
    return re.search(r"[\n\r]", text) is not None
