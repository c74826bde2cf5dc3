"""Validation: the loss of a model in training, on data that it does not learn from."""

from __future__ import annotations

from typing import Final

import torch
from torch import nn

from puna_trainer.language.loss import mean_loss
from puna_trainer.language.tokens import Ids
from puna_trainer.stage import StageContext
from puna_trainer.validation import look_of

VALIDATION_TOKENS: Final = 2**20
"""Most tokens of a look at the validation data: more would tell the same (0.2 % of the loss)."""


def validation_loss(
    model: nn.Module,
    ids_N: Ids,
    context_length: int,
    *,
    sequences: int,
    dtype: torch.dtype,
    context: StageContext,
) -> float:
    """Return the mean loss of a model over the first of some ids.

    Raises:
        Interrupted: SIGTERM came to any of the processes; all raise it at the same windows.
    """
    return mean_loss(
        model,
        ids_N[: VALIDATION_TOKENS + 1],
        context_length,
        sequences=sequences,
        device=context.device,
        dtype=dtype,
        group=context.group,
        look=look_of(context, "windows"),
    )
