"""Pruning: fields that a CRD's schema does not know are dropped.

As k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning does it. Where `x-kubernetes-preserve-unknown-fields`
stands, what is not declared stays; what is declared below is pruned all the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from disvc.testing.memory.causes import child, item

if TYPE_CHECKING:
    from collections.abc import Iterator

    from disvc.testing.memory.schema import Schema

    Value = dict[str, Any]

__all__ = ["prune", "prune_value"]

_TYPE_FIELDS = frozenset({"apiVersion", "kind", "metadata"})


def prune(obj: Value, schema: Schema) -> list[str]:
    """Drop, in place, what `schema` does not know of a whole object; its metadata is left alone.

    Returns:
        the paths of the fields that were dropped, sorted, as in `unknown field "spec.a[0].b"`.

    """
    return sorted(_prune_fields(obj, schema, "", is_resource=True, keeps=schema.preserves_unknown_fields))


def prune_value(value: Any, schema: Schema) -> list[str]:
    """Drop, in place, what `schema` does not know of any value, like a default; return the paths as `prune` does."""
    return sorted(_prune(value, schema, "", keeps=False))


def _prune(value: Any, schema: Schema | None, path: str, *, keeps: bool) -> Iterator[str]:
    """Prune any value; with `keeps`, what is not declared here stays, as `schema` says itself or the list around."""
    keeps = keeps or (schema is not None and schema.preserves_unknown_fields)
    match value:
        case dict():
            is_resource = schema is not None and schema.is_embedded_resource
            yield from _prune_fields(value, schema, path, is_resource=is_resource, keeps=keeps)
        case list():
            items = schema.items if schema else None
            if items is None and keeps:
                return
            for index, each in enumerate(value):
                yield from _prune(each, items, item(path, index), keeps=keeps)


def _prune_fields(value: Value, schema: Schema | None, path: str, *, is_resource: bool, keeps: bool) -> Iterator[str]:
    for name in list(value):
        if is_resource and name in _TYPE_FIELDS:
            continue
        if schema is not None and (name in schema.properties or schema.raw.get("additionalProperties") is not None):
            yield from _prune(value[name], schema.field(name), child(path, name), keeps=False)
        elif not keeps:
            del value[name]
            yield child(path, name)
