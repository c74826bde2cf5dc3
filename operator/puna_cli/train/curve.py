"""A loss curve in characters. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from puna_trainer.progress import CurvePoint

LEVELS: Final = "▁▂▃▄▅▆▇█"
HEIGHT: Final = 6


def curve(points: Sequence[CurvePoint], *, width: int, height: int = HEIGHT) -> list[str]:
    """Return the lines of a bar chart of the training loss, highest first, with its scale.

    Args:
        points: of the curve, in the order of their steps.
        width: columns that it may take.
        height: lines that it takes.
    """
    known = [point for point in points if math.isfinite(point.loss)]
    if not known:
        return []
    losses = [point.loss for point in known]
    lowest, highest = min(losses), max(losses)
    scale = max(len(f"{highest:.3g}"), len(f"{lowest:.3g}"))
    columns = max(1, width - scale - 2)
    bars = [losses[index * len(losses) // columns] for index in range(columns)]
    steps = height * len(LEVELS)
    span = highest - lowest
    tall = [max(1, math.ceil((loss - lowest) / span * steps)) if span else 1 for loss in bars]
    lines = []
    for row in reversed(range(height)):
        label = highest if row == height - 1 else lowest if row == 0 else None
        text = "" if label is None else f"{label:.3g}"
        lines.append(f"{text:>{scale}} │" + "".join(_cell(bar, row) for bar in tall))
    first, last = f"step {known[0].step}", f"step {known[-1].step}"
    gap = " " * max(1, columns - len(first) - len(last))
    return [*lines, " " * (scale + 2) + first + gap + last]


def _cell(tall: int, row: int) -> str:
    level = tall - row * len(LEVELS)
    return " " if level <= 0 else LEVELS[min(level, len(LEVELS)) - 1]
