"""What Go knows of the types of the API and the published schemas do not say: `gotypes.json`, made by `make generate`.

Which fields are pointers (so that 0 or false is kept), what is left out when it is empty, how wide an integer is and
what a type is called in messages. A type is written as in Go, with definition names for structs:
`*int32`, `[]io.k8s.api.core.v1.Container`, `map[v1.ResourceList]io.k8s.…Quantity`, `string=v1.Protocol`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from disvc.testing.memory.go_text import Struct

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Field", "Type", "parse", "shown", "struct_fields"]


@dataclass(frozen=True)
class Type:
    """A Go type."""

    kind: Literal["pointer", "slice", "map", "struct", "string", "bool", "uint8", "int32", "int64", "float64", "bytes"]
    """A struct is also what decodes itself, such as a Quantity."""
    name: str
    """As messages say it: `v1.Container`, `[]string`."""
    definition: str = ""
    """Of a struct."""
    element: Type | None = None
    """Of a pointer, a slice or a map."""


@dataclass(frozen=True)
class Field:
    """A field of a Go struct, under its name in JSON."""

    type: Type
    omits_empty: bool
    """Whether an empty value is left out; never so for a struct that is no pointer."""
    omits_zero: bool
    """Whether a struct is left out that has nothing in it."""
    embedded: str = ""
    """The embedded struct that it is a field of."""
    number: tuple[int, ...] = ()
    """Its number in protobuf, after that of the message in it that the embedded struct is."""


@cache
def struct_fields(definition: str) -> Mapping[str, Field] | None:
    """Return the fields of a struct, those of embedded structs included; None for a type that decodes itself."""
    if (listed := _table().get(definition)) is None:
        return None
    return {name: _field(text) for name, text in listed.items()}


def shown(definition: str, value: Any) -> Any:
    """Return a value of a struct so that messages show its fields in Go's order, and those of structs in it."""
    return _shown(parse(definition), value)


def _shown(type_: Type, value: Any) -> Any:
    if type_.element is not None:
        match value:
            case list():
                return [_shown(type_.element, each) for each in value]
            case dict() if type_.kind == "map":
                return {key: _shown(type_.element, each) for key, each in value.items()}
            case _:
                return _shown(type_.element, value)
    fields = struct_fields(type_.definition)
    if fields is None or not isinstance(value, dict):
        return value
    return Struct({name: _shown(field.type, value[name]) for name, field in fields.items() if name in value})


@cache
def _table() -> Mapping[str, Mapping[str, str]]:
    text = (resources.files(__package__) / "gotypes.json").read_bytes()
    return msgspec.json.decode(text, type=dict[str, dict[str, str]])


def _field(text: str) -> Field:
    type_, *options = text.split()
    named = dict(option.split("=", 1) for option in options if "=" in option)
    number = tuple(map(int, named["pb"].split("."))) if "pb" in named else ()
    return Field(parse(type_), "omitempty" in options, "omitzero" in options, named.get("in", ""), number)


@cache
def parse(text: str) -> Type:
    """Return a type as it is written in the table."""
    if text == "[]byte":
        return Type("bytes", "[]uint8")
    if text.startswith("*"):
        element = parse(text[1:])
        return Type("pointer", f"*{element.name}", element=element)
    if text.startswith("[]"):
        element = parse(text[2:])
        return Type("slice", f"[]{element.name}", element=element)
    if text.startswith("map["):
        name, _, value = text.removeprefix("map[").partition("]")
        element = parse(value)
        return Type("map", name or f"map[string]{element.name}", element=element)
    kind, _, name = text.partition("=")
    match kind:
        case "string" | "bool" | "int32" | "int64" | "float64":
            return Type(kind, name or kind)
        case _:
            return Type("struct", ".".join(kind.rsplit(".", 2)[1:]), definition=kind)
