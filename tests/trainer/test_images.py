"""A classifier learns what its run says, and its best checkpoint is what the run is left with."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import pytest
import torch

from puna_trainer.checkpoint.folder import read_weights
from puna_trainer.checkpoint.store import Store
from puna_trainer.config.hyperparameters import Augmentation, Hyperparameters, Optimizer
from puna_trainer.config.model import ImageModel
from puna_trainer.config.run import Run
from puna_trainer.data.images import load_images
from puna_trainer.data.stage import prepare_data
from puna_trainer.distributed import ProcessGroup
from puna_trainer.errors import Interrupted, TrainingError
from puna_trainer.exits import Exit, FailureReason
from puna_trainer.files import read_json
from puna_trainer.images.alone import check_parts
from puna_trainer.images.augment import augment, choices
from puna_trainer.images.evaluate import evaluate
from puna_trainer.images.models import Description, build
from puna_trainer.images.train import Training
from puna_trainer.optimizer import build_optimizer, guarded_step
from puna_trainer.progress import CURVE_POINTS
from puna_trainer.randomness import generator
from puna_trainer.reporting.reporter import Reporter
from puna_trainer.stage import StageContext
from puna_trainer.stop import StopSignal
from tests.trainer.digits import (
    CLASSES,
    CPU,
    INPUTS,
    SIDE,
    Fitted,
    fitted,
    image_data,
    run_of,
    write_idx,
)
from tests.trainer.stops import StopAfter

STEPS_OF_EPOCH = 10
"""Batches of 16 in 160 images; on a processor each looks for the signal once."""


def best_name(found: Fitted) -> str:
    note = Store(found.folder / "checkpoints", run_of(found.folder).checkpoint, INPUTS).best_note()
    assert note is not None
    return note.name


def names(found: Fitted) -> set[str]:
    return {path.name for path in (found.folder / "checkpoints").iterdir() if path.is_dir()}


def weights(found: Fitted, name: str) -> dict[str, torch.Tensor]:
    return read_weights(found.folder / "checkpoints" / name)


@pytest.mark.parametrize("optimizer", ["adamw", "adadelta", "sgd"])
def test_the_loss_falls_on_64_images(tmp_path: Path, optimizer: str) -> None:
    run = run_of(tmp_path, hyperparameters={"epochs": 8, "optimizer": optimizer})
    losses = fitted(run, data=image_data(train=64)).losses
    assert len(losses) == 32
    assert losses[-1] < losses[0] / 4


@pytest.mark.parametrize("name", ["cnn_mnist", "mlp", "resnet18"])
def test_every_model_learns(tmp_path: Path, name: str) -> None:
    found = fitted(run_of(tmp_path, model={"name": name}, hyperparameters={"epochs": 1}))
    assert sum(found.losses[-3:]) < sum(found.losses[:3])


@pytest.mark.parametrize(
    ("chosen", "told"),
    [
        ({"batchSize": 7}, "batchSize: with 7 a part .*training images: 15, .*; use 6$"),
        ({"batchSize": 8, "accumulationSteps": 4}, "batchSize: with 8 .*; use 16$"),
        ({"batchSize": 5, "accumulationSteps": 5}, "batchSize: with 5 .*; use 15$"),
        ({"batchSize": 8, "accumulationSteps": 8}, "use fewer accumulationSteps"),
    ],
)
def test_a_network_that_learns_from_no_image_alone_is_refused_batches_that_leave_one(
    tmp_path: Path, chosen: dict[str, int], told: str
) -> None:
    run = run_of(tmp_path, model={"name": "resnet18"}, hyperparameters=chosen)
    with pytest.raises(TrainingError, match=told) as caught:
        fitted(run, data=image_data(train=15))
    assert caught.value.reason is FailureReason.BAD_CONFIG
    assert not (tmp_path / "checkpoints" / "latest.json").exists()


@pytest.mark.parametrize(
    "chosen",
    [{"batchSize": 6}, {"batchSize": 16, "accumulationSteps": 4}, {"batchSize": 7, "maxSteps": 2}],
    ids=["three are left", "parts of three", "ends before one is left"],
)
def test_a_network_that_learns_from_no_image_alone_takes_other_batches(
    tmp_path: Path, chosen: dict[str, int]
) -> None:
    chosen = {"epochs": 1} | chosen
    run = run_of(tmp_path, model={"name": "resnet18"}, hyperparameters=chosen)
    assert fitted(run, data=image_data(train=15)).losses


def test_images_alone_are_refused_of_all_processes_and_to_small_images_only() -> None:
    def checked(side: int, processes: int) -> None:
        wanted = Description(ImageModel.RESNET18, 1, side, side, ("0", "1"))
        chosen = Hyperparameters(batch_size=6)
        check_parts(wanted, 15, chosen, total_steps=9, processes=processes)

    checked(32, processes=1)
    checked(33, processes=2)
    with pytest.raises(TrainingError, match="parts of a batch: 2"):
        checked(32, processes=2)


def test_bfloat16_learns_as_well_and_keeps_weights_in_float32(tmp_path: Path) -> None:
    run = run_of(tmp_path, model={"name": "cnn_mnist"}, hyperparameters={"precision": "bfloat16"})
    found = fitted(run)
    assert found.losses[-1] < found.losses[0] / 2
    assert {tensor.dtype for tensor in weights(found, "epoch_2").values()} == {torch.float32}


def test_accumulated_parts_learn_what_the_whole_batch_does(tmp_path: Path) -> None:
    whole = fitted(run_of(tmp_path / "whole"))
    parts = fitted(run_of(tmp_path / "parts", hyperparameters={"accumulationSteps": 4}))
    assert parts.losses == pytest.approx(whole.losses, abs=1e-5)


def test_equal_seeds_give_equal_weights_and_others_do_not(tmp_path: Path) -> None:
    first, same, other = (
        fitted(run_of(tmp_path / name, hyperparameters={"seed": seed}))
        for name, seed in (("first", 1), ("same", 1), ("other", 2))
    )
    assert first.losses == same.losses
    assert first.losses != other.losses
    for name, tensor in weights(first, "epoch_2").items():
        assert torch.equal(tensor, weights(same, "epoch_2")[name])


def test_training_ends_after_the_steps_asked_for(tmp_path: Path) -> None:
    found = fitted(run_of(tmp_path, hyperparameters={"maxSteps": 7}))
    assert len(found.losses) == 7
    assert "step_7" in names(found)
    assert len(found.evaluations) == 1


def test_training_ends_when_nothing_gets_better(tmp_path: Path) -> None:
    run = run_of(
        tmp_path,
        hyperparameters={
            "epochs": 50,
            "evaluateEverySteps": 5,
            "earlyStopping": {"patience": 2, "minDelta": 5},
        },
    )
    found = fitted(run)
    assert [entry["step"] for entry in found.evaluations] == [5, 10, 15]
    assert len(found.losses) == 15


def test_the_best_checkpoint_is_that_of_the_lowest_validation_loss(tmp_path: Path) -> None:
    found = fitted(run_of(tmp_path, hyperparameters={"epochs": 4, "learningRate": 0.05}))
    lowest = min(found.evaluations, key=lambda entry: entry["valLoss"])
    assert best_name(found) == f"epoch_{lowest['epoch']}"
    assert found.progress[-1].best is not None
    assert found.progress[-1].best.metric == lowest["valLoss"]


def test_newest_and_best_are_all_that_is_kept_if_asked_for(tmp_path: Path) -> None:
    run = run_of(
        tmp_path,
        checkpoint={"saveBestOnly": True},
        hyperparameters={"epochs": 4, "learningRate": 0.05},
    )
    found = fitted(run)
    assert names(found) == {best_name(found), "epoch_4"}


@pytest.mark.parametrize("rule", list(Optimizer))
def test_a_gradient_that_is_no_number_changes_no_weight(rule: Optimizer) -> None:
    layer = torch.nn.Linear(3, 2)
    optimizer = build_optimizer(layer, Hyperparameters(optimizer=rule))
    before = [parameter.detach().clone() for parameter in layer.parameters()]
    for numbers, changes in ((float("nan"), False), (1.0, True)):
        for parameter in layer.parameters():
            parameter.grad = torch.full_like(parameter, numbers)
        norm = torch.nn.utils.clip_grad_norm_(layer.parameters(), 1.0)
        guarded_step(optimizer, norm, torch.amp.GradScaler("cpu", enabled=False))
        same = [torch.equal(*pair) for pair in zip(before, layer.parameters(), strict=True)]
        assert same == [not changes] * 2


def test_a_loss_that_is_no_number_ends_the_run_and_keeps_the_checkpoints(tmp_path: Path) -> None:
    wild = {
        "optimizer": "sgd",
        "learningRate": 100,
        "weightDecay": 1,
        "schedule": "constant",
        "warmupSteps": 0,
        "gradientClip": 1000,
        "epochs": 20,
    }
    run = run_of(tmp_path, checkpoint={"everySteps": 1}, hyperparameters=wild)
    with pytest.raises(TrainingError, match="lower hyperparameters") as caught:
        fitted(run)
    assert caught.value.reason is FailureReason.NON_FINITE_LOSS
    newest = Store(tmp_path / "checkpoints", run.checkpoint, INPUTS).newest()
    assert newest is not None
    assert newest.step == len(Fitted(tmp_path).losses)
    assert all(bool(tensor.isfinite().all()) for tensor in newest.model.values())


def context_of(run: Run) -> StageContext:
    """What a stage of the run is given, with its data prepared."""
    reporter = Reporter(run, None, write=lambda _line: None, clock=lambda: 0.0)
    folder = Path(run.output_directory)
    context = StageContext(run, folder, CPU, reporter, StopSignal(), ProcessGroup(), INPUTS)
    prepare_data(context)
    return context


def trained(context: StageContext, steps: int) -> Training:
    """A training after some steps, each of which was saved."""
    training = Training(context, load_images(context.folder / "data"))
    for _ in range(steps):
        training.take_step()
        training.look()
        training.save()
    return training


def spoil(training: Training) -> None:
    """Leave no number in the weights."""
    with torch.no_grad():
        for weight in training.classifier.parameters():
            weight.fill_(torch.nan)


def test_a_validation_loss_that_is_no_number_ends_the_run_before_its_checkpoint(
    tmp_path: Path,
) -> None:
    run = run_of(
        tmp_path,
        data=write_idx(tmp_path / "digits"),
        hyperparameters={"evaluateEverySteps": 2},
    )
    context = context_of(run)
    training = trained(context, steps=2)
    spoil(training)
    with pytest.raises(TrainingError, match="the validation loss after step 2 is nan") as caught:
        training.is_done()
    assert caught.value.reason is FailureReason.NON_FINITE_LOSS
    newest = Store(tmp_path / "checkpoints", run.checkpoint, INPUTS).newest_note()
    assert newest is not None
    assert newest.step == 1
    assert read_json(tmp_path / "checkpoints" / "latest.json")["step"] == 1
    assert context.reporter.result(Exit.REFUSED).checkpoint == newest


@pytest.mark.parametrize("part", [0, 2])
def test_a_signal_while_validating_ends_it_and_changes_nothing(tmp_path: Path, part: int) -> None:
    data = image_data(validation=1100)  # three batches, each after a look for the signal
    run, whole = run_of(tmp_path / "run"), fitted(run_of(tmp_path / "whole"), data=data)
    with pytest.raises(Interrupted):
        fitted(run, data=data, stop=StopAfter(STEPS_OF_EPOCH + part))
    left = Fitted(tmp_path / "run")
    assert len(left.losses) == STEPS_OF_EPOCH
    assert left.evaluations == []
    assert read_json(left.folder / "checkpoints" / "latest.json")["step"] == STEPS_OF_EPOCH
    again = fitted(run, data=data)
    assert again.progress[-1].resumed_from == STEPS_OF_EPOCH
    assert again.entries == whole.entries
    expected = weights(whole, "epoch_2")
    assert all(
        torch.equal(found, expected[name]) for name, found in weights(again, "epoch_2").items()
    )


def test_validation_says_how_far_it_is(tmp_path: Path) -> None:
    found = fitted(run_of(tmp_path), data=image_data(validation=1100))
    told = [message for message, _ in groupby(line.message for line in found.progress) if message]
    assert told == 2 * [f"validating: {done} of 1100 images" for done in (0, 500, 1000)]
    assert found.progress[-1].message is None


def test_a_test_loss_that_is_no_number_ends_the_run(tmp_path: Path) -> None:
    context = context_of(run_of(tmp_path, data=write_idx(tmp_path / "digits")))
    training = trained(context, steps=1)
    spoil(training)
    training.save()
    with pytest.raises(TrainingError, match="on the test images is nan") as caught:
        evaluate(context)
    assert caught.value.reason is FailureReason.NON_FINITE_LOSS


def test_progress_tells_the_truth_about_the_run(tmp_path: Path) -> None:
    found = fitted(run_of(tmp_path))
    last = found.progress[-1]
    assert (last.step, last.total_steps, last.epoch, last.total_epochs) == (20, 20, 2, 2)
    assert last.val_accuracy == found.evaluations[-1]["valAccuracy"]
    assert last.latest is not None
    assert last.latest.name == "epoch_2"
    assert last.checkpoints == 3
    assert last.images_per_second is not None
    assert last.eta_seconds == 0
    assert 1 < len(last.curve) <= CURVE_POINTS
    assert last.curve[-1].step == 20


@pytest.mark.parametrize("chosen", list(Augmentation))
def test_a_share_of_a_batch_is_varied_as_in_the_whole(chosen: Augmentation) -> None:
    images_NCHW = image_data(train=20).train.images_NCHW
    drawn = choices(20, chosen, generator(0, "augment", 1, 2))
    whole = augment(images_NCHW, chosen, drawn)
    for own in (slice(0, 10), slice(10, 20)):
        share = augment(images_NCHW[own], chosen, drawn[own])
        assert torch.equal(share, whole[own])


def test_augmentation_is_other_in_every_batch(tmp_path: Path) -> None:
    images_NCHW = image_data(train=20).train.images_NCHW
    for chosen in (Augmentation.SHIFT, Augmentation.AFFINE, Augmentation.FLIP):
        first, second = (
            augment(images_NCHW, chosen, choices(20, chosen, generator(0, "augment", batch)))
            for batch in (0, 1)
        )
        assert first.shape == images_NCHW.shape
        assert not torch.equal(first, second)
    plain, varied = (
        fitted(run_of(tmp_path / name, hyperparameters={"augmentation": name}))
        for name in ("none", "affine")
    )
    assert plain.losses != varied.losses


def test_a_shifted_image_moves_by_two_pixels_at_most_and_what_comes_in_is_black() -> None:
    images_NCHW = torch.full((200, 1, SIDE, SIDE), 255, dtype=torch.uint8)
    drawn = choices(200, Augmentation.SHIFT, generator(0, "augment"))
    shifted = augment(images_NCHW, Augmentation.SHIFT, drawn)
    assert set(shifted.unique().tolist()) == {0, 255}
    assert bool((shifted[:, :, 2:-2, 2:-2] == 255).all())
    assert bool((shifted[:, :, 0] == 0).any())
    assert bool((shifted[:, :, -1] == 0).any())


def test_brightness_is_standardised_by_the_training_images_alone() -> None:
    data = image_data()
    model = build(Description(ImageModel.MLP, 1, SIDE, SIDE, data.classes))
    model.standardise_by(data.train.images_NCHW)
    pixels = data.train.images_NCHW.double()
    assert float(model.mean_C) == pytest.approx(float(pixels.mean()), rel=1e-6)
    assert float(model.deviation_C) == pytest.approx(float(pixels.std(correction=0)), rel=1e-6)


def test_images_that_a_network_cannot_take_are_refused() -> None:
    classes = tuple(str(number) for number in range(CLASSES))
    for side in (6, 224):
        with pytest.raises(TrainingError, match="resnet18"):
            build(Description(ImageModel.CNN_MNIST, 3, side, side, classes))
