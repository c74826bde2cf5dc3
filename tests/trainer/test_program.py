"""`python -m puna_trainer` as Kubernetes runs it: streams, exit code, termination message."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from puna_trainer.checkpoint.lock import hold
from puna_trainer.exits import Exit, FailureReason
from puna_trainer.progress import Progress, Result
from tests.trainer.digits import images, run_of, write_idx

LIMIT_SECONDS = 120


@dataclass(frozen=True)
class Outcome:
    """What a run of the program left behind."""

    code: int
    output: str
    log: str
    termination: str

    @property
    def result(self) -> Result:
        return Result.model_validate_json(self.termination)


def started(*arguments: str, termination: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "puna_trainer", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PUNA_TERMINATION_LOG": str(termination)},
    )


def finished(process: subprocess.Popen[str], termination: Path) -> Outcome:
    output, log = process.communicate(timeout=LIMIT_SECONDS)
    written = termination.read_text() if termination.exists() else ""
    return Outcome(process.returncode, output, log, written)


def program(*arguments: str, folder: Path) -> Outcome:
    termination = folder / "termination.json"
    return finished(started(*arguments, termination=termination), termination)


def run_file(folder: Path, **changed: Any) -> Path:
    """A run.json beside its data; members may be changed."""
    data = write_idx(folder / "digits")
    run = run_of(folder / "run", data=data)
    document = json.loads(run.model_dump_json(by_alias=True, exclude_defaults=True))
    path = folder / "run.json"
    path.write_text(json.dumps(document | changed))
    return path


def test_a_run_from_data_to_a_prediction(tmp_path: Path) -> None:
    path = run_file(tmp_path, device="auto")
    done = program(str(path), "--device", "cpu", folder=tmp_path)
    assert done.code == Exit.DONE, done.log
    assert done.result.metrics["test_accuracy"] > 0.9
    lines = [Progress.model_validate_json(line) for line in done.output.splitlines()]
    assert lines[-1].done == ("data", "train", "evaluate", "export")
    page = (tmp_path / "run" / "report.html").read_text()
    assert page.count("<svg") == 4
    assert "test_accuracy" in page

    pixels, labels = images(3, seed=9)
    files = []
    for number, image in enumerate(pixels):
        files.append(str(tmp_path / f"{number}.png"))
        Image.fromarray(image).save(files[-1])
    (artifact,) = done.result.artifacts
    for folder in (tmp_path / "run", tmp_path / "run" / artifact.path):
        told = program("predict", str(folder), *files, folder=tmp_path)
        assert told.code == Exit.DONE, told.log
        found = [json.loads(line) for line in told.output.splitlines()]
        assert [each["file"] for each in found] == files
        assert [each["label"] for each in found] == [str(label) for label in labels]
        assert all(each["probability"] > 0.5 for each in found)


def test_sigterm_saves_and_ends_with_143(tmp_path: Path) -> None:
    path = run_file(tmp_path, hyperparameters={"epochs": 10_000, "batchSize": 16})
    termination = tmp_path / "termination.json"
    process = started(str(path), termination=termination)
    deadline = time.monotonic() + LIMIT_SECONDS
    while not (tmp_path / "run" / "checkpoints" / "latest.json").exists():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    ended = finished(process, termination)
    assert ended.code == Exit.INTERRUPTED, ended.log
    assert ended.result.checkpoint is not None
    assert ended.result.checkpoint.step == ended.result.step


@pytest.mark.parametrize(
    ("changed", "reason", "field"),
    [
        ({"task": "Poetry"}, FailureReason.BAD_CONFIG, "task"),
        ({"colour": "blue"}, FailureReason.BAD_CONFIG, "colour"),
        ({"model": {}}, FailureReason.BAD_CONFIG, "model.name"),
        ({"device": "cuda"}, FailureReason.BAD_CONFIG, "device"),
        (
            {"device": "auto", "hyperparameters": {"precision": "float16"}},
            FailureReason.BAD_CONFIG,
            "hyperparameters.precision",
        ),
        (
            {"dataset": {"uri": "file:///nowhere/at/all", "format": "idx"}},
            FailureReason.BAD_CONFIG,
            "dataset.uri",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_reason_and_field(
    tmp_path: Path, changed: dict[str, Any], reason: FailureReason, field: str
) -> None:
    ended = program(str(run_file(tmp_path, **changed)), folder=tmp_path)
    assert ended.result.reason is reason, ended.log
    assert ended.code == ended.result.exit_code != 0
    assert field in ended.result.message
    assert field in ended.log


def test_a_run_is_done_although_its_report_cannot_be_made(tmp_path: Path) -> None:
    path = run_file(tmp_path, stages=[{"name": "data"}])
    left = tmp_path / "run" / "evaluation.json"
    left.parent.mkdir()
    left.write_text('{"classes": [{}]}')
    done = program(str(path), folder=tmp_path)
    assert (done.code, done.result.exit_code) == (Exit.DONE, Exit.DONE), done.log
    assert "report.html cannot be written" in done.log
    assert (tmp_path / "run" / "result.json").exists()


def test_a_file_that_is_not_there_is_a_wrong_configuration(tmp_path: Path) -> None:
    ended = program(str(tmp_path / "none.json"), folder=tmp_path)
    assert ended.code == Exit.REFUSED
    assert "none.json" in ended.result.message


def test_a_wrong_command_line_is_no_wrong_configuration(tmp_path: Path) -> None:
    assert program("--device", "abacus", folder=tmp_path).code == Exit.USAGE


def test_two_runs_do_not_share_an_output_folder(tmp_path: Path) -> None:
    path = run_file(tmp_path)
    with hold(tmp_path / "run", "another"):
        ended = program(str(path), folder=tmp_path)
    assert ended.code == Exit.TEMPORARY
    assert ended.result.reason is FailureReason.OUTPUT_UNUSABLE
    assert "another" in ended.result.message
    assert not (tmp_path / "run" / "result.json").exists()


def test_a_folder_without_a_classifier_tells_nothing(tmp_path: Path) -> None:
    ended = program("predict", str(tmp_path), "image.png", folder=tmp_path)
    assert ended.code == Exit.REFUSED
    assert "neither an exported classifier" in ended.log
