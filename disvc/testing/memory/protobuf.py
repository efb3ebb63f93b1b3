"""Reads the bodies of requests that come as protobuf, which Go's typed clients send for built-in kinds; kubectl too.

The fields' numbers are in `builtin.gotypes`. What is read is what Go has before it decides what to leave out: fields
that are empty are there, with the zero of their type, and go when the object is decoded as its kind. Answers are never
protobuf: these clients take JSON as well.

https://kubernetes.io/docs/reference/using-api/api-concepts/#protobuf-encoding
"""

from __future__ import annotations

import base64
import struct
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

from disvc.testing.memory.builtin import gotypes
from disvc.testing.memory.builtin.definitions import definition_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from disvc.testing.memory.builtin.gotypes import Type

    Value = dict[str, Any]
    Wire = int | bytes

__all__ = ["decode"]

_MAGIC: Final = b"k8s\x00"
_META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1"
_DEEPEST: Final = 100
"""Levels of messages. Python's protobuf crashes where its stack is at its end, of which one level takes some."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def decode(body: bytes) -> Value:
    """Return the object of a body. Raises `ValueError` where it is none of a built-in kind."""
    if not body.startswith(_MAGIC):
        raise ValueError("the body does not start as Kubernetes' protobuf does")
    try:
        envelope = dict(_fields(body[len(_MAGIC) :]))  # runtime.Unknown: 1 typeMeta, 2 raw
        type_meta = {number: _text(data) for number, data in _fields(envelope.get(1, b""))}
        version, kind = type_meta.get(1, ""), type_meta.get(2, "")
        value = _message(envelope.get(2, b""), _numbered(_definition(version, kind)))
    except DecodeError as error:
        raise ValueError(str(error)) from error
    except KeyError as error:
        raise ValueError(f"there is no built-in type {error} to read protobuf as; send JSON") from error
    return {"apiVersion": version, "kind": kind, **value}


def _definition(api_version: str, kind: str) -> str:
    if kind == "DeleteOptions":  # known in every group
        return f"{_META}.DeleteOptions"
    group, _, version = api_version.rpartition("/")
    return definition_name(group, version, kind)


class _Named(NamedTuple):
    name: str
    type: Type


@cache
def _numbered(definition: str) -> Mapping[int, Any]:
    """Return the fields of a struct by number; of an embedded struct that is a message, a mapping again."""
    fields = gotypes.struct_fields(definition)
    if fields is None:
        raise KeyError(definition)
    numbered: dict[int, Any] = {}
    for name, field in fields.items():
        if field.number:
            *outer, number = field.number
            inner = numbered
            for step in outer:
                inner = inner.setdefault(step, {})
            inner[number] = _Named(name, field.type)
    return numbered


def _fields(data: Wire) -> Iterator[tuple[int, Any]]:
    """Yield the number and the content of each field of a message."""
    for field in UnknownFieldSet(Empty.FromString(_bytes(data))):
        yield field.field_number, field.data


def _message(data: Wire, numbered: Mapping[int, Any], depth: int = 0) -> Value:
    if depth > _DEEPEST:
        raise ValueError("proto: exceeded max depth")
    value: Value = {}
    for number, content in _fields(data):
        field = numbered.get(number)
        if isinstance(field, _Named):
            _add(value, field, content, depth + 1)
        elif field is not None:
            value |= _message(content, field, depth + 1)
    return value


def _add(value: Value, field: _Named, content: Wire, depth: int) -> None:
    kind, element = field.type.kind, field.type.element
    if kind == "slice" and element is not None:
        value.setdefault(field.name, []).append(_value(content, element, depth))
    elif kind == "map" and element is not None:
        entry = dict(_fields(content))
        value.setdefault(field.name, {})[_text(entry.get(1, b""))] = _value(entry.get(2, b""), element, depth)
    else:
        value[field.name] = _value(content, field.type, depth)


def _value(content: Wire, type_: Type, depth: int) -> object:
    match type_.kind, type_.element:
        case "pointer", element if element is not None:
            return _value(content, element, depth)
        case "slice", element if element is not None:  # as a map's value it is a message
            return [_value(item, element, depth) for _, item in _fields(content)]
        case "struct", _:
            if read := _SELF_DECODING.get(type_.definition):
                return read(dict(_fields(content)))
            return _message(content, _numbered(type_.definition), depth)
        case "string", _:
            return _text(content)
        case "bytes", _:
            return base64.b64encode(_bytes(content)).decode()
        case "bool", _:
            return bool(content)
        case "float64", _:
            return struct.unpack("<d", struct.pack("<Q", content))[0]
    return _integer(content)


def _integer(content: Wire) -> int:
    assert isinstance(content, int)
    return content - 2**64 if content >= 2**63 else content


def _bytes(content: Wire) -> bytes:
    assert isinstance(content, bytes)
    return content


def _text(content: Wire) -> str:
    return _bytes(content).decode()


def _time(fields: Mapping[int, Any]) -> str | None:
    """Return a Time or a MicroTime: 1 seconds, 2 nanoseconds; the zero time is null."""
    if not any(fields.values()):
        return None
    seconds, nanoseconds = _integer(fields.get(1, 0)), fields.get(2, 0)
    return (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S") + _fraction(nanoseconds) + "Z"


def _fraction(nanoseconds: int) -> str:
    return f".{nanoseconds // 1000:06d}" if nanoseconds else ""


def _int_or_string(fields: Mapping[int, Any]) -> int | str:
    """Return an IntOrString: 1 whether it is a string, 2 the integer, 3 the string."""
    return _text(fields.get(3, b"")) if fields.get(1) else _integer(fields.get(2, 0))


def _json(fields: Mapping[int, Any]) -> object:
    return msgspec.json.decode(fields[1]) if fields.get(1) else None


_SELF_DECODING: Final[Mapping[str, Callable[[Mapping[int, Any]], object]]] = {
    f"{_META}.Time": _time,
    f"{_META}.MicroTime": _time,
    f"{_META}.FieldsV1": _json,
    "io.k8s.apimachinery.pkg.api.resource.Quantity": lambda fields: _text(fields.get(1, b"")) or "0",
    "io.k8s.apimachinery.pkg.runtime.RawExtension": _json,
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": _int_or_string,
}
