"""Rendezvous hashing: every router finds the same owner of a prefix, without talking."""

from __future__ import annotations

import math
from hashlib import blake2b
from typing import Final

_MASK: Final = (1 << 64) - 1
_FRACTION_BITS: Final = 52
"""Of the 64: so many, and a half, are exact in a float."""


def seed(content: bytes) -> int:
    """64 bits that stand for some bytes, the same in every process."""
    return int.from_bytes(blake2b(content, digest_size=8).digest(), "big")


def weight(prefix: int, server: int, slots: int) -> float:
    """How much a server wants a prefix: the one with the largest weight owns it.

    Both are seeds. Servers own prefixes in proportion to their slots, and if one leaves, only its
    own prefixes find another owner.
    """
    mixed = prefix ^ server
    mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB & _MASK
    mixed ^= mixed >> 31
    fraction = ((mixed >> (64 - _FRACTION_BITS)) + 0.5) / (1 << _FRACTION_BITS)
    return -slots / math.log(fraction)
