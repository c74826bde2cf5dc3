"""Evaluation of a classifier: how many images it tells right, and which classes it mixes up."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torchmetrics.functional.classification import (
    multiclass_confusion_matrix,
    multiclass_f1_score,
    multiclass_precision,
    multiclass_recall,
)

from puna_trainer.checkpoint.store import NAME as CHECKPOINTS
from puna_trainer.checkpoint.store import Store
from puna_trainer.data.images import ImageSplit, load_images
from puna_trainer.data.stage import FOLDER as DATA
from puna_trainer.device import autocast, compute_type
from puna_trainer.distributed import ProcessGroup
from puna_trainer.errors import TrainingError
from puna_trainer.exits import FailureReason
from puna_trainer.files import write_json
from puna_trainer.images.models import trained
from puna_trainer.images.splits import share
from puna_trainer.optimizer import non_finite_measure
from puna_trainer.stage import StageContext
from puna_trainer.validation import Look

BATCH: Final = 500
NAME: Final = "evaluation.json"


class Measure(NamedTuple):
    """What was measured of a classifier."""

    loss: float
    """Mean cross entropy in nats."""
    accuracy: float
    """Share of images that were told right, 0 to 1."""


def evaluate(context: StageContext) -> None:
    """Measure the best checkpoint on the test images, which nothing was chosen by.

    Raises:
        TrainingError: EvaluationRegressed, the accuracy is less than asked for; NonFiniteLoss.
    """
    run, device = context.run, context.device
    data = load_images(context.folder / DATA)
    store = Store(context.folder / CHECKPOINTS, run.checkpoint, None)
    note, state = store.best_note(), store.best()
    if note is None or state is None:
        raise TrainingError(
            FailureReason.BAD_CONFIG, "stages: there is no checkpoint to evaluate; add train"
        )
    model = trained(state.description, state.model).to(device)
    dtype = compute_type(run.hyperparameters.precision, device)
    found = examine(model, data.test, dtype, data.classes)
    if not math.isfinite(found["loss"]):
        raise non_finite_measure(
            "the loss of the best checkpoint on the test images", found["loss"]
        )
    metrics = {"test_accuracy": found["accuracy"], "test_loss": found["loss"]}
    measured_of = {"checkpoint": note.model_dump(mode="json", by_alias=True)}
    write_json(context.folder / NAME, found | {"metrics": metrics} | measured_of)
    context.reporter.metrics |= metrics
    least = run.evaluation.min_accuracy_percent
    if least is not None and 100 * found["accuracy"] < least:
        raise TrainingError(
            FailureReason.EVALUATION_REGRESSED,
            f"evaluation.minAccuracyPercent: {100 * found['accuracy']:.2f} percent of "
            f"{found['images']} test images were told right, and {least:g} are asked for",
        )


def measure(
    model: nn.Module, split: ImageSplit, dtype: torch.dtype, group: ProcessGroup, look: Look
) -> Measure:
    """Return loss and accuracy over images; each process looks at some of them.

    Args:
        model: The classifier.
        split: All images.
        dtype: In which numbers to compute.
        group: The processes.
        look: Is called by each process before each batch, also by one that has no image left.
    """
    device = next(model.parameters()).device
    total = torch.zeros((), device=device)
    right = torch.zeros((), dtype=torch.int64, device=device)
    count, own = len(split.labels_N), share(split, group)
    with _predicting(model, dtype):
        for done in range(0, count, BATCH * group.size):
            look(done, count)
            begin = done // group.size
            labels_N = own.labels_N[begin : begin + BATCH].to(device)
            if len(labels_N):
                logits_NK = _logits(model, own.images_NCHW[begin : begin + BATCH])
                total += cross_entropy(logits_NK, labels_N, reduction="sum")
                right += (logits_NK.argmax(1) == labels_N).sum()
    sums = group.sum((float(total), float(right)))
    return Measure(sums[0] / count, sums[1] / count)


def examine(
    model: nn.Module, split: ImageSplit, dtype: torch.dtype, classes: tuple[str, ...]
) -> dict[str, Any]:
    """Return all that is said of images: accuracy, loss, each class, and who is taken for whom."""
    with _predicting(model, dtype):
        batches = torch.split(split.images_NCHW, BATCH)
        logits_NK = torch.cat([_logits(model, images_NCHW) for images_NCHW in batches])
    labels_N = split.labels_N.to(logits_NK.device)
    count = len(classes)
    each = {
        "precision": multiclass_precision(logits_NK, labels_N, count, average=None),
        "recall": multiclass_recall(logits_NK, labels_N, count, average=None),
        "f1": multiclass_f1_score(logits_NK, labels_N, count, average=None),
    }
    return {
        "images": len(labels_N),
        "accuracy": int((logits_NK.argmax(1) == labels_N).sum()) / len(labels_N),
        "loss": float(cross_entropy(logits_NK, labels_N)),
        "classes": [
            {"name": name, **{measured: float(each[measured][index]) for measured in each}}
            for index, name in enumerate(classes)
        ],
        # Rows are true classes, columns what they were taken for.
        "confusion": multiclass_confusion_matrix(logits_NK, labels_N, count).tolist(),
    }


@contextmanager
def _predicting(model: nn.Module, dtype: torch.dtype) -> Iterator[None]:
    """Let a model predict, and learn nothing from it."""
    model.eval()
    try:
        with torch.inference_mode(), autocast(next(model.parameters()).device, dtype):
            yield
    finally:
        model.train()


def _logits(model: nn.Module, images_NCHW: torch.Tensor) -> torch.Tensor:
    logits_NK: torch.Tensor = model(images_NCHW.to(next(model.parameters()).device))
    return logits_NK.float()
