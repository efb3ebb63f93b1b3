"""What an apply would take from other managers, and how it is refused for that.

Words: k8s.io/apimachinery/pkg/util/managedfields/internal/conflict.go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from disvc.testing.memory.apply import elements
from disvc.testing.memory.apply.entries import UPDATE
from disvc.testing.memory.errors import Cause, Refused
from disvc.testing.memory.go_text import quote

if TYPE_CHECKING:
    from collections.abc import Mapping

    from disvc.testing.memory.apply.entries import Manager
    from disvc.testing.memory.apply.fieldset import FieldSet

__all__ = ["ConflictsError"]


class ConflictsError(Exception):
    """Other managers own these fields, and their values would change."""

    def __init__(self, fields: Mapping[Manager, FieldSet]) -> None:
        super().__init__(f"{sum(len(list(theirs)) for theirs in fields.values())} conflicts")
        self.fields = {manager: theirs for manager, theirs in fields.items() if theirs}

    def without(self, allowed: FieldSet) -> ConflictsError:
        """Return what conflicts apart from these fields."""
        return ConflictsError({manager: theirs - allowed for manager, theirs in self.fields.items()})

    def refusal(self) -> Refused:
        """Return the 409: causes are in the order of managers, where the server has none."""
        found = [
            (manager, elements.text(path))
            for manager in sorted(self.fields, key=lambda manager: manager.identifier)
            for path in self.fields[manager]
        ]
        causes = [Cause("FieldManagerConflict", f"conflict with {_named(by)}", path).value() for by, path in found]
        if len(found) == 1:
            ((manager, path),) = found
            message = f"Apply failed with 1 conflict: conflict with {_named(manager)}: {path}"
        else:
            lines: list[str] = []
            for manager, path in found:
                heading = f"conflicts with {_named(manager)}:"
                lines += [f"- {path}"] if heading in lines else [heading, f"- {path}"]
            message = f"Apply failed with {len(found)} conflicts: " + "\n".join(lines)
        return Refused(409, "Conflict", message, details={"causes": causes})


def _named(manager: Manager) -> str:
    subresource = f" with subresource {quote(manager.subresource)}" if manager.subresource else ""
    version = f" using {manager.api_version}" if manager.operation == UPDATE else ""
    return f"{quote(manager.name)}{subresource}{version}"
