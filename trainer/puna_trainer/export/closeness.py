"""Closeness: how far the logits of a file are from those of the trained model. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Logits = npt.NDArray[Any]


class Block(NamedTuple):
    """Some positions of a text, one after the other, as two models see them."""

    reference_TV: Logits
    """Logits of the trained model."""
    found_TV: Logits
    """Logits of the file."""
    next_T: npt.NDArray[np.int64]
    """The token that comes after each position; one less if the text ends with the last."""


@dataclass(frozen=True, slots=True)
class Closeness:
    """Measures over all positions."""

    nmse: float
    """Mean squared error over the reference's variance, of the block where it is largest: an error
    far back in the context must not vanish among thousands of good positions."""
    positions: int
    """Positions that were compared."""
    kld: float
    """Mean Kullback-Leibler divergence of the file from the model, in nats."""
    kld_99: float
    """The divergence that 99 of 100 positions stay below, in nats."""
    top1: float
    """Share of positions where both have the same likeliest token, 0 to 1."""
    perplexity_ratio: float
    """Perplexity of the file over that of the model."""


def closeness(blocks: Iterable[Block]) -> Closeness:
    """Return how close two models are over some texts; there has to be one position at least.

    NMSE is that of llama.cpp's `check-nmse.py`, the rest that of `llama-perplexity
    --kl-divergence`. Logits that are not finite make every measure infinite.
    """
    worst = 0.0
    divergences: list[Logits] = []
    agreements: list[Logits] = []
    losses: list[Logits] = []
    for block in blocks:
        reference_TV = block.reference_TV.astype(np.float64)
        found_TV = block.found_TV.astype(np.float64)
        if not np.isfinite(found_TV).all():
            found_TV = np.full_like(found_TV, np.nan)
        worst = np.fmax(worst, np.nan_to_num(_nmse(reference_TV, found_TV), nan=np.inf))
        wanted_TV, given_TV = log_softmax(reference_TV), log_softmax(found_TV)
        divergences.append((np.exp(wanted_TV) * (wanted_TV - given_TV)).sum(axis=1))
        agreements.append(reference_TV.argmax(axis=1) == found_TV.argmax(axis=1))
        rows = np.arange(len(block.next_T))
        losses.append(wanted_TV[rows, block.next_T] - given_TV[rows, block.next_T])
    divergence = np.nan_to_num(np.concatenate(divergences), nan=np.inf)
    loss = np.nan_to_num(np.concatenate(losses), nan=np.inf)
    return Closeness(
        nmse=float(worst),
        positions=len(divergence),
        kld=float(divergence.mean()),
        kld_99=float(np.quantile(divergence, 0.99, method="lower")),
        top1=float(np.concatenate(agreements).mean()),
        perplexity_ratio=float(np.exp(min(loss.mean(), 700.0))),
    )


def log_softmax(logits_TV: Logits) -> Logits:
    """Return the logarithms of the probabilities."""
    shifted_TV = logits_TV - logits_TV.max(axis=1, keepdims=True)
    logarithms: Logits = shifted_TV - np.log(np.exp(shifted_TV).sum(axis=1, keepdims=True))
    return logarithms


def _nmse(reference_TV: Logits, found_TV: Logits) -> float:
    error, variance = np.square(found_TV - reference_TV).mean(), reference_TV.var()
    if variance == 0:  # a model that knows nothing: only the same logits are close to it
        return 0.0 if error == 0 else np.inf
    return float(error / variance)
