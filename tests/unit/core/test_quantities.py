from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from puna.core.quantities import amount, mebibytes


@pytest.mark.parametrize(
    ("quantity", "expected"),
    [
        ("500m", Decimal("0.5")),
        ("2", Decimal(2)),
        (2, Decimal(2)),
        ("1.5Gi", Decimal(1.5 * 2**30)),
        ("1k", Decimal(1000)),
        ("1e3", Decimal(1000)),
        ("1E", Decimal(10**18)),
        (".5", Decimal("0.5")),
        ("", None),
        ("Gi", None),
        ("2 Gi", None),
        (True, None),
        (None, None),
    ],
)
def test_a_quantity_is_an_exact_number_or_none(quantity: Any, expected: Decimal | None) -> None:
    assert amount(quantity) == expected


@pytest.mark.parametrize(
    ("quantity", "expected"),
    [("0", 0), ("1", 1), ("1Mi", 1), ("1M", 1), ("1025Ki", 2), ("8Gi", 8192)],
)
def test_mebibytes_are_rounded_up(quantity: str, expected: int) -> None:
    assert mebibytes(quantity) == expected
