"""A set of fields after its schema has changed: structured-merge-diff, typed/reconcile_schema.go.

What has become atomic since the set was written is owned as a whole, and no longer by its parts. What has become
granular is taken as if it had been so all along.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from disvc.testing.memory.apply import elements
from disvc.testing.memory.apply.fieldset import FieldSet

if TYPE_CHECKING:
    from disvc.testing.memory.apply.elements import Element
    from disvc.testing.memory.apply.types import Type

__all__ = ["reconciled"]


def reconciled(type_: Type, fields: FieldSet) -> FieldSet:
    """Return the set as the type has it now; the same set if nothing has become atomic."""
    members, children = set(fields.members), {}
    is_same = True
    for element, inner in fields.children.items():
        below = _type_below(type_, element)
        if below is None or below.is_untyped:
            children[element] = inner
        elif below.is_atomic:
            members.add(element)
            is_same = False
        else:
            children[element] = now = reconciled(below, inner)
            is_same = is_same and now is inner
    return fields if is_same else FieldSet(members, children)


def _type_below(type_: Type, element: Element) -> Type | None:
    if type_.map:
        return type_.map.type_of(element[1]) if elements.is_field(element) else type_.map.other
    return type_.list.item if type_.list else None
