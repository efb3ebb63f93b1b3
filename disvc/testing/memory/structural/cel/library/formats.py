"""Named formats, `format.dns1123Label().validate(self)`: k8s.io/apiserver/pkg/cel/library's `format`.

What `validate` returns is an optional list there. Python cannot give the evaluator an optional; here it is of a type of
its own, which has `hasValue` and `value` and nothing else of an optional.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from disvc.testing.memory import formats
from disvc.testing.memory.structural.cel.library.functions import Function, opaque
from disvc.testing.memory.structural.string_formats import FORMATS, is_uri

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Opaque = dict[str, Any]

__all__ = ["FUNCTIONS"]


def _as_prefix(check: Callable[[str], list[str]]) -> Callable[[str], list[str]]:
    """Return a check of the beginning of a name, which may end in a dash."""
    return lambda text: check(f"{text[:-2]}a" if len(text) > 1 and text.endswith("-") else text)


def _else_say(message: str, check: Callable[[str], bool]) -> Callable[[str], list[str]]:
    return lambda text: [] if check(text) else [message]


_NAMED: Final = {
    "dns1123Label": formats.dns_label,
    "dns1123Subdomain": formats.dns_subdomain,
    "dns1035Label": formats.dns_1035_label,
    "qualifiedName": formats.label_key,
    "dns1123LabelPrefix": _as_prefix(formats.dns_label),
    "dns1123SubdomainPrefix": _as_prefix(formats.dns_subdomain),
    "dns1035LabelPrefix": _as_prefix(formats.dns_1035_label),
    "labelValue": formats.label_value,
    "uri": _else_say("invalid URI for request", is_uri),
    "uuid": _else_say("does not match the UUID format", FORMATS["uuid"]),
    "byte": _else_say("invalid base64", FORMATS["byte"]),
    "date": _else_say("invalid date", FORMATS["date"]),
    "datetime": _else_say("invalid datetime", FORMATS["datetime"]),
}


def _validate(format_: Opaque, text: str) -> Opaque:
    return opaque("Problems", _NAMED[format_["Format"]](text))


def _problems(problems: Opaque) -> list[str]:
    listed: list[str] = problems["Problems"]
    if not listed:
        raise ValueError("optional.none() dereference")
    return listed


def _functions() -> Iterator[Function]:
    for name in _NAMED:
        yield Function(f"format.{name}", (), "Format", lambda name=name: opaque("Format", name), is_member=False)
    yield Function("validate", ("Format", "string"), "Problems", _validate)
    yield Function("hasValue", ("Problems",), "bool", lambda problems: bool(problems["Problems"]))
    yield Function("value", ("Problems",), "list<string>", _problems)


FUNCTIONS: Final = tuple(_functions())
