from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest
from rich.console import Console

from puna.api.training_status import TrainingJobStatus
from puna_cli.train.curve import LEVELS, curve
from puna_cli.train.picture import picture
from puna_cli.train.watch import watch
from puna_trainer.progress import CurvePoint


def points(*losses: float) -> list[CurvePoint]:
    return [CurvePoint(step=10 * number, loss=loss) for number, loss in enumerate(losses, start=1)]


def status(stage: str, *, ended: str | None = None, **progress: Any) -> TrainingJobStatus:
    document: dict[str, Any] = {
        "summary": {"stage": stage, "step": "5/10", "loss": "0.5"},
        "progress": {
            "stage": "train",
            "step": 5,
            "totalSteps": 10,
            "updatedAt": "2026-03-01T12:00:00Z",
            "curve": [point.model_dump(by_alias=True) for point in points(4.0, 2.0, 1.0)],
        }
        | progress,
    }
    if ended is not None:
        document["conditions"] = [
            {
                "type": ended,
                "status": "True",
                "reason": "NonFiniteLoss" if ended == "Failed" else "Complete",
                "message": "at step 5" if ended == "Failed" else "",
                "lastTransitionTime": "2026-03-01T12:00:00Z",
            }
        ]
    return TrainingJobStatus.model_validate(document)


def test_a_curve_falls_as_the_loss_does_and_names_its_scale() -> None:
    lines = curve(points(8.0, 4.0, 2.0, 1.0), width=11, height=2)
    assert lines == ["8 │██      ", "1 │██▇▇▃▃▁▁", "   step 10 step 40"]


def test_a_curve_takes_no_more_room_than_it_has() -> None:
    many = points(*[1 / number for number in range(1, 200)])
    lines = curve(many, width=40)
    assert max(map(len, lines)) == 40
    assert all(set(line.partition("│")[2]) <= {*LEVELS, " "} for line in lines[:-1])


def test_nothing_is_drawn_of_nothing_and_a_flat_loss_is_flat() -> None:
    assert curve([], width=20) == []
    assert set(curve(points(1.0, 1.0), width=9, height=1)[0][3:]) == {LEVELS[0]}


def test_a_picture_shows_stage_bar_facts_and_curve() -> None:
    console = Console(file=io.StringIO(), width=60, force_terminal=False)
    console.print(picture("mnist", status("train"), width=60))
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    for part in ("mnist  train", "━", "5/10", "step 10", LEVELS[-1]):
        assert part in text


@pytest.mark.parametrize(("ended", "well"), [("Complete", True), ("Failed", False)])
def test_watching_ends_with_the_run_and_says_how(ended: str, *, well: bool) -> None:
    told: Iterator[TrainingJobStatus] = iter(
        [status("train"), status("train"), status(ended, ended=ended)]
    )
    console = Console(file=io.StringIO(), width=200)
    assert watch("mnist", lambda: next(told), console, sleep=lambda _: None) is well
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert lines[0] == "mnist train step=5/10 loss=0.5"
    assert len(lines) == 3, "what has not changed is not printed again"
    assert lines[-1] == ("Complete" if well else "Failed (NonFiniteLoss): at step 5")
