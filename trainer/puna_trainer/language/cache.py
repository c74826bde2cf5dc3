"""Keys and values of tokens that a model has already seen, so that each is computed once."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from puna_trainer.config.shape import Shape


class Cache:
    """Room for one context of keys and values, for every layer.

    Letters: B sequences, G heads of keys and values, S tokens, D width of a head.
    """

    def __init__(
        self,
        shape: Shape,
        *,
        sequences: int = 1,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        size = (sequences, shape.kv_heads, shape.context_length, shape.head_width)
        self.length = 0
        """Tokens that are in it."""
        self._keys = [torch.empty(size, device=device, dtype=dtype) for _ in range(shape.layers)]
        self._values = [torch.empty(size, device=device, dtype=dtype) for _ in range(shape.layers)]

    def layer(self, index: int) -> LayerCache:
        """Return the part of one layer."""
        return LayerCache(self._keys[index], self._values[index], self.length)


@dataclass(frozen=True, slots=True)
class LayerCache:
    """The part of one layer, with room for a whole context."""

    keys_BGSD: Tensor
    values_BGSD: Tensor
    length: int
    """Tokens that are in it."""

    def append(self, keys_BGTD: Tensor, values_BGTD: Tensor) -> tuple[Tensor, Tensor]:
        """Add the newest tokens; return the keys and values of all."""
        end = self.length + keys_BGTD.shape[2]
        self.keys_BGSD[:, :, self.length : end] = keys_BGTD
        self.values_BGSD[:, :, self.length : end] = values_BGTD
        return self.keys_BGSD[:, :, :end], self.values_BGSD[:, :, :end]
