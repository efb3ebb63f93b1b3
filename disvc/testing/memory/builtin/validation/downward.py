"""References from a Pod to its own fields: the downward API."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from disvc.testing.memory import causes, formats
from disvc.testing.memory.builtin.validation.fields import formatted

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from disvc.testing.memory.errors import Cause

    Value = dict[str, Any]

__all__ = ["IN_ENVIRONMENT", "IN_VOLUMES", "field_reference"]

IN_ENVIRONMENT: Final = (
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
)
"""What an environment variable may have."""
IN_VOLUMES: Final = (
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
)
"""What a file may have."""
_KNOWN: Final = {*IN_ENVIRONMENT, *IN_VOLUMES}
_OLD_NAMES: Final[Mapping[str, str]] = {"spec.host": "spec.nodeName"}
_SUBSCRIPT: Final = re.compile(r"(.*)\['(.*)'\]")


def field_reference(path: str, selector: Value, supported: Collection[str]) -> Iterator[Cause]:
    """Check an ObjectFieldSelector: a field of the Pod, or one label or annotation in brackets."""
    at = f"{path}.fieldPath"
    field: str = _OLD_NAMES.get(selector["fieldPath"], selector["fieldPath"])
    if not field:
        yield causes.required(at)
        return
    subscript = _SUBSCRIPT.fullmatch(field)
    if subscript and subscript[1] in {"metadata.annotations", "metadata.labels"}:
        key = subscript[2].lower() if subscript[1] == "metadata.annotations" else subscript[2]
        yield from formatted(path, key, formats.label_key)
    elif field not in _KNOWN:
        yield causes.invalid(at, field, f"error converting fieldPath: field label not supported: {field}")
    elif field not in supported:
        yield causes.not_supported(at, field, supported)
