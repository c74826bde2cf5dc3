"""Evaluation of a classifier: how many images it tells right, and which classes it mixes up."""

from __future__ import annotations

from collections.abc import Iterator
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
from puna_trainer.stage import StageContext

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
        TrainingError: EvaluationRegressed, the accuracy is less than asked for.
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
    model: nn.Module, split: ImageSplit, dtype: torch.dtype, group: ProcessGroup
) -> Measure:
    """Return loss and accuracy over images; each process looks at some of them."""
    device = next(model.parameters()).device
    total = torch.zeros((), device=device)
    right = torch.zeros((), dtype=torch.int64, device=device)
    for logits_NK, labels_N in _logits(model, share(split, group), dtype):
        total += cross_entropy(logits_NK, labels_N, reduction="sum")
        right += (logits_NK.argmax(1) == labels_N).sum()
    sums = group.sum((float(total), float(right)))
    count = len(split.labels_N)
    return Measure(sums[0] / count, sums[1] / count)


def examine(
    model: nn.Module, split: ImageSplit, dtype: torch.dtype, classes: tuple[str, ...]
) -> dict[str, Any]:
    """Return all that is said of images: accuracy, loss, each class, and who is taken for whom."""
    batches = list(_logits(model, split, dtype))
    logits_NK = torch.cat([logits for logits, _ in batches])
    labels_N = torch.cat([labels for _, labels in batches])
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


def _logits(
    model: nn.Module, split: ImageSplit, dtype: torch.dtype
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    model.eval()
    device = next(model.parameters()).device
    with torch.inference_mode(), autocast(device, dtype):
        for images_NCHW, labels_N in zip(
            torch.split(split.images_NCHW, BATCH), torch.split(split.labels_N, BATCH), strict=True
        ):
            yield model(images_NCHW.to(device)).float(), labels_N.to(device)
    model.train()
