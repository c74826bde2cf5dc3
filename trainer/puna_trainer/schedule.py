"""Learning rate of a step. Pure: a resumed run needs nothing but the number of the step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from puna_trainer.config.hyperparameters import Hyperparameters, Optimizer, Schedule

DEFAULT_RATE: Final[dict[Optimizer, float]] = {
    Optimizer.ADAMW: 0.001,
    Optimizer.ADADELTA: 1.0,
    Optimizer.SGD: 0.05,
}
"""Highest learning rate where none is chosen."""
WARMUP_SHARE: Final = 0.02
"""Share of all steps in which the rate rises where no number of steps is chosen."""
FLOOR: Final = 0.1
"""What a cosine ends at, as a share of the highest rate (nanoGPT)."""
STEP_FACTOR: Final = 0.7
"""What each epoch multiplies the rate by (PyTorch's MNIST example)."""


@dataclass(frozen=True, slots=True)
class Course:
    """The course of the learning rate over a run."""

    schedule: Schedule
    peak: float
    warmup_steps: int
    total_steps: int
    steps_per_epoch: int

    def rate(self, step: int) -> float:
        """Return the learning rate of a step; steps count from 0."""
        if step < self.warmup_steps:
            return self.peak * (step + 1) / self.warmup_steps
        if self.schedule is Schedule.CONSTANT:
            return self.peak
        if self.schedule is Schedule.STEP:
            return float(self.peak * STEP_FACTOR ** (step // self.steps_per_epoch))
        after = min(1.0, (step - self.warmup_steps) / max(1, self.total_steps - self.warmup_steps))
        return self.peak * (FLOOR + (1 - FLOOR) * (1 + math.cos(math.pi * after)) / 2)


def course_of(chosen: Hyperparameters, total_steps: int, steps_per_epoch: int) -> Course:
    """Return the course that hyperparameters describe."""
    warmup = chosen.warmup_steps
    return Course(
        schedule=chosen.schedule,
        peak=chosen.learning_rate or DEFAULT_RATE[chosen.optimizer],
        warmup_steps=round(WARMUP_SHARE * total_steps) if warmup is None else warmup,
        total_steps=total_steps,
        steps_per_epoch=steps_per_epoch,
    )
