"""Quantities as numbers, to compare and to add them."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

__all__ = ["amount"]

_QUANTITY: Final = re.compile(
    r"(?P<number>[+-]?[0-9.]+)(?P<suffix>[numkMGTPE]|[KMGTPE]i)?(?:[eE](?P<exponent>[+-]?\d+))?"
)
_DECIMAL: Final = {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY: Final = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}


def amount(quantity: str) -> Decimal:
    """Return the number that a canonical quantity stands for, in cores, bytes or whatever is measured."""
    match = _QUANTITY.fullmatch(quantity)
    assert match is not None, f"{quantity} is a canonical quantity"
    number, suffix = Decimal(match["number"]), match["suffix"]
    if suffix in _BINARY:
        return number * (1 << _BINARY[suffix])
    return number.scaleb(_DECIMAL.get(suffix, 0) + int(match["exponent"] or 0))
