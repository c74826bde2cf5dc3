"""Pre-training: that it learns, that what should not matter does not, and when it ends."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from puna_trainer.checkpoint.store import Store
from puna_trainer.config.output import Checkpoints, StageName
from puna_trainer.config.run import Run
from puna_trainer.errors import TrainingError
from puna_trainer.exits import Exit, FailureReason
from puna_trainer.language.pretrain import Training, pretrain
from puna_trainer.language.tokenizer_stage import make_tokenizer
from puna_trainer.language.trained import best_model
from tests.trainer.language.runs import context_of, language_run, logged, sentences, write_data


def prepared(output: Path, *, documents: int = 24, **changed: Any) -> Run:
    """Return a run whose data and tokenizer are there."""
    run = language_run(output, **changed)
    write_data(output, sentences(documents), sentences(6, seed=1))
    make_tokenizer(context_of(run))
    return run


def losses(output: Path) -> list[float]:
    return [entry["loss"] for entry in logged(output) if entry["kind"] == "step"]


def test_loss_falls_far_below_that_of_equal_odds(tmp_path: Path) -> None:
    run = prepared(tmp_path, documents=48, hyperparameters={"epochs": 4, "learningRate": 0.01})
    pretrain(context_of(run))
    found = losses(tmp_path)
    assert found[0] == pytest.approx(math.log(290), abs=0.2)
    assert found[-1] < 0.5 * found[0]
    looks = [entry for entry in logged(tmp_path) if entry["kind"] == "epoch"]
    assert len(looks) == 4
    assert looks[-1]["valLoss"] < 0.6 * found[0]
    assert looks[-1]["perplexity"] == pytest.approx(math.exp(looks[-1]["valLoss"]))


def test_a_batch_in_parts_is_the_batch(tmp_path: Path) -> None:
    found = []
    for parts in (1, 2, 3, 5):
        output = tmp_path / str(parts)
        batch = {"batchSize": 15 if parts > 2 else 16, "accumulationSteps": parts, "epochs": 1}
        pretrain(context_of(prepared(output, documents=60, hyperparameters=batch)))
        found.append((batch["batchSize"], losses(output), best_model(output, torch.device("cpu"))))
    for (size, whole, (_, model)), (other, parted, (_, same)) in (
        (found[0], found[1]),
        (found[2], found[3]),
    ):
        assert size == other
        assert parted == pytest.approx(whole, rel=1e-5)
        for name, weight in model.state_dict().items():
            torch.testing.assert_close(same.state_dict()[name], weight, rtol=0, atol=1e-4)


def test_uneven_parts_count_by_their_tokens(tmp_path: Path) -> None:
    # 5 windows in 2 parts are 3 and 2: a mean of means would weigh them alike.
    run = prepared(tmp_path, hyperparameters={"batchSize": 5})
    training = Training(context_of(run))
    training.chosen = training.chosen.model_copy(update={"accumulation_steps": 2})
    training.take_step()
    whole = Training(context_of(run))
    whole.take_step()
    assert float(training.taken[0].loss) == pytest.approx(float(whole.taken[0].loss), rel=1e-6)
    assert float(training.taken[0].norm) == pytest.approx(float(whole.taken[0].norm), rel=1e-5)


def test_numbers_that_are_not_finite_end_the_run_with_the_weights_before(tmp_path: Path) -> None:
    run = prepared(tmp_path, checkpoint={"everySteps": 2})
    training = Training(context_of(run))
    for _ in range(3):
        training.take_step()
        training.look()
    training.save()
    before = {name: tensor.clone() for name, tensor in training.model.state_dict().items()}
    gain = training.model.get_parameter("model.norm.weight")
    with torch.no_grad():
        gain[0] = math.inf
    training.take_step()
    with pytest.raises(TrainingError, match=r"step 4: the loss is nan") as raised:
        training.look()
    assert raised.value.reason is FailureReason.NON_FINITE_LOSS
    after = training.model.state_dict()
    assert all(
        torch.equal(before[name], after[name]) for name in before if name != "model.norm.weight"
    )
    kept = Store(tmp_path / "checkpoints", Checkpoints(), None).newest()
    assert kept is not None
    assert all(torch.equal(before[name], tensor) for name, tensor in kept.model.items())


def test_a_validation_loss_that_is_no_number_ends_the_run_before_its_checkpoint(
    tmp_path: Path,
) -> None:
    run = prepared(
        tmp_path, checkpoint={"everySteps": 2}, hyperparameters={"evaluateEverySteps": 4}
    )
    context = context_of(run)
    training = Training(context)
    for step in range(1, 5):
        assert not training.is_done()
        training.take_step()
        training.look()
        if training.timetable.saves(step):
            training.save()
    gain = training.model.get_parameter("model.norm.weight")
    with torch.no_grad():
        gain[0] = math.inf
    with pytest.raises(TrainingError, match="the validation loss after step 4 is nan") as raised:
        training.is_done()
    assert raised.value.reason is FailureReason.NON_FINITE_LOSS
    newest = Store(tmp_path / "checkpoints", Checkpoints(), None).newest_note()
    assert newest is not None
    assert newest.step == 2
    assert context.reporter.result(Exit.REFUSED).checkpoint == newest
    assert not (tmp_path / "checkpoints" / "best.json").exists()
    assert [entry["kind"] for entry in logged(tmp_path)] == ["step"] * 4


def test_the_first_validation_loss_that_is_no_number_leaves_no_checkpoint(tmp_path: Path) -> None:
    run = prepared(tmp_path, hyperparameters={"evaluateEverySteps": 1})
    training = Training(context_of(run))
    training.take_step()
    training.look()
    training.save()
    with torch.no_grad():
        training.model.get_parameter("model.norm.weight")[0] = math.inf
    with pytest.raises(TrainingError, match="the validation loss after step 1"):
        training.is_done()
    assert not (tmp_path / "checkpoints" / "latest.json").exists()
    assert Training(context_of(run)).step == 0


def test_training_ends_when_nothing_gets_better_and_the_best_is_kept(tmp_path: Path) -> None:
    run = prepared(
        tmp_path,
        documents=6,
        hyperparameters={
            "epochs": 400,
            "maxSteps": 400,
            "learningRate": 0.02,
            "schedule": "constant",
            "evaluateEverySteps": 10,
            "earlyStopping": {"patience": 2},
        },
    )
    pretrain(context_of(run))
    looks = {
        entry["step"]: entry["valLoss"] for entry in logged(tmp_path) if entry["kind"] != "step"
    }
    steps = list(looks)
    best = min(looks, key=lambda step: looks[step])
    assert steps[-1] < 400
    assert steps.index(best) == len(steps) - 3
    note, _ = best_model(tmp_path, torch.device("cpu"))
    assert (note.step, note.metric) == (best, looks[best])


def test_data_shorter_than_a_context_is_refused(tmp_path: Path) -> None:
    run = prepared(tmp_path)
    long = run.model.model_copy(update={"context_length": 4096})
    with pytest.raises(TrainingError, match=r"contextLength is 4096, but .* only \d+ tokens"):
        pretrain(context_of(run.model_copy(update={"model": long})))


def test_a_batch_too_small_for_its_parts_is_refused(tmp_path: Path) -> None:
    run = prepared(tmp_path, hyperparameters={"batchSize": 2})
    chosen = run.hyperparameters.model_copy(update={"accumulation_steps": 4})
    with pytest.raises(TrainingError, match="batchSize: 2 examples cannot be shared"):
        pretrain(context_of(run.model_copy(update={"hyperparameters": chosen})))


def test_bfloat16_learns_the_same_roughly_and_keeps_its_weights_in_float32(tmp_path: Path) -> None:
    found = []
    for precision in ("float32", "bfloat16"):
        output = tmp_path / precision
        run = prepared(output, hyperparameters={"precision": precision})
        pretrain(context_of(run))
        found.append(losses(output)[-1])
        _, model = best_model(output, torch.device("cpu"))
        assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert found[0] != found[1]
    assert found[1] == pytest.approx(found[0], rel=0.02)


def test_progress_tells_speed_and_perplexity_of_every_step(tmp_path: Path) -> None:
    lines: list[str] = []
    run = prepared(tmp_path)
    context = context_of(run, write=lines.append)
    context.reporter.begin(StageName.PRETRAIN, ())
    pretrain(context)
    context.reporter.write_line()
    assert '"tokensPerSecond"' in lines[-1]
    assert '"perplexity"' in lines[-1]
    assert '"message"' not in lines[-1]
    assert all("modelFlopsUtilisation" not in entry for entry in logged(tmp_path))
