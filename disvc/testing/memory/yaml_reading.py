"""Reads YAML as a kube-apiserver does: as the JSON that it stands for, by the rules of go-yaml.

What is JSON is read as such. Else it is YAML 1.1 as libyaml has it, but for scalars that Go takes for something else:
times and base-60 numbers are texts, and a number may have an exponent without a point.
"""

from __future__ import annotations

import re
from typing import Any, Final

import yaml

from disvc.testing.memory.json_reading import read_json
from disvc.testing.memory.nesting import check_yaml

__all__ = ["read_yaml"]

_INTEGER: Final = re.compile(r"^[-+]?(0b[01_]+|0x[0-9a-fA-F_]+|0[0-7_]*|[1-9][0-9_]*)$")
_FLOAT: Final = re.compile(
    r"^([-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$"
)
_OTHERS: Final = ("timestamp", "int", "float")


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    def __init__(self, body: bytes) -> None:
        super().__init__(body)
        self.twice: list[tuple[int, str]] = []

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Take note of keys that come twice."""
        seen: set[Any] = set()
        for key, _ in node.value:
            if key.value in seen:
                self.twice.append((key.start_mark.line + 1, key.value))
            seen.add(key.value)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        return mapping


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag.rpartition(":")[2] not in _OTHERS]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", _INTEGER, list("-+0123456789"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))


def read_yaml(body: bytes) -> tuple[Any, list[str]]:
    """Return what YAML says, and where it says a key twice. Raises `yaml.YAMLError` or `ValueError`."""
    try:
        value, twice = read_json(body)
    except ValueError:
        value = twice = None
    if twice == []:
        return value, []
    check_yaml(body, _Loader)
    loader = _Loader(body)
    try:
        value = loader.get_single_data()
        return value, [f'line {line}: key "{key}" already set in map' for line, key in sorted(loader.twice)]
    finally:
        loader.dispose()
