r"""JSONPath as kubectl and CustomResourceDefinitions write it: `.status.conditions[?(@.type=="Ready")].status`.

What k8s.io/client-go/util/jsonpath reads, brought into the form of RFC 9535, whose evaluation is left to the library
`python-jsonpath`. The difference is in names: here a name goes up to the next dot or bracket, `.data.a-b/c`, and a
backslash takes the meaning from the character that follows it, `.data.tls\.crt`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import jsonpath

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Value = dict[str, Any]

__all__ = ["compile_path"]

_TOKEN = re.compile(
    r"""
      (?P<name>  \.\.? (?: \\. | [^.,\[\]$@{}\s\\] )+ )
    | (?P<key>   \[ ' [^']* ' \] )
    | (?P<other> \[ \? \( (?: "[^"]*" | '[^']*' | [^"')]* )* \) \] | \[ [^\]]* \] | \.\.(?=\[) )
    """,
    re.VERBOSE,
)


def compile_path(path: str) -> Callable[[Value], list[Any]]:
    """Return what finds the values at a path, in their order. Raises `ValueError` for a path that is none."""
    try:
        query = jsonpath.compile("".join(_standard(path)))
    except jsonpath.JSONPathError as error:
        raise ValueError(f"{path} is no JSONPath: {error}") from error
    return query.findall


def _standard(path: str) -> Iterator[str]:
    """Yield a path in pieces of RFC 9535."""
    yield "$"
    position = len(path) - len(path.lstrip("$@"))
    while position < len(path):
        match = _TOKEN.match(path, position)
        if match is None:
            raise ValueError(f"{path} is no JSONPath: nothing is known that begins with {path[position:]}")
        position = match.end()
        yield _standard_name(match["name"]) if match["name"] else _standard_key(match["key"]) or match["other"]


def _standard_name(token: str) -> str:
    name = token.lstrip(".")
    descent = ".." if token.startswith("..") else ""
    return f"{descent}[*]" if name == "*" else f"{descent}[{_quoted(name)}]"


def _standard_key(token: str | None) -> str:
    # Inside the brackets, too, a dot that is not escaped begins another name.
    names = re.findall(r"(?:\\.|[^.\\])+", token[2:-2]) if token else []
    return "".join(f"[{_quoted(name)}]" for name in names)


def _quoted(name: str) -> str:
    bare = re.sub(r"\\(.)", r"\1", name)
    return "'" + bare.replace("\\", r"\\").replace("'", r"\'") + "'"
