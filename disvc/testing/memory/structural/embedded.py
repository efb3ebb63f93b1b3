"""The type and the metadata of objects, of custom kinds and of what is embedded in them.

Where a schema says `x-kubernetes-embedded-resource`, a whole object stands, and its metadata is read as any object's
is. As k8s.io/apiextensions-apiserver/pkg/apiserver/schema/objectmeta does it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from disvc.testing.memory import causes, formats, metadata
from disvc.testing.memory.builtin.decoding import Unreadable, read

if TYPE_CHECKING:
    from collections.abc import Iterator

    from disvc.testing.memory.errors import Cause
    from disvc.testing.memory.schema import Schema

    Value = dict[str, Any]

__all__ = ["coerce", "coerce_metadata", "problems"]

_METADATA = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"


def coerce_metadata(obj: Value, path: str = "") -> list[str]:
    """Bring an object's metadata into the form in which Go writes it, in place.

    Returns:
        the paths of the fields that metadata does not have, and that were dropped.

    Raises:
        Unreadable: a field is of a wrong type.

    """
    if "metadata" not in obj:
        return []
    metadata = obj["metadata"]
    obj["metadata"], unknown = read(_METADATA, {} if metadata is None else metadata)
    at = causes.child(path, "metadata")
    return [causes.child(at, each) for each in unknown]


def coerce(value: Any, schema: Schema | None, path: str = "") -> Iterator[str]:
    """Bring the metadata of embedded objects into the form in which Go writes it, in place.

    Yields the paths of the fields that were dropped. Raises `Unreadable` for a field of a wrong type.
    """
    for obj, at in _embedded(value, schema, path):
        yield from _coerce_object(obj, at)


def _coerce_object(obj: Value, path: str) -> Iterator[str]:
    for name in ("apiVersion", "kind"):
        if name in obj and not isinstance(obj[name], str):
            raise Unreadable(str(causes.invalid(causes.child(path, name), obj[name], "must be a string")))
    try:
        yield from coerce_metadata(obj, path)
    except Unreadable as error:
        wrong = causes.invalid(causes.child(path, "metadata"), obj["metadata"], str(error))
        raise Unreadable(str(wrong)) from error


def problems(value: Any, schema: Schema | None, path: str = "") -> Iterator[Cause]:
    """Yield what is wrong with the types and the metadata of embedded objects."""
    for obj, at in _embedded(value, schema, path):
        yield from _problems_of_object(obj, at)


def _embedded(value: Any, schema: Schema | None, path: str) -> Iterator[tuple[Value, str]]:
    """Yield the embedded objects of a value, each before those in it, and their paths."""
    match value:
        case dict() if schema is not None:
            if schema.is_embedded_resource:
                yield value, path
            for name, part in value.items():
                at = causes.child(path, name) if name in schema.properties else causes.item(path, name)
                yield from _embedded(part, schema.field(name), at)
        case list() if schema is not None:
            for index, part in enumerate(value):
                yield from _embedded(part, schema.items, causes.item(path, index))


def _problems_of_object(obj: Value, path: str) -> Iterator[Cause]:
    for name in ("apiVersion", "kind"):
        at = causes.child(path, name)
        if name not in obj:
            yield causes.required(at)
        elif not isinstance(obj[name], str):
            yield causes.invalid(at, obj[name], "must be a string")
        elif not obj[name]:
            yield causes.invalid(at, "", "must not be empty")
    api_version, kind = obj.get("apiVersion"), obj.get("kind")
    if isinstance(api_version, str) and api_version.count("/") > 1:
        wrong = f"unexpected GroupVersion string: {api_version}"
        yield causes.invalid(causes.child(path, "apiVersion"), api_version, wrong)
    if isinstance(kind, str) and kind and (wrongs := formats.dns_1035_label(kind.lower())):
        detail = f"may have mixed case, but should otherwise match: {','.join(wrongs)}"
        yield causes.invalid(causes.child(path, "kind"), kind, detail)
    if isinstance(obj.get("metadata"), dict):
        # What is embedded need not have a name.
        named = {"name": "fakename"} | obj["metadata"]
        found = metadata.problems(named, formats.path_segment, namespaced=bool(named.get("namespace")))
        yield from (replace(cause, field=causes.child(path, cause.field)) for cause in found)
