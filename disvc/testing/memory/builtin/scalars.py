"""What types of the API that decode themselves accept, and how they are written back: times, quantities and the like.

Each function gets a value of a request, never null, and returns the canonical one. It raises `ValueError` with the
message of the real server, or `WrongTypeError` for JSON of another type.
"""

from __future__ import annotations

import base64
import binascii
import re
from decimal import ROUND_CEILING
from typing import TYPE_CHECKING, Any, Final

from disvc.runtime.timestamps import metav1_time, micro_time
from disvc.testing.memory.go_time import microseconds, seconds
from disvc.testing.quantity import amount, canonical

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["SELF_DECODING", "WrongTypeError", "decode_bytes", "decode_quantity"]

_META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1"
_SCHEMAS: Final = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1"
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


def _time(value: object) -> str:
    return metav1_time(seconds(_text(value)))


def _micro_time(value: object) -> str:
    return micro_time(microseconds(_text(value)))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise WrongTypeError("string")
    return value


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
    f"{_META}.Time": _time,
    f"{_META}.MicroTime": _micro_time,
    f"{_META}.FieldsV1": _anything,
    "io.k8s.apimachinery.pkg.api.resource.Quantity": decode_quantity,
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": _int_or_string,
    "io.k8s.apimachinery.pkg.runtime.RawExtension": _anything,
    f"{_SCHEMAS}.JSON": _anything,
}
"""By definition name."""
