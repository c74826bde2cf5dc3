"""Loss: how surprised a model is by what follows, in nats."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from puna_trainer.device import autocast
from puna_trainer.distributed import ProcessGroup
from puna_trainer.language.batches import Windows, read_windows, window_count
from puna_trainer.language.tokens import Ids
from puna_trainer.validation import Look

LARGEST_EXPONENT: Final = 700.0
"""What exp of is still a number of 64 bits."""


def summed_loss(logits_BTV: Tensor, targets_BT: Tensor) -> Tensor:
    """Return the negative log-likelihood of targets, summed over all of them, a scalar.

    The mean of a batch is that of all its parts together, hence not taken here.
    """
    return functional.cross_entropy(
        logits_BTV.flatten(0, 1).float(), targets_BT.flatten(), reduction="sum"
    )


@torch.no_grad()
def mean_loss(
    model: nn.Module,
    ids_N: Ids,
    context: int,
    *,
    sequences: int,
    device: torch.device,
    dtype: torch.dtype,
    group: ProcessGroup,
    look: Look = lambda _done, _count: None,
) -> float:
    """Return the mean loss over a row of ids, each but the first predicted once.

    The row is read in windows of `context` tokens, `sequences` at a time, shared out among the
    processes. A model that is spread over these computes only where all of them do: who has
    nothing left computes something that does not count.

    Args:
        model: The model.
        ids_N: What it is asked about.
        context: Tokens of a window.
        sequences: Windows that are computed at once.
        device: Where to compute.
        dtype: In which numbers.
        group: The processes.
        look: Is called before each part.
    """
    count = window_count(len(ids_N), context)
    losses = []
    with autocast(device, dtype):
        for begin in range(0, count, sequences * group.size):
            look(begin, count)
            first = begin + group.rank * sequences
            windows: Windows = np.arange(first, min(first + sequences, count))
            counts = len(windows) > 0
            inputs_BT, targets_BT = read_windows(
                ids_N, windows if counts else np.array([0]), context, device
            )
            losses.append(counts * summed_loss(model(inputs_BT), targets_BT))
        rest = ids_N[count * context :]
        if len(rest) > 1:
            inputs_BT, targets_BT = read_windows(rest, np.array([0]), len(rest) - 1, device)
            losses.append(group.is_first * summed_loss(model(inputs_BT), targets_BT))
    # Added up in 64 bits, which not every device has.
    return group.sum([sum(float(loss) for loss in losses)])[0] / (len(ids_N) - 1)


def perplexity_of(loss: float) -> float:
    """Return exp of a mean loss, or the largest that it can be."""
    return math.exp(min(loss, LARGEST_EXPONENT))
