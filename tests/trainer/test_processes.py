"""Two processes learn what one does, and one that is lost ends the other."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
import torch

from puna_trainer.checkpoint.folder import read_weights
from puna_trainer.config.run import Run
from puna_trainer.exits import Exit
from puna_trainer.reporting.log import read_log
from tests.trainer.digits import run_of, write_idx
from tests.trainer.processes import Running, carried_out, start


def losses(folder: Path) -> list[float]:
    entries = read_log(folder / "logs" / "log.jsonl")
    return [entry["loss"] for entry in entries if entry["kind"] == "step"]


def pair(run: Run, *, signal_after: tuple[int, int] | None = None) -> list[Running]:
    """The two processes of a run; the second may get a signal."""
    return [
        start(
            run,
            environment={"WORLD_SIZE": "2", "JOB_COMPLETION_INDEX": rank, "RANK": rank},
            signal_after=signal_after if rank == "1" else None,
        )
        for rank in ("0", "1")
    ]


@pytest.mark.parametrize("model", ["cnn_mnist", "mlp"])
def test_two_processes_learn_what_one_does(tmp_path: Path, model: str) -> None:
    data = write_idx(tmp_path / "digits", train=155)
    changed = {
        "model": {"name": model},
        "hyperparameters": {"augmentation": "affine", "accumulationSteps": 2},
    }
    one = run_of(tmp_path / "one", data=data, **changed)
    two = run_of(tmp_path / "two", data=data, **changed)
    assert carried_out(one) == Exit.DONE
    assert [running.end() for running in pair(two)] == [Exit.DONE, Exit.DONE]
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), abs=1e-6)
    first, second = (
        read_weights(tmp_path / name / "checkpoints" / "epoch_2") for name in ("one", "two")
    )
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_processes_that_compute_other_parts_differ_by_rounding(tmp_path: Path) -> None:
    data = write_idx(tmp_path / "digits", train=155)
    chosen = {"hyperparameters": {"optimizer": "sgd"}}
    assert carried_out(run_of(tmp_path / "one", data=data, **chosen)) == Exit.DONE
    two = run_of(tmp_path / "two", data=data, **chosen)
    assert [running.end() for running in pair(two)] == [Exit.DONE, Exit.DONE]
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), abs=1e-5)


def test_a_signal_to_one_process_saves_and_ends_both(tmp_path: Path) -> None:
    data = write_idx(tmp_path / "digits")
    run = run_of(tmp_path / "run", data=data)
    codes = [running.end() for running in pair(run, signal_after=(signal.SIGTERM, 7))]
    assert codes == [Exit.INTERRUPTED, Exit.INTERRUPTED]
    assert (tmp_path / "run" / "checkpoints" / "step_7").is_dir()
    assert [running.end() for running in pair(run)] == [Exit.DONE, Exit.DONE]
    whole = run_of(tmp_path / "whole", data=data)
    assert [running.end() for running in pair(whole)] == [Exit.DONE, Exit.DONE]
    assert losses(tmp_path / "run") == losses(tmp_path / "whole")


def test_a_lost_process_ends_the_other_which_says_so(tmp_path: Path) -> None:
    data = write_idx(tmp_path / "digits")
    run = run_of(tmp_path / "run", data=data)
    first, second = pair(run, signal_after=(signal.SIGKILL, 7))
    assert second.end() == -signal.SIGKILL
    assert first.end() == Exit.TEMPORARY
    assert "RankLost" in (tmp_path / "run" / "result.json").read_text()
    assert [running.end() for running in pair(run)] == [Exit.DONE, Exit.DONE]
