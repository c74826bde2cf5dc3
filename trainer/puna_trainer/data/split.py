"""Split: which part each example belongs to, from nothing but seeds, percents and texts. Pure."""

from __future__ import annotations

import hashlib
from typing import Final

import numpy as np
from numpy.typing import NDArray

BUCKETS: Final = 10_000
"""Texts are spread over so many: a percent is a hundred of them."""


def held_back(count: int, percent: int, seed: int, purpose: str) -> NDArray[np.bool_]:
    """Return which of `count` examples are held back: `percent` of them, and at least one.

    Each example is ranked by the SHA-256 of its number, the seed and the purpose, so the choice
    stays the same whatever the release of NumPy, and another purpose chooses others.
    """
    ranks = [_rank(f"{purpose}:{seed}:{number}") for number in range(count)]
    wanted = min(max(1, round(count * percent / 100)), max(count - 1, 0))
    chosen = np.zeros(count, np.bool_)
    chosen[np.argsort(np.array(ranks, np.uint64), kind="stable")[:wanted]] = True
    return chosen


def is_held_back(digest: bytes, percent: int) -> bool:
    """Tell whether a text is held back, by the digest of its normal form alone.

    So it does not depend on what else is there, nor on the order; the same text, with other blanks
    or in other case, is never in both parts.
    """
    return int.from_bytes(digest[:8], "big") % BUCKETS < percent * BUCKETS // 100


def normal_digest(text: str) -> bytes:
    """Return the digest of a text, blanks and case apart."""
    return hashlib.sha256(
        " ".join(text.split()).casefold().encode("utf-8", "surrogatepass")
    ).digest()


def _rank(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
