"""Pre-training that was left, wherever, is the one that was not: bit for bit on a processor."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch

from puna_trainer.checkpoint.store import Store
from puna_trainer.config.output import Checkpoints, StageName
from puna_trainer.config.run import Run
from puna_trainer.errors import Interrupted
from puna_trainer.files import read_json
from puna_trainer.language.pretrain import Training, pretrain
from puna_trainer.language.tokenizer_stage import make_tokenizer
from puna_trainer.progress import CheckpointNote, Progress
from tests.trainer.language.runs import (
    context_of,
    logged,
    resumable_run,
    sentences,
    write_data,
)
from tests.trainer.stops import StopAfter

IN_PARTS = {"accumulationSteps": 3}
"""Hyperparameters by which the validation data are measured in parts, each after a look whether the
signal has come."""
PARTS = 3
"""How many."""


def prepared(output: Path, **changed: Any) -> Run:
    run = resumable_run(output, **changed)
    write_data(output, sentences(14), sentences(6, seed=1))
    make_tokenizer(context_of(run))
    return run


def newest(output: Path) -> CheckpointNote | None:
    return Store(output / "checkpoints", Checkpoints(), None).newest_note()


def tensors(output: Path) -> dict[str, torch.Tensor]:
    """Return the weights of the last checkpoint, and what its optimizer remembers."""
    state = Store(output / "checkpoints", Checkpoints(), None).newest()
    assert state is not None
    return dict(state.model) | {
        f"{index} {name}": tensor
        for index, moments in state.optimizer["state"].items()
        for name, tensor in moments.items()
    }


def assert_same_run(one: Path, other: Path) -> None:
    assert logged(one) == logged(other)
    expected, actual = tensors(one), tensors(other)
    assert expected.keys() == actual.keys()
    assert all(torch.equal(actual[name], tensor) for name, tensor in expected.items())
    bests = [read_json(output / "checkpoints" / "best.json") for output in (one, other)]
    assert bests[0]["metric"] == bests[1]["metric"]
    assert bests[0]["name"] == bests[1]["name"]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("runs")
    run = prepared(output)
    training = Training(context_of(run))
    assert training.timetable.batches.windows % 6
    pretrain(context_of(run))
    return output


def test_a_signal_at_any_step_changes_nothing(uninterrupted: Path, tmp_path: Path) -> None:
    run = prepared(tmp_path)
    steps = [0]
    while True:
        # Encoding the data looks as well, the first time, and validation before a step does.
        looks = 4 if len(steps) == 1 else 2 + (steps[-1] % 7 == 0)
        context = context_of(run, stop=StopAfter(looks))
        try:
            pretrain(context)
        except Interrupted:
            context.reporter.close()
            note = newest(tmp_path)
            steps.append(note.step if note else 0)
            continue
        break
    assert len(steps) > 5
    assert steps == sorted(set(steps))
    context.reporter.close()
    assert_same_run(uninterrupted, tmp_path)


@pytest.mark.parametrize("part", [0, PARTS - 1])
def test_a_signal_while_validating_ends_it_and_changes_nothing(tmp_path: Path, part: int) -> None:
    stopping = IN_PARTS | {"epochs": 9, "earlyStopping": {"patience": 2, "minDelta": 5}}
    whole = prepared(tmp_path / "whole", hyperparameters=stopping)
    pretrain(context_of(whole))
    run = prepared(tmp_path / "run", hyperparameters=stopping)
    Training(context_of(run))  # encodes the data
    ended: list[int] = []
    before = 0
    while True:
        context = context_of(run, stop=StopAfter(before + 7 + part))
        try:
            pretrain(context)
        except Interrupted:
            context.reporter.close()
            note = newest(tmp_path / "run")
            assert note is not None
            ended.append(note.step)
            assert logged(tmp_path / "run")[-1]["kind"] == "step"
            before = PARTS
            continue
        break
    context.reporter.close()
    assert ended == [7, 14, 21]
    assert logged(tmp_path / "run")[-1]["step"] == 21
    assert_same_run(tmp_path / "whole", tmp_path / "run")


def test_validation_says_how_far_it_is(tmp_path: Path) -> None:
    run, lines = prepared(tmp_path, hyperparameters=IN_PARTS), list[str]()
    training = Training(context_of(run, write=lines.append, clock=count().__next__))
    training.context.reporter.begin(StageName.PRETRAIN, ())
    training.take_step()
    training.look()
    training.save()
    training.evaluate()
    told = [Progress.model_validate_json(line).message for line in lines]
    assert list(dict.fromkeys(told[told.index("validating: 0 of 6 windows") :])) == [
        *(f"validating: {done} of 6 windows" for done in (0, 2, 4)),
        None,
    ]


def test_a_checkpoint_that_was_cut_off_is_passed_over(uninterrupted: Path, tmp_path: Path) -> None:
    run = prepared(tmp_path)
    context = context_of(run, stop=StopAfter(9))
    with pytest.raises(Interrupted):
        pretrain(context)
    note = newest(tmp_path)
    assert note is not None
    weights = tmp_path / "checkpoints" / note.name / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-7])
    older = newest(tmp_path)
    assert older is not None
    assert older.step < note.step
    context.reporter.close()
    again = context_of(run)
    pretrain(again)
    again.reporter.close()
    assert_same_run(uninterrupted, tmp_path)
