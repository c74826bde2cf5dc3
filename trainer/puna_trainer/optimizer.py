"""Optimizer: the rule that turns gradients into steps, and the guard before it."""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import nn

from puna_trainer.config.hyperparameters import Hyperparameters, Optimizer
from puna_trainer.errors import TrainingError
from puna_trainer.exits import FailureReason

DEFAULT_DECAY: Final[dict[Optimizer, float]] = {
    Optimizer.ADAMW: 0.1,
    Optimizer.ADADELTA: 0.0,
    Optimizer.SGD: 0.0,
}
"""Weight decay where none is chosen: with rates that are not small it would leave nothing."""
BETAS: Final = (0.9, 0.95)
"""Of AdamW (nanoGPT)."""
MOMENTUM: Final = 0.9
MATRIX: Final = 2
"""Dimensions from which on a parameter is a matrix, which decays; biases and norms do not."""


def build_optimizer(model: nn.Module, chosen: Hyperparameters) -> torch.optim.Optimizer:
    """Return the optimizer that hyperparameters describe; its rate is set before each step."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups: list[dict[str, Any]] = [
        {
            "params": [parameter for parameter in parameters if parameter.dim() >= MATRIX],
            "weight_decay": (
                DEFAULT_DECAY[chosen.optimizer]
                if chosen.weight_decay is None
                else chosen.weight_decay
            ),
        },
        {
            "params": [parameter for parameter in parameters if parameter.dim() < MATRIX],
            "weight_decay": 0.0,
        },
    ]
    if chosen.optimizer is Optimizer.ADAMW:
        return torch.optim.AdamW(groups, betas=BETAS, fused=True)
    if chosen.optimizer is Optimizer.SGD:
        return torch.optim.SGD(groups, momentum=MOMENTUM, nesterov=True, fused=True)
    return torch.optim.Adadelta(groups)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of the next step; a recorded one reads it where it lies."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def guarded_step(
    optimizer: torch.optim.Optimizer, norm: torch.Tensor, scaler: torch.amp.GradScaler
) -> None:
    """Take a step, unless the gradient is not finite: then no weight changes.

    Fused rules decide that where they compute, so that nobody waits for a GPU; Adadelta asks.

    Args:
        optimizer: The optimizer.
        norm: Length of the gradient, a scalar.
        scaler: Scaler of gradients, which has unscaled them; it may be disabled.
    """
    if scaler.is_enabled():
        scaler.step(optimizer)
        scaler.update()
    elif not isinstance(optimizer, torch.optim.Adadelta):
        # What a scaler tells fused rules (torch.amp.GradScaler.step).
        optimizer.found_inf = norm.isfinite().logical_not().float()  # type: ignore[attr-defined]
        optimizer.step()
    elif norm.isfinite():
        optimizer.step()


def non_finite_measure(what: str, found: float) -> TrainingError:
    """Return the failure that a measure which is no finite number means."""
    return TrainingError(
        FailureReason.NON_FINITE_LOSS,
        f"{what} is {found:g}; lower hyperparameters.learningRate or hyperparameters.gradientClip, "
        "or use hyperparameters.precision float32; the checkpoints before are kept",
    )


def non_finite(step: int, loss: float, norm: float) -> TrainingError:
    """Return the failure that numbers which are no longer finite mean."""
    return TrainingError(
        FailureReason.NON_FINITE_LOSS,
        f"step {step}: the loss is {loss:g} and the gradient {norm:g} long; lower "
        "hyperparameters.learningRate or hyperparameters.gradientClip, or use "
        "hyperparameters.precision float32; the checkpoints before are kept",
    )
