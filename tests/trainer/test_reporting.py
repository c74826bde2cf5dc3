"""What a run says of itself: at most a line a second, a curve of few points, a short last word."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from puna_trainer.config.output import ArtifactType, StageName
from puna_trainer.config.run import STAGES_OF, Task
from puna_trainer.exits import Exit, FailureReason
from puna_trainer.progress import (
    RESULT_BYTES,
    Artifact,
    CheckpointNote,
    Hashes,
    Parity,
    Progress,
    Result,
)
from puna_trainer.reporting.log import Log, read_log
from puna_trainer.reporting.page import page
from puna_trainer.reporting.reporter import Reporter
from puna_trainer.reporting.termination import result_text
from tests.trainer.digits import fitted, run_of
from tests.trainer.volumes import little_room


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


def test_logs_that_find_no_room_are_closed_all_the_same(tmp_path: Path) -> None:
    reporter = reporter_in(tmp_path, Clock(), [])
    with little_room(1000):
        entries = [{"step": step, "epoch": 1, "loss": 2.0} for step in range(1, 40)]
        with pytest.raises(OSError, match="File too large"):
            reporter.steps(entries, examples=10)
        with pytest.raises(OSError, match="File too large"):
            reporter.close()
        reporter.close()
    assert (tmp_path / "log.jsonl").stat().st_size == 1000


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


def proved(kind: ArtifactType, *, name: str, upload: str | None = None) -> Artifact:
    """A file as a long run leaves it: every measure has all its digits."""
    is_gguf = kind is not ArtifactType.SAFETENSORS
    file = f"{name}-{kind}.gguf" if is_gguf else str(kind)
    parity = Parity(
        ids_equal=True,
        nmse=1.2345678901234567e-07,
        positions=131072,
        kld=0.012345678901234567,
        kld_99=0.12345678901234567,
        top1=0.98765432109876543,
        perplexity_ratio=1.0012345678901234,
        greedy_equal=False,
    )
    return Artifact(
        name=kind,
        path=f"export/{file}",
        type=kind,
        sha256="5" * 64,
        size_bytes=16_069_719_392,
        bits_per_weight=4.8934567890123456 if is_gguf else None,
        parity=parity if is_gguf else None,
        uploaded_to=upload and f"{upload}/{file}",
    )


def done(name: str, upload: str | None = None) -> Result:
    """The result of a run that is done and exported every type."""
    reporter = reporter_in(None, Clock(), [])
    reporter.hashes = Hashes(config="1" * 64, code="2" * 64, data="3" * 64, tokenizer="4" * 64)
    names = ("perplexity", "bits_per_byte", "bigram_perplexity", "bigram_bits_per_byte")
    more = ("chance_perplexity", "chance_bits_per_byte", "questions_right", "completions_parsed")
    reporter.metrics = dict.fromkeys((*names, *more), 12.345678901234567)
    note = CheckpointNote(name="step_1000000", step=1_000_000, sha256="6" * 64, metric=2.3456789)
    stages = tuple(STAGES_OF[Task.LANGUAGE_MODEL])
    reporter.begin(StageName.EXPORT, stages[:-1])
    reporter.tell(latest=note, step=1_000_000)
    reporter.finish(stages)
    reporter.artifacts = tuple(proved(kind, name=name, upload=upload) for kind in ArtifactType)
    return reporter.result(Exit.DONE)


@pytest.mark.parametrize("upload", [None, "s3://" + "b" * 145])
@pytest.mark.parametrize("name", ["tiny", "n" * 63])
def test_a_termination_message_keeps_what_files_are_served_by_and_what_proved_them(
    name: str, upload: str | None
) -> None:
    told = done(name, upload)
    text = result_text(told)
    assert len(text.encode()) <= RESULT_BYTES
    read = Result.model_validate_json(text)
    served = {"name", "path", "type", "sha256", "size_bytes"}
    assert [item.model_dump(include=served) for item in read.artifacts] == [
        item.model_dump(include=served) for item in told.artifacts
    ]
    decisive = Parity(
        ids_equal=True,
        nmse=1.235e-07,
        positions=131072,
        kld=0.01235,
        top1=0.9877,
        perplexity_ratio=1.001,
    )
    kept = set(Parity.model_fields) - {"kld_99", "greedy_equal"}
    for item in read.artifacts:
        if item.type is not ArtifactType.SAFETENSORS:
            assert item.parity is not None
            assert item.parity.model_dump(include=kept) == decisive.model_dump(include=kept)
    assert read.done == told.done
    assert read.metrics == dict.fromkeys(told.metrics, 12.35)


def test_a_termination_message_with_room_says_all(tmp_path: Path) -> None:
    upload = f"file://{tmp_path}"
    told = done("tiny").model_copy(
        update={"artifacts": (proved(ArtifactType.Q4_K_M, name="tiny", upload=upload),)}
    )
    read = Result.model_validate_json(result_text(told))
    assert read.artifacts[0].uploaded_to == f"{upload}/tiny-Q4_K_M.gguf"
    assert read.artifacts[0].parity is not None
    assert (read.artifacts[0].parity.kld_99, read.artifacts[0].parity.greedy_equal) == (
        0.1235,
        False,
    )
    assert read.hashes == told.hashes
    assert read.checkpoint is not None


def test_a_page_shows_what_came_from_outside_as_text() -> None:
    run = run_of(Path("/nowhere"), evaluation={})
    reporter = reporter_in(None, Clock(), [])
    result = reporter.result(Exit.REFUSED, FailureReason.BAD_CONFIG, "<script>alert(1)</script>")
    shown = page(run, result, [], {})
    assert "<script>" not in shown
    assert "BadConfig" in shown


def test_a_page_shows_classes_whose_names_are_signs_of_mathematics() -> None:
    run = run_of(Path("/nowhere"), evaluation={})
    result = reporter_in(None, Clock(), []).result(Exit.DONE)
    names = ("$", "$$", "$x^$")
    evaluation = {
        "classes": [{"name": name} for name in names],
        "confusion": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    }
    shown = page(run, result, [], evaluation)
    assert all(f"<!-- {name} -->" in shown for name in names)
