"""How many bytes a tensor takes in each of ggml's number formats. Pure."""

from __future__ import annotations

from typing import Final, NamedTuple


class Layout(NamedTuple):
    """A number format: so many bytes hold so many elements."""

    elements: int
    size: int


LAYOUTS: Final = {
    0: Layout(1, 4),  # F32
    1: Layout(1, 2),  # F16
    2: Layout(32, 18),  # Q4_0
    3: Layout(32, 20),  # Q4_1
    6: Layout(32, 22),  # Q5_0
    7: Layout(32, 24),  # Q5_1
    8: Layout(32, 34),  # Q8_0
    9: Layout(32, 40),  # Q8_1
    10: Layout(256, 84),  # Q2_K
    11: Layout(256, 110),  # Q3_K
    12: Layout(256, 144),  # Q4_K
    13: Layout(256, 176),  # Q5_K
    14: Layout(256, 210),  # Q6_K
    15: Layout(256, 292),  # Q8_K
    16: Layout(256, 66),  # IQ2_XXS
    17: Layout(256, 74),  # IQ2_XS
    18: Layout(256, 98),  # IQ3_XXS
    19: Layout(256, 50),  # IQ1_S
    20: Layout(32, 18),  # IQ4_NL
    21: Layout(256, 110),  # IQ3_S
    22: Layout(256, 82),  # IQ2_S
    23: Layout(256, 136),  # IQ4_XS
    24: Layout(1, 1),  # I8
    25: Layout(1, 2),  # I16
    26: Layout(1, 4),  # I32
    27: Layout(1, 8),  # I64
    28: Layout(1, 8),  # F64
    29: Layout(256, 56),  # IQ1_M
    30: Layout(1, 2),  # BF16
    34: Layout(256, 54),  # TQ1_0
    35: Layout(256, 66),  # TQ2_0
    39: Layout(32, 17),  # MXFP4
    40: Layout(64, 36),  # NVFP4
    41: Layout(128, 18),  # Q1_0
}
"""By ggml's type number. A type that is absent here is newer than this table."""


def tensor_size(type_number: int, dimensions: tuple[int, ...]) -> int | None:
    """Bytes that a tensor takes, or None where its type is not in the table.

    Raises:
        ValueError: its rows do not fill whole blocks.
    """
    layout = LAYOUTS.get(type_number)
    if layout is None:
        return None
    elements = 1
    for length in dimensions:
        elements *= length
    if dimensions and dimensions[0] % layout.elements:
        raise ValueError(f"a row of {dimensions[0]} elements is no multiple of {layout.elements}")
    return elements // layout.elements * layout.size
