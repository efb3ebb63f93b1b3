"""Who owns what after a write: structured-merge-diff, merge/update.go.

All versions of a kind have the same content here, as with CRDs that need no conversion: an object is the same in
another version but for `apiVersion`, and only the schema may differ. What a manager owns in a version that is not
served any more is forgotten.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from disvc.testing.memory.apply.compare import Comparison, compare
from disvc.testing.memory.apply.conflicts import ConflictsError
from disvc.testing.memory.apply.contents import fields_of, remove
from disvc.testing.memory.apply.entries import Entry, Manager, Managers
from disvc.testing.memory.apply.fieldset import EMPTY, FieldSet
from disvc.testing.memory.apply.merge import merge
from disvc.testing.memory.apply.reconcile import reconciled

if TYPE_CHECKING:
    from collections.abc import Mapping

    from disvc.testing.memory.apply.types import Type

    Value = dict[str, Any]

__all__ = ["Ownership"]


class Ownership:
    """The rules for one kind; it keeps no state."""

    def __init__(self, types: Mapping[str, Type], version: str, ignored: FieldSet) -> None:
        """Take the kind's types.

        Args:
            types: of the kind, by apiVersion.
            version: the apiVersion that objects are given in.
            ignored: the fields that requests cannot set here; nobody gets to own them.

        """
        self._types = types
        self._version = version
        self._ignored = ignored

    def after_update(self, live: Value, new: Value, managers: Managers) -> tuple[Managers, FieldSet]:
        """Return who owns what besides whoever updates `live` to `new`, and which fields that update sets."""
        managers, comparison = self._after(live, new, self._known(managers), None, force=True)
        return managers, comparison.set

    def after_apply(
        self, live: Value, applied: Value, managers: Managers, manager: Manager, *, force: bool
    ) -> tuple[Value, Managers]:
        """Return the object with a configuration applied onto it, and who owns what then.

        Raises:
            ConflictsError: it would change what others own, and `force` is not given.

        """
        managers = self._known(managers)
        type_ = self._types[self._version]
        last = managers.get(manager)
        fields = fields_of(type_, applied).without(self._ignored)
        managers[manager] = Entry(self._version, fields, last.time if last else None)
        new = merge(type_, live, applied)
        if last and (last.api_version != self._version or last.fields - fields):
            new = self._prune(new, last, managers)
        managers, _ = self._after(live, new, managers, manager, force=force)
        return new, managers

    def _known(self, managers: Managers) -> Managers:
        """Return the managers of versions that are served, with what they own as the schemas have it now."""
        return {
            manager: entry.with_fields(reconciled(type_, entry.fields))
            for manager, entry in managers.items()
            if (type_ := self._types.get(entry.api_version))
        }

    def _after(
        self, live: Value, new: Value, managers: Managers, writer: Manager | None, *, force: bool
    ) -> tuple[Managers, Comparison]:
        """Take from all but the writer what was changed or removed."""
        comparisons: dict[str, Comparison] = {}

        def changes(version: str) -> Comparison:
            if version not in comparisons:
                old, now = _in_version(live, version), _in_version(new, version)
                comparisons[version] = compare(self._types[version], old, now).without(self._ignored)
            return comparisons[version]

        others = {manager: entry for manager, entry in managers.items() if manager != writer}
        taken = {
            manager: taken
            for manager, entry in others.items()
            if (taken := entry.fields & changes(entry.api_version).set)
        }
        if taken and not force:
            raise ConflictsError(taken)
        left = dict(managers)
        for manager, entry in others.items():
            fields = entry.fields - taken.get(manager, EMPTY) - changes(entry.api_version).removed
            left[manager] = entry.with_fields(fields)
        return {manager: entry for manager, entry in left.items() if entry.fields}, changes(self._version)

    def _prune(self, merged: Value, last: Entry, managers: Managers) -> Value:
        """Remove what the applier applied last time, does not now, and nobody else owns."""
        version, type_ = last.api_version, self._types[last.api_version]
        merged = _in_version(merged, version)
        before = last.fields.with_declared_parents(type_)
        pruned = remove(type_, merged, before)
        owned: dict[str, FieldSet] = {version: EMPTY}  # the version at hand first
        for entry in managers.values():
            owned[entry.api_version] = owned.get(entry.api_version, EMPTY) | entry.fields
        for of_version, fields in owned.items():
            pruned = self._with_owned_items(merged, pruned, of_version, fields)
        lost = self._all_fields(merged, version) - self._all_fields(pruned, version)
        return _in_version(remove(type_, merged, lost & before), self._version)

    def _with_owned_items(self, merged: Value, pruned: Value, version: str, owned: FieldSet) -> Value:
        """Return the pruned object, with those parts of the merged one that are owned."""
        type_ = self._types[version]
        keep = self._all_fields(pruned, version) | owned.with_declared_parents(type_)
        lost = self._all_fields(merged, version) - keep
        kept: Value = remove(type_, _in_version(merged, version), lost)
        return kept

    def _all_fields(self, value: Value, version: str) -> FieldSet:
        type_ = self._types[version]
        return fields_of(type_, _in_version(value, version)).with_declared_parents(type_)


def _in_version(value: Value, version: str) -> Value:
    return value if value.get("apiVersion") == version else value | {"apiVersion": version}
