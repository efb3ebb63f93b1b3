"""How Go prints values, as the messages of a kube-apiserver show them: fmt's %v, %#v and %q, and encoding/json."""

from __future__ import annotations

import json
import re
from decimal import Decimal

__all__ = ["Struct", "json_kind", "json_text", "plain", "quote", "syntax", "type_name"]

_ESCAPES = {"\a": r"\a", "\b": r"\b", "\f": r"\f", "\n": r"\n", "\r": r"\r", "\t": r"\t", "\v": r"\v"}
_ESCAPES |= {'"': r"\"", "\\": r"\\"}
_HTML = str.maketrans({"<": r"\u003c", ">": r"\u003e", "&": r"\u0026", "\u2028": r"\u2028", "\u2029": r"\u2029"})
_SMALLEST_PLAIN, _LARGEST_PLAIN = -4, 6  # exponents that %g does not write
_SMALLEST_JSON, _LARGEST_JSON = 1e-6, 1e21  # numbers that JSON writes without exponent


class Struct(dict[str, object]):
    """A Go struct: its fields are shown in their order, where the keys of a map are sorted."""


def quote(text: str) -> str:
    """Return what %q prints: strconv.Quote."""
    return '"' + "".join(_quoted(character) for character in text) + '"'


def _quoted(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character == " " or character.isprintable():
        return character
    code = ord(character)
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def plain(value: object) -> str:
    """Return what %v prints of decoded JSON."""
    match value:
        case None:
            return "<nil>"
        case bool():
            return "true" if value else "false"
        case dict():
            return f"map[{' '.join(f'{key}:{plain(value[key])}' for key in sorted(value))}]"
        case list():
            return f"[{' '.join(map(plain, value))}]"
        case float():
            return _general(value)
        case _:
            return str(value)


def syntax(value: object) -> str:
    """Return what %#v prints of decoded JSON."""
    match value:
        case None:
            return "interface {}(nil)"
        case str():
            return quote(value)
        case dict():
            pairs = ", ".join(f"{quote(key)}:{syntax(value[key])}" for key in sorted(value))
            return f"map[string]interface {{}}{{{pairs}}}"
        case list():
            return f"[]interface {{}}{{{', '.join(map(syntax, value))}}}"
    return plain(value)


def _general(number: float) -> str:
    """Return strconv's %g in the shortest form that reads back as the same number."""
    exponent = int(f"{number:e}".partition("e")[2])
    if _SMALLEST_PLAIN <= exponent < _LARGEST_PLAIN:
        return _without_exponent(number)
    digits = f"{Decimal(repr(number)).normalize():e}".partition("e")[0]
    return f"{digits}e{exponent:+03d}"


def _without_exponent(number: float) -> str:
    return f"{Decimal(repr(number)).normalize():f}"


def type_name(value: object) -> str:
    """Return what %T prints of decoded JSON."""
    match value:
        case None:
            return "<nil>"
        case bool():
            return "bool"
        case int():
            return "int64"
        case float():
            return "float64"
        case str():
            return "string"
        case list():
            return "[]interface {}"
        case _:
            return "map[string]interface {}"


def json_kind(value: object) -> str:
    """Return what encoding/json calls a kind of JSON value."""
    match value:
        case None:
            return "null"
        case bool():
            return "bool"
        case str():
            return "string"
        case dict():
            return "object"
        case list():
            return "array"
    return "number"


def json_text(value: object) -> str:
    """Return what json.Marshal writes: keys of maps sorted, no spaces, characters of HTML escaped."""
    match value:
        case dict():
            keys = value if isinstance(value, Struct) else sorted(value)
            return "{" + ",".join(f"{json_text(key)}:{json_text(value[key])}" for key in keys) + "}"
        case list():
            return "[" + ",".join(map(json_text, value)) + "]"
        case float():
            return _json_number(value)
        case _:
            return json.dumps(value, ensure_ascii=False).translate(_HTML)


def _json_number(number: float) -> str:
    if number == 0 or _SMALLEST_JSON <= abs(number) < _LARGEST_JSON:
        return _without_exponent(number)
    return re.sub(r"e-0(\d)$", r"e-\1", _general(number))
