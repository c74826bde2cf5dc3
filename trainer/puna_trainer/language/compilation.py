"""Compilation: whether compiling a model saves more time than it takes. Pure but for one look."""

from __future__ import annotations

import os
import shutil
from typing import Final

SECONDS: Final = 600.0
"""Shortest training, uncompiled, that compiling makes shorter: it takes up to a minute or two, and
saves about a third."""
FLOPS: Final = {"cpu": 5e10, "cuda": 5e13}
"""Operations a second without compilation: of one core, and of a GPU."""


def compiling_pays(device_type: str, *, flops: float, threads: int, compiler: bool) -> bool:
    """Return whether a run of so many operations is worth compiling for.

    Args:
        device_type: "cpu", "cuda" or "mps", which has no compiler that can be relied on.
        flops: Operations of the whole run in this process.
        threads: Cores that a processor's share is computed with.
        compiler: Whether there is a compiler of C++.
    """
    if device_type not in FLOPS or not compiler:
        return False
    speed = FLOPS[device_type] * (threads if device_type == "cpu" else 1)
    return flops / speed >= SECONDS


def has_compiler() -> bool:
    """Return whether there is a compiler of C++, which torch compiles with."""
    return shutil.which(os.environ.get("CXX", "g++")) is not None
