"""Memory: the least that a run on the processor needs, to refuse what cannot fit."""

from __future__ import annotations

from puna.api.pool import Accelerator
from puna.api.trainingjob import TrainingJobSpec
from puna.core.quantities import mebibytes
from puna_trainer.config.run import Task
from puna_trainer.config.shape import shape_of

STATE_BYTES = 16
"""Bytes for each weight: itself, its gradient and AdamW's two moments, in float32."""
LOGIT_BYTES = 8
"""Bytes for each logit of a batch: itself and its gradient, in float32."""
MEBIBYTE = 2**20


def too_small(spec: TrainingJobSpec) -> str | None:
    """Return why the Pods' memory limit cannot hold a run; None if it may.

    A lower bound: weights, gradients and the optimizer's state, and the logits of one part of a
    batch. What it lets through may still need more.
    """
    limit, model = spec.resources.limits.get("memory"), spec.model
    if spec.accelerator is not Accelerator.CPU or spec.task is not Task.LANGUAGE_MODEL:
        return None
    if limit is None or model.uri is not None:
        return None
    shape, learning = shape_of(model), spec.hyperparameters
    state = shape.parameters * STATE_BYTES
    examples = -(-learning.batch_size // (learning.accumulation_steps * spec.nodes))
    logits = examples * shape.context_length * shape.vocabulary_size * LOGIT_BYTES
    allowed = mebibytes(limit)
    if state > allowed * MEBIBYTE:
        return (
            f"{shape.parameters:,} weights with gradients and optimizer take "
            f"{state // MEBIBYTE} MiB, more than {limit}; raise it, or make the model smaller"
        )
    if state + logits > allowed * MEBIBYTE:
        return (
            f"weights and the logits of {examples} examples at once take "
            f"{(state + logits) // MEBIBYTE} MiB, more than {limit}; raise it, or raise "
            "hyperparameters.accumulationSteps"
        )
    return None
