"""Speed: steps and examples a second over the last lines of progress, and the time that is left."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

SAMPLES: Final = 30


@dataclass(frozen=True, slots=True)
class Sample:
    """How far a stage was at a time."""

    seconds: float
    step: int
    examples: int


class Speed:
    """Samples of the stage that runs."""

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque(maxlen=SAMPLES)

    def add(self, sample: Sample) -> None:
        """Add how far the stage is now."""
        self._samples.append(sample)

    def examples_per_second(self) -> float | None:
        """Return the speed; None while that cannot be said."""
        first, last, seconds = self._span()
        return None if seconds is None else (last.examples - first.examples) / seconds

    def eta_seconds(self, total_steps: int) -> int | None:
        """Return the time until the last step; None while that cannot be said."""
        first, last, seconds = self._span()
        if seconds is None or last.step == first.step:
            return None
        return round((total_steps - last.step) * seconds / (last.step - first.step))

    def _span(self) -> tuple[Sample, Sample, float | None]:
        nothing = Sample(0.0, 0, 0)
        if len(self._samples) < 2:  # noqa: PLR2004 - two points make a line
            return nothing, nothing, None
        first, last = self._samples[0], self._samples[-1]
        seconds = last.seconds - first.seconds
        return first, last, seconds if seconds > 0 else None
