"""managedFields between an object and its Scale, which is written as an object of its own.

Who owns the replicas of the object owns those of the Scale, and the other way round. An entry that the Scale brings
has no time, as on the real server. Rules: k8s.io/apimachinery/pkg/util/managedfields/scalehandler.go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from disvc.testing.memory.apply.elements import field
from disvc.testing.memory.apply.entries import Entry, Managers, decode, encode
from disvc.testing.memory.apply.fieldset import FieldSet
from disvc.testing.memory.apply.managers import FieldManager
from disvc.testing.memory.schema import Schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    Value = dict[str, Any]

__all__ = ["SCALE_FIELDS", "ScaleEntries"]

_API_VERSION: Final = "autoscaling/v1"
_REPLICAS: Final = FieldSet.of([(field("spec"), field("replicas"))])
_INTEGER: Final[Mapping[str, Any]] = {"type": "integer"}
_SCALE: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {
        "spec": {"type": "object", "properties": {"replicas": _INTEGER}},
        "status": {"type": "object", "properties": {"replicas": _INTEGER, "selector": {"type": "string"}}},
    },
}

SCALE_FIELDS: Final = FieldManager(
    {_API_VERSION: Schema(_SCALE)},
    _API_VERSION,
    "Scale",
    subresource="scale",
    empty={"metadata": {}, "spec": {}, "status": {"replicas": 0}},
)
"""The field manager of all Scales."""


class ScaleEntries:
    """Takes managedFields from the objects of a kind to their Scales and back."""

    def __init__(self, paths: Mapping[str, str], api_version: str) -> None:
        """Take where the replicas are.

        Args:
            paths: by each apiVersion of the kind that is served, like `spec.replicas`; "" where it has no Scale.
            api_version: the one in which an object is written through its Scale.

        """
        self._replicas = {
            version: FieldSet.of([tuple(map(field, path.split(".")))] if path else ())
            for version, path in paths.items()
        }
        self._api_version = api_version

    def of_scale(self, managed: Iterable[Value] | None) -> list[Value]:
        """Return the managedFields of a Scale, given those of its object."""
        return encode(
            {
                manager: Entry(_API_VERSION, _REPLICAS, entry.time)
                for manager, entry in decode(managed).items()
                if self._owned_replicas(entry)
            }
        )

    def of_object(self, managed: Iterable[Value] | None, managed_in_scale: Iterable[Value] | None) -> list[Value]:
        """Return the managedFields of an object, given those it had, and those of its Scale as it is now."""
        in_scale = {manager: entry for manager, entry in decode(managed_in_scale).items() if entry.fields & _REPLICAS}
        left: Managers = {}
        for manager, entry in decode(managed).items():
            if entry.api_version not in self._replicas:
                continue  # it is of a version that is not served any more
            fields = entry.fields
            if self._owned_replicas(entry) and in_scale.pop(manager, None) is None:
                fields = fields - self._replicas[entry.api_version]
            if fields:
                left[manager] = entry.with_fields(fields)
        brought = Entry(self._api_version, self._replicas[self._api_version])
        return encode(left | dict.fromkeys(in_scale, brought))

    def _owned_replicas(self, entry: Entry) -> FieldSet:
        return entry.fields & self._replicas.get(entry.api_version, FieldSet())
