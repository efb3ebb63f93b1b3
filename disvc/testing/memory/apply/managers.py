"""Keeps the managedFields of objects through writes of all kinds, and merges what is applied.

A `FieldManager` is for one kind in one version, and for the object as a whole or one subresource of it; it keeps no
state. Call it where the server does: on the object as decoded and defaulted, before admission and before the strategy
prepares it. Rules: k8s.io/apimachinery/pkg/util/managedfields/internal.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from disvc.runtime.timestamps import metav1_time
from disvc.testing.memory.apply import last_applied
from disvc.testing.memory.apply.conflicts import ConflictsError
from disvc.testing.memory.apply.elements import field
from disvc.testing.memory.apply.entries import APPLY, UPDATE, Entry, Manager, Managers, decode, encode, is_reset
from disvc.testing.memory.apply.fieldset import FieldSet
from disvc.testing.memory.apply.ownership import Ownership
from disvc.testing.memory.apply.types import type_of
from disvc.testing.memory.apply.validation import validate
from disvc.testing.memory.apply.values import equal
from disvc.testing.memory.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from disvc.testing.memory.apply.types import Type
    from disvc.testing.memory.schema import Schema

    Value = dict[str, Any]

__all__ = ["FieldManager", "keep_times"]

_MAX_UPDATERS: Final = 10
_OLD_UPDATES: Final = "ancient-changes"
_BEFORE_FIRST_APPLY: Final = "before-first-apply"
_UNNAMED: Final = "unknown"

_IN_METADATA: Final = (
    "name", "namespace", "creationTimestamp", "selfLink", "uid",
    "clusterName", "generation", "managedFields", "resourceVersion",
)  # fmt: skip
_NEVER_OWNED: Final = FieldSet.of(
    [
        *((field(name),) for name in ("apiVersion", "kind", "metadata")),
        *((field("metadata"), field(name)) for name in _IN_METADATA),
    ]
)


class FieldManager:
    """Tracks who set which field of the objects of one kind."""

    def __init__(
        self,
        schemas: Mapping[str, Schema | None],
        api_version: str,
        kind: str,
        *,
        subresource: str = "",
        ignored: Iterable[str] = (),
        empty: Value | None = None,
    ) -> None:
        """Make the field manager of one endpoint.

        Args:
            schemas: of the whole object, by each apiVersion of the kind that is served; None where anything goes.
            api_version: the one of this endpoint.
            kind: the kind.
            subresource: "", `status`, `scale`.
            ignored: paths like `spec` or `metadata.labels` that a request to this endpoint cannot set.
            empty: what a new object is before anything is set, as the server writes it: for a built-in kind, with
                the fields that are never omitted (`{"spec": {"containers": None}, "status": {}}`).

        """
        self._types = {version: type_of(schema) for version, schema in schemas.items()}
        self._api_version = api_version
        self._kind = kind
        self._subresource = subresource
        self._empty = {"apiVersion": api_version, "kind": kind} | (empty or {})
        reset = FieldSet.of(tuple(map(field, path.split("."))) for path in ignored)
        self._ownership = Ownership(self._types, api_version, reset)

    def update(self, live: Value | None, new: Value, manager: str, now: datetime) -> Value:
        """Return `new` with its managedFields after a create, an update, or a patch that is no apply.

        An object whose fields cannot be told (it does not fit the schema) loses its managedFields.

        Args:
            live: the object as it is, None for a create; it is not changed.
            new: the object as it shall be; it is not changed. Its managedFields count only where the client means
                to set them: an empty list forgets all managers.
            manager: the name of the field manager, "" for none.
            now: the time.

        """
        old = live or self._empty
        managers = self._managers_to_start_with(old, new)
        old, new = _without_managed_fields(old), _without_managed_fields(new)
        if not managers and _metadata(old).get("uid"):
            return new  # nobody tracks this object
        if any(validate(self._type, value, allow_duplicates=True) for value in (old, new)):
            return new
        return _with_managed_fields(new, self._after_update(old, new, managers, manager, now))

    def apply(self, live: Value | None, applied: Value, manager: str, *, force: bool, now: datetime) -> Value:
        """Return the object after a server-side apply, with its managedFields; defaults are not yet in it.

        It shares parts with `live` and `applied`: copy it before it is changed in place.

        Args:
            live: the object as it is, None if there is none; it is not changed.
            applied: the configuration as the client sent it; it is not changed.
            manager: the name of the field manager.
            force: whether to take fields from other managers.
            now: the time.

        Raises:
            Refused: 400 for another kind or version or with managedFields, 409 for conflicts, 500 for a configuration
                that does not fit the schema, as the real server has it.

        """
        self._check(applied)
        old = live or self._empty
        try:
            managers = decode(_metadata(old).get("managedFields"))
        except ValueError as error:
            raise Refused(500, "", f"failed to decode managed fields: {error}") from error
        old = _without_managed_fields(old)
        if misfit := validate(self._type, old, allow_duplicates=True):
            raise Refused(500, "", f"failed to create typed live object ({self._named(old)}): {misfit}")
        if not managers:
            managers = self._after_update(self._empty, old, {}, _BEFORE_FIRST_APPLY, now)
        try:
            new = self._after_apply(old, applied, managers, manager, now, force=force)
        except ConflictsError as conflicts:
            if manager != last_applied.MANAGER:
                raise conflicts.refusal() from conflicts
            left = conflicts.without(last_applied.owned(old, self._type, self._api_version))
            if left.fields:
                raise left.refusal() from conflicts
            new = self._after_apply(old, applied, managers, manager, now, force=True)
        return last_applied.kept_up(new, applied) if manager == last_applied.MANAGER else new

    @property
    def _type(self) -> Type:
        return self._types[self._api_version]

    def _managers_to_start_with(self, live: Value, new: Value) -> Managers:
        """Return what the client sets as managedFields, if it does so and may, or else the object's own."""
        given = _metadata(new).get("managedFields")
        if not self._subresource:
            if is_reset(given):
                return {}
            try:
                if managers := decode(given):
                    return managers
            except ValueError:
                pass
        try:
            return decode(_metadata(live).get("managedFields"))
        except ValueError:
            return {}

    def _after_update(self, live: Value, new: Value, managers: Managers, name: str, now: datetime) -> Managers:
        manager = Manager(name or _UNNAMED, UPDATE, self._api_version, self._subresource)
        managers, changed = self._ownership.after_update(live, new, managers)
        if changed := changed - _NEVER_OWNED:
            if manager in managers:
                changed |= managers[manager].fields
            managers[manager] = Entry(self._api_version, changed, metav1_time(now))
        return _capped(managers)

    def _after_apply(
        self, live: Value, applied: Value, managers: Managers, name: str, now: datetime, *, force: bool
    ) -> Value:
        manager = Manager(name or _UNNAMED, APPLY, "", self._subresource)
        new, managers = self._ownership.after_apply(live, applied, managers, manager, force=force)
        if manager in managers:
            entry = managers.pop(manager)
            if fields := entry.fields - _NEVER_OWNED:
                time = entry.time if equal(live, new) else metav1_time(now)
                managers[manager] = replace(entry, fields=fields, time=time)
        # What has lost all that it had is null, which metadata cannot be.
        metadata = {name: value for name, value in _metadata(new).items() if value is not None}
        return _with_managed_fields(new | {"metadata": metadata}, managers)

    def _check(self, applied: Value) -> None:
        version, kind = (str(applied.get(name) or "") for name in ("apiVersion", "kind"))
        if (version, kind) != (self._api_version, self._kind):
            raise Refused(400, "BadRequest", f"invalid object type: {_group_version_kind(version, kind)}")
        if _metadata(applied).get("managedFields") is not None:
            raise Refused(400, "BadRequest", "metadata.managedFields must be nil")
        if misfit := validate(self._type, applied):
            raise Refused(500, "", f"failed to create typed patch object ({self._named(applied)}): {misfit}")

    def _named(self, obj: Value) -> str:
        metadata = _metadata(obj)
        kind = _group_version_kind(self._api_version, self._kind)
        namespace, name = (
            text if isinstance(text := metadata.get(part), str) else "" for part in ("namespace", "name")
        )
        return f"{namespace}/{name}; {kind}"


def keep_times(new: Value, old: Value) -> Value:
    """Return `new`, with the times of the managedFields of `old` if nothing else differs.

    Call it last, on what is to be stored: a write that changes nothing must not change a time.
    """
    managed, before = (_metadata(obj).get("managedFields") or [] for obj in (new, old))
    if not managed or _without_times(managed) != _without_times(before):
        return new
    kept = new | {"metadata": new["metadata"] | {"managedFields": before}}
    return kept if equal(kept, old) else new


def _without_times(managed: Iterable[Value]) -> list[Value]:
    return [entry | {"time": None} for entry in managed]


def _capped(managers: Managers) -> Managers:
    """Join the oldest updaters of a version into one, so that there are not too many."""
    updaters = [manager for manager in managers if manager.operation == UPDATE]
    too_many = len(updaters) - _MAX_UPDATERS
    if too_many <= 0:
        return managers
    managers = dict(managers)
    first: dict[str, Manager] = {}
    for manager in sorted(updaters, key=lambda updater: (managers[updater].time or "", updater.identifier)):
        if too_many <= 0:
            break
        entry = managers[manager]
        if entry.api_version not in first:
            first[entry.api_version] = manager
            continue
        joined = Manager(_OLD_UPDATES, UPDATE, entry.api_version)
        if joined not in managers:
            managers[joined] = managers.pop(first[entry.api_version])
        managers[joined] = entry.with_fields(entry.fields | managers[joined].fields)
        del managers[manager]
        too_many -= 1
    return managers


def _metadata(obj: Value) -> Value:
    metadata = obj.get("metadata")
    return metadata if isinstance(metadata, dict) else {}


def _without_managed_fields(obj: Value) -> Value:
    if "managedFields" not in _metadata(obj):
        return obj
    return obj | {"metadata": {name: value for name, value in obj["metadata"].items() if name != "managedFields"}}


def _with_managed_fields(obj: Value, managers: Managers) -> Value:
    return obj | {"metadata": _metadata(obj) | {"managedFields": encode(managers)}} if managers else obj


def _group_version_kind(api_version: str, kind: str) -> str:
    group, _, version = api_version.rpartition("/")
    return f"{group}/{version}, Kind={kind}"
