"""Reads an object of a request as Go reads it into the type of a built-in kind, and writes it back as Go would.

- A field that the type does not have is dropped, and told of. So is null, silently.
- What is empty is left out, but for what Go always writes: structs that are no pointers (`resources: {}`), and fields
  without `omitempty` (`rules: null`).
- Quantities, times and base64 come out in their canonical form.
- A value of a wrong type is an error in the words of Go's decoder; the first in the document's order is told.
"""

from __future__ import annotations

import re
from base64 import b64encode
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from disvc.testing.memory.builtin import gotypes
from disvc.testing.memory.builtin.scalars import SELF_DECODING, WrongTypeError, decode_bytes, decode_quantity
from disvc.testing.memory.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from disvc.testing.memory.builtin.gotypes import Field, Type

    Value = dict[str, Any]

__all__ = ["Unreadable", "decoder", "read", "zero"]

_INTEGERS: Final = {"uint8": range(2**8), "int32": range(-(2**31), 2**31), "int64": range(-(2**63), 2**63)}
_BYTE: Final = gotypes.Type("uint8", "uint8")
_BYTES: Final = gotypes.Type("bytes", "[]uint8")
_SCHEMA_OR: Final = re.compile(r"(.*\.JSONSchemaProps)Or(Array|Bool|StringArray)")
_RESOURCES: Final = "v1.ResourceList"
_NEVER_EMPTY: Final = frozenset({"pointer", "struct"})


class Unreadable(ValueError):
    """A value cannot be decoded; the message is Go's."""


def decoder(definition: str, version: str) -> Callable[[Value], tuple[Value, Sequence[str]]]:
    """Return how a request's object of a kind is read: a `ResourceType.decode`."""
    kind = definition.rpartition(".")[2]

    def decode(value: Value) -> tuple[Value, Sequence[str]]:
        try:
            return read(definition, value)
        except Unreadable as error:
            message = f'{kind} in version "{version}" cannot be handled as a {kind}: {error}'
            raise Refused(400, "BadRequest", message) from error

    return decode


def read(definition: str, value: Value) -> tuple[Value, Sequence[str]]:
    """Return an object as Go writes it back, and the paths of the fields that are unknown.

    Raises `Unreadable` for a value of a wrong type, or one that cannot be parsed.
    """
    reading = _Reading()
    read = reading.struct(value, gotypes.parse(definition))
    if reading.mistake is not None:
        raise reading.mistake
    return read, reading.unknown


@cache
def _always(definition: str) -> Mapping[str, Callable[[], object]]:
    """Return what Go writes of an empty struct."""
    fields = gotypes.struct_fields(definition) or {}
    return {name: _maker(field.type) for name, field in fields.items() if _is_always_written(field)}


def _is_always_written(field: Field) -> bool:
    if field.type.kind == "struct":
        return not field.omits_zero
    return not field.omits_empty


def _maker(type_: Type) -> Callable[[], object]:
    return lambda: zero(type_)


def zero(type_: Type) -> object:
    """Return what Go writes for the zero value of a type."""
    match type_.kind:
        case "string" | "bytes":
            return ""
        case "bool":
            return False
        case "uint8" | "int32" | "int64":
            return 0
        case "float64":
            return 0.0
        case "struct" if type_.definition in _ZEROS:
            return _ZEROS[type_.definition]
        case "struct" if type_.definition not in SELF_DECODING:
            return {name: make() for name, make in _always(type_.definition).items()}
        case _:
            return None


_ZEROS: Final = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": "0",
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": 0,
}


class _Step(NamedTuple):
    """Where the reading is: in a field of a struct, `embedded.name` for one of an embedded struct."""

    struct: str
    name: str
    embedded: str


class _Reading:
    """Reads one object; knows where it is.

    As Go does, it reads on after a value of a wrong type, and tells of the first such `mistake` in the end; what a type
    that decodes itself does not accept is raised at once.
    """

    def __init__(self) -> None:
        self.unknown: list[str] = []
        self.mistake: Unreadable | None = None
        self._at: list[_Step | int] = []

    def value(self, value: object, type_: Type) -> object:
        """Return a value that is not null as Go writes it."""
        match type_.kind:
            case "pointer":
                return self.value(value, _element(type_))
            case "struct":
                return self.struct(value, type_)
            case "slice":
                return self._slice(value, type_)
            case "map":
                return self._map(value, type_)
            case "bytes":
                return self._bytes(value)
            case _:
                return self._scalar(value, type_)

    def struct(self, value: object, type_: Type) -> Any:
        """Return a value as Go writes it after reading it into a struct."""
        fields = gotypes.struct_fields(type_.definition)
        if fields is None:
            return self._self_decoding(value, type_)
        if not isinstance(value, dict):
            return self._mistaken(value, type_)
        read: Value = {}
        struct = type_.definition.rpartition(".")[2]
        for name, item in value.items():
            field = fields.get(name)
            if field is None:
                self.unknown.append(self._path(name))
            elif item is not None:
                self._at.append(_Step(struct, name, field.embedded))
                item = self.value(item, field.type)  # noqa: PLW2901 - what was read of it
                self._at.pop()
                if not _is_left_out(item, field):
                    read[name] = item
        for name, make in _always(type_.definition).items():
            if name not in read:
                read[name] = make()
        return read

    def _slice(self, value: object, type_: Type) -> object:
        if not isinstance(value, list):
            return self._mistaken(value, type_)
        element = _element(type_)
        read = []
        for index, item in enumerate(value):
            self._at.append(index)
            read.append(zero(element) if item is None else self.value(item, element))
            self._at.pop()
        # Stored as protobuf, an empty list is none.
        return read or None

    def _map(self, value: object, type_: Type) -> object:
        if not isinstance(value, dict):
            return self._mistaken(value, type_)
        if type_.name == _RESOURCES:
            return {name: self._quantity(amount) for name, amount in value.items()} or None
        element = _element(type_)
        return {
            key: _missing(element) if item is None else self.value(item, element) for key, item in value.items()
        } or None

    def _quantity(self, amount: object) -> str:
        try:
            return "0" if amount is None else decode_quantity(amount, is_of_resource=True)
        except ValueError as error:
            raise Unreadable(str(error)) from error

    def _scalar(self, value: object, type_: Type) -> object:
        match value:
            case bool() if type_.kind == "bool":
                return value
            case str() if type_.kind == "string":
                return value
            case bool() | str():
                return self._mistaken(value, type_)
            case int() | float() if type_.kind == "float64":
                return value
            case int() if value in _INTEGERS.get(type_.kind, ()):
                return value
            case int() | float() if type_.kind in _INTEGERS:
                return self._mistaken(value, type_, f"number {value}")
            case _:
                return self._mistaken(value, type_)

    def _bytes(self, value: object) -> object:
        match value:
            case str():
                try:
                    return decode_bytes(value)
                except ValueError as error:
                    self.mistake = self.mistake or Unreadable(str(error))
                    return ""
            case list():
                numbers = [0 if item is None else self._scalar(item, _BYTE) for item in value]
                return b64encode(bytes(cast("list[int]", numbers))).decode()
            case _:
                return self._mistaken(value, _BYTES)

    def _self_decoding(self, value: object, type_: Type) -> object:
        if either := _SCHEMA_OR.fullmatch(type_.definition):
            return self._schema_or(value, gotypes.parse(either[1]))
        try:
            return SELF_DECODING[type_.definition](value)
        except WrongTypeError as error:
            # A number that does not fit is shown; one where a text is wanted is not.
            is_number = isinstance(value, float) and str(error) == "int32"
            raise self._wrong(value, str(error), f"number {value}" if is_number else "") from error
        except ValueError as error:
            raise Unreadable(str(error)) from error

    def _schema_or(self, value: object, schema: Type) -> object:
        match value:
            case dict():
                return self.struct(value, schema)
            case list():
                return [self.struct(item, schema) if isinstance(item, dict) else item for item in value]
            case _:
                return value

    def _mistaken(self, value: object, type_: Type, what: str = "") -> object:
        """Note that a value is of a wrong type, and return what stands for it."""
        self.mistake = self.mistake or self._wrong(value, type_.name, what)
        return zero(type_)

    def _wrong(self, value: object, type_: str, what: str = "") -> Unreadable:
        steps = [step for step in self._at if isinstance(step, _Step)]
        what = what or _json_type(value)
        if not steps:
            return Unreadable(f"json: cannot unmarshal {what} into Go value of type {type_}")
        path = ".".join(f"{step.embedded}.{step.name}" if step.embedded else step.name for step in steps)
        return Unreadable(
            f"json: cannot unmarshal {what} into Go struct field {steps[-1].struct}.{path} of type {type_}"
        )

    def _path(self, name: str) -> str:
        parts = [f"[{step}]" if isinstance(step, int) else f".{step.name}" for step in self._at]
        return "".join([*parts, f".{name}"]).removeprefix(".")


def _element(type_: Type) -> Type:
    assert type_.element is not None, f"{type_.name} has elements"
    return type_.element


def _is_left_out(value: object, field: Field) -> bool:
    if field.omits_zero and field.type.kind == "struct":
        return value == zero(field.type)
    return field.omits_empty and field.type.kind not in _NEVER_EMPTY and not value


def _json_type(value: object) -> str:
    match value:
        case bool():
            return "bool"
        case str():
            return "string"
        case int() | float():
            return "number"
        case list():
            return "array"
        case _:
            return "object"


def _missing(element: Type) -> object:
    """Return what is stored for a null in a map: as protobuf has no null, no bytes are an empty text."""
    return "" if element.kind == "bytes" else zero(element)
