"""What `kubectl apply --server-side` makes of an object that was applied client-side before.

kubectl's own record (an annotation) stands in for what it owns, and is kept up to date. This goes only for the field
manager `kubectl`. Rules: k8s.io/apimachinery/pkg/util/managedfields/internal, lastappliedmanager.go and
lastappliedupdater.go.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from disvc.testing.memory.apply.compare import compare
from disvc.testing.memory.apply.contents import fields_of
from disvc.testing.memory.apply.fieldset import EMPTY, FieldSet
from disvc.testing.memory.apply.validation import validate
from disvc.testing.memory.go_text import json_text

if TYPE_CHECKING:
    from disvc.testing.memory.apply.types import Type

    Value = dict[str, Any]

__all__ = ["MANAGER", "kept_up", "owned"]

MANAGER: Final = "kubectl"
_ANNOTATION: Final = "kubectl.kubernetes.io/last-applied-configuration"
_MAX_ANNOTATIONS_BYTES: Final = 256 * 1024


def owned(live: Value, type_: Type, api_version: str) -> FieldSet:
    """Return the fields that the object's annotation claims, and that still are as it says."""
    try:
        last = json.loads(_annotations(live).get(_ANNOTATION, ""))
    except ValueError:
        return EMPTY
    if not isinstance(last, dict) or last.get("apiVersion") != api_version:
        return EMPTY
    if validate(type_, last) or validate(type_, live):
        return EMPTY
    changes = compare(type_, last, live)
    return fields_of(type_, last) - changes.modified - changes.added - changes.removed


def kept_up(new: Value, applied: Value) -> Value:
    """Return an object with its annotation, if it has one, saying what was applied now."""
    annotations = _annotations(new)
    if not annotations.get(_ANNOTATION):
        return new
    record = applied
    if "annotations" in (metadata := applied.get("metadata") or {}):
        others = {name: text for name, text in _annotations(applied).items() if name != _ANNOTATION}
        record = applied | {"metadata": metadata | {"annotations": others}}
    annotations = annotations | {_ANNOTATION: json_text(record) + "\n"}
    if sum(len(f"{name}{text}".encode()) for name, text in annotations.items()) > _MAX_ANNOTATIONS_BYTES:
        del annotations[_ANNOTATION]
    return new | {"metadata": new["metadata"] | {"annotations": annotations}}


def _annotations(obj: Value) -> dict[str, str]:
    return (obj.get("metadata") or {}).get("annotations") or {}
