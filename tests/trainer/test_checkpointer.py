"""What is told of checkpoints is what there is, also when one is taken back."""

from __future__ import annotations

from pathlib import Path

import torch

from puna_trainer.checkpointer import Checkpointer
from puna_trainer.config.output import StageName
from puna_trainer.distributed import ProcessGroup
from puna_trainer.exits import Exit
from puna_trainer.progress import Progress
from puna_trainer.reporting.reporter import Reporter
from puna_trainer.stage import StageContext
from puna_trainer.stop import StopSignal
from tests.trainer.digits import CPU, INPUTS, run_of
from tests.trainer.states import state


def begun(folder: Path) -> tuple[Checkpointer, Reporter, list[str]]:
    """Checkpoints of a run that has begun to train, and its lines; none is due by the clock."""
    run, lines = run_of(folder), list[str]()
    reporter = Reporter(run, None, write=lines.append, clock=lambda: 0.0)
    reporter.begin(StageName.TRAIN, ())
    context = StageContext(run, folder, CPU, reporter, StopSignal(), ProcessGroup(), INPUTS)
    return Checkpointer(context), reporter, lines


def resume(checkpoints: Checkpointer) -> int:
    """Go on with a layer that learned nothing yet; the step."""
    layer = torch.nn.Linear(2, 2)
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    optimizer = torch.optim.AdamW(layer.parameters())
    return checkpoints.resume(layer, optimizer, scaler, total_steps=10).step


def told(line: str) -> tuple[str | None, str | None, int | None]:
    """Newest and best checkpoint that a line names, and how many it says there are."""
    said = Progress.model_validate_json(line)
    latest, best = (note.name if note else None for note in (said.latest, said.best))
    return latest, best, said.checkpoints


def test_the_only_checkpoint_is_told_no_longer_once_it_is_withdrawn(tmp_path: Path) -> None:
    checkpoints, reporter, lines = begun(tmp_path)
    checkpoints.save(state(1), "step_1")
    reporter.write_line()
    assert told(lines[-1]) == ("step_1", None, 1)
    checkpoints.withdraw()
    assert told(lines[-1]) == (None, None, 0)
    assert reporter.result(Exit.REFUSED).checkpoint is None


def test_the_checkpoint_before_is_told_in_place_of_one_that_is_withdrawn(tmp_path: Path) -> None:
    checkpoints, reporter, lines = begun(tmp_path)
    checkpoints.save(state(1), "step_1")
    checkpoints.mark_best(0.5)
    checkpoints.save(state(2), "step_2")
    checkpoints.withdraw()
    assert told(lines[-1]) == ("step_1", "step_1", 1)
    found = reporter.result(Exit.REFUSED).checkpoint
    assert found is not None
    assert found.name == "step_1"


def test_nothing_is_told_of_checkpoints_before_they_were_looked_for(tmp_path: Path) -> None:
    checkpoints, _, lines = begun(tmp_path)
    assert told(lines[-1]) == (None, None, None)
    assert resume(checkpoints) == 0
    assert told(lines[-1]) == (None, None, 0)
    # The grace period goes by the model's size until a save was measured.
    assert Progress.model_validate_json(lines[-1]).save_seconds is None
