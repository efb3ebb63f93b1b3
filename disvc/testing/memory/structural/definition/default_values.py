"""Whether the defaults of a schema are values that the schema itself admits.

As k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting/validation.go judges them. Defaults inside the
metadata of embedded objects are only validated as values.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from disvc.testing.memory import causes
from disvc.testing.memory.builtin.decoding import Unreadable
from disvc.testing.memory.structural.cel import compile_rules
from disvc.testing.memory.structural.embedded import coerce, problems
from disvc.testing.memory.structural.pruning import prune_value
from disvc.testing.memory.structural.validation import Validator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from disvc.testing.memory.errors import Cause
    from disvc.testing.memory.schema import Schema

__all__ = ["default_problems"]

_DEFAULT = "default"


def default_problems(schema: Schema, path: str) -> Iterator[Cause]:
    """Yield what is wrong with the defaults in a structural schema that stands at `path`."""
    if schema.raw.get(_DEFAULT) is not None:
        yield from _problems_of(schema, f"{path}.default")
    if schema.items is not None:
        yield from default_problems(schema.items, f"{path}.items")
    for name, field in schema.properties.items():
        yield from default_problems(field, f"{path}.properties[{name}]")


def _problems_of(schema: Schema, path: str) -> Iterator[Cause]:
    declared = schema.raw[_DEFAULT]
    value = copy.deepcopy(declared)
    if prune_value(value, schema):
        yield causes.invalid(path, declared, "must not have unknown fields")
    try:
        list(coerce(value, schema, path))
    except Unreadable as error:
        yield causes.invalid(path, declared, str(error))
        return
    found = [*problems(declared, schema, path)] or Validator(schema).validate(declared, path)
    yield from found
    if not found and (rules := compile_rules(schema)) is not None:
        # A default comes with new objects, and stays as it is in those that there are.
        for old in (declared, None):
            broken = rules.broken(declared, old, None, path)
            yield from broken
            if broken:
                return
