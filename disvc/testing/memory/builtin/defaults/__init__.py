"""Fills in the defaults of built-in kinds, as the `SetDefaults_…` functions of Kubernetes do.

Go attaches defaults to types, and applies them wherever a value of the type stands in an object, the outer before the
inner. So does `apply`: constants and rules are kept by definition name, and only the way to them is walked.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from disvc.testing.memory.builtin import gotypes
from disvc.testing.memory.builtin.defaults.constants import CONSTANTS
from disvc.testing.memory.builtin.defaults.pods import POD_RULES
from disvc.testing.memory.builtin.defaults.rules import RULES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Value = dict[str, Any]

__all__ = ["apply"]

_RULES: Mapping[str, Callable[[Value], None]] = {**RULES, **POD_RULES}


class _Child(NamedTuple):
    """A field through which there is something to default."""

    name: str
    is_many: bool
    definition: str


class _Plan(NamedTuple):
    """What to do with a value of a type."""

    rule: Callable[[Value], None] | None
    constants: Mapping[str, Any]
    children: tuple[_Child, ...]


def apply(definition: str, value: Value) -> None:
    """Fill in the defaults of a value of a type and of all that is in it, in place."""
    plan = _plan(definition)
    if plan.rule is not None:
        plan.rule(value)
    for name, constant in plan.constants.items():
        if value.get(name) is None:
            value[name] = dict(constant) if isinstance(constant, dict) else constant
    for child in plan.children:
        if (below := value.get(child.name)) is not None:
            for each in below if child.is_many else (below,):
                apply(child.definition, each)


@cache
def _plan(definition: str) -> _Plan:
    children = tuple(child for child in _children(definition) if _leads(child.definition, frozenset({definition})))
    return _Plan(_RULES.get(definition), CONSTANTS.get(definition, {}), children)


def _leads(definition: str, seen: frozenset[str]) -> bool:
    """Return whether there are defaults in a type, or in what it refers to."""
    if definition in _RULES or definition in CONSTANTS:
        return True
    seen |= {definition}
    return any(child.definition not in seen and _leads(child.definition, seen) for child in _children(definition))


def _children(definition: str) -> Iterator[_Child]:
    for name, field in (gotypes.struct_fields(definition) or {}).items():
        type_ = field.type
        is_many = type_.kind == "slice"
        while type_.kind in {"pointer", "slice"} and type_.element is not None:
            type_ = type_.element
        if type_.kind == "struct":
            yield _Child(name, is_many, type_.definition)
