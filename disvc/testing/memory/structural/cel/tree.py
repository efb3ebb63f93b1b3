"""The rules of a schema and its parts, and how an object is validated by them.

The order of the rules, which old value is `oldSelf`, and what is excused because it has not changed are as in
k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel/validation.go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from disvc.testing.memory import causes
from disvc.testing.memory.structural.cel.names import escape
from disvc.testing.memory.structural.cel.rules import Rule, activation
from disvc.testing.memory.structural.cel.values import align, mismatch, to_cel
from disvc.testing.memory.structural.correlation import Correlation, MapList

if TYPE_CHECKING:
    from collections.abc import Iterator

    from disvc.testing.memory.errors import Cause
    from disvc.testing.memory.schema import Schema

__all__ = ["Rules", "compile_rules"]

_RULES = "x-kubernetes-validations"


def compile_rules(schema: Schema) -> Rules | None:
    """Return the rules of a schema, in which there are no problems; None where there are none at all.

    They are compiled when they are first needed.
    """
    rules = Rules(schema)
    return None if rules.is_empty else rules


class Rules:
    """The rules of a value, and of what is in it."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._own = [Rule(declared, schema) for declared in schema.raw.get(_RULES) or ()]
        self._needs_old = any(rule.uses_old_self for rule in self._own)
        fields = {name: compile_rules(field) for name, field in schema.properties.items()}
        self._fields = {name: rules for name, rules in fields.items() if rules is not None}
        self._additional = compile_rules(schema.additional) if schema.additional else None
        self._items = compile_rules(schema.items) if schema.items else None
        self.is_empty = not (self._own or self._fields or self._additional or self._items)

    def broken(self, new: Any, old: Any, correlation: Correlation | None, path: str = "") -> list[Cause]:
        """Return which rules a value breaks that is valid by its schema.

        Args:
            new: the value.
            old: the one that it replaces, None for none.
            correlation: the two side by side, where what has not changed is to be excused.
            path: of the value.

        """
        return list(self._broken(new, to_cel(new, self._schema), old, path, _Excuse(correlation)))

    def _broken(self, new: Any, seen: Any, old: Any, path: str, excuse: _Excuse) -> Iterator[Cause]:
        """Yield which rules a value breaks; `seen` is the value as CEL sees it."""
        if new is None:
            return
        yield from self._broken_here(new, seen, old, path, excuse)
        match new:
            case dict():
                olds = old if isinstance(old, dict) else {}
                for name, part in new.items():
                    if (rules := self._fields.get(name)) is not None:
                        at, key = causes.child(path, name), escape(name) or name
                    elif (rules := self._additional) is not None:
                        at, key = causes.item(path, name), name
                    else:
                        continue
                    yield from rules._broken(part, seen.get(key), olds.get(name), at, excuse.field(name))
            case list() if self._items is not None:
                old_items = MapList(self._schema, old)
                for index, part in enumerate(new):
                    at = causes.item(path, index)
                    yield from self._items._broken(part, seen[index], old_items.get(part), at, excuse.item(index))

    def _broken_here(self, new: Any, seen: Any, old: Any, path: str, excuse: _Excuse) -> Iterator[Cause]:
        if not self._own:
            return
        if text := mismatch(new, self._schema):
            for rule in self._own:
                if old is not None or not rule.uses_old_self or rule.is_optional:
                    yield rule.failed(text, path)
            return
        needs_old = self._needs_old and old is not None
        seen_old = to_cel(align(old, new, self._schema), self._schema) if needs_old else None
        values = activation(seen, seen_old)
        shown = causes.OMITTED if self._schema.type in {"object", "array"} else new
        for rule in self._own:
            if rule.uses_old_self and old is None and not rule.is_optional:
                continue
            if (cause := rule.broken(values, path, shown, is_unchanged=excuse.holds)) is not None:
                yield cause


class _Excuse:
    """Whether what is wrong with a value is excused: it has not changed, or what it is part of has not.

    `current` is None where no old value belongs to the new one; then `around` is of the innermost value around it for
    which there is one.
    """

    def __init__(self, current: Correlation | None, around: Correlation | None = None) -> None:
        self._current = current
        self._around = around

    @property
    def holds(self) -> bool:
        decisive = self._current or self._around
        return decisive is not None and decisive.is_unchanged

    def field(self, name: str) -> _Excuse:
        if self._current is None:
            return self
        if self._around is None and name in {"apiVersion", "kind"}:
            return _Excuse(None)
        return _Excuse(self._current.field(name), self._current)

    def item(self, index: int) -> _Excuse:
        return self if self._current is None else _Excuse(self._current.item(index), self._current)
