"""Batches: which tokens each step learns from: a function of the step, so nothing is replayed.

A row of N ids holds (N - 1) // context windows; each is read once an epoch, in an order of its own
in every epoch. Batches go on over the end of an epoch into the next, so that all are full.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from puna_trainer.language.tokens import Ids
from puna_trainer.randomness import generator

Windows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Batches:
    """The windows of a run, step by step."""

    windows: int
    """Windows of the training data."""
    batch_size: int
    """Windows of a step."""
    seed: int

    def steps_of(self, epochs: int) -> int:
        """Return the steps after which every window was read at least `epochs` times."""
        return -(-epochs * self.windows // self.batch_size)

    def epoch_after(self, step: int) -> int:
        """Return the epochs that are done after `step` steps."""
        return step * self.batch_size // self.windows

    def of_step(self, step: int) -> Windows:
        """Return the windows of a step; steps count from 0."""
        position = step * self.batch_size
        end = position + self.batch_size
        parts: list[Windows] = []
        while position < end:
            epoch, start = divmod(position, self.windows)
            stop = min(self.windows, start + end - position)
            parts.append(_order(self.windows, self.seed, epoch)[start:stop])
            position += stop - start
        return np.concatenate(parts)


@lru_cache(maxsize=2)
def _order(windows: int, seed: int, epoch: int) -> Windows:
    order: Windows = torch.randperm(windows, generator=generator(seed, "order", epoch)).numpy()
    return order


def window_count(tokens: int, context: int) -> int:
    """Return how many windows a row of tokens holds; each needs its next token as well."""
    return max(0, tokens - 1) // context


def share_of(windows: Windows, *, parts: int, rank: int, size: int) -> list[Windows]:
    """Return the parts of a batch that one of `size` processes computes, one after the other."""
    return np.array_split(windows, parts * size)[rank::size]


def read_windows(
    ids_N: Ids, windows: Windows, context: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return the tokens of windows and those that follow them, inputs_BT and targets_BT."""
    rows = np.stack([ids_N[window * context : (window + 1) * context + 1] for window in windows])
    ids_BT1 = torch.from_numpy(rows.astype(np.int64))
    if device.type == "cuda":
        ids_BT1 = ids_BT1.pin_memory().to(device, non_blocking=True)
    else:
        ids_BT1 = ids_BT1.to(device)
    return ids_BT1[:, :-1], ids_BT1[:, 1:]
