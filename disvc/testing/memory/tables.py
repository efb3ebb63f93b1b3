"""Objects as a metav1.Table or as PartialObjectMetadata: what `kubectl get` prints, and what metadata informers read.

A `View` is made for one request. It turns what the request answers with, an object, a list, or the objects of a watch
one after the other, into the kind that the client asked for. The columns are those of the ResourceType.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from disvc.testing.memory.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    from disvc.testing.memory.negotiation import Conversion
    from disvc.testing.memory.resource import Column, ResourceType

    Value = dict[str, Any]

__all__ = ["View", "view"]

_INITIAL_EVENTS_END: Final = "k8s.io/initial-events-end"


class View(Protocol):
    """Another form of a request's answer. Raises `Refused` (406) where that has none."""

    def one(self, obj: Value) -> Value:
        """Return an object in this form; of a watch the first is asked for first."""
        ...

    def bookmark(self, obj: Value) -> Value:
        """Return the object of a bookmark, which has little but a resourceVersion, in this form."""
        ...

    def many(self, metadata: Value, items: Iterable[Value]) -> Value:
        """Return a list in this form; `metadata` is the list's."""
        ...


def view(conversion: Conversion, resource: ResourceType, query: Mapping[str, str], now: Callable[[], datetime]) -> View:
    """Return the form that a client asked for.

    Args:
        conversion: one of `negotiation.OBJECTS`.
        resource: the kind of the objects.
        query: the request's; `includeObject` says what of an object stands in a Table's row.
        now: the time by which ages are told.

    Raises:
        Refused: 400, there is no such `includeObject`.

    """
    api_version = f"{conversion.group}/{conversion.version}"
    if conversion.kind == "PartialObjectMetadata":
        return _Partial(api_version, resource)
    if conversion.kind == "PartialObjectMetadataList":
        return _PartialList(api_version, resource)
    include = query.get("includeObject", "") or "Metadata"
    if include not in {"None", "Metadata", "Object"}:
        wrong = f"includeObject: Invalid value: \"{include}\": must be 'Metadata', 'Object', 'None', or empty"
        raise Refused(400, "BadRequest", f"Unable to convert to Table as requested: {wrong}")
    return _Table(api_version, resource, include, now)


class _Table:
    def __init__(self, api_version: str, resource: ResourceType, include: str, now: Callable[[], datetime]) -> None:
        self._api_version = api_version
        self._columns = resource.columns
        self._include = include
        self._now = now
        self._definitions: list[Value] | None = [_definition(column) for column in resource.columns]

    def one(self, obj: Value) -> Value:
        return self._of_watch(obj, self._row(obj, self._now()))

    def bookmark(self, obj: Value) -> Value:
        return self._of_watch(obj, {"cells": [""] * len(self._columns), "object": self._included(obj)})

    def many(self, metadata: Value, items: Iterable[Value]) -> Value:
        now = self._now()
        return self._table(metadata, [self._row(obj, now) for obj in items])

    def _of_watch(self, obj: Value, row: Value) -> Value:
        # What a dry run would have created has no version.
        metadata = {name: obj["metadata"][name] for name in ("resourceVersion",) if name in obj["metadata"]}
        table = self._table(metadata, [row])
        self._definitions = None  # what the columns are is said only once
        return table

    def _table(self, metadata: Value, rows: list[Value]) -> Value:
        return {
            "kind": "Table",
            "apiVersion": self._api_version,
            "metadata": metadata,
            "columnDefinitions": self._definitions,
            "rows": rows,
        }

    def _row(self, obj: Value, now: datetime) -> Value:
        return {"cells": [column.cell(obj, now) for column in self._columns], "object": self._included(obj)}

    def _included(self, obj: Value) -> Value | None:
        if self._include == "Object":
            return obj
        # The bookmark that ends the initial events must be known as such.
        if self._include == "Metadata" or _INITIAL_EVENTS_END in (obj["metadata"].get("annotations") or {}):
            return _partial(obj, self._api_version)
        return None


class _Partial:
    def __init__(self, api_version: str, resource: ResourceType) -> None:
        self._api_version = api_version
        self._resource = resource

    def one(self, obj: Value) -> Value:
        return _partial(obj, self._api_version)

    def bookmark(self, obj: Value) -> Value:
        return self.one(obj)

    def many(self, metadata: Value, items: Iterable[Value]) -> Value:
        raise _not_acceptable("PartialObjectMetadata", f"a list ({_go_type(self._resource, 'List')})")


class _PartialList:
    def __init__(self, api_version: str, resource: ResourceType) -> None:
        self._api_version = api_version
        self._resource = resource

    def one(self, obj: Value) -> Value:
        raise _not_acceptable("PartialObjectMetadataList", f"not a list ({_go_type(self._resource)})")

    def bookmark(self, obj: Value) -> Value:
        return self.one(obj)

    def many(self, metadata: Value, items: Iterable[Value]) -> Value:
        return {
            "kind": "PartialObjectMetadataList",
            "apiVersion": self._api_version,
            "metadata": metadata,
            "items": [_partial(obj, self._api_version) for obj in items] or None,
        }


def _definition(column: Column) -> Value:
    return {
        "name": column.name,
        "type": column.type,
        "format": column.format,
        "description": column.description,
        "priority": column.priority,
    }


def _partial(obj: Value, api_version: str) -> Value:
    return {"kind": "PartialObjectMetadata", "apiVersion": api_version, "metadata": obj["metadata"]}


def _not_acceptable(asked: str, what: str) -> Refused:
    return Refused(406, "NotAcceptable", f"you requested {asked}, but the requested object is {what}")


def _go_type(resource: ResourceType, suffix: str = "") -> str:
    """Return how the real server names the type: that of its internal version, of the package of the API group."""
    if resource.is_custom:
        return f"*unstructured.Unstructured{suffix}"
    package = "core" if resource.kind == "Event" else resource.group.partition(".")[0] or "core"
    return f"*{package}.{resource.kind}{suffix}"
