"""Runs of the whole program over texts: from files to an evaluated model, killed, and in pairs."""

from __future__ import annotations

import os
import random
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from puna_trainer.checkpoint.folder import read_weights
from puna_trainer.config.run import Run
from puna_trainer.distributed import join
from puna_trainer.errors import Interrupted
from puna_trainer.exits import Exit
from puna_trainer.files import read_json
from puna_trainer.language.pretrain import Training
from puna_trainer.language.spread import in_shards
from puna_trainer.loop import take_steps
from puna_trainer.reporting.log import read_log
from puna_trainer.reporting.reporter import Reporter
from puna_trainer.stage import StageContext
from puna_trainer.stop import StopSignal
from tests.trainer.language.runs import resumable_run, source_of
from tests.trainer.processes import FORKS, LIMIT_SECONDS, Running, SignalAfter, carried_out, start
from tests.trainer.stops import StopAfter

STAGES = [{"name": name} for name in ("data", "tokenizer", "pretrain", "evaluate")]


def run_of(output: Path, source: Path, **changed: Any) -> Run:
    """Return a run of the program over the texts of a file."""
    dataset = {"uri": f"file://{source}", "format": "jsonl", "validationPercent": 30}
    return resumable_run(output, **({"dataset": dataset, "stages": STAGES} | changed))


def log(output: Path) -> list[dict[str, Any]]:
    return list(read_log(output / "logs" / "log.jsonl"))


def losses(output: Path) -> list[float]:
    return [entry["loss"] for entry in log(output) if entry["kind"] == "step"]


def last_weights(output: Path) -> dict[str, torch.Tensor]:
    folder = output / "checkpoints"
    return read_weights(folder / read_json(folder / "latest.json")["name"])


def pair(run: Run, *, signal_after: tuple[int, int] | None = None) -> list[Running]:
    """The two processes of a run; the second may get a signal."""
    return [
        start(
            run,
            environment={"WORLD_SIZE": "2", "RANK": rank},
            signal_after=signal_after if rank == "1" else None,
        )
        for rank in ("0", "1")
    ]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return source_of(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def whole(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the run leaves if nobody disturbs it."""
    output = tmp_path_factory.mktemp("whole")
    assert carried_out(run_of(output, source)) == Exit.DONE
    return output


def test_a_run_goes_from_texts_to_an_evaluated_model(whole: Path) -> None:
    result = read_json(whole / "result.json")
    assert result["done"] == [stage["name"] for stage in STAGES]
    assert {"perplexity", "bits_per_byte", "bigram_perplexity"} <= result["metrics"].keys()
    assert result["metrics"]["perplexity"] < result["metrics"]["chance_perplexity"]


def test_stages_whose_inputs_are_unchanged_are_skipped(source: Path, tmp_path: Path) -> None:
    assert carried_out(run_of(tmp_path, source)) == Exit.DONE
    before = log(tmp_path)
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.glob("tokenizer/*")}
    question = {"questions": [{"prompt": "the", "expected": "red"}]}
    assert carried_out(run_of(tmp_path, source, evaluation=question)) == Exit.DONE
    assert log(tmp_path) == before
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("tokenizer/*")} == stamps
    assert len(read_json(tmp_path / "evaluation.json")["answers"]) == 1


def test_a_run_killed_at_random_steps_learns_the_same_to_the_bit(
    source: Path, whole: Path, tmp_path: Path
) -> None:
    run = run_of(tmp_path, source)
    drawn = random.Random(3)
    codes = [start(run, signal_after=(signal.SIGKILL, drawn.randint(1, 6))).end() for _ in range(5)]
    assert codes[0] == -signal.SIGKILL
    assert set(codes) <= {-signal.SIGKILL, Exit.DONE}
    assert carried_out(run) == Exit.DONE
    assert log(tmp_path) == log(whole)
    expected, actual = last_weights(whole), last_weights(tmp_path)
    assert expected.keys() == actual.keys()
    assert all(torch.equal(actual[name], expected[name]) for name in expected)
    assert read_json(tmp_path / "evaluation.json") == read_json(whole / "evaluation.json")


def test_two_processes_learn_what_one_does(source: Path, whole: Path, tmp_path: Path) -> None:
    assert [running.end() for running in pair(run_of(tmp_path, source))] == [Exit.DONE, Exit.DONE]
    assert losses(tmp_path) == pytest.approx(losses(whole), abs=1e-5)
    looks, expected = (
        [entry["valLoss"] for entry in log(output) if entry["kind"] != "step"]
        for output in (tmp_path, whole)
    )
    assert looks == pytest.approx(expected, abs=1e-5)


def test_a_signal_to_one_process_saves_and_ends_both(source: Path, tmp_path: Path) -> None:
    run = run_of(tmp_path, source)
    codes = [running.end() for running in pair(run, signal_after=(signal.SIGTERM, 5))]
    assert codes == [Exit.INTERRUPTED, Exit.INTERRUPTED]
    assert read_json(tmp_path / "checkpoints" / "latest.json")["step"] == 5
    assert [running.end() for running in pair(run)] == [Exit.DONE, Exit.DONE]


def _validate(document: str, rank: int, looks: int) -> None:
    """Train as one of two processes; the second hears SIGTERM after some looks for it."""
    torch.set_num_threads(1)
    run, device = Run.model_validate_json(document), torch.device("cpu")
    output = Path(run.output_directory)
    stop = StopAfter(looks) if rank == 1 else StopSignal()
    group = join({"WORLD_SIZE": "2", "RANK": str(rank)}, output, device)
    logs = output / "logs" if group.is_first else None
    reporter = Reporter(run, logs, write=lambda _line: None, clock=time.monotonic)
    code = Exit.DONE
    try:
        take_steps(Training(StageContext(run, output, device, reporter, stop, group, "0" * 64)))
    except Interrupted:
        code = Exit.INTERRUPTED
    reporter.close()
    group.leave()
    os._exit(code)


def test_a_signal_to_one_process_while_validating_ends_both(source: Path, tmp_path: Path) -> None:
    prepared = [{"name": name} for name in ("data", "tokenizer")]
    assert carried_out(run_of(tmp_path, source, stages=prepared)) == Exit.DONE
    document = run_of(tmp_path, source).model_dump_json(by_alias=True)
    # Seven steps look, each once, and then validation does.
    for looks, code in ((7, Exit.INTERRUPTED), (1000, Exit.DONE)):
        processes = [
            FORKS.Process(target=_validate, args=(document, rank, looks)) for rank in (0, 1)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join(LIMIT_SECONDS)
        assert [process.exitcode for process in processes] == [code, code]
        if code == Exit.INTERRUPTED:
            assert read_json(tmp_path / "checkpoints" / "latest.json")["step"] == 7
            assert log(tmp_path)[-1]["kind"] == "step"


def _train_in_shards(document: str, rank: int, steps: int) -> None:
    """Train in shards as one of two processes; SIGTERM comes after some steps."""
    torch.set_num_threads(1)
    run, device, stop = Run.model_validate_json(document), torch.device("cpu"), StopSignal()
    output = Path(run.output_directory)
    stop.listen()
    register_optimizer_step_post_hook(SignalAfter(signal.SIGTERM, steps))
    group = join({"WORLD_SIZE": "2", "RANK": str(rank)}, output, device)
    logs = output / "logs" if group.is_first else None
    reporter = Reporter(run, logs, write=lambda _line: None, clock=time.monotonic)
    context = StageContext(run, output, device, reporter, stop, group, "0" * 64)
    with suppress(Interrupted):
        take_steps(Training(context, in_shards))
    reporter.close()
    group.leave()
    os._exit(0)


def test_a_model_in_shards_learns_what_a_whole_one_does_and_goes_on(
    source: Path, whole: Path, tmp_path: Path
) -> None:
    prepared = [{"name": "data"}, {"name": "tokenizer"}]
    assert carried_out(run_of(tmp_path, source, stages=prepared)) == Exit.DONE
    document = run_of(tmp_path, source).model_dump_json(by_alias=True)
    for steps in (5, 1000):
        processes = [
            FORKS.Process(target=_train_in_shards, args=(document, rank, steps)) for rank in (0, 1)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join(LIMIT_SECONDS)
        assert [process.exitcode for process in processes] == [0, 0]
    assert losses(tmp_path) == pytest.approx(losses(whole), abs=1e-5)
    expected, actual = last_weights(whole), last_weights(tmp_path)
    assert expected.keys() == actual.keys()
