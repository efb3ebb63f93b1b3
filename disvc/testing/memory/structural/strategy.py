"""What is particular about a custom kind: how its objects are defaulted, prepared and validated.

As k8s.io/apiextensions-apiserver/pkg/registry/customresource does it. What is checked of metadata as of any kind's is
not repeated here.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from disvc.testing.memory import causes
from disvc.testing.memory.go_text import plain, type_name
from disvc.testing.memory.structural.cel import compile_rules
from disvc.testing.memory.structural.correlation import Correlation
from disvc.testing.memory.structural.defaulting import default
from disvc.testing.memory.structural.embedded import problems
from disvc.testing.memory.structural.list_types import duplicates
from disvc.testing.memory.structural.validation import Validator

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from disvc.testing.memory.errors import Cause
    from disvc.testing.memory.resource import Scale
    from disvc.testing.memory.schema import Schema

    Value = dict[str, Any]

__all__ = ["CustomStrategy"]

_STATUS = "status"
_LARGEST_REPLICAS = 2**31 - 1
_BLOCKING = frozenset(
    {
        "FieldValueNotSupported",
        "FieldValueRequired",
        "FieldValueTooLong",
        "FieldValueTooMany",
        "FieldValueTypeInvalid",
    }
)


_NOT_ALL_CHECKED = causes.invalid(
    "",
    None,
    "some validation rules were not checked because the object was invalid; "
    "correct the existing errors to complete validation",
)


class CustomStrategy:
    """The strategy of one version of a custom kind.

    Args:
        schema: of the whole object, as `definition.schema_of` makes it.
        has_status: whether there is a status subresource.
        scale: the scale subresource, if there is one.

    """

    def __init__(self, schema: Schema, *, has_status: bool, scale: Scale | None) -> None:
        self._schema = schema
        self._validator = Validator(schema)
        self._rules = compile_rules(schema)
        status = schema.properties.get(_STATUS)
        self._status_validator = Validator(status) if status else None
        self._has_status = has_status
        self._scale = scale

    def default(self, obj: Value) -> None:
        """Fill in the defaults of the schema."""
        default(obj, self._schema)

    def prepare_for_create(self, obj: Value) -> None:
        """Drop the status, where there is another way to write it."""
        if self._has_status:
            obj.pop(_STATUS, None)

    def prepare_for_update(self, obj: Value, old: Value) -> None:
        """Keep the status, where there is another way to write it."""
        if self._has_status:
            obj.pop(_STATUS, None)
            if _STATUS in old:
                obj[_STATUS] = copy.deepcopy(old[_STATUS])

    def validate(self, obj: Value, old: Value | None, subresource: str) -> Sequence[Cause]:
        """Return what is wrong with an object; on an update, what has not changed is excused."""
        correlation = None if old is None else Correlation(obj, old, self._schema)
        if subresource == _STATUS:
            found = [*self._status_causes(obj, correlation), *self._scale_causes(obj, of_spec=False)]
        else:
            found = [
                *self._validator.validate(obj, correlation=correlation),
                *self._scale_causes(obj, of_spec=True),
                *self._scale_causes(obj, of_spec=False),
                *problems(obj, self._schema),
            ]
        if old is None or not any(duplicates(old, self._schema)):
            found += duplicates(obj, self._schema)
        if self._rules is None:
            return found
        is_named = bool(obj["metadata"].get("name"))
        if not is_named or any(cause.reason in _BLOCKING for cause in found):
            return [*found, _NOT_ALL_CHECKED]
        return [*found, *self._rules.broken(obj, old, correlation)]

    def _status_causes(self, obj: Value, correlation: Correlation | None) -> Sequence[Cause]:
        if self._status_validator is None or _STATUS not in obj:
            return ()
        pair = correlation.field(_STATUS) if correlation else None
        return self._status_validator.validate(obj[_STATUS], _STATUS, correlation=pair)

    def _scale_causes(self, obj: Value, *, of_spec: bool) -> Iterator[Cause]:
        if self._scale is None:
            return
        if of_spec:
            yield from _replicas_causes(obj, self._scale.spec_replicas)
            return
        yield from _replicas_causes(obj, self._scale.status_replicas)
        if self._scale.label_selector:
            yield from _selector_causes(obj, self._scale.label_selector)


def _replicas_causes(obj: Value, path: str) -> Iterator[Cause]:
    replicas, problem = _nested(obj, path, "int64")
    if problem:
        yield causes.invalid(f".{path}", 0, problem)
    elif replicas is not None and replicas < 0:
        yield causes.invalid(f".{path}", replicas, "should be a non-negative integer")
    elif replicas is not None and replicas > _LARGEST_REPLICAS:
        yield causes.invalid(f".{path}", replicas, f"should be less than or equal to {_LARGEST_REPLICAS}")


def _selector_causes(obj: Value, path: str) -> Iterator[Cause]:
    _, problem = _nested(obj, path, "string")
    if problem:
        yield causes.invalid(f".{path}", "", problem)


def _nested(obj: Value, path: str, expected: str) -> tuple[Any, str]:
    """Return the value at a path like `spec.replicas`, None where there is none, and why it cannot be one.

    The words are those of `NestedFieldNoCopy` of k8s.io/apimachinery/pkg/apis/meta/v1/unstructured.
    """
    found: Any = obj
    names = path.split(".")
    for depth, name in enumerate(names, 1):
        if found is None:
            return None, ""
        if not isinstance(found, dict):
            return None, _wrong_type(found, names[:depth], "map[string]interface{}")
        found = found.get(name)
    if found is not None and type_name(found) != expected:
        return None, _wrong_type(found, names, expected)
    return found, ""


def _wrong_type(value: object, names: Sequence[str], expected: str) -> str:
    return f".{'.'.join(names)} accessor error: {plain(value)} is of the type {type_name(value)}, expected {expected}"
