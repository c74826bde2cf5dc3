"""A stage runs when something that it depends on has changed, or what it made is gone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from puna_trainer.config.output import StageName
from puna_trainer.exits import Exit
from puna_trainer.files import read_json
from puna_trainer.progress import Result
from tests.trainer.digits import run_of, write_idx
from tests.trainer.processes import start

STAGES = [StageName.DATA, StageName.TRAIN, StageName.EVALUATE, StageName.EXPORT]
MADE = {
    StageName.DATA: "data/images.safetensors",
    StageName.TRAIN: "checkpoints/best.json",
    StageName.EVALUATE: "evaluation.json",
    StageName.EXPORT: "export/manifest.json",
}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_idx(tmp_path / "digits")


@pytest.fixture
def folder(tmp_path: Path, data: Path) -> Path:
    """The output folder of a run that is done."""
    assert ran(tmp_path / "run", data) == STAGES
    return tmp_path / "run"


def written(folder: Path) -> dict[StageName, int]:
    paths = {name: folder / path for name, path in MADE.items()}
    return {name: path.stat().st_mtime_ns for name, path in paths.items() if path.exists()}


def ran(folder: Path, data: Path, **changed: Any) -> list[StageName]:
    """Run all stages; those that were not skipped."""
    before = written(folder) if folder.exists() else {}
    running = start(run_of(folder, data=data, **changed))
    assert running.end() == Exit.DONE, running.output.read_text()
    after = written(folder)
    return [name for name in STAGES if after[name] != before.get(name)]


def test_a_run_that_is_done_does_nothing_and_says_the_same(folder: Path, data: Path) -> None:
    first = Result.model_validate(read_json(folder / "result.json"))
    assert ran(folder, data) == []
    again = Result.model_validate(read_json(folder / "result.json"))
    assert again == first
    assert again.done == tuple(STAGES)
    assert again.metrics["test_accuracy"] > 0.9
    assert again.step == 18
    (artifact,) = again.artifacts
    assert (folder / artifact.path / "model.safetensors").is_file()


def test_a_run_that_is_done_tells_its_checkpoints_again(folder: Path, data: Path) -> None:
    running = start(run_of(folder, data=data))
    assert running.end() == Exit.DONE
    last = running.progress[-1]
    assert last.latest is not None
    assert last.best is not None
    assert last.latest.name == "epoch_2"
    assert last.checkpoints == len(list((folder / "checkpoints").glob("*/weights.safetensors")))


def test_a_change_runs_the_stages_that_depend_on_it(folder: Path, data: Path) -> None:
    assert ran(folder, data, evaluation={"minAccuracyPercent": 50}) == [StageName.EVALUATE]
    assert ran(folder, data, hyperparameters={"batchSize": 32}) == STAGES[1:]


def test_a_changed_file_runs_everything_though_its_address_is_the_same(
    folder: Path, data: Path
) -> None:
    write_idx(data, train=200)
    assert ran(folder, data) == STAGES


def test_other_data_run_everything(folder: Path, data: Path, tmp_path: Path) -> None:
    del data
    other = write_idx(tmp_path / "other", train=200)
    assert ran(folder, other) == STAGES


@pytest.mark.parametrize("name", [StageName.DATA, StageName.EVALUATE, StageName.EXPORT])
def test_what_is_gone_is_made_again_and_no_more(folder: Path, data: Path, name: StageName) -> None:
    (folder / MADE[name]).unlink()
    assert ran(folder, data) == [name]


def test_a_checkpoint_that_is_gone_is_learned_again(folder: Path, data: Path) -> None:
    for path in (folder / "checkpoints").glob("*/weights.safetensors"):
        path.unlink()
    assert StageName.TRAIN in ran(folder, data)


def test_stages_that_are_not_asked_for_do_not_run(tmp_path: Path, data: Path) -> None:
    run = run_of(tmp_path / "run", data=data, stages=[{"name": "data"}, {"name": "train"}])
    assert start(run).end() == Exit.DONE
    assert set(written(tmp_path / "run")) == {StageName.DATA, StageName.TRAIN}
