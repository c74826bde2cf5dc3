"""Kubernetes quantities as numbers. Pure."""

from __future__ import annotations

import math
from decimal import Decimal, InvalidOperation
from typing import Final

_SUFFIXES: Final[dict[str, Decimal]] = {
    "Ki": Decimal(2**10),
    "Mi": Decimal(2**20),
    "Gi": Decimal(2**30),
    "Ti": Decimal(2**40),
    "Pi": Decimal(2**50),
    "Ei": Decimal(2**60),
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "k": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "T": Decimal(10**12),
    "P": Decimal(10**15),
    "E": Decimal(10**18),
}


def parse_quantity(text: str | float) -> Decimal:
    """Value of a quantity such as `500m`, `1.5Gi` or `1e3`.

    Raises:
        ValueError: not a quantity.
    """
    number = str(text).strip()
    factor = Decimal(1)
    for suffix, value in _SUFFIXES.items():
        if number.endswith(suffix):
            number, factor = number[: -len(suffix)], value
            break
    try:
        return Decimal(number) * factor
    except InvalidOperation:
        raise ValueError(f"not a quantity: {text!r}") from None


def divide_up(quantity: Decimal, divisor: Decimal) -> int:
    """Quantity in units of the divisor, rounded up, as the downward API gives it."""
    return math.ceil(quantity / divisor)
