"""Validation of values against a CRD's schema, with the causes that a kube-apiserver gives.

What k8s.io/kube-openapi/pkg/validation/validate does with the schema of a CRD, oddities included: the order in which
keywords are looked at, which of them end the check of a value, and what is said twice. On an update, what has not
changed is excused as by k8s.io/apiextensions-apiserver/pkg/apiserver/validation's ratcheting.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from disvc.testing.memory import causes
from disvc.testing.memory.go_text import json_text, plain, quote
from disvc.testing.memory.structural.correlation import is_same
from disvc.testing.memory.structural.findings import Findings
from disvc.testing.memory.structural.numbers import NumberRules, is_whole
from disvc.testing.memory.structural.regular_expressions import compile_expression
from disvc.testing.memory.structural.string_formats import FORMATS, supported_format

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from disvc.testing.memory.errors import Cause
    from disvc.testing.memory.schema import Schema
    from disvc.testing.memory.structural.correlation import Correlation

    Value = dict[str, Any]

__all__ = ["Validator", "type_of"]

_TYPE_FIELDS = frozenset({"apiVersion", "kind"})


def type_of(value: Any) -> tuple[str, str]:
    """Return the type and the format that the schema language has for a value."""
    match value:
        case None:
            return "null", ""
        case bool():
            return "boolean", ""
        case int():
            return "integer", "int64"
        case float():
            return "number", "float64"
        case str():
            return "string", ""
        case list():
            return "array", ""
        case _:
            return "object", ""


class Validator:
    """Validates values against one node of a schema. Made once for a schema; those of its parts when first needed."""

    def __init__(self, schema: Schema) -> None:
        raw = schema.raw
        self._schema = schema
        self._types: Sequence[str] = ("integer", "string") if raw.get("x-kubernetes-int-or-string") else ()
        if not self._types and schema.type:
            self._types = (schema.type,)
        self._format = supported_format(self._types, raw.get("format", ""))
        self._numbers = NumberRules(raw, self._types, self._format)
        self._enum: Sequence[Any] = raw.get("enum") or ()
        self._required: Sequence[str] = raw.get("required") or ()

    def validate(self, value: Any, path: str = "", *, correlation: Correlation | None = None) -> list[Cause]:
        """Return what is wrong with a value.

        Args:
            value: any JSON.
            path: where it stands in the object, for the causes' fields.
            correlation: the value with its old one, on an update: an unchanged value is excused.

        """
        return [failure.cause(path) for failure in self._findings(value, "", correlation).failures]

    def _findings(self, value: Any, name: str, correlation: Correlation | None) -> Findings:
        """Return what is found of a value that is called `name` in messages; `.a` and `a` are the same to paths."""
        findings = self._check(value, name, correlation)
        if correlation is not None and correlation.is_unchanged:
            findings.failures.clear()
        return findings

    def _check(self, value: Any, name: str, correlation: Correlation | None) -> Findings:
        findings = Findings()
        if self._types or self._format:
            self._check_type(value, name, findings)
            findings.matches += value is not None
        if value is None:
            self._check_enum(value, name, findings)
            return findings
        self._check_combinations(value, name, findings)
        match value:
            case bool():
                pass
            case str():
                self._check_string(value, name, findings)
            case int() | float():
                findings.merge(self._numbers.check(value, name))
                findings.matches += 1
            case list():
                self._check_list(value, name, findings, correlation)
                findings.matches += 2
        self._check_enum(value, name, findings)
        if isinstance(value, dict):
            self._check_object(value, name, findings, correlation)
            findings.matches += 1
        findings.matches += 2  # the enumeration, and the value as a whole
        return findings

    def _check_type(self, value: Any, name: str, findings: Findings) -> None:
        actual, actual_format = type_of(value)
        if value is None:
            if self._types and not self._schema.is_nullable:
                findings.add(*_wrong_type(name, ",".join(self._types), actual))
            else:
                findings.matches += 1
            return
        is_like = actual in self._types or (
            (actual == "integer" and "number" in self._types)
            or (actual == "number" and "integer" in self._types and is_whole(value))
        )
        is_textual = isinstance(value, (str, list))
        if not is_textual and self._format and not is_like and actual_format != self._format:
            findings.add(*_wrong_type(name, self._format, actual_format))
        elif is_textual and self._format and "number" not in self._types and "integer" not in self._types:
            findings.matches += 1  # the format is checked elsewhere, and the type of a list is not
        elif not is_like:
            findings.add(*_wrong_type(name, ",".join(self._types), actual))
        else:
            findings.matches += 1

    def _check_string(self, value: str, name: str, findings: Findings) -> None:
        raw = self._schema.raw
        findings.matches += 1
        if (most := raw.get("maxLength")) is not None and len(value) > most:
            message = f"{name} in body should be at most {most} chars long"
            findings.add(message, lambda path: causes.too_long(_field(path, name), most))
        elif (least := raw.get("minLength")) is not None and len(value) < least:
            _add_invalid(findings, name, value, f"should be at least {least} chars long")
        elif self._pattern is not None and not self._pattern.search(value):
            _add_invalid(findings, name, value, f"should match '{raw['pattern']}'")
        if (has_format := FORMATS.get(self._format.replace("-", ""))) is not None:
            findings.matches += 1
            if not has_format(value):
                findings.add(*_wrong_type(name, self._format, value))

    def _check_enum(self, value: Any, name: str, findings: Findings) -> None:
        if self._enum and not any(_is_convertible(value, allowed) for allowed in self._enum):
            listed = [allowed if isinstance(allowed, str) else json_text(allowed) for allowed in self._enum]
            message = f"{name} in body should be one of [{' '.join(map(plain, self._enum))}]"
            findings.add(message, lambda path: causes.not_supported(_field(path, name), value, listed))

    def _check_list(self, value: list[Any], name: str, findings: Findings, correlation: Correlation | None) -> None:
        if self._items is not None:
            for index, item in enumerate(value):
                pair = correlation.item(index) if correlation else None
                findings.merge(self._items._findings(item, f"{name}[{index}]", pair))
        raw, size = self._schema.raw, len(value)
        if (least := raw.get("minItems")) is not None and size < least:
            _add_invalid(findings, name, size, f"should have at least {least} items")
        if (most := raw.get("maxItems")) is not None and size > most:
            message = f"{name} in body should have at most {most} items"
            findings.add(message, lambda path: causes.too_many(_field(path, name), size, most))

    def _check_object(self, value: Value, name: str, findings: Findings, correlation: Correlation | None) -> None:
        raw, size = self._schema.raw, len(value)
        if (least := raw.get("minProperties")) is not None and size < least:
            _add_invalid(findings, name, size, f"should have at least {least} properties")
        if (most := raw.get("maxProperties")) is not None and size > most:
            message = f"{name} in body should have at most {most} properties"
            findings.add(message, lambda path: causes.too_many(_field(path, name), size, most))
        for key, part in value.items():
            if (validator := self._fields.get(key)) is not None:
                field = f"{name}.{key}" if name else key
            elif (validator := self._additional) is not None:
                field = f"{name}.{key}"
            else:
                continue
            is_type = not name and key in _TYPE_FIELDS
            pair = correlation.field(key) if correlation and not is_type else None
            findings.merge(validator._findings(part, field, pair))
        for key in self._required:
            if key not in value:
                _add_required(findings, f"{name}.{key}")

    def _check_combinations(self, value: Any, name: str, findings: Findings) -> None:
        findings.matches += 2
        if self._any_of:
            self._check_any_of(value, name, findings)
        if self._one_of:
            self._check_one_of(value, name, findings)
        if self._all_of:
            results = [part._check(value, name, None) for part in self._all_of]
            for result in results:
                findings.merge(result)
            valid = sum(result.is_valid for result in results)
            if valid != len(results):
                none = "" if valid else ". None validated"
                findings.add(f"{quote(name)} must validate all the schemas (allOf){none}")
        if self._not is not None and self._not._check(value, name, None).is_valid:
            findings.add(f"{quote(name)} must not validate the schema (not)")

    def _check_any_of(self, value: Any, name: str, findings: Findings) -> None:
        results: list[Findings] = []
        for part in self._any_of:
            results.append(part._check(value, name, None))
            if results[-1].is_valid:
                findings.merge(results[-1])
                return
        findings.add(f"{quote(name)} must validate at least one schema (anyOf)")
        findings.merge(max(results, key=_matches))

    def _check_one_of(self, value: Any, name: str, findings: Findings) -> None:
        results = [part._check(value, name, None) for part in self._one_of]
        valid = [result for result in results if result.is_valid]
        if len(valid) == 1:
            findings.merge(valid[0])
            return
        found = f"Found {len(valid)} valid alternatives" if valid else "Found none valid"
        findings.add(f"{quote(name)} must validate one and only one schema (oneOf). {found}")
        if not valid:
            findings.merge(max(results, key=_matches))

    @cached_property
    def _pattern(self) -> Any:
        pattern = self._schema.raw.get("pattern")
        return compile_expression(pattern) if pattern else None

    @cached_property
    def _fields(self) -> dict[str, Validator]:
        return {name: Validator(field) for name, field in self._schema.properties.items()}

    @cached_property
    def _additional(self) -> Validator | None:
        return Validator(self._schema.additional) if self._schema.additional else None

    @cached_property
    def _items(self) -> Validator | None:
        return Validator(self._schema.items) if self._schema.items else None

    @cached_property
    def _any_of(self) -> list[Validator]:
        return [Validator(part) for part in self._schema.any_of]

    @cached_property
    def _one_of(self) -> list[Validator]:
        return [Validator(part) for part in self._schema.one_of]

    @cached_property
    def _all_of(self) -> list[Validator]:
        return [Validator(part) for part in self._schema.all_of]

    @cached_property
    def _not(self) -> Validator | None:
        return Validator(self._schema.not_) if self._schema.not_ else None


def _is_convertible(value: Any, allowed: Any) -> bool:
    """Return whether a value is one that is allowed, once Go has converted it to that one's type."""
    match value, allowed:
        case (None, _) | (_, None):
            return False
        case (bool(), _) | (_, bool()):
            return value is allowed
        case int() | float(), int():
            return int(value) == allowed
        case int() | float(), float():
            return float(value) == allowed
        case _:
            return is_same(value, allowed)


def _matches(findings: Findings) -> int:
    return findings.matches


def _field(path: str, name: str) -> str:
    """Return the path of a value by its name in messages; a value without a name is the one that is validated."""
    relative = name.removeprefix(".")
    return causes.child(path, relative) if relative else path


def _wrong_type(name: str, expected: str, value: str) -> tuple[str, Callable[[str], Cause]]:
    message = f"{name} in body must be of type {expected}: {quote(value)}"
    return message, lambda path: causes.type_invalid(_field(path, name), value, message)


def _add_invalid(findings: Findings, name: str, value: object, what: str) -> None:
    message = f"{name} in body {what}"
    findings.add(message, lambda path: causes.invalid(_field(path, name), value, message))


def _add_required(findings: Findings, name: str) -> None:
    findings.add(f"{name} in body is required", lambda path: causes.required(_field(path, name)))
