"""The managedFields of an object: who set which fields, by which operation, in which version, and when.

Rules: k8s.io/apimachinery/pkg/util/managedfields/internal/managedfields.go.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from disvc.testing.memory.apply.fieldset import FieldSet
from disvc.testing.memory.go_text import json_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    Value = dict[str, Any]

__all__ = ["APPLY", "UPDATE", "Entry", "Manager", "Managers", "decode", "encode", "is_reset"]

APPLY: Final = "Apply"
UPDATE: Final = "Update"


class Manager(NamedTuple):
    """Who manages fields: an entry is the only one of its manager.

    `api_version` is "" for Apply, as an applier has one entry whatever version it applies.
    """

    name: str
    operation: str
    api_version: str
    subresource: str = ""

    @property
    def identifier(self) -> str:
        """Return what the server sorts managers by."""
        parts = zip(("manager", "operation", "apiVersion", "subresource"), self, strict=True)
        return "{" + ",".join(f"{json_text(name)}:{json_text(part)}" for name, part in parts if part) + "}"


@dataclass(frozen=True)
class Entry:
    """What a manager has set: `fields` of an object in `api_version`, at `time` (RFC 3339, seconds)."""

    api_version: str
    fields: FieldSet
    time: str | None = None

    def with_fields(self, fields: FieldSet) -> Entry:
        """Return it with other fields."""
        return replace(self, fields=fields)


Managers = dict[Manager, Entry]


def is_reset(managed: object) -> bool:
    """Tell whether a client asks by this `managedFields` to forget all managers: an empty list, or one empty entry."""
    return managed in ([], [{}])


def decode(managed: Iterable[Mapping[str, Any]] | None) -> Managers:
    """Read managedFields.

    Raises:
        ValueError: an entry is malformed.

    """
    managers: Managers = {}
    for place, entry in enumerate(managed or ()):
        operation, version, form = (entry.get(name) or "" for name in ("operation", "apiVersion", "fieldsType"))
        if operation not in (APPLY, UPDATE):
            raise ValueError("operation must be `Apply` or `Update`")
        if not version:
            raise ValueError("apiVersion must not be empty")
        if form != "FieldsV1":
            problem = f'invalid fieldsType "{form}"' if form else "missing fieldsType"
            msg = f"{problem} in managed fields entry {place}"
            raise ValueError(msg)
        by = "" if operation == APPLY else version
        manager = Manager(entry.get("manager") or "", operation, by, entry.get("subresource") or "")
        managers[manager] = Entry(version, FieldSet.load(entry.get("fieldsV1") or {}), entry.get("time"))
    return managers


def encode(managers: Managers) -> list[Value]:
    """Write managedFields, in the server's order: appliers first, then by time, name, version and subresource."""
    return [
        _encode(manager, entry)
        for manager, entry in sorted(
            managers.items(),
            key=lambda item: (item[0].operation, item[1].time or "", item[0].name, item[1].api_version, item[0][3]),
        )
    ]


def _encode(manager: Manager, entry: Entry) -> Value:
    written = {
        "manager": manager.name,
        "operation": manager.operation,
        "apiVersion": entry.api_version,
        "time": entry.time,
        "fieldsType": "FieldsV1",
        "fieldsV1": entry.fields.dump(),
        "subresource": manager.subresource,
    }
    return {name: value for name, value in written.items() if value or name == "fieldsV1"}
