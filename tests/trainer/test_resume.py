"""A run that was killed, or asked to end, goes on as if nothing had happened."""

from __future__ import annotations

import random
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from puna_trainer.checkpoint.folder import read_weights
from puna_trainer.config.output import Stage, StageName
from puna_trainer.config.run import Run
from puna_trainer.exits import Exit
from puna_trainer.files import read_json
from puna_trainer.progress import Result
from puna_trainer.reporting.log import read_log
from tests.trainer.digits import run_of, write_idx
from tests.trainer.processes import carried_out, start

STEPS = 27
"""Three epochs of nine batches; a checkpoint every four steps, and after each epoch."""
CHANGED: dict[str, Any] = {
    "hyperparameters": {"epochs": 3, "augmentation": "affine", "evaluateEverySteps": 6},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_idx(tmp_path_factory.mktemp("digits"))


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the run leaves if nobody disturbs it."""
    folder = tmp_path_factory.mktemp("whole")
    assert carried_out(run_of(folder, data=data, **CHANGED)) == Exit.DONE
    assert len(log(folder)) == STEPS + 5
    return folder


def log(folder: Path) -> list[dict[str, Any]]:
    return list(read_log(folder / "logs" / "log.jsonl"))


def result(folder: Path) -> Result:
    return Result.model_validate(read_json(folder / "result.json"))


def assert_same(folder: Path, whole: Path) -> None:
    """The same losses, evaluations and weights, bit for bit."""
    assert log(folder) == log(whole)
    weights, expected = (read_weights(each / "checkpoints" / "epoch_3") for each in (folder, whole))
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[name], expected[name]) for name in weights)
    assert (
        read_json(folder / "evaluation.json")["metrics"]
        == (read_json(whole / "evaluation.json")["metrics"])
    )


def disturbed(run: Run, number: int, steps: int) -> int:
    """Carry a run out up to a signal after so many steps of this process."""
    return start(run, signal_after=(number, steps)).end()


def test_a_run_killed_at_random_steps_learns_the_same_to_the_bit(
    data: Path, whole: Path, tmp_path: Path
) -> None:
    run = run_of(tmp_path, data=data, **CHANGED)
    chance = random.Random(5)
    for _ in range(6):
        code = disturbed(run, signal.SIGKILL, chance.randint(1, 9))
        if code == Exit.DONE:
            break
        assert code == -signal.SIGKILL
    assert carried_out(run) == Exit.DONE
    assert_same(tmp_path, whole)


@pytest.mark.parametrize(
    ("model", "optimizer"),
    [
        ("cnn_mnist", "adamw"),
        ("cnn_mnist", "sgd"),
        ("cnn_mnist", "adadelta"),
        ("resnet18", "adamw"),
    ],
)
def test_convolutions_go_on_to_the_bit(
    data: Path, tmp_path: Path, model: str, optimizer: str
) -> None:
    changed = {
        "model": {"name": model},
        "hyperparameters": {"epochs": 3, "optimizer": optimizer},
    }
    alone = run_of(tmp_path / "alone", data=data, **changed)
    run = run_of(tmp_path / "run", data=data, **changed)
    assert carried_out(alone) == Exit.DONE
    assert disturbed(run, signal.SIGTERM, 14) == Exit.INTERRUPTED
    assert carried_out(run) == Exit.DONE
    assert_same(tmp_path / "run", tmp_path / "alone")


@pytest.mark.parametrize("steps", [1, 6, 8, 9, 10, 18, 26])
def test_a_run_asked_to_end_at_any_step_saves_and_goes_on(
    data: Path, whole: Path, tmp_path: Path, steps: int
) -> None:
    run = run_of(tmp_path, data=data, **CHANGED)
    assert disturbed(run, signal.SIGTERM, steps) == Exit.INTERRUPTED
    ended = result(tmp_path)
    assert (ended.exit_code, ended.reason, ended.step) == (Exit.INTERRUPTED, None, steps)
    assert ended.checkpoint is not None
    assert ended.checkpoint.step == steps
    going_on = start(run)
    assert going_on.end() == Exit.DONE
    assert going_on.progress[-1].resumed_from == steps
    assert_same(tmp_path, whole)


def test_a_damaged_newest_checkpoint_costs_the_steps_since_the_one_before(
    data: Path, whole: Path, tmp_path: Path
) -> None:
    run = run_of(tmp_path, data=data, **CHANGED)
    assert disturbed(run, signal.SIGTERM, 14) == Exit.INTERRUPTED
    (tmp_path / "checkpoints" / "step_14" / "weights.safetensors").write_bytes(b"cut")
    going_on = start(run)
    assert going_on.end() == Exit.DONE
    assert going_on.progress[-1].resumed_from == 12
    assert_same(tmp_path, whole)


def test_a_full_disk_ends_the_run_and_loses_no_checkpoint(
    data: Path, whole: Path, tmp_path: Path
) -> None:
    run = run_of(tmp_path, data=data, **CHANGED)
    assert disturbed(run, signal.SIGTERM, 14) == Exit.INTERRUPTED
    full = start(run, limit_bytes=200_000)
    assert full.end() == Exit.TEMPORARY
    assert result(tmp_path).reason == "DiskFull"
    assert (tmp_path / "checkpoints" / "step_14").is_dir()
    assert carried_out(run) == Exit.DONE
    assert_same(tmp_path, whole)


def test_logs_that_find_no_room_end_the_run_as_any_other_file_does(
    data: Path, tmp_path: Path
) -> None:
    changed: dict[str, Any] = {
        "hyperparameters": {"epochs": 1, "batchSize": 1},
        "checkpoint": {"everySteps": 1000},
    }
    run = run_of(tmp_path / "run", data=data, **changed)
    assert carried_out(run.model_copy(update={"stages": (Stage(name=StageName.DATA),)})) == 0
    full = start(run, limit_bytes=8000)
    assert full.end() == Exit.TEMPORARY, full.output.read_text()
    assert result(tmp_path / "run").reason == "DiskFull"
    assert carried_out(run) == Exit.DONE
    whole = run_of(tmp_path / "whole", data=data, **changed)
    assert carried_out(whole) == Exit.DONE
    assert log(tmp_path / "run") == log(tmp_path / "whole")


@pytest.mark.parametrize(("name", "limit_bytes"), [("data", 10_000), ("export", 100_000)])
def test_tensors_that_find_no_room_end_the_run_as_any_other_file_does(
    data: Path, tmp_path: Path, name: StageName, limit_bytes: int
) -> None:
    run = run_of(tmp_path, data=data)
    if name == StageName.EXPORT:
        learned = [Stage(name=each) for each in (StageName.DATA, StageName.TRAIN)]
        assert carried_out(run.model_copy(update={"stages": tuple(learned)})) == Exit.DONE
    full = start(
        run.model_copy(update={"stages": (Stage(name=name),)}),
        limit_bytes=limit_bytes,
    )
    assert full.end() == Exit.TEMPORARY, full.output.read_text()
    ended = result(tmp_path)
    assert (ended.reason, ended.stage) == ("DiskFull", name)
    assert carried_out(run) == Exit.DONE


def test_a_changed_run_begins_anew_and_the_old_checkpoints_are_kept(
    data: Path, whole: Path, tmp_path: Path
) -> None:
    other = {**CHANGED, "hyperparameters": {**CHANGED["hyperparameters"], "seed": 1}}
    assert disturbed(run_of(tmp_path, data=data, **other), signal.SIGTERM, 5) == Exit.INTERRUPTED
    assert carried_out(run_of(tmp_path, data=data, **CHANGED)) == Exit.DONE
    assert_same(tmp_path, whole)
    aside = [path.name for path in tmp_path.glob("checkpoints-*/*")]
    assert "step_5" in aside
