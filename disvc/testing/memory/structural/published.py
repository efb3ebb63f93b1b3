"""The schema of a custom kind as OpenAPI v3 publishes it: as it is declared, and what goes without saying.

As k8s.io/apiextensions-apiserver/pkg/controller/openapi/builder makes it of a structural schema.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    Value = dict[str, Any]

__all__ = ["published"]

_CONVENTIONS: Final = "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md"
_OF_EMBEDDED: Final = {
    "apiVersion": {
        "description": "apiVersion defines the versioned schema of this representation of an object. "
        f"More info: {_CONVENTIONS}#resources",
        "type": "string",
    },
    "kind": {
        "description": "kind is a string value representing the type of this object. In CamelCase. "
        f"More info: {_CONVENTIONS}#types-kinds",
        "type": "string",
    },
    "metadata": {
        "description": f"Standard object's metadata. More info: {_CONVENTIONS}#metadata",
        "allOf": [{"$ref": "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}],
    },
}


def published(raw: Mapping[str, Any]) -> Value:
    """Return a schema with the type and the metadata of embedded objects, and what `int-or-string` stands for."""
    made = dict(raw)
    if raw.get("properties"):
        made["properties"] = {name: published(field) for name, field in raw["properties"].items()}
    for keyword in ("items", "additionalProperties"):
        if isinstance(raw.get(keyword), dict):
            made[keyword] = published(raw[keyword])
    if raw.get("x-kubernetes-embedded-resource"):
        made["properties"] = {**made.get("properties", {}), **_OF_EMBEDDED}
        made["required"] = list(dict.fromkeys([*(raw.get("required") or ()), "kind", "apiVersion"]))
    if raw.get("x-kubernetes-int-or-string"):
        made.setdefault("anyOf", [{"type": "integer"}, {"type": "string"}])
    return made
