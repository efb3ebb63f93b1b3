"""Values of objects as CEL's evaluator gets them: what k8s.io/apiserver/pkg/cel/common/valuesunstructured.go presents.

Objects are maps by the names that rules use. What the type checker lets no rule reach is kept as it is, as two objects
are only equal when that is, too.
"""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from disvc.testing.memory.go_text import json_text, type_name
from disvc.testing.memory.structural.cel.names import escape
from disvc.testing.memory.structural.correlation import MapList
from disvc.testing.memory.structural.durations import parse_duration

if TYPE_CHECKING:
    from disvc.testing.memory.schema import Schema

__all__ = ["align", "duration", "mismatch", "timestamp", "to_cel"]

_GO_TYPES = {"boolean": "bool", "integer": "int", "number": "float", "string": "string"}


def to_cel(value: Any, schema: Schema | None) -> Any:
    """Return a value, which is valid, in the types that its schema means."""
    match value:
        case dict() if schema is not None and schema.additional is not None:
            return {name: to_cel(part, schema.additional) for name, part in value.items()}
        case dict() if schema is not None:
            # null in a field that may be null counts as none
            present = {name: part for name, part in value.items() if part is not None}
            return {_name(name, schema): to_cel(part, schema.field(name)) for name, part in present.items()}
        case list() if schema is not None:
            return [to_cel(item, schema.items) for item in value]
        case str() if schema is not None and schema.type == "string":
            return _from_text(value, schema.raw.get("format", ""))
        case int() if schema is not None and schema.type == "number":
            return float(value)
        case _:
            return value


def duration(nanoseconds: int) -> Duration:
    """Return a duration as the evaluator takes it."""
    # Python rounds down, and protobuf wants both parts to have one sign.
    seconds = int(nanoseconds / 10**9)
    return Duration(seconds=seconds, nanos=nanoseconds - seconds * 10**9)


def timestamp(moment: datetime) -> Timestamp:
    """Return a point in time as the evaluator takes it; without a time zone it is in UTC."""
    found = Timestamp()
    found.FromDatetime(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    return found


def mismatch(value: Any, schema: Schema) -> str:
    """Return why a value is none that a rule about this schema can be asked of, "" if it can.

    That happens where the schema is newer than the value, and where validation does not look at the type.
    """
    if schema.raw.get("x-kubernetes-int-or-string"):
        fits = isinstance(value, (int, str)) and not isinstance(value, bool)
        return "" if fits else "invalid data, expected XIntOrString value to be either a string or integer"
    match schema.type, value:
        case ("object", dict()) | ("array", list()) | ("string", str()) | ("boolean", bool()) | ("", _):
            return ""
        case "object", _:
            return "invalid data, expected a map for the provided schema with type=object"
        case "array", _:
            return "invalid data, expected an array for the provided schema with type=array"
        case ("integer", int()) | ("number", int() | float()) if not isinstance(value, bool):
            return ""
        case type_, _:
            return f"invalid data, expected {_GO_TYPES[type_]}, got {type_name(value)}"


def align(old: Any, new: Any, schema: Schema | None) -> Any:
    """Return an old value with its lists of type set and map in the order of the new ones.

    These lists are equal whatever their order, and CEL's evaluator compares them as any others.
    """
    match old, new:
        case (dict(), dict()) if schema is not None:
            return {name: align(part, new.get(name), schema.field(name)) for name, part in old.items()}
        case (list(), list()) if schema is not None and schema.list_type == "map":
            items = MapList(schema, new)
            positions = {id(item): index for index, item in enumerate(new)}
            ordered = sorted(old, key=lambda item: positions.get(id(items.get(item)), len(new)))
            return [align(item, items.get(item), schema.items) for item in ordered]
        case (list(), list()) if schema is not None and schema.list_type == "set":
            found = {_identity(item): index for index, item in reversed(list(enumerate(new)))}
            return sorted(old, key=lambda item: found.get(_identity(item), len(new)))
        case _:
            return old


def _identity(item: Any) -> str:
    return f"{type(item).__name__} {json_text(item)}"


def _name(name: str, schema: Schema) -> str:
    return escape(name) or name if name in schema.properties else name


def _from_text(text: str, format_: str) -> object:
    try:
        match format_:
            case "byte":
                return base64.urlsafe_b64decode(text)
            case "date" | "date-time" if (format_ == "date") is ("T" not in text):
                return timestamp(datetime.fromisoformat(text))
            case "duration":
                nanoseconds = parse_duration(text)
                return text if nanoseconds is None else duration(nanoseconds)
            case _:
                return text
    except (ValueError, binascii.Error):
        return text
