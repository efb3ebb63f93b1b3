"""The published OpenAPI definitions of the built-in kinds, from the package kubernetes_validate; read once, when asked.

They have what clients see: descriptions, types, how lists merge. What only Go's types have is in `gotypes`.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from disvc.testing.memory.schema import Schema

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["VERSION", "definition_name", "definitions", "schema"]

VERSION: Final = "v1.36.0"
"""The release of Kubernetes that the definitions are of."""

_KINDS: Final = "x-kubernetes-group-version-kind"


@cache
def definitions() -> Mapping[str, Any]:
    """Return all definitions by name, as in `io.k8s.api.core.v1.Pod`."""
    # The package is a folder of files for us; importing it takes longer than all else here.
    package = find_spec("kubernetes_validate")
    if package is None or not package.submodule_search_locations:
        raise ModuleNotFoundError("the definitions of the built-in kinds: install kubernetes-validate (disvc[testing])")
    folder = Path(package.submodule_search_locations[0]) / "kubernetes-json-schema" / f"{VERSION}-local"
    found: Mapping[str, Any] = msgspec.json.decode((folder / "_definitions.json").read_bytes())["$defs"]
    return _amended(found)


def _amended(found: Mapping[str, Any]) -> Mapping[str, Any]:
    """Add what a server's own OpenAPI says and the published definitions leave out, as far as apply goes by it."""
    core = "io.k8s.api.core.v1."
    for name in ("ServicePort", "ContainerPort"):
        found[f"{core}{name}"]["properties"]["protocol"]["default"] = "TCP"
    found[f"{core}LocalObjectReference"]["properties"]["name"]["default"] = ""
    found["io.k8s.apimachinery.pkg.runtime.RawExtension"]["x-kubernetes-map-type"] = "atomic"
    for definition in found.values():
        for listed in definition.get("properties", {}).values():
            for key in listed.get("x-kubernetes-list-map-keys", ()):
                item = found[listed["items"]["$ref"].rpartition("/")[2]]
                if key in item.get("required", ()):
                    field = item["properties"][key]
                    field["default"] = 0 if "integer" in field["type"] else ""
    return found


@cache
def schema(group: str, version: str, kind: str) -> Schema:
    """Return the schema of a kind. Raises `KeyError` for a kind that Kubernetes does not have."""
    return Schema(definitions()[definition_name(group, version, kind)], definitions())


def definition_name(group: str, version: str, kind: str) -> str:
    """Return the name of a kind's definition. Raises `KeyError` for a kind that Kubernetes does not have."""
    return _names()[group, version, kind]


@cache
def _names() -> Mapping[tuple[str, str, str], str]:
    return {
        (each["group"], each["version"], each["kind"]): name
        for name, definition in definitions().items()
        for each in definition.get(_KINDS, ())
        if name.endswith(f".{each['version']}.{each['kind']}")
    }
