"""ConfigMaps and Secrets."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any, Final

from disvc.testing.memory import causes, formats
from disvc.testing.memory.builtin.validation.fields import immutable
from disvc.testing.memory.causes import item

if TYPE_CHECKING:
    from collections.abc import Iterator

    from disvc.testing.memory.errors import Cause

    Value = dict[str, Any]

__all__ = ["config_map", "secret"]

_MAX_BYTES: Final = 1024 * 1024
_IMMUTABLE: Final = "field is immutable when `immutable` is set"
_KEYS_OF_TYPES: Final = {
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
}
"""What a Secret of a type must have."""
_BASIC_AUTH: Final = ("username", "password")
_SERVICE_ACCOUNT: Final = "kubernetes.io/service-account.name"


def config_map(obj: Value, old: Value | None) -> Iterator[Cause]:
    """Check a ConfigMap, and that it does not change if it is immutable."""
    yield from _immutability(obj, old, "data", "binaryData")
    data, binary = obj.get("data", {}), obj.get("binaryData", {})
    for key in data:
        path = item("data", key)
        yield from (causes.invalid(path, key, message) for message in formats.config_key(key))
        if key in binary:
            yield causes.invalid(path, key, "duplicate of key present in binaryData")
    for key in binary:
        yield from (causes.invalid(item("binaryData", key), key, message) for message in formats.config_key(key))
    if sum(len(text.encode()) for text in data.values()) + _decoded_bytes(binary) > _MAX_BYTES:
        yield causes.too_long("", _MAX_BYTES)


def secret(obj: Value, old: Value | None) -> Iterator[Cause]:
    """Check a Secret, and that it does not change its type, nor anything if it is immutable."""
    if old is not None:
        yield from immutable("type", obj["type"], old["type"])
    yield from _immutability(obj, old, "data")
    data = obj.get("data", {})
    for key in data:
        yield from (causes.invalid(item("data", key), key, message) for message in formats.config_key(key))
    if _decoded_bytes(data) > _MAX_BYTES:
        yield causes.too_long("data", _MAX_BYTES)
    yield from _contents(obj, data)


def _immutability(obj: Value, old: Value | None, *names: str) -> Iterator[Cause]:
    if old is None or not old.get("immutable"):
        return
    if not obj.get("immutable"):
        yield causes.forbidden("immutable", _IMMUTABLE)
    for name in names:
        if obj.get(name) != old.get(name):
            yield causes.forbidden(name, _IMMUTABLE)


def _decoded_bytes(data: Value) -> int:
    return sum(len(text or "") * 3 // 4 for text in data.values())


def _contents(obj: Value, data: Value) -> Iterator[Cause]:
    type_ = obj["type"]
    for key in _KEYS_OF_TYPES.get(type_, ()):
        if key not in data:
            yield causes.required(item("data", key))
        elif key.startswith(".dockerc"):
            yield from _json(item("data", key), data[key])
    if type_ == "kubernetes.io/basic-auth" and not any(key in data for key in _BASIC_AUTH):
        yield from (causes.required(item("data", key)) for key in _BASIC_AUTH)
    if type_ == "kubernetes.io/service-account-token" and not obj["metadata"].get("annotations", {}).get(
        _SERVICE_ACCOUNT
    ):
        yield causes.required(item("metadata.annotations", _SERVICE_ACCOUNT))


def _json(path: str, encoded: str) -> Iterator[Cause]:
    content = base64.b64decode(encoded)
    try:
        json.loads(content)
    except ValueError:
        why = (
            f"invalid character '{chr(content[0])}' looking for beginning of value"
            if content
            else "unexpected end of JSON input"
        )
        yield causes.invalid(path, "<secret contents redacted>", why)
