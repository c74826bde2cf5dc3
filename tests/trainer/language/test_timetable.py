"""What is due after a step, where batches lie over the ends of epochs."""

from __future__ import annotations

from typing import Any

import pytest

from puna_trainer.config.hyperparameters import Hyperparameters
from puna_trainer.config.output import Checkpoints
from puna_trainer.language.timetable import Timetable, timetable_of


def timetable(windows: int, *, every: int = 1000, **chosen: Any) -> Timetable:
    return timetable_of(
        windows, Hyperparameters(**({"batch_size": 4} | chosen)), Checkpoints(every_steps=every)
    )


def test_an_epoch_ends_with_the_step_that_reads_its_last_window() -> None:
    # 10 windows in batches of 4: epochs end within steps 3 and 5, and with step 8 (of 30 windows).
    due = timetable(10, epochs=3)
    assert due.total_steps == 8
    assert [step for step in range(9) if due.ends_epoch(step)] == [3, 5, 8]
    assert [due.name(step) for step in (1, 3, 5, 8)] == ["step_1", "epoch_1", "epoch_2", "epoch_3"]


def test_data_smaller_than_a_batch_wraps_within_a_step() -> None:
    due = timetable(3, epochs=4)
    assert due.total_steps == 3
    assert [due.name(step) for step in (1, 2, 3)] == ["epoch_1", "epoch_2", "epoch_4"]


@pytest.mark.parametrize(
    ("chosen", "looks"),
    [
        ({"epochs": 3}, [3, 5, 8]),
        ({"epochs": 3, "evaluate_every_steps": 3}, [3, 6, 8]),
        ({"epochs": 3, "max_steps": 6}, [3, 5, 6]),
    ],
)
def test_the_validation_data_is_looked_at_each_epoch_or_as_asked_and_in_the_end(
    chosen: dict[str, Any], looks: list[int]
) -> None:
    due = timetable(10, **chosen)
    assert [step for step in range(due.total_steps + 1) if due.evaluates(step)] == looks
    assert all(due.saves(step) for step in looks)


def test_checkpoints_are_written_by_step_and_after_each_epoch() -> None:
    due = timetable(10, epochs=3, every=2)
    assert [step for step in range(9) if due.saves(step)] == [2, 3, 4, 5, 6, 8]
