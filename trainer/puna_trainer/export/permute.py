"""Order of the rows of q and k: Hugging Face pairs halves of a head, llama.cpp neighbours. Pure.

Rotary positions turn pairs of a head's numbers. Number i pairs with i + D/2 in Hugging Face's
layout (`rotate_half`) and 2i with 2i + 1 in the `llama` graph (`LLAMA_ROPE_TYPE_NORM`), so the rows
that make these numbers change places. A single token shows no difference: position 0 is not turned.
"""

from __future__ import annotations

from torch import Tensor


def permute(weight_OI: Tensor, heads: int) -> Tensor:
    """Return the rows of q or k in llama.cpp's order.

    Args:
        weight_OI: rows of all heads, one after the other, and their inputs.
        heads: heads of queries for q, of keys and values for k.
    """
    halves_H2DI = weight_OI.reshape(heads, 2, -1, weight_OI.shape[1])
    return halves_H2DI.transpose(1, 2).reshape(weight_OI.shape)


def unpermute(weight_OI: Tensor, heads: int) -> Tensor:
    """Return the rows of q or k in Hugging Face's order: undo `permute`."""
    pairs_HD2I = weight_OI.reshape(heads, -1, 2, weight_OI.shape[1])
    return pairs_HD2I.transpose(1, 2).reshape(weight_OI.shape)
