"""How deep a body may be nested: what is deeper is refused before it is decoded, as decoding it takes too much.

A kube-apiserver takes 10,000 levels. What is done to an object here is recursive, and Python's stack is not that deep.
"""

from __future__ import annotations

import re
from typing import Final

import yaml

__all__ = ["DEEPEST", "check_json", "check_yaml"]

DEEPEST: Final = 200
"""Levels of lists and maps."""

_JSON_TOKEN: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)
_YAML_INDICATOR: Final = re.compile(rb"[\[{:?-]")
"""Each list or map of YAML has one of its own, or more."""


def check_json(body: bytes) -> None:
    """Raise `ValueError`, in the words of encoding/json, where a text is nested too deep to be read as JSON."""
    if body.count(b"[") + body.count(b"{") <= DEEPEST:
        return
    depth = 0
    for token in _JSON_TOKEN.finditer(body):
        if token[0] in (b"[", b"{"):
            depth += 1
        elif token[0] in (b"]", b"}"):
            depth -= 1
        if depth > DEEPEST:
            raise ValueError(f"invalid character '{token[0].decode()}' exceeded max depth")


def check_yaml(body: bytes, loader: type[yaml.Loader]) -> None:
    """Raise `yaml.YAMLError`, in the words of go-yaml, where a text is nested too deep to be read as YAML."""
    if len(_YAML_INDICATOR.findall(body)) <= DEEPEST:
        return
    depth = 0
    for event in yaml.parse(body, loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEEPEST:
            raise yaml.YAMLError(f"yaml: exceeded max depth of {DEEPEST}")
