"""Optimizer: the rule that turns gradients into steps, and the guard before it."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from puna_trainer.config.hyperparameters import Hyperparameters, Optimizer

BETAS = (0.9, 0.95)
"""Of AdamW (nanoGPT)."""
MOMENTUM = 0.9
MATRIX = 2
"""Dimensions from which on a parameter is a matrix, which decays; biases and norms do not."""


def build_optimizer(
    model: nn.Module, chosen: Hyperparameters, rate: float
) -> torch.optim.Optimizer:
    """Return the optimizer that hyperparameters describe."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups: list[dict[str, Any]] = [
        {
            "params": [parameter for parameter in parameters if parameter.dim() >= MATRIX],
            "weight_decay": chosen.weight_decay,
        },
        {
            "params": [parameter for parameter in parameters if parameter.dim() < MATRIX],
            "weight_decay": 0.0,
        },
    ]
    if chosen.optimizer is Optimizer.ADAMW:
        return torch.optim.AdamW(groups, lr=rate, betas=BETAS, fused=True)
    if chosen.optimizer is Optimizer.SGD:
        return torch.optim.SGD(groups, lr=rate, momentum=MOMENTUM, nesterov=True, fused=True)
    return torch.optim.Adadelta(parameters, lr=rate)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of the next step."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def guarded_step(optimizer: torch.optim.Optimizer, norm: torch.Tensor) -> None:
    """Take a step, unless the gradient is not finite: then nothing changes.

    Fused rules decide that on their device, so that nobody waits for it; the others ask.

    Args:
        optimizer: The optimizer.
        norm: Length of the gradient, a scalar.
    """
    if isinstance(optimizer, torch.optim.Adadelta):
        if norm.isfinite():
            optimizer.step()
        return
    # What a scaler of gradients tells fused rules (torch.amp.GradScaler.step).
    optimizer.found_inf = norm.isfinite().logical_not().float()  # type: ignore[attr-defined]
    optimizer.step()
