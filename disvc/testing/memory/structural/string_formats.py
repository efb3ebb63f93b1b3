"""The formats that a kube-apiserver checks in the schemas of CRDs; others are ignored.

The list is that of k8s.io/apiextensions-apiserver/pkg/apiserver/validation/formats.go, what each one means that of
k8s.io/kube-openapi/pkg/validation/strfmt. Dashes in names do not count: `date-time` is `datetime`.
"""

from __future__ import annotations

import datetime
import ipaddress
import re
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from disvc.testing.memory.formats import dns_label, dns_subdomain
from disvc.testing.memory.structural.durations import parse_duration
from disvc.testing.memory.structural.regular_expressions import compile_expression

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["FORMATS", "is_uri", "supported_format"]

_NUMERIC = {"integer": ("int32", "int64"), "number": ("float", "double")}
_MOST_BYTES_OF_A_HOST = 255
_MOST_BYTES_OF_A_LABEL = 63
_CHANNEL = r"\s*(0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5])\s*"


def supported_format(types: Sequence[str], name: str) -> str:
    """Return a format that is written in a schema of these types, "" where it is ignored."""
    of = types[0] if len(types) == 1 else ""
    if of in {"", "string"}:
        return name if name.replace("-", "") in FORMATS else ""
    return name if name in _NUMERIC.get(of, ()) else ""


def _is_date_time(text: str) -> bool:
    """Return whether a text is a date and a time as in RFC 3339."""
    date, _, time = text.lower().partition("t")
    match = re.fullmatch(r"([0-9]{2}):([0-9]{2}):([0-9]{2})(.[0-9]+)?(z|[+-][0-9]{2}:[0-9]{2})", time.partition("t")[0])
    return _is_date(date) and match is not None and match[1] <= "23" and match[2] <= "59" and match[3] <= "59"


def _is_date(text: str) -> bool:
    """Return whether a text is a date like 2006-01-02."""
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text, re.ASCII):
        return False
    try:
        datetime.date.fromisoformat(text.replace("0000-", "0004-"))  # Go has a year 0, and it is a leap year
    except ValueError:
        return False
    return True


def _matches(pattern: str) -> Callable[[str], bool]:
    compiled = cache(lambda: compile_expression(pattern))  # when first asked for, as it may take half a second
    return lambda text: compiled().search(text) is not None


_is_host_name = _matches(
    r"^([a-zA-Z0-9\p{S}\p{L}]((-?[a-zA-Z0-9\p{S}\p{L}]{0,62})?)"
    r"|([a-zA-Z0-9\p{S}\p{L}](([a-zA-Z0-9-\p{S}\p{L}]{0,61}[a-zA-Z0-9\p{S}\p{L}])?)(\.)){1,}([a-zA-Z\p{L}]){2,63})$"
)
_is_visa_or_so = _matches(
    r"^(4[0-9]{12}([0-9]{3})?|5[1-5][0-9]{14}|6(011|5[0-9][0-9])[0-9]{12}|3[47][0-9]{13}"
    r"|3(0[0-5]|[68][0-9])[0-9]{11}|(2131|1800|35\d{3})\d{11})$"
)


def _host_name(text: str) -> bool:
    parts = text.encode().split(b".")
    is_short = len(text.encode()) <= _MOST_BYTES_OF_A_HOST and all(len(x) <= _MOST_BYTES_OF_A_LABEL for x in parts)
    return is_short and _is_host_name(text)


def _without_leading_zeros(address: str) -> str:
    return re.sub(r"(^|\.)0+(?=\d)", r"\1", address)


def _ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return None if "%" in text else ipaddress.ip_address(text)
    except ValueError:
        return None


def _ipv4(text: str) -> bool:
    return "." in text and _ip(text if ":" in text else _without_leading_zeros(text)) is not None


def _cidr(text: str) -> bool:
    address, _, length = text.partition("/")
    ip = _ip(address if ":" in address else _without_leading_zeros(address))
    return ip is not None and re.fullmatch("[0-9]+", length) is not None and int(length) <= ip.max_prefixlen


def _isbn10(text: str) -> bool:
    digits = re.sub(r"[\s-]+", "", text)
    if not re.fullmatch(r"[0-9]{9}[0-9X]", digits):
        return False
    values = [10 if digit == "X" else int(digit) for digit in digits]
    return sum(position * value for position, value in enumerate(values, 1)) % 11 == 0


def _isbn13(text: str) -> bool:
    digits = re.sub(r"[\s-]+", "", text)
    if not re.fullmatch(r"[0-9]{13}", digits):
        return False
    return sum(int(digit) * (1, 3)[position % 2] for position, digit in enumerate(digits)) % 10 == 0


def _credit_card(text: str) -> bool:
    digits = re.sub("[^0-9]+", "", text)
    doubled = [int(digit) * (1, 2)[position % 2] for position, digit in enumerate(reversed(digits))]
    return _is_visa_or_so(digits) and sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0


def is_uri(text: str) -> bool:
    """Return whether a text is what net/url's ParseRequestURI reads: an absolute URI, or an absolute path."""
    if not text or any(character < " " or character == "\x7f" for character in text):
        return False
    if re.search("%(?![0-9a-fA-F]{2})", text):
        return False
    try:
        parts = urlsplit(text)
        is_host = " " not in parts.netloc and (parts.netloc.count("[") or parts.port is None or parts.port >= 0)
    except ValueError:
        return False
    return text.startswith("/") or text == "*" or bool(parts.scheme and is_host and not text.startswith(":"))


def _uuid(version: str) -> Callable[[str], bool]:
    return _matches(rf"(?i)^[0-9a-f]{{8}}-?[0-9a-f]{{4}}-?{version}-?[0-9a-f]{{12}}$")


FORMATS: dict[str, Callable[[str], bool]] = {
    "bsonobjectid": _matches("^[0-9a-fA-F]{24}$"),
    "uri": is_uri,
    "email": _matches(r'^([^<>"]*<)?[^\s<>@(),:;\[\]\\"]+@[^\s<>@(),:;\\"]+>?$'),
    "hostname": _host_name,
    "ipv4": _ipv4,
    "ipv6": lambda text: ":" in text and _ip(text) is not None,
    "cidr": _cidr,
    "mac": _matches(
        "^(?i)([0-9a-f]{2}(:[0-9a-f]{2}){5}|[0-9a-f]{2}(:[0-9a-f]{2}){7}|[0-9a-f]{2}(:[0-9a-f]{2}){19}"
        "|[0-9a-f]{2}(-[0-9a-f]{2}){5}|[0-9a-f]{2}(-[0-9a-f]{2}){7}|[0-9a-f]{2}(-[0-9a-f]{2}){19}"
        r"|[0-9a-f]{4}(\.[0-9a-f]{4}){2}|[0-9a-f]{4}(\.[0-9a-f]{4}){3}|[0-9a-f]{4}(\.[0-9a-f]{4}){9})$"
    ),
    "uuid": _uuid("[0-9a-f]{4}-?[0-9a-f]{4}"),
    "uuid3": _uuid("3[0-9a-f]{3}-?[0-9a-f]{4}"),
    "uuid4": _uuid("4[0-9a-f]{3}-?[89ab][0-9a-f]{3}"),
    "uuid5": _uuid("5[0-9a-f]{3}-?[89ab][0-9a-f]{3}"),
    "isbn": lambda text: _isbn10(text) or _isbn13(text),
    "isbn10": _isbn10,
    "isbn13": _isbn13,
    "creditcard": _credit_card,
    "ssn": _matches(r"^\d{3}[- ]\d{2}[- ]\d{4}$"),
    "hexcolor": _matches("^#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$"),
    "rgbcolor": _matches(rf"^rgb\({_CHANNEL},{_CHANNEL},{_CHANNEL}\)$"),
    "byte": _matches(r"^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{4})$"),
    "password": lambda _: True,
    "date": _is_date,
    "duration": lambda text: parse_duration(text) is not None,
    "datetime": _is_date_time,
    "k8sshortname": lambda text: not dns_label(text),
    "k8slongname": lambda text: not dns_subdomain(text),
}
"""By name without dashes: whether a text has the format."""
