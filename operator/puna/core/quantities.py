"""Kubernetes quantities as exact numbers."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

_FORM: Final = re.compile(r"^([+-]?(?:\d+\.?\d*|\.\d+))([eE][+-]?\d+|[numkMGTPE]|[KMGTPE]i)?$")
_FACTORS: Final = {
    "": Decimal(1),
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "k": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "T": Decimal(10**12),
    "P": Decimal(10**15),
    "E": Decimal(10**18),
    "Ki": Decimal(2**10),
    "Mi": Decimal(2**20),
    "Gi": Decimal(2**30),
    "Ti": Decimal(2**40),
    "Pi": Decimal(2**50),
    "Ei": Decimal(2**60),
}


def amount(value: Any) -> Decimal | None:
    """Return a quantity's amount, or None for anything that is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    return _amount(str(value))


@lru_cache(maxsize=1024)
def _amount(text: str) -> Decimal | None:
    match = _FORM.match(text)
    if match is None:
        return None
    number, suffix = match[1], match[2] or ""
    if suffix in _FACTORS:
        return Decimal(number) * _FACTORS[suffix]
    return Decimal(number + suffix)


def mebibytes(quantity: str) -> int:
    """Return a quantity of bytes in MiB, rounded up; the schema admits nothing but quantities."""
    return math.ceil((amount(quantity) or 0) / _FACTORS["Mi"])
