"""What a run says of itself: at most a line a second, a curve of few points, a short last word."""

from __future__ import annotations

import json
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from puna_trainer.config.output import ArtifactType, StageName
from puna_trainer.exits import Exit, FailureReason
from puna_trainer.progress import RESULT_BYTES, Artifact, Parity, Progress
from puna_trainer.reporting.log import Log, read_log
from puna_trainer.reporting.page import page
from puna_trainer.reporting.reporter import Reporter
from puna_trainer.reporting.termination import result_text
from tests.trainer.digits import fitted, run_of


class Clock:
    """Stands still until it is moved."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def reporter_in(folder: Path | None, clock: Clock, lines: list[str]) -> Reporter:
    return Reporter(run_of(Path("/nowhere")), folder, write=lines.append, clock=clock)


def test_a_line_goes_out_once_a_second_and_at_once_for_a_stage() -> None:
    clock, lines = Clock(), list[str]()
    reporter = reporter_in(None, clock, lines)
    reporter.begin(StageName.DATA, ())
    for tenth in range(25):
        clock.now = tenth / 10
        reporter.message(f"{tenth} files")
    reporter.begin(StageName.TRAIN, (StageName.DATA,))
    told = [Progress.model_validate_json(line) for line in lines]
    assert [line.message for line in told] == [None, "10 files", "20 files", None]
    assert [line.stage for line in told] == ["data", "data", "data", "train"]


def test_a_message_ends_with_the_first_step() -> None:
    clock, lines = Clock(), list[str]()
    reporter = reporter_in(None, clock, lines)
    reporter.begin(StageName.TRAIN, ())
    clock.now = 1
    reporter.message("compiling the model")
    clock.now = 2
    reporter.steps([{"step": 1, "epoch": 1, "loss": 1.0}], examples=10)
    told = [Progress.model_validate_json(line) for line in lines]
    assert [line.message for line in told] == [None, "compiling the model", None]


def test_the_loss_of_a_line_is_the_mean_since_the_line_before() -> None:
    clock, lines = Clock(), list[str]()
    reporter = reporter_in(None, clock, lines)
    reporter.begin(StageName.TRAIN, ())
    reporter.tell(total_steps=8)
    for step in range(1, 5):
        clock.now = step / 2
        reporter.steps([{"step": step, "epoch": 1, "loss": float(step)}], examples=10)
    told = [Progress.model_validate_json(line) for line in lines]
    assert [line.loss for line in told] == [None, 1.5, 3.5]
    assert told[-1].images_per_second == 20
    assert told[-1].eta_seconds == 2


def test_a_resumed_log_has_no_step_twice(tmp_path: Path) -> None:
    log = Log(tmp_path)
    for step in range(1, 6):
        log.add({"kind": "step", "step": step})
    log.add({"kind": "evaluation", "step": 4})
    log.flush()
    with log.path.open("a") as stream:
        stream.write('{"kind": "step", "st')
    log.cut_after(4)
    log.add({"kind": "evaluation", "step": 4})
    log.add({"kind": "step", "step": 5})
    log.close()
    found = [(entry["kind"], entry["step"]) for entry in read_log(log.path)]
    steps = [("step", step) for step in range(1, 5)]
    assert found == [*steps, ("evaluation", 4), ("step", 5)]


def test_steps_are_in_the_log_before_a_checkpoint_of_them_can_be_there(tmp_path: Path) -> None:
    reporter = reporter_in(tmp_path, Clock(), [])
    reporter.steps([{"step": 1, "epoch": 1, "loss": 2.0}], examples=10)
    assert [entry["step"] for entry in read_log(tmp_path / "log.jsonl")] == [1]
    reporter.close()


def test_tensorboard_shows_losses_rates_and_accuracy(tmp_path: Path) -> None:
    found = fitted(run_of(tmp_path))
    events = EventAccumulator(str(tmp_path / "logs" / "tensorboard"))
    events.Reload()
    assert {"train/loss", "train/learning_rate", "validation/accuracy"} <= set(
        events.Tags()["scalars"]
    )
    assert [event.step for event in events.Scalars("train/loss")] == list(range(1, 21))
    accuracy = [event.value for event in events.Scalars("validation/accuracy")]
    assert len(accuracy) == len(found.evaluations) == 2


def test_an_epoch_is_logged_with_the_mean_of_its_losses(tmp_path: Path) -> None:
    found = fitted(run_of(tmp_path))
    epochs = [entry for entry in found.entries if entry["kind"] == "epoch"]
    assert [entry["epoch"] for entry in epochs] == [1, 2]
    assert epochs[1]["loss"] == sum(found.losses[10:]) / 10


def test_a_result_fits_into_a_termination_message() -> None:
    reporter = reporter_in(None, Clock(), [])
    parity = Parity(ids_equal=True, nmse=1e-9, positions=4096, kld=0.001, top1=0.99)
    reporter.artifacts = tuple(
        Artifact(
            name=kind,
            path="export/" + "long" * 50,
            type=kind,
            sha256="0" * 64,
            size_bytes=10**9,
            parity=parity,
        )
        for kind in ArtifactType
    )
    result = reporter.result(Exit.REFUSED, FailureReason.BAD_CONFIG, "no " * 2000)
    text = result_text(result)
    assert len(text.encode()) <= RESULT_BYTES
    assert json.loads(text)["reason"] == "BadConfig"


def test_a_page_shows_what_came_from_outside_as_text() -> None:
    run = run_of(Path("/nowhere"), evaluation={})
    reporter = reporter_in(None, Clock(), [])
    result = reporter.result(Exit.REFUSED, FailureReason.BAD_CONFIG, "<script>alert(1)</script>")
    shown = page(run, result, [], {})
    assert "<script>" not in shown
    assert "BadConfig" in shown
