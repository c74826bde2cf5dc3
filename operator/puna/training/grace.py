"""Grace period of a training Pod: it has to be longer than a checkpoint takes to be written."""

from __future__ import annotations

import math
from typing import Final

from puna_trainer.config.model import Model
from puna_trainer.config.shape import shape_of

SHORTEST: Final = 60
RESERVE: Final = 30
"""Seconds beside two saves: one that was under way when SIGTERM came, and its own."""
STATE_BYTES: Final = 12
"""Bytes of a checkpoint for each weight: itself and AdamW's two moments, in float32."""
SLOW_DISK: Final = 50_000_000
"""Bytes a second that a network volume writes at least."""


def grace_seconds(model: Model, measured: float | None) -> int:
    """Return the grace period by the longest save that was measured, else by the model's size."""
    save = measured
    if save is None and model.width is not None and model.vocabulary_size is not None:
        save = shape_of(model).parameters * STATE_BYTES / SLOW_DISK
    return max(SHORTEST, math.ceil(2 * (save or 0)) + RESERVE)
