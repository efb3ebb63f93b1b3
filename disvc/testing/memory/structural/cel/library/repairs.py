"""What the evaluator has in another way than Kubernetes, or not at all, though it says that it has.

- `substring` of cel-expr-python 0.1.3 refuses an end that is the end of the text. In rules, another stands in for it.
- The macros `transformMap` and `transformMapEntry` need a function that is missing when a rule runs.
"""

from __future__ import annotations

import re
from typing import Any, Final

from disvc.testing.memory.structural.cel.library.functions import Function

__all__ = ["FUNCTIONS", "repaired", "without_literals"]

_LITERAL: Final = re.compile(
    r"""[rR]?(?:'''.*?'''|\"{3}.*?\"{3}|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')|//[^\n]*""", re.DOTALL
)
_SUBSTRING: Final = re.compile(rf"({_LITERAL.pattern})|\.\s*substring\b", re.DOTALL)
_OURS: Final = "substringOfKubernetes"


def repaired(source: str) -> str:
    """Return an expression in which functions from here are called for those that are broken."""
    return _SUBSTRING.sub(lambda match: match[1] or f".{_OURS}", source)


def without_literals(source: str) -> str:
    """Return an expression without what stands in quotes or in comments."""
    return _LITERAL.sub("''", source)


def _substring(text: str, start: int, end: int | None = None) -> str:
    end = len(text) if end is None else end
    if start > end and start <= len(text):
        raise ValueError(f"invalid substring range. start: {start}, end: {end}")
    for index in (start, end):
        if not 0 <= index <= len(text):
            raise ValueError(f"index out of range: {index}")
    return text[start:end]


def _with_entry(entries: dict[Any, Any], key: Any, value: Any) -> dict[Any, Any]:
    return _with_entries(entries, {key: value})


def _with_entries(entries: dict[Any, Any], more: dict[Any, Any]) -> dict[Any, Any]:
    for key in more:
        if key in entries:
            raise ValueError(f"insert failed: key '{key}' already exists")
    return {**entries, **more}


FUNCTIONS: Final = (
    Function(_OURS, ("string", "int"), "string", _substring),
    Function(_OURS, ("string", "int", "int"), "string", _substring),
    Function("cel.@mapInsert", ("map<dyn, dyn>", "dyn", "dyn"), "map<dyn, dyn>", _with_entry, is_member=False),
    Function("cel.@mapInsert", ("map<dyn, dyn>", "map<dyn, dyn>"), "map<dyn, dyn>", _with_entries, is_member=False),
)
"""For the evaluator alone."""
