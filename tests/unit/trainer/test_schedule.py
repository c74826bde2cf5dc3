"""The learning rate is a function of the step alone."""

from __future__ import annotations

import pytest

from puna_trainer.config.hyperparameters import Hyperparameters, Optimizer, Schedule
from puna_trainer.schedule import Course, course_of


def course(schedule: Schedule, *, warmup: int = 0) -> Course:
    return Course(schedule, peak=1.0, warmup_steps=warmup, total_steps=100, steps_per_epoch=10)


def test_it_rises_to_its_peak_in_the_warm_up() -> None:
    rates = [course(Schedule.CONSTANT, warmup=4).rate(step) for step in range(6)]
    assert rates == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_a_cosine_falls_to_a_tenth_and_stays_there() -> None:
    cosine = course(Schedule.COSINE)
    assert cosine.rate(0) == 1.0
    assert cosine.rate(50) == pytest.approx(0.55)
    assert cosine.rate(100) == cosine.rate(500) == pytest.approx(0.1)
    rates = [cosine.rate(step) for step in range(101)]
    assert rates == sorted(rates, reverse=True)


def test_steps_fall_after_each_epoch() -> None:
    rates = [course(Schedule.STEP).rate(step) for step in (0, 9, 10, 19, 20)]
    assert rates == pytest.approx([1.0, 1.0, 0.7, 0.7, 0.49])


@pytest.mark.parametrize(
    ("optimizer", "peak"),
    [(Optimizer.ADAMW, 0.001), (Optimizer.ADADELTA, 1.0), (Optimizer.SGD, 0.05)],
)
def test_what_nobody_chose_follows_from_the_rule_and_the_steps(
    optimizer: Optimizer, peak: float
) -> None:
    found = course_of(Hyperparameters(optimizer=optimizer), total_steps=500, steps_per_epoch=50)
    assert (found.peak, found.warmup_steps) == (peak, 10)
