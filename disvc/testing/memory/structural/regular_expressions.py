"""Regular expressions as Go's package regexp has them: RE2, with Go's words for what is wrong with one."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import re2

__all__ = ["compile_expression"]

_WORDS: Final = {
    "missing )": "missing closing )",
    "missing ]": "missing closing ]",
    "bad repetition operator": "invalid nested repetition operator",
    "invalid named capture group": "invalid named capture",
    "invalid repetition size": "invalid repeat count",
    "no argument for repetition operator": "missing argument to repetition operator",
    "invalid perl operator": "invalid or unsupported Perl syntax",
}
_OPTIONS: Final = re2.Options()
_OPTIONS.log_errors = False


@lru_cache(maxsize=1024)
def compile_expression(pattern: str) -> Any:
    """Return a compiled expression, with the methods of `re.Pattern`. Raises `ValueError` with Go's message."""
    try:
        return re2.compile(pattern, _OPTIONS)
    except re2.error as error:
        what, _, where = error.args[0].decode().partition(": ")
        if what.startswith("trailing"):
            what, where = "trailing backslash at end of expression", ""
        raise ValueError(f"error parsing regexp: {_WORDS.get(what, what)}: `{where}`") from None
