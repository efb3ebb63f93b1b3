"""What goes back to the client: objects, lists, statuses, and how they become bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from disvc.runtime.transport import Answer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from disvc.testing.memory.errors import Refused
    from disvc.testing.memory.requests import Call
    from disvc.testing.memory.resource import ResourceType
    from disvc.testing.memory.store import Version

    Value = dict[str, Any]

__all__ = ["list_answer", "object_answer", "refusal", "value_answer"]

_HEADERS: Final[Mapping[str, str]] = {"content-type": "application/json"}
_encode = msgspec.json.Encoder().encode


def object_answer(call: Call, version: Version, code: int = 200) -> Answer:
    """Return one object."""
    return Answer(code, _headers(call), version.raw)


def list_answer(call: Call, metadata: Value, versions: Sequence[Version]) -> Answer:
    """Return a list with the metadata of a ListMeta."""
    resource = call.resource
    kind = resource.list_kind or f"{resource.kind}List"
    if resource.is_custom:
        metadata = {"continue": ""} | metadata
    head = _encode({"kind": kind, "apiVersion": resource.api_version, "metadata": metadata})
    items = b",".join(_item_bytes(resource, versions))
    return Answer(200, _headers(call), b"".join((head[:-1], b',"items":[', items, b"]}")))


def value_answer(call: Call, value: Value, code: int = 200) -> Answer:
    """Return what is not stored: a Status, a Scale."""
    return Answer(code, _headers(call), _encode(value))


def refusal(refused: Refused, warnings: Sequence[str] = ()) -> Answer:
    """Return why a request is refused."""
    headers = dict(_HEADERS)
    if refused.retry_after_seconds is not None:
        headers["retry-after"] = str(refused.retry_after_seconds)
    if warnings:
        headers["warning"] = _warning(warnings)
    return Answer(refused.code, headers, _encode(refused.status()))


def _item_bytes(resource: ResourceType, versions: Iterable[Version]) -> Iterable[bytes]:
    """Return objects as the items of a list, which do not say their kind where that is a built-in one."""
    if resource.is_custom:
        return (version.raw for version in versions)
    said = len(_encode({"kind": resource.kind, "apiVersion": resource.api_version}))
    return (b"{" + version.raw[said:] for version in versions)


def _headers(call: Call) -> Mapping[str, str]:
    if not call.warnings:
        return _HEADERS
    return {**_HEADERS, "warning": _warning(call.warnings)}


def _warning(texts: Sequence[str]) -> str:
    quoted = (text.replace("\\", "\\\\").replace('"', '\\"') for text in dict.fromkeys(texts))
    return ", ".join(f'299 - "{text}"' for text in quoted)
