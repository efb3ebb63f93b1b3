"""The columns in which objects of a custom kind are printed: its name, and what the definition adds.

As k8s.io/apiextensions-apiserver/pkg/registry/customresource/tableconvertor makes them.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from disvc.testing.memory.builtin.definitions import definitions
from disvc.testing.memory.durations import human_duration
from disvc.testing.memory.go_text import json_text, plain
from disvc.testing.memory.resource import Column
from disvc.testing.memory.structural.json_paths import compile_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    Value = dict[str, Any]

__all__ = ["columns"]

_METADATA = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"


def columns(declared: Iterable[Value]) -> Iterator[Column]:
    """Yield the columns of a version, given its `additionalPrinterColumns`; Age stands in where there are none.

    Where one of the declared ones has no valid path there is the name alone.
    """
    name = Column("Name", "string", lambda obj, _: obj["metadata"].get("name", ""), "name", _describe("name"))
    age = {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}
    age["description"] = _describe("creationTimestamp")
    yield name
    try:
        yield from [_column(each) for each in list(declared) or [age]]
    except ValueError:
        return


def _describe(field: str) -> str:
    description: str = definitions()[_METADATA]["properties"][field]["description"]
    return description


def _column(declared: Value) -> Column:
    path = declared["jsonPath"]
    find = compile_path(path)

    def cell(obj: Value, now: datetime) -> object:
        found = find(obj)
        return _cell(declared["type"], found[0], now) if found else None

    described = declared.get("description") or f"Custom resource definition column (in JSONPath format): {path}"
    return Column(
        declared["name"],
        declared["type"],
        cell,
        declared.get("format", ""),
        described,
        declared.get("priority", 0),
    )


def _cell(type_: str, value: Any, now: datetime) -> object:
    """Return what is shown of a value; None, an empty cell, for one that is not of the column's type."""
    if type_ == "string":
        return _text(value)
    match value:
        case bool():
            return value if type_ == "boolean" else None
        case int() | float() if type_ == "integer":
            return int(value)
        case int() | float() if type_ == "number":
            return float(value)
        case str() if type_ == "date":
            return _age(value, now)
        case _:
            return None


def _text(value: Any) -> str:
    if isinstance(value, (dict, list)):
        return json_text(value)
    return "<no value>" if value is None else plain(value)


def _age(text: str, now: datetime) -> str:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return "<invalid>"
    return human_duration(now - (moment if moment.tzinfo else moment.replace(tzinfo=UTC)))
