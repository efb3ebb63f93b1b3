"""One rule of `x-kubernetes-validations`: how it is checked, run, and what is said when an object breaks it.

As k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel does it. An error of CEL while a rule runs breaks the rule,
in the words of the real server as far as they are known.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import msgspec
from cel_expr_python import cel

from disvc.testing.memory import causes
from disvc.testing.memory.schema import Schema
from disvc.testing.memory.structural.cel.environment import checker, runtime
from disvc.testing.memory.structural.cel.library.repairs import repaired, without_literals
from disvc.testing.memory.structural.cel.types import Types
from disvc.testing.memory.structural.field_paths import find_field

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from disvc.testing.memory.errors import Cause

    Value = dict[str, Any]

__all__ = ["Problem", "Rule", "activation", "check_rules"]

_LONGEST_MESSAGE: Final = 5 * 1024
_COMPILE_ERRORS: Final = (
    (r"(undefined field '[^']*') not found in struct '[^']*'", r"\1"),
    (
        r"expression of type ('[^']*') cannot be the operand of a select operation",
        r"type \1 does not support field selection",
    ),
)
_ERRORS: Final = (
    (r'NOT_FOUND: Key not found in map : "(.*)"', r"no such key: \1"),
    (r"NOT_FOUND: Key not found in map : (.*)", r"no such key: \1"),
    (r"UNKNOWN: Index error: index=(-?\d+) size=\d+", r"index out of bounds: \1"),
    (r"INVALID_ARGUMENT: divide by zero", "division by zero"),
    (r"INVALID_ARGUMENT: modulus by zero", "modulus by zero"),
    (r"UNKNOWN: No matching overloads found : .*", "no such overload"),
    (r"[A-Z_]+: (.*)", r"\1"),
)


def check_rules(schema: Schema, *, is_resource: bool) -> list[Problem | None] | None:
    """Return for each rule of a value whether there is a problem with it: whether it compiles, and to what.

    None says that no rule can be about such a value, as nothing is known of it.

    Args:
        schema: of the value.
        is_resource: whether the value is the object itself.

    """
    problems = _check_rules(msgspec.json.encode(schema.raw), is_resource)
    return None if problems is None else list(problems)


@lru_cache(maxsize=1024)
def _check_rules(raw: bytes, is_resource: bool) -> Sequence[Problem | None] | None:
    schema = Schema(msgspec.json.decode(raw))
    types = Types()
    self_type = types.type_of(schema, is_resource=is_resource)
    declared: Sequence[Value] = schema.raw["x-kubernetes-validations"]
    if self_type is None:
        return None
    pool = types.pool()
    optional = {"type_name": "optional_type", "params": [self_type]}
    plain_env = cache(lambda: checker(pool, {"self": self_type, "oldSelf": self_type}))
    optional_env = cache(lambda: checker(pool, {"self": self_type, "oldSelf": optional}))
    return [_check_rule(each, optional_env() if each.get("optionalOldSelf") else plain_env()) for each in declared]


def _check_rule(declared: Value, env: cel.Env) -> Problem | None:
    if text := _problem(env, declared["rule"], cel.Type.BOOL):
        return Problem("rule", text if text == _NO_BOOL else f"compilation failed: {text}")
    expression = declared.get("messageExpression")
    if expression and (text := _problem(env, expression, cel.Type.STRING)):
        shown = text if text == _NO_STRING else f"messageExpression compilation failed: {text}"
        return Problem("messageExpression", shown)
    return None


class Problem(NamedTuple):
    """Why a rule cannot be."""

    field: Literal["rule", "messageExpression"]
    text: str
    """In the real server's words."""


_NO_BOOL: Final = "cel expression must evaluate to a bool"
_NO_STRING: Final = "messageExpression must evaluate to a string"


def _problem(env: cel.Env, source: str, returns: cel.Type) -> str:
    """Return why an expression cannot be what it is meant to be, "" if it can."""
    try:
        found = env.compile(source).return_type()
    except RuntimeError as error:
        text = str(error).removeprefix("INVALID_ARGUMENT: ").removesuffix(" [INVALID_ARGUMENT]")
        for pattern, replacement in _COMPILE_ERRORS:
            text = re.sub(pattern, replacement, text)
        return text
    if found == returns:
        return ""
    return _NO_BOOL if returns == cel.Type.BOOL else _NO_STRING


@dataclass(frozen=True)
class Rule:
    """A rule without problems, of a value of this schema; compiled when it is first run."""

    declared: Value
    schema: Schema

    @cached_property
    def uses_old_self(self) -> bool:
        """Return whether it is a rule about transitions."""
        return re.search(r"(?<![\w.])oldSelf\b", without_literals(self._source)) is not None

    @property
    def is_optional(self) -> bool:
        """Return whether `oldSelf` is an optional, and the rule runs without an old value, too."""
        return bool(self.declared.get("optionalOldSelf"))

    def broken(self, values: cel.Activation, path: str, shown: object, *, is_unchanged: bool) -> Cause | None:
        """Return how a value breaks the rule; None also where that is excused.

        Args:
            values: what `activation` returned.
            path: of the value.
            shown: the value as a message shows it.
            is_unchanged: whether the value is the old one; it may then break a rule that is not about transitions,
                but not one that comes to no answer.

        """
        result = _run(self._rule, values)
        if result is True:
            return None
        if isinstance(result, _Failure):
            return self.failed(result.text, path)
        if is_unchanged and not self.uses_old_self:
            return None
        at = causes.child(path, self._field_path) if self._field_path else path
        return _cause(self.declared.get("reason", ""))(at, shown, self._message(values))

    def failed(self, text: str, path: str) -> Cause:
        """Return that the rule came to no answer, for a reason that is told in CEL's words."""
        shown = (self.declared.get("message") or self._source).strip()
        if text.startswith("no such overload"):
            operator = "call arguments did not match a supported operator, function or macro signature"
            return causes.invalid(path, self.schema.type, f"'{text}': {operator} for rule: {shown}")
        return causes.invalid(path, self.schema.type, f"{text} evaluating rule: {shown}")

    def _message(self, values: cel.Activation) -> str:
        if self._message_expression is not None:
            text = _run(self._message_expression, values)
            message = text.strip() if isinstance(text, str) else ""
            if message and "\n" not in message and len(message.encode()) <= _LONGEST_MESSAGE:
                return message
        declared: str = self.declared.get("message") or f"failed rule: {self._source.strip()}"
        return declared.strip()

    @property
    def _source(self) -> str:
        source: str = self.declared["rule"]
        return source

    @cached_property
    def _rule(self) -> cel.Expression:
        if not self.is_optional:
            return _compiled(self._source)
        old = "has_old_self ? optional.of(old_self) : optional.none()"
        return _compiled(f"cel.bind(oldSelf, {old}, ({self._source}\n))")

    @cached_property
    def _message_expression(self) -> cel.Expression | None:
        source = self.declared.get("messageExpression")
        return _compiled(source) if source else None

    @cached_property
    def _field_path(self) -> str:
        path = self.declared.get("fieldPath")
        return find_field(path, self.schema)[0] if path else ""


@dataclass(frozen=True)
class _Failure:
    """An expression came to no value."""

    text: str


def activation(new: Any, old: Any) -> cel.Activation:
    """Return what rules run on: a value as CEL sees it, and the one that it replaces, None for none."""
    return runtime().Activation({"self": new, "oldSelf": old, "old_self": old, "has_old_self": old is not None})


def _compiled(source: str) -> cel.Expression:
    return runtime().compile(repaired(source), disable_check=True)


def _run(expression: cel.Expression, values: cel.Activation) -> object:
    result = expression.eval(values)
    if result.type() != cel.Type.ERROR:
        return result.plain_value()
    text = str(result.plain_value())
    for pattern, replacement in _ERRORS:
        if match := re.fullmatch(pattern, text, re.DOTALL):
            return _Failure(match.expand(replacement))
    return _Failure(text)


def _cause(reason: str) -> Callable[[str, object, str], Cause]:
    match reason:
        case "FieldValueForbidden":
            return lambda path, _, detail: causes.forbidden(path, detail)
        case "FieldValueRequired":
            return lambda path, _, detail: causes.required(path, detail)
        case "FieldValueDuplicate":
            return lambda path, value, _: causes.duplicate(path, value)
        case _:
            return causes.invalid
