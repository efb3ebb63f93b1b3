"""Quantities as Kubernetes writes them back: "1000m" becomes "1", "1024Mi" becomes "1Gi"; and as numbers.

https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
"""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, Decimal
from typing import Final

__all__ = ["amount", "canonical"]

_QUANTITY: Final = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:([numkMGTPE]|[KMGTPE]i)|[eE]([+-]?\d+))?")
_DECIMAL: Final = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY: Final = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}


def amount(quantity: str | int | float) -> Decimal:
    """Return the number that a quantity stands for, in cores, bytes or whatever is measured.

    Raises `ValueError` for what is no quantity.
    """
    number, suffix, exponent = _parts(quantity)
    if suffix in _BINARY:
        return Decimal(number) * (1 << _BINARY[suffix])
    return Decimal(number).scaleb(int(exponent) if exponent else _DECIMAL[suffix or ""])


def canonical(quantity: str | int | float) -> str:
    """Return a quantity in the canonical form: the largest suffix of its own family that leaves an integer.

    Raises `ValueError` for what is no quantity.
    """
    _, suffix, exponent = _parts(quantity)
    value = amount(quantity)
    if suffix in _BINARY and abs(value) >= 1024 and value == value.to_integral_value():
        fitting = [s for s, power in _BINARY.items() if int(value) % 2**power == 0]
        best = fitting[-1] if fitting else ""
        return f"{int(value) // 2 ** _BINARY[best] if best else int(value)}{best}"
    if exponent is not None:
        return _with_exponent(value)
    nano = int(value.scaleb(9).to_integral_value(ROUND_CEILING))
    if nano == 0:
        return "0"
    best = [s for s, power in _DECIMAL.items() if nano % 10 ** (power + 9) == 0][-1]
    return f"{nano // 10 ** (_DECIMAL[best] + 9)}{best}"


def _parts(quantity: str | int | float) -> tuple[str, str | None, str | None]:
    """Return the digits of a quantity, its suffix and its exponent."""
    match = _QUANTITY.fullmatch(str(quantity))
    if match is None:
        raise ValueError(f"{quantity!r} is no quantity; write it like 500m, 2, or 1Gi")
    return match[1], match[2], match[3]


def _with_exponent(value: Decimal) -> str:
    nano = int(value.scaleb(9).to_integral_value(ROUND_CEILING))
    if nano == 0:
        return "0"
    power = max(power for power in range(-9, 19, 3) if nano % 10 ** (power + 9) == 0)
    return f"{nano // 10 ** (power + 9)}" + (f"e{power}" if power else "")
