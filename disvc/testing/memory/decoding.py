"""Reading the body of a request as an object: JSON, YAML or protobuf; strictly, where the client wants to be told."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import yaml

from disvc.testing.memory import errors, protobuf
from disvc.testing.memory.json_reading import read_json
from disvc.testing.memory.negotiation import JSON, YAML
from disvc.testing.memory.yaml_reading import read_yaml

if TYPE_CHECKING:
    from disvc.testing.memory.requests import Call
    from disvc.testing.memory.resource import ResourceType

    Value = dict[str, Any]

__all__ = [
    "APPLY_PATCH",
    "check_name",
    "check_namespace",
    "check_type_meta",
    "known",
    "media_type",
    "read_body",
    "read_object",
    "read_value",
    "why_unreadable",
]

APPLY_PATCH: Final = "application/apply-patch+yaml"
PROTOBUF: Final = "application/vnd.kubernetes.protobuf"
_SUPPORTED: Final = (JSON, YAML, PROTOBUF)
_SHOWN: Final = 30
"""Bytes of a body that are shown once more."""


def media_type(call: Call) -> str:
    """Return the Content-Type without parameters, "" where there is none."""
    return call.request.headers.get("content-type", "").partition(";")[0].strip()


def read_body(call: Call) -> tuple[Any, list[str]]:
    """Return what the body says, and the mistakes of saying a field twice. Raises `Refused` (415) or `ValueError`."""
    kind = media_type(call) or JSON
    if kind == YAML:
        value, twice = read_yaml(call.request.body)
        return value, ["yaml: unmarshal errors:" + "".join(f"\n  {each}" for each in twice)] if twice else []
    if kind == PROTOBUF:
        return protobuf.decode(call.request.body), []
    if kind != JSON:
        raise errors.unsupported_media_type(_SUPPORTED)
    value, twice = read_json(call.request.body)
    return value, [f'duplicate field "{path}"' for path in twice]


def read_value(call: Call) -> Value:
    """Return the body, an object of whatever kind. Raises `Refused` (400, 415)."""
    try:
        value, _ = read_body(call)
    except (ValueError, yaml.YAMLError) as error:
        raise errors.bad_request(str(error)) from error
    if not isinstance(value, dict):
        raise errors.bad_request(f"an object is expected, not {value!r}")
    return value


def read_object(call: Call, validation: str) -> Value:
    """Return the object of a create or an update, of the call's kind and version, with its known fields only.

    `validation` is the request's fieldValidation. Raises `Refused` (400, 415).
    """
    resource = call.resource
    unrecognized = f"the object provided is unrecognized (must be of type {resource.kind})"
    try:
        value, twice = read_body(call)
        check_type_meta(value)
    except (ValueError, yaml.YAMLError) as error:
        shown = _shown(call.request.body)
        raise errors.bad_request(f"{unrecognized}: {why_unreadable(error)} ({shown})") from error
    if value is None and resource.is_custom:
        raise errors.bad_request(f"{unrecognized}: Object 'Kind' is missing in 'null' (6e756c6c)")
    return known(call, value or {}, validation, twice)


def why_unreadable(error: Exception) -> str:
    """Return what is said of a body that is neither an object in JSON nor YAML."""
    return str(error) if isinstance(error, yaml.YAMLError) else f"couldn't get version/kind; json parse error: {error}"


def check_type_meta(value: object) -> None:
    """Raise `ValueError` where a body is no object, or does not say as texts of what kind."""
    if not isinstance(value, dict | None):
        raise ValueError(f"json: an object is expected, not {value!r}")
    for name in ("apiVersion", "kind"):
        if not isinstance((value or {}).get(name), str | None):
            raise ValueError(f"json: .{name} must be a string")


def known(call: Call, given: Value, validation: str, mistakes: list[str]) -> Value:
    """Return an object with the fields that the call's kind has, and tell of mistakes in it. Raises `Refused` (400)."""
    resource = call.resource
    kind, version = given.get("kind") or resource.kind, given.get("apiVersion") or resource.api_version
    if resource.is_custom:
        _check_custom_version(resource, given, version)
    elif (kind, version) != (resource.kind, resource.api_version):
        raise errors.bad_request(
            f'{kind} in version "{version.rpartition("/")[2]}" cannot be handled as a {resource.kind}: '
            f'no kind "{kind}" is registered for version "{version}" in scheme "pkg/runtime/scheme.go:111"'
        )
    obj: Value = {**given, "kind": kind, "apiVersion": version}
    if resource.decode is not None:
        obj, dropped = resource.decode(obj)
        mistakes = [*mistakes, *(f'unknown field "{path}"' for path in dropped)]
    _report(call, validation, mistakes)
    obj["metadata"] = dict(obj.get("metadata") or {})
    if not resource.is_custom and (given.get("metadata") or {}).get("managedFields") == []:
        obj["metadata"]["managedFields"] = []  # which asks to forget all managers
    return obj


def _check_custom_version(resource: ResourceType, given: Value, version: str) -> None:
    """Raise `Refused` (400) where a custom object does not say its kind, or says another version."""
    if not given.get("kind"):
        text = json.dumps(given, separators=(",", ":"))
        raise errors.bad_request(
            f"the object provided is unrecognized (must be of type {resource.kind}): "
            f"Object 'Kind' is missing in '{text}' ({_shown(text.encode())})"
        )
    if version != resource.api_version:
        expected = resource.api_version
        raise errors.bad_request(
            f"the API version in the data ({version}) does not match the expected API version ({expected})"
        )


def _shown(body: bytes) -> str:
    """Return how a body is shown: its beginning, in hexadecimal where it is no object in JSON."""
    start = body[:_SHOWN]
    text = start.decode(errors="replace") if body.startswith(b"{") else start.hex()
    return f"{text} ..." if len(body) > _SHOWN else text


def check_namespace(call: Call, obj: Value) -> None:
    """Give an object the namespace of the path, in place. Raises `Refused` where it says another one."""
    meta = obj["metadata"]
    if not call.resource.namespaced:
        meta.pop("namespace", None)
        return
    meta["namespace"] = meta.get("namespace") or call.namespace
    if meta["namespace"] != call.namespace:
        why = "the namespace of the provided object does not match the namespace sent on the request"
        raise errors.bad_request(why)


def check_name(call: Call, obj: Value) -> None:
    """Raise `Refused` where an object does not have the name of the path."""
    name = obj["metadata"].get("name", "")
    if not name:
        why = f"the name of the object ({call.name} based on URL) was undeterminable: name must be provided"
        raise errors.bad_request(why)
    if name != call.name:
        raise errors.bad_request(f"the name of the object ({name}) does not match the name on the URL ({call.name})")


def _report(call: Call, validation: str, mistakes: list[str]) -> None:
    """Warn of mistakes in an object, or refuse it for them (400), as the request's fieldValidation wants it."""
    if validation == "Strict" and mistakes:
        listed = ", ".join(mistakes)
        text = f'{call.resource.kind} in version "{call.resource.version}" cannot be handled as a {call.resource.kind}'
        raise errors.bad_request(f"{text}: strict decoding error: {listed}")
    if validation == "Warn":
        call.warnings += mistakes
