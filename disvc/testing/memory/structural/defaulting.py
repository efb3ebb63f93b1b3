"""Structural defaulting: what a CRD's schema fills in.

As k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting does it: a default stands in for a field that is
absent, or null where null may not stand; defaults inside what is there already apply at every depth, in lists and maps,
too; and a default is itself completed by the defaults inside it.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from disvc.testing.memory.schema import Schema

__all__ = ["default", "drop_nulls"]

_DEFAULT = "default"


def default(value: Any, schema: Schema | None) -> None:
    """Fill in the defaults of `schema`, in place."""
    match value:
        case dict() if schema is not None:
            for name, field in schema.properties.items():
                if _has_default(field) and (name not in value or _stands_wrongly(value[name], field)):
                    value[name] = _default_of(field)
            for name in value:
                field_or_none = schema.field(name)
                if name not in schema.properties and _stands_wrongly(value[name], field_or_none):
                    value[name] = _default_of(field_or_none)
                default(value[name], field_or_none)
        case list() if schema is not None:
            for index, item in enumerate(value):
                if _stands_wrongly(item, schema.items):
                    value[index] = _default_of(schema.items)
                default(value[index], schema.items)


def drop_nulls(value: Any, schema: Schema | None) -> None:
    """Drop, in place, each field that is null where null may not stand and no default stands in for it."""
    match value:
        case dict():
            for name in list(value):
                field = schema.field(name) if schema else None
                if _stands_wrongly(value[name], field) and not _has_default(field):
                    del value[name]
                else:
                    drop_nulls(value[name], field)
        case list():
            for item in value:
                drop_nulls(item, schema.items if schema else None)


def _stands_wrongly(value: Any, schema: Schema | None) -> bool:
    return value is None and schema is not None and not schema.is_nullable


def _has_default(schema: Schema | None) -> bool:
    return schema is not None and schema.raw.get(_DEFAULT) is not None


def _default_of(schema: Schema | None) -> Any:
    return copy.deepcopy(schema.raw.get(_DEFAULT)) if schema else None
