"""Two processes learn what one does, and one that is lost ends the other."""

from __future__ import annotations

import os
import signal
import time
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from unittest.mock import patch

import pytest
import torch

from puna_trainer.checkpoint.folder import read_weights
from puna_trainer.config.run import Run, read_run
from puna_trainer.distributed import join
from puna_trainer.errors import Interrupted, TrainingError
from puna_trainer.exits import EXIT_OF, Exit, FailureReason
from puna_trainer.files import read_json
from puna_trainer.reporting.log import read_log
from puna_trainer.stop import StopSignal
from tests.ports import free_port
from tests.trainer.digits import fitted, image_data, run_of, write_idx
from tests.trainer.processes import FORKS, LIMIT_SECONDS, Running, carried_out, start
from tests.trainer.stops import StopAfter

THROUGH = os.fsync


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


def _train(document: str, rank: int, looks: int) -> None:
    """Train as one of two processes; the second hears SIGTERM after some looks for it."""
    torch.set_num_threads(1)
    run = read_run(document)
    stop = StopAfter(looks) if rank == 1 else StopSignal()
    variables = {"WORLD_SIZE": "2", "RANK": str(rank)}
    group = join(variables, Path(run.output_directory), torch.device("cpu"))
    code = Exit.DONE
    try:
        # Of 1001 images the second process has none left where both look a second time.
        fitted(run, data=image_data(validation=1001), stop=stop, group=group)
    except Interrupted:
        code = Exit.INTERRUPTED
    group.leave()
    os._exit(code)


def test_a_signal_to_one_process_while_validating_ends_both(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    # Ten steps look, each once, and then validation does, twice.
    for looks, code, validated in ((11, Exit.INTERRUPTED, 0), (1000, Exit.DONE, 2)):
        processes = [
            FORKS.Process(target=_train, args=(run.model_dump_json(by_alias=True), rank, looks))
            for rank in (0, 1)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join(LIMIT_SECONDS)
        assert [process.exitcode for process in processes] == [code, code]
        entries = list(read_log(tmp_path / "logs" / "log.jsonl"))
        assert len([entry for entry in entries if "valLoss" in entry]) == validated
        if code == Exit.INTERRUPTED:
            assert read_json(tmp_path / "checkpoints" / "latest.json")["step"] == 10


def _through_slowly(file: int) -> None:
    time.sleep(0.1)
    THROUGH(file)


def _save_slowly(document: str, rank: int) -> None:
    """Train as one of two; the first has a slow volume, and the second hears SIGTERM."""
    torch.set_num_threads(1)
    run, stop = read_run(document), StopSignal()
    checkpoints = Path(run.output_directory) / "checkpoints"
    variables = {"WORLD_SIZE": "2", "RANK": str(rank)}
    group = join(variables, Path(run.output_directory), torch.device("cpu"))
    stop.requested = rank == 1
    code = Exit.DONE
    try:
        with patch("os.fsync", _through_slowly) if rank == 0 else nullcontext():
            fitted(run, stop=stop, group=group)
    except Interrupted:
        code = Exit.INTERRUPTED if (checkpoints / "latest.json").exists() else Exit.BUG
    group.leave()
    os._exit(code)


def test_no_process_ends_before_the_first_has_saved(tmp_path: Path) -> None:
    """Of several in one Pod torchrun kills the others 30 s after one has ended."""
    document = run_of(tmp_path).model_dump_json(by_alias=True)
    processes = [FORKS.Process(target=_save_slowly, args=(document, rank)) for rank in (0, 1)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(LIMIT_SECONDS)
    assert [process.exitcode for process in processes] == [Exit.INTERRUPTED, Exit.INTERRUPTED]


def test_a_lost_process_ends_the_other_which_says_so(tmp_path: Path) -> None:
    data = write_idx(tmp_path / "digits")
    run = run_of(tmp_path / "run", data=data)
    first, second = pair(run, signal_after=(signal.SIGKILL, 7))
    assert second.end() == -signal.SIGKILL
    assert first.end() == Exit.RANK_LOST
    assert "RankLost" in (tmp_path / "run" / "result.json").read_text()
    assert [running.end() for running in pair(run)] == [Exit.DONE, Exit.DONE]


def place(rank: int, how: str) -> dict[str, str]:
    """The variables of one of two processes, which meet in the output folder or at a port."""
    found = {"WORLD_SIZE": "2", "RANK": str(rank)}
    if how == "port":
        found |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    return found


@pytest.mark.parametrize("how", ["folder", "port"])
@pytest.mark.parametrize(("rank", "told"), [(0, "rank 1 did not come"), (1, "the first one")])
def test_processes_that_do_not_meet_say_another_thing_than_one_that_lost_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, rank: int, told: str
) -> None:
    monkeypatch.setattr("puna_trainer.distributed.MEETING_SECONDS", 0.5)
    monkeypatch.setattr("puna_trainer.distributed.ATTEMPT_SECONDS", 0.2)
    with pytest.raises(TrainingError, match=told) as caught:
        join(place(rank, how), tmp_path, torch.device("cpu"))
    assert caught.value.reason is FailureReason.RANK_MISSING
    assert EXIT_OF[caught.value.reason] is Exit.TEMPORARY


@pytest.mark.parametrize("how", ["folder", "port"])
def test_a_process_that_waits_for_others_says_so_and_hears_the_signal(
    tmp_path: Path, how: str
) -> None:
    first = start(run_of(tmp_path), environment=place(0, how))
    deadline = time.monotonic() + LIMIT_SECONDS
    while not (first.output.exists() and first.progress):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    (line,) = {item.message for item in first.progress}
    assert line == "waiting for the other processes of this run"
    assert first.process.pid is not None
    os.kill(first.process.pid, signal.SIGTERM)
    assert first.end(20) == Exit.INTERRUPTED


@pytest.mark.parametrize("how", ["folder", "port"])
def test_a_process_that_looks_for_the_first_hears_the_signal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr("puna_trainer.distributed.ATTEMPT_SECONDS", 0.2)
    stop = StopAfter(2)

    def look(_rank: int, _message: str) -> None:
        stop.check()

    with pytest.raises(Interrupted):
        join(place(1, how), tmp_path, torch.device("cpu"), look)


def _work_alone(folder: str, rank: int) -> None:
    """Meet as one of two; the second works alone for longer than they may take to connect."""
    connecting = timedelta(seconds=2)
    with patch("puna_trainer.distributed.CONNECTING", connecting):
        group = join(place(rank, "folder"), Path(folder), torch.device("cpu"))
    time.sleep(rank * 2 * connecting.total_seconds())
    group.wait()
    group.leave()
    os._exit(Exit.DONE)


def test_processes_that_have_met_wait_for_one_that_works_alone(tmp_path: Path) -> None:
    processes = [FORKS.Process(target=_work_alone, args=(str(tmp_path), rank)) for rank in (0, 1)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(LIMIT_SECONDS)
    assert [process.exitcode for process in processes] == [Exit.DONE, Exit.DONE]
