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
LARGEST: Final = 300_000_000
"""Weights of a model whose shape its folder alone tells: as many as a run here is made for."""


def grace_seconds(model: Model, measured: float | None) -> int:
    """Return the grace period by the longest save that was measured, else by the model's size."""
    save = _parameters(model) * STATE_BYTES / SLOW_DISK if measured is None else measured
    return max(SHORTEST, math.ceil(2 * save) + RESERVE)


def _parameters(model: Model) -> int:
    if model.uri is not None:
        return LARGEST
    # Networks for images are so small that their saves do not matter.
    return 0 if model.width is None else shape_of(model).parameters
