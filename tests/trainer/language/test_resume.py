"""Pre-training that was left, wherever, is the one that was not: bit for bit on a processor."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from puna_trainer.checkpoint.store import Store
from puna_trainer.config.output import Checkpoints
from puna_trainer.config.run import Run
from puna_trainer.errors import Interrupted
from puna_trainer.language.pretrain import Training, pretrain
from puna_trainer.language.tokenizer_stage import make_tokenizer
from puna_trainer.progress import CheckpointNote
from puna_trainer.stop import StopSignal
from tests.trainer.language.runs import context_of, logged, resumable_run, sentences, write_data


class StopAfter(StopSignal):
    """A signal that comes after some looks whether it has come."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self._looks = looks

    def __getattribute__(self, name: str) -> object:
        if name == "requested":
            self._looks -= 1
            return self._looks < 0
        return super().__getattribute__(name)


def prepared(output: Path) -> Run:
    run = resumable_run(output)
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
        # Encoding the data looks as well, the first time.
        context = context_of(run, stop=StopAfter(2 if len(steps) > 1 else 4))
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
