"""The formats of names, labels, ports and so on: each function returns what is wrong with a text.

The patterns and the words are those of k8s.io/apimachinery/pkg/util/validation, as every message of a real server has
them.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = [
    "config_key",
    "dns_1035_label",
    "dns_label",
    "dns_subdomain",
    "environment_name",
    "header_name",
    "label_key",
    "label_value",
    "path_segment",
    "percent",
    "port_name",
    "port_number",
    "regex_error",
    "wildcard_subdomain",
]

Messages = list[str]

_DNS_LABEL: Final = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_DNS_SUBDOMAIN: Final = _DNS_LABEL + "(\\." + _DNS_LABEL + ")*"
_DNS_1035_LABEL: Final = "[a-z]([-a-z0-9]*[a-z0-9])?"
_LABEL_KEY: Final = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL_MAX: Final = 63
_SUBDOMAIN_MAX: Final = 253
_PORT_NAME_MAX: Final = 15
_LABEL_KEY_IS: Final = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
)


def dns_label(value: str) -> Messages:
    """Check a lowercase RFC 1123 label: the name of a namespace."""
    messages = _longer(value, _LABEL_MAX)
    if re.fullmatch(_DNS_LABEL, value):
        return messages
    if re.fullmatch(_DNS_SUBDOMAIN, value):
        return [*messages, "must not contain dots"]
    is_ = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end"
    return [*messages, regex_error(f"{is_} with an alphanumeric character", _DNS_LABEL, "my-name", "123-abc")]


def dns_subdomain(value: str) -> Messages:
    """Check a lowercase RFC 1123 subdomain: the name of most objects."""
    is_ = (
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
        "and must start and end with an alphanumeric character"
    )
    return _longer(value, _SUBDOMAIN_MAX) + _unlike(value, is_, _DNS_SUBDOMAIN, "example.com")


def wildcard_subdomain(value: str) -> Messages:
    """Check `*.` and a subdomain: the host of an Ingress rule."""
    is_ = (
        "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of "
        "lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character"
    )
    return _longer(value, _SUBDOMAIN_MAX) + _unlike(value, is_, "\\*\\." + _DNS_SUBDOMAIN, "*.example.com")


def dns_1035_label(value: str) -> Messages:
    """Check an RFC 1035 label, which starts with a letter: the name of a Service."""
    is_ = (
        "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic "
        "character, and end with an alphanumeric character"
    )
    return _longer(value, _LABEL_MAX) + _unlike(value, is_, _DNS_1035_LABEL, "my-name", "abc-123")


def label_key(value: str) -> Messages:
    """Check the key of a label, of an annotation, a finalizer: a qualified name, with or without a prefix."""
    examples = ("MyName", "my.name", "123-abc")
    messages: Messages = []
    prefix, slash, name = value.rpartition("/")
    if "/" in prefix:
        error = regex_error(_LABEL_KEY_IS, _LABEL_KEY, *examples)
        return [f"a valid label key {error} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"]
    if slash:
        messages += [f"prefix part {message}" for message in (dns_subdomain(prefix) if prefix else [_EMPTY])]
    if not name:
        messages.append(f"name part {_EMPTY}")
    messages += [
        f"name part {message}"
        for message in _longer(name, _LABEL_MAX, "bytes") + _unlike(name, _LABEL_KEY_IS, _LABEL_KEY, *examples)
    ]
    return messages


def label_value(value: str) -> Messages:
    """Check the value of a label."""
    is_ = f"a valid label must be an empty string or {_LABEL_KEY_IS.removeprefix('must ')}"
    pattern = f"({_LABEL_KEY})?"
    return _longer(value, _LABEL_MAX, "bytes") + _unlike(value, is_, pattern, "MyValue", "my_value", "12345")


def path_segment(value: str) -> Messages:
    """Check what can stand in a URL's path: the name of a Role or of a ControllerRevision."""
    if value in {".", ".."}:
        return [f"may not be '{value}'"]
    return [f"may not contain '{text}'" for text in ("/", "%") if text in value]


def port_name(value: str) -> Messages:
    """Check the name of a port: an IANA_SVC_NAME."""
    messages = _longer(value, _PORT_NAME_MAX)
    if not re.fullmatch("[-a-z0-9]+", value):
        messages.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search("[a-z]", value):
        messages.append("must contain at least one letter (a-z)")
    if "--" in value:
        messages.append("must not contain consecutive hyphens")
    if value.startswith("-") or value.endswith("-"):
        messages.append("must not begin or end with a hyphen")
    return messages


def port_number(value: int) -> Messages:
    """Check the number of a port."""
    return [] if 1 <= value <= 65535 else ["must be between 1 and 65535, inclusive"]


def environment_name(value: str) -> Messages:
    """Check the name of an environment variable."""
    messages = [] if value else [f"environment variable name {_EMPTY}"]
    if any(not " " <= character <= "~" or character == "=" for character in value):
        is_ = "a valid environment variable name must consist only of printable ASCII characters other than '='"
        messages.append(is_)
    return messages


def config_key(value: str) -> Messages:
    """Check a key of a ConfigMap or of a Secret."""
    is_ = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
    messages = _longer(value, _SUBDOMAIN_MAX)
    messages += _unlike(value, is_, "[-._a-zA-Z0-9]+", "key.name", "KEY_NAME", "key-name")
    if value in {".", ".."}:
        messages.append(f"must not be '{value}'")
    elif value.startswith(".."):
        messages.append("must not start with '..'")
    return messages


def header_name(value: str) -> Messages:
    """Check the name of an HTTP header, as probes send it."""
    is_ = "a valid HTTP header must consist of alphanumeric characters or '-'"
    return _unlike(value, is_, "[-A-Za-z0-9]+", "X-Header-Name")


def percent(value: str) -> Messages:
    """Check a percentage, like 25%."""
    is_ = "a valid percent string must be a numeric string followed by an ending '%'"
    return _unlike(value, is_, "[0-9]+%", "1%", "93%")


def regex_error(message: str, pattern: str, *examples: str) -> str:
    """Return the message of a text that does not match a pattern."""
    if not examples:
        return f"{message} (regex used for validation is '{pattern}')"
    listed = " or ".join(f"'{example}', " for example in examples)
    return f"{message} (e.g. {listed}regex used for validation is '{pattern}')"


_EMPTY: Final = "must be non-empty"


def _longer(value: str, limit: int, unit: str = "characters") -> Messages:
    """Check a length in bytes; `unit` is what the server calls them."""
    return [f"must be no more than {limit} {unit}"] if len(value.encode()) > limit else []


def _unlike(value: str, message: str, pattern: str, *examples: str) -> Messages:
    return [] if re.fullmatch(pattern, value) else [regex_error(message, pattern, *examples)]
