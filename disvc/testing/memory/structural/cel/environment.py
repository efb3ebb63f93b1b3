"""The environments in which rules are checked and run.

A rule is checked once, with the types of its schema, where CEL's objects are protobuf messages; and it runs on plain
maps, where no types are needed any more. Both environments have what Kubernetes 1.36 has (k8s.io/apiserver/pkg/cel/
environment/base.go) as far as the library, Google's CEL in C++, has it:

- not `format.named`, and not the authorizer nor `jsonpatch`, which only admission has;
- literals of lists and maps may be heterogeneous, and the literals of durations, timestamps and regular expressions are
  only looked at when a rule runs;
- what a rule may cost is not limited;
- `getMilliseconds` of a duration is what is left after the seconds, `%e` is formatted as in C, and some errors of an
  evaluation are told in other words.
"""

from __future__ import annotations

import json
from functools import cache
from itertools import permutations
from typing import TYPE_CHECKING, Any, Final

from cel_expr_python import cel

from disvc.testing.memory.structural.cel.library import FUNCTIONS, declare, repairs
from disvc.testing.memory.structural.cel.library.functions import Function

if TYPE_CHECKING:
    from google.protobuf.descriptor_pool import DescriptorPool

    TypeSpec = dict[str, Any]

__all__ = ["checker", "runtime"]

_EXTENSIONS: Final = (
    {"name": "strings", "version": 2},
    {"name": "lists", "version": 2},
    {"name": "optional"},
    {"name": "sets"},
    {"name": "two-var-comprehensions"},
)
_COMPARISONS: Final = ("_<_", "_<=_", "_>_", "_>=_")


def checker(pool: DescriptorPool, variables: dict[str, TypeSpec]) -> cel.Env:
    """Return an environment that knows the types of these variables."""
    declared = [{"name": name, **type_} for name, type_ in variables.items()]
    return cel.NewEnv(
        pool,
        config=_config({"name": "kubernetes", "extensions": [*_EXTENSIONS], "variables": declared}),
        extensions=[_checked_functions()],
    )


@cache
def runtime() -> cel.Env:
    """Return the environment in which all rules run; it is not to check them."""
    dynamic = {"type_name": "dyn"}
    names = ("self", "oldSelf", "has_old_self", "old_self")
    return cel.NewEnv(
        config=_config(
            {
                "name": "kubernetes",
                "extensions": [*_EXTENSIONS, {"name": "bindings"}],
                "variables": [{"name": name, **dynamic} for name in names],
            }
        ),
        extensions=[declare([*FUNCTIONS, *repairs.FUNCTIONS], for_checker=False)],
    )


def _config(content: dict[str, Any]) -> cel.EnvConfig:
    return cel.NewEnvConfigFromYaml(json.dumps(content))  # JSON is YAML


@cache
def _checked_functions() -> cel.CelExtension:
    # Numbers of different types can be compared, as they can be when a rule runs.
    mixed = [
        Function(name, types, "bool", _not_run, is_member=False)
        for name in _COMPARISONS
        for types in permutations(("int", "uint", "double"), 2)
    ]
    return declare([*FUNCTIONS, *mixed], for_checker=True)


def _not_run(*_: object) -> bool:
    raise AssertionError("this environment is to check rules, and runs none")
