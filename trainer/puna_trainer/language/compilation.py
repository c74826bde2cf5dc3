"""Compilation: whether compiling a model saves more time than it takes. Pure but for one look."""

from __future__ import annotations

import os
import shutil
from typing import Final

SECONDS: Final = 120.0
"""Shortest training, uncompiled, that compiling makes shorter: it takes half a minute to a minute,
and saves about a third of the time in bfloat16 (docs/benchmarks/trainer_pretrain_speed_cuda.json).
"""
FLOPS: Final = 2e14
"""Operations a second of a fast GPU without compilation; slower ones gain earlier."""


def compiling_pays(device_type: str, *, flops: float, compiler: bool) -> bool:
    """Return whether a run of so many operations is worth compiling for.

    On a processor compiled code was slower in float32, and a tenth faster in bfloat16; Metal has no
    compiler that can be relied on.

    Args:
        device_type: "cpu", "cuda" or "mps".
        flops: Operations of the whole run in this process.
        compiler: Whether there is a compiler of C++.
    """
    return device_type == "cuda" and compiler and flops / FLOPS >= SECONDS


def has_compiler() -> bool:
    """Return whether there is a compiler of C++, which torch compiles with."""
    return shutil.which(os.environ.get("CXX", "g++")) is not None
