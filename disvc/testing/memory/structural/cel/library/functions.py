"""How a function of Kubernetes' CEL libraries is declared: once for the type checker, and once for the evaluator.

Types are written `string`, `list<int>`, `map<string, list<string>>`, or as the name of a type of Kubernetes' own. The
type checker knows these as messages without fields. The evaluator sees a value of them as a map with one entry, by the
type's name, so that equal values are equal maps.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from cel_expr_python import cel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["OPAQUE", "Function", "declare", "opaque", "succeeds"]

OPAQUE: Final = {
    "Quantity": "kubernetes.Quantity",
    "Semver": "kubernetes.Semver",
    "URL": "kubernetes.URL",
    "IP": "net.IP",
    "CIDR": "net.CIDR",
    "Format": "kubernetes.NamedFormat",
    "Problems": "kubernetes.Problems",
}
"""Types of Kubernetes' own: here and in messages."""

_MAP: Final = cel.Type.Map(cel.Type.STRING, cel.Type.DYN)
_SIMPLE: Final = {
    "bool": cel.Type.BOOL,
    "bytes": cel.Type.BYTES,
    "double": cel.Type.DOUBLE,
    "duration": cel.Type.DURATION,
    "dyn": cel.Type.DYN,
    "int": cel.Type.INT,
    "string": cel.Type.STRING,
    "timestamp": cel.Type.TIMESTAMP,
    "uint": cel.Type.UINT,
}


@dataclass(frozen=True)
class Function:
    """One overload of a function; `implementation` gets and returns plain Python values, and raises `ValueError`."""

    name: str
    parameters: tuple[str, ...]
    returns: str
    implementation: Callable[..., Any]
    is_member: bool = True
    """Whether the first parameter stands before the dot."""


def opaque(type_: str, value: object) -> dict[str, Any]:
    """Return a value of one of Kubernetes' own types as the evaluator sees it."""
    return {type_: value}


def succeeds(parse: Callable[..., object], *given: object) -> bool:
    """Return whether a function that parses a text accepts it."""
    try:
        parse(*given)
    except ValueError:
        return False
    return True


def declare(functions: Iterable[Function], *, for_checker: bool) -> cel.CelExtension:
    """Return functions as an extension of CEL, which may add overloads to what CEL has itself."""
    overloads: dict[str, dict[str, cel.Overload]] = defaultdict(dict)
    for function in functions:
        parameters = [_type(each, for_checker=for_checker) for each in function.parameters]
        # To the evaluator the overloads for list<int> and list<double> are one.
        distinct = " ".join([str(function.is_member), *(each.name() for each in parameters)])
        overloads[function.name][distinct] = cel.Overload(
            f"kubernetes_{function.name}_{'_'.join(function.parameters)}",
            return_type=_type(function.returns, for_checker=True) if for_checker else cel.Type.DYN,
            parameters=parameters,
            is_member=function.is_member,
            impl=function.implementation,
        )
    declared = [cel.FunctionDecl(name, list(each.values())) for name, each in overloads.items()]
    return cel.CelExtension("kubernetes", declared)


def _type(name: str, *, for_checker: bool) -> cel.Type:
    if name in _SIMPLE:
        return _SIMPLE[name]
    if name in OPAQUE:
        return cel.Type(OPAQUE[name]) if for_checker else _MAP
    if name.startswith("list<"):
        item = name.removeprefix("list<").removesuffix(">")
        return cel.Type.List(_type(item, for_checker=for_checker) if for_checker else cel.Type.DYN)
    key, _, value = name.removeprefix("map<").removesuffix(">").partition(", ")
    types = [_type(each, for_checker=for_checker) for each in (key, value)]
    return cel.Type.Map(*types) if for_checker else _MAP
