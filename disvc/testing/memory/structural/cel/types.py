"""What CEL's type checker is told of a schema: objects are messages, so a rule on a field that is not declared fails.

Which parts of a schema rules can reach is as in k8s.io/apiserver/pkg/cel/common/schemas.go. Where the checker cannot be
told a type, because a field of a message cannot be a list of lists or the like, its items are `dyn` and checked when a
rule runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf import any_pb2, duration_pb2, struct_pb2, timestamp_pb2, wrappers_pb2
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool

from disvc.testing.memory.schema import Schema
from disvc.testing.memory.structural.cel.library.functions import OPAQUE
from disvc.testing.memory.structural.cel.names import escape

if TYPE_CHECKING:
    from collections.abc import Iterator

    TypeSpec = dict[str, Any]

__all__ = ["Types"]

_PACKAGE = "schema"
_WELL_KNOWN = (any_pb2, duration_pb2, struct_pb2, timestamp_pb2, wrappers_pb2)
_SCALARS = {
    "bool": FieldDescriptorProto.TYPE_BOOL,
    "bytes": FieldDescriptorProto.TYPE_BYTES,
    "double": FieldDescriptorProto.TYPE_DOUBLE,
    "int": FieldDescriptorProto.TYPE_INT64,
    "string": FieldDescriptorProto.TYPE_STRING,
}
_MESSAGES = {
    "dyn": ".google.protobuf.Value",
    "duration": ".google.protobuf.Duration",
    "list": ".google.protobuf.ListValue",
    "map": ".google.protobuf.Struct",
    "timestamp": ".google.protobuf.Timestamp",
}
_OF_STRINGS = {"byte": "bytes", "date": "timestamp", "date-time": "timestamp", "duration": "duration"}
_OF_TYPES = {"boolean": "bool", "integer": "int", "number": "double"}


def _resource_schema(schema: Schema) -> Schema:
    """Return the schema of a whole object with what rules can always reach of it: its type, its name."""
    text = {"type": "string"}
    metadata = {"type": "object", "properties": {"name": text, "generateName": text}}
    always = {"kind": text, "apiVersion": text, "metadata": metadata}
    return Schema({**schema.raw, "properties": {**(schema.raw.get("properties") or {}), **always}})


class Types:
    """The types of one schema and its parts. Types are written as in CEL's environment files: type_name, params."""

    def __init__(self) -> None:
        self._file = FileDescriptorProto(name="schema.proto", package=_PACKAGE, syntax="proto2")
        self._file.dependency.extend(module.DESCRIPTOR.name for module in _WELL_KNOWN)

    def pool(self) -> DescriptorPool:
        """Return the messages that were made so far."""
        pool = DescriptorPool()
        for module in _WELL_KNOWN:
            pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
        for file in (*_opaque_types(), self._file):
            pool.AddSerializedFile(file.SerializeToString())
        return pool

    def type_of(self, schema: Schema, *, is_resource: bool = False) -> TypeSpec | None:
        """Return the type of a value; None where rules cannot reach it, as nothing is known of it.

        Args:
            schema: of the value.
            is_resource: whether the value is the object itself.

        """
        if schema.raw.get("x-kubernetes-int-or-string"):
            return {"type_name": "dyn"}
        match schema.type:
            case "array":
                items = self.type_of(schema.items) if schema.items else None
                return {"type_name": "list", "params": [items]} if items else None
            case "object":
                return self._object(schema, is_resource=is_resource or schema.is_embedded_resource)
            case "string":
                return {"type_name": _OF_STRINGS.get(schema.raw.get("format", ""), "string")}
            case other:
                return {"type_name": _OF_TYPES[other]} if other in _OF_TYPES else None

    def _object(self, schema: Schema, *, is_resource: bool) -> TypeSpec | None:
        if is_resource:
            schema = _resource_schema(schema)
        if schema.additional is not None:
            values = self.type_of(schema.additional)
            return {"type_name": "map", "params": [{"type_name": "string"}, values]} if values else None
        fields = {escape(name): self.type_of(field) for name, field in schema.properties.items()}
        message = DescriptorProto()
        for number, (name, type_) in enumerate(fields.items(), 1):
            if name and type_:
                _add_field(message, name, number, type_)
        message.name = f"Object{len(self._file.message_type)}"
        self._file.message_type.append(message)
        return {"type_name": f"{_PACKAGE}.{message.name}"}


def _opaque_types() -> Iterator[FileDescriptorProto]:
    for full_name in OPAQUE.values():
        package, _, name = full_name.rpartition(".")
        file = FileDescriptorProto(name=f"{full_name}.proto", package=package, syntax="proto2")
        file.message_type.add(name=name)
        yield file


def _add_field(message: DescriptorProto, name: str, number: int, type_: TypeSpec) -> None:
    field = message.field.add(name=name, number=number, label=FieldDescriptorProto.LABEL_OPTIONAL)
    if type_["type_name"] == "map":
        entry = f"{_camel_case(name)}Entry"
        if any(nested.name == entry for nested in message.nested_type):
            _set_type(field, {"type_name": "map"})
            return
        nested = message.nested_type.add(name=entry)
        nested.options.map_entry = True
        for part, (part_name, part_type) in enumerate(zip(("key", "value"), type_["params"], strict=True), 1):
            _set_type(
                nested.field.add(name=part_name, number=part, label=FieldDescriptorProto.LABEL_OPTIONAL), part_type
            )
        field.label = FieldDescriptorProto.LABEL_REPEATED
        field.type = FieldDescriptorProto.TYPE_MESSAGE
        field.type_name = entry
    elif type_["type_name"] == "list":
        field.label = FieldDescriptorProto.LABEL_REPEATED
        _set_type(field, type_["params"][0])
    else:
        _set_type(field, type_)


def _set_type(field: FieldDescriptorProto, type_: TypeSpec) -> None:
    name = type_["type_name"]
    if name in _SCALARS:
        field.type = _SCALARS[name]
    else:
        field.type = FieldDescriptorProto.TYPE_MESSAGE
        field.type_name = _MESSAGES.get(name, f".{name}")


def _camel_case(name: str) -> str:
    """Return a field's name as protobuf makes the name of a map's entry type of it."""
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))
