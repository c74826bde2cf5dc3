"""Smoothed bigram: the yardstick. It knows which token follows which, and nothing else.

Counts are smoothed as Witten and Bell (1991) do: what follows a token seldom, or in many ways, is
taken from the frequency of tokens as such. There is nothing to tune.

    P(b | a) = (count(a, b) + kinds(a) P(b)) / (count(a) + kinds(a))
    P(b) = (count(b) + 1) / (tokens + vocabulary)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from puna_trainer.language.tokens import Ids

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Bigram:
    """Counts of a row of tokens."""

    vocabulary_size: int
    pairs: Integers
    """Pairs that occur, as first x vocabulary + second, in order."""
    pair_counts: Integers
    """How often each occurs."""
    first_counts: Integers
    """How often each token has a successor, by token."""
    first_kinds: Integers
    """How many successors each token has, by token."""
    alone: Floats
    """Probability of each token without one before it."""

    @classmethod
    def of(cls, ids_N: Ids, vocabulary_size: int) -> Bigram:
        """Count the pairs of a row of at least two tokens."""
        ids = ids_N.astype(np.int64)
        pairs, pair_counts = np.unique(ids[:-1] * vocabulary_size + ids[1:], return_counts=True)
        counts = np.bincount(ids, minlength=vocabulary_size)
        return cls(
            vocabulary_size=vocabulary_size,
            pairs=pairs,
            pair_counts=pair_counts,
            first_counts=np.bincount(ids[:-1], minlength=vocabulary_size),
            first_kinds=np.bincount(pairs // vocabulary_size, minlength=vocabulary_size),
            alone=(counts + 1) / (len(ids) + vocabulary_size),
        )

    def loss(self, ids_N: Ids) -> float:
        """Return the mean negative log-likelihood, in nats, of all tokens after the first."""
        ids = ids_N.astype(np.int64)
        first, second = ids[:-1], ids[1:]
        wanted = first * self.vocabulary_size + second
        places = np.minimum(np.searchsorted(self.pairs, wanted), len(self.pairs) - 1)
        seen = np.where(self.pairs[places] == wanted, self.pair_counts[places], 0)
        return float(-np.log(self._smoothed(first, seen, self.alone[second])).mean())

    def log_probabilities(self, previous: int) -> Tensor:
        """Return the logarithm of each next token's probability, logits_V."""
        low, high = np.searchsorted(
            self.pairs, [previous * self.vocabulary_size, (previous + 1) * self.vocabulary_size]
        )
        seen = np.zeros(self.vocabulary_size, dtype=np.int64)
        seen[self.pairs[low:high] % self.vocabulary_size] = self.pair_counts[low:high]
        return torch.from_numpy(np.log(self._smoothed(previous, seen, self.alone)))

    def _smoothed(self, first: Any, seen: Integers, alone: Floats) -> Floats:
        """Return P(second | first); a token that has no successor tells nothing."""
        kinds, count = self.first_kinds[first], self.first_counts[first]
        kinds = np.maximum(kinds, 1)
        smoothed: Floats = (seen + kinds * alone) / (count + kinds)
        return smoothed
