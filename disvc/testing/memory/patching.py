"""The four kinds of patch: what a request's patch makes of the object as it is.

Each gives a function from the old object, or None where apply may create it, to the new one: decoded, with the fields
of its kind only, and with its name and namespace checked. The function may be called again on a newer object.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import yaml

from disvc.testing.memory import causes, decoding, errors
from disvc.testing.memory.builtin.scale import SCALE
from disvc.testing.memory.go_text import json_text
from disvc.testing.memory.json_reading import read_json
from disvc.testing.memory.numbers import as_go_writes
from disvc.testing.memory.patch import json_patch, merge_patch, strategic_merge, unknown_fields
from disvc.testing.memory.store import copied
from disvc.testing.memory.structural.embedded import coerce, coerce_metadata
from disvc.testing.memory.yaml_reading import read_yaml

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from disvc.testing.memory.apply import FieldManager
    from disvc.testing.memory.options import WriteOptions
    from disvc.testing.memory.requests import Call

    Value = dict[str, Any]
    Change = Callable[[Value | None], Value]

__all__ = ["check_patch_type", "patch_change"]

_JSON_PATCH: Final = "application/json-patch+json"
_MERGE_PATCH: Final = "application/merge-patch+json"
_STRATEGIC_PATCH: Final = "application/strategic-merge-patch+json"


def check_patch_type(call: Call) -> None:
    """Raise `Refused` (415) where a patch is in a format that the kind does not take."""
    supported = [_JSON_PATCH, _MERGE_PATCH, _STRATEGIC_PATCH, decoding.APPLY_PATCH]
    if call.resource.is_custom:
        supported.remove(_STRATEGIC_PATCH)
    if decoding.media_type(call) not in supported:
        raise errors.unsupported_patch_type(supported if call.resource.is_custom else ())


def patch_change(call: Call, options: WriteOptions, manager: FieldManager, now: Callable[[], datetime]) -> Change:
    """Return what the patch of a request makes of an object; that raises `Refused` (400) for an unreadable patch."""
    kind = decoding.media_type(call)
    if call.subresource == "scale":
        call = replace(call, resource=SCALE)
    if kind == decoding.APPLY_PATCH:
        return _apply(call, options, manager, now)

    def change(old: Value | None) -> Value:
        assert old is not None
        patch, mistakes = _read(call, options, kind)
        return _checked(call, _known(call, options, _patched(call, kind, old, patch), mistakes))

    return change


def _read(call: Call, options: WriteOptions, kind: str) -> tuple[Any, list[str]]:
    """Return the patch, and the mistakes in it that strict decoding tells of."""
    try:
        patch, twice = read_json(call.request.body)
    except ValueError as error:
        if kind == _MERGE_PATCH and options.validation == "Ignore":
            raise errors.bad_request("Invalid JSON Patch") from error
        prefix = "" if kind == _STRATEGIC_PATCH else "error decoding patch: "
        raise errors.bad_request(f"{prefix}{error}") from error
    if options.validation == "Ignore":
        return patch, []
    prefix = "json patch " if kind == _JSON_PATCH else ""
    mistakes = [f'{prefix}duplicate field "{path}"' for path in twice]
    return patch, mistakes + (unknown_fields(patch) if kind == _JSON_PATCH else [])


def _patched(call: Call, kind: str, old: Value, patch: Any) -> Any:
    if kind == _JSON_PATCH:
        return json_patch(old, patch)
    if kind == _MERGE_PATCH:
        return merge_patch(old, patch)
    assert call.resource.schema is not None
    return strategic_merge(old, patch, call.resource.schema)


def _known(call: Call, options: WriteOptions, patched: Any, mistakes: list[str]) -> Value:
    """Decode a patched object; what is wrong with it is wrong with the patch (422)."""
    try:
        if not isinstance(patched, dict):
            raise ValueError("json: the patched object is none")
        decoding.check_type_meta(patched)
        return decoding.known(call, copied(patched), options.validation, mistakes)
    except ValueError as error:
        raise _bad_patch(patched, f"couldn't get version/kind; json parse error: {error}") from error
    except errors.Refused as refused:
        strict = refused.message.rpartition("strict decoding error: ")
        why = refused.message.partition(" cannot be handled as a ")[2].partition(": ")[2]
        raise _bad_patch(patched, "".join(strict[1:]) if strict[1] else why or refused.message) from refused


def _bad_patch(patched: Any, why: str) -> errors.Refused:
    return errors.invalid("", "", "", [causes.invalid("patch", json_text(patched), why)])


def _apply(call: Call, options: WriteOptions, manager: FieldManager, now: Callable[[], datetime]) -> Change:
    def change(old: Value | None) -> Value:
        try:
            applied, twice = read_yaml(call.request.body)
        except (yaml.YAMLError, ValueError) as error:
            raise errors.bad_request(f"error decoding YAML: error converting YAML to JSON: {error}") from error
        if not isinstance(applied, dict | None):
            raise errors.bad_request("error decoding YAML: the configuration is no object")
        mistakes = "error converting YAML to JSON: yaml: unmarshal errors:" + "".join(f"\n  {each}" for each in twice)
        obj = manager.apply(old, as_go_writes(applied or {}), options.manager, force=bool(options.force), now=now())
        if twice and options.validation == "Strict":
            raise errors.bad_request(f"error strict decoding YAML: {mistakes}")
        if twice and options.validation == "Warn":
            call.warnings.append(mistakes)
        if call.resource.is_custom:  # is not decoded again: null stays
            copy = copied(obj)
            list(coerce(copy, call.resource.schema))  # but for the metadata of what is embedded
            coerce_metadata(copy)
            return _checked(call, copy)
        try:
            return _checked(call, decoding.known(call, obj, "Ignore", []))
        except errors.Refused as refused:
            why = refused.message.partition(" cannot be handled as a ")[2].partition(": ")[2]
            raise _inconvertible(call, why) if why else refused from refused

    return change


def _inconvertible(call: Call, why: str) -> errors.Refused:
    """Return the 500 of an apply that fits the schema of its kind, but not what Go reads as it."""
    resource = call.resource
    kind = f"{resource.group}/{resource.version}, Kind={resource.kind}"
    # A time reads itself; what is left to Go's decoder of JSON is told with its words before.
    why = why if why.startswith("parsing time") else f"error decoding from json: {why}"
    message = f"failed to convert new object (/{call.name}; {kind}) to proper version: "
    return errors.Refused(500, "", f"{message}unable to convert unstructured object to {kind}: {why}")


def _checked(call: Call, obj: Value) -> Value:
    decoding.check_namespace(call, obj)
    decoding.check_name(call, obj)
    return obj
