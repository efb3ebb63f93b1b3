"""What types of the API that decode themselves accept, and how they are written back: times, quantities and the like.

Each function gets a value of a request, never null, and returns the canonical one. It raises `ValueError` with the
message of the real server, or `WrongTypeError` for JSON of another type.
"""

from __future__ import annotations

import base64
import binascii
import re
from datetime import UTC, datetime
from decimal import ROUND_CEILING
from typing import TYPE_CHECKING, Any, Final

from disvc.runtime.timestamps import metav1_time, micro_time
from disvc.testing.quantity import amount, canonical

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["SELF_DECODING", "WrongTypeError", "decode_bytes", "decode_quantity", "decode_time"]

_META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1"
_SCHEMAS: Final = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1"
_DATE: Final = (
    ("2006", r"\d{4}"),
    ("-", "-"),
    ("01", "0[1-9]|1[0-2]"),
    ("-", "-"),
    ("02", "0[1-9]|[12][0-9]|3[01]"),
    ("T", "T"),
    ("15", "[01][0-9]|2[0-3]"),
    (":", ":"),
    ("04", "[0-5][0-9]"),
    (":", ":"),
)
"""The parts of a layout of Go's package time, and what each may be."""
_ZONE: Final = ("Z07:00", r"Z|[+-]\d{2}:\d{2}")
_SECONDS: Final = (*_DATE, ("05", r"[0-5][0-9](?:[.,]\d+)?"), _ZONE)
_MICROSECONDS: Final = (*_DATE, ("05", "[0-5][0-9]"), (".000000", r"[.,]\d{6}(?!\d)"), _ZONE)
_QUANTITY: Final = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)[eEinumkKMGTP]*[-+]?\d*")
_INT32: Final = range(-(2**31), 2**31)


class WrongTypeError(Exception):
    """The value is JSON of a type that cannot be decoded into this Go type; the argument is the type's name."""


def decode_bytes(value: str) -> str:
    """Return base64 as Go writes it; line ends in it are ignored."""
    text = value.replace("\r", "").replace("\n", "")
    try:
        return base64.b64encode(base64.b64decode(text, validate=True)).decode()
    except (binascii.Error, ValueError):
        raise ValueError(f"illegal base64 data at input byte {_corrupt_byte(value)}") from None


def _corrupt_byte(value: str) -> int:
    bad = re.search(r"[^A-Za-z0-9+/\r\n]", value)
    if bad is None:
        return len(value) - len(value) % 4
    return bad.start()


def decode_time(value: object) -> str:
    """Return a metav1.Time in UTC and in whole seconds."""
    return metav1_time(_moment(value, _SECONDS))


def _micro_time(value: object) -> str:
    return micro_time(_moment(value, _MICROSECONDS))


def _moment(value: object, layout: tuple[tuple[str, str], ...]) -> datetime:
    if not isinstance(value, str):
        raise WrongTypeError("string")
    rest, whole = value, "".join(part for part, _ in layout)
    for part, pattern in layout:
        if (match := re.match(pattern, rest)) is None:
            raise ValueError(f'parsing time "{value}" as "{whole}": cannot parse "{rest}" as "{part}"')
        rest = rest[match.end() :]
    if rest:
        raise ValueError(f'parsing time "{value}": extra text: "{rest}"')
    try:
        return datetime.fromisoformat(value.replace(",", ".")).astimezone(UTC)
    except ValueError:
        raise ValueError(f'parsing time "{value}": day out of range') from None


def decode_quantity(value: object, *, is_of_resource: bool = False) -> str:
    """Return a quantity in its canonical form; that of a resource is rounded up to thousandths."""
    text = value.strip() if isinstance(value, str) else str(value)
    try:
        if is_of_resource and (amount(text) * 1000) % 1:
            return canonical(f"{(amount(text) * 1000).to_integral_value(ROUND_CEILING)}m")
        return canonical(text)
    except ValueError:
        if isinstance(value, str) and _QUANTITY.fullmatch(text):
            raise ValueError("unable to parse quantity's suffix") from None
        pattern = r"^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$"
        raise ValueError(f"quantities must match the regular expression '{pattern}'") from None


def _int_or_string(value: object) -> int | str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int) or value not in _INT32:
        raise WrongTypeError("int32")
    return value


def _anything(value: object) -> object:
    return value


SELF_DECODING: Final[Mapping[str, Callable[[Any], object]]] = {
    f"{_META}.Time": decode_time,
    f"{_META}.MicroTime": _micro_time,
    f"{_META}.FieldsV1": _anything,
    "io.k8s.apimachinery.pkg.api.resource.Quantity": decode_quantity,
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": _int_or_string,
    "io.k8s.apimachinery.pkg.runtime.RawExtension": _anything,
    f"{_SCHEMAS}.JSON": _anything,
}
"""By definition name."""
