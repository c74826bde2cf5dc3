"""Rows of q and k in the order of the other layout give the same attention."""

from __future__ import annotations

import torch
from torch import Tensor

from puna_trainer.export.permute import permute, unpermute

HEADS, KV_HEADS, HEAD_WIDTH, INPUTS, TOKENS = 4, 2, 8, 12, 7


def turn(positions: Tensor, width: int) -> tuple[Tensor, Tensor]:
    exponents = torch.arange(0, width, 2, dtype=torch.float64) / width
    angles = torch.outer(positions, 10_000.0**-exponents)
    return angles.cos(), angles.sin()


def halves(heads: Tensor) -> Tensor:
    """Rotary positions of Hugging Face: number i of the first half pairs with i of the second."""
    cosine, sine = turn(torch.arange(TOKENS, dtype=torch.float64), HEAD_WIDTH)
    first, second = heads.chunk(2, dim=-1)
    return torch.cat((first * cosine - second * sine, second * cosine + first * sine), dim=-1)


def neighbours(heads: Tensor) -> Tensor:
    """Rotary positions of llama.cpp's `llama`: number 2i pairs with 2i + 1."""
    cosine, sine = turn(torch.arange(TOKENS, dtype=torch.float64), HEAD_WIDTH)
    even, odd = heads[..., 0::2], heads[..., 1::2]
    turned = torch.stack((even * cosine - odd * sine, odd * cosine + even * sine), dim=-1)
    return turned.flatten(-2)


def scores(q: Tensor, k: Tensor, rotate: object) -> Tensor:
    assert callable(rotate)
    states = torch.randn(
        TOKENS, INPUTS, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
    )
    query = rotate((states @ q.T).unflatten(1, (HEADS, HEAD_WIDTH)).transpose(0, 1))
    key = rotate((states @ k.T).unflatten(1, (KV_HEADS, HEAD_WIDTH)).transpose(0, 1))
    result: Tensor = query @ key.repeat_interleave(HEADS // KV_HEADS, 0).transpose(1, 2)
    return result


def weights() -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    q = torch.randn(HEADS * HEAD_WIDTH, INPUTS, dtype=torch.float64)
    k = torch.randn(KV_HEADS * HEAD_WIDTH, INPUTS, dtype=torch.float64)
    return q, k


def test_permuted_rows_give_the_same_scores_between_neighbours_as_halves() -> None:
    q, k = weights()
    wanted = scores(q, k, halves)
    found = scores(permute(q, HEADS), permute(k, KV_HEADS), neighbours)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)


def test_no_other_order_does() -> None:
    q, k = weights()
    wanted = scores(q, k, halves)
    for k_rows in (k, permute(k, HEADS), permute(permute(k, KV_HEADS), KV_HEADS)):
        found = scores(permute(q, HEADS), k_rows, neighbours)
        assert (found - wanted).square().mean() / wanted.var() > 0.1


def test_one_token_shows_no_difference() -> None:
    """Why parity is measured over many positions: the first is not turned."""
    q, k = weights()
    torch.testing.assert_close(
        scores(q, k, neighbours)[:, 0, 0], scores(q, k, halves)[:, 0, 0], rtol=0, atol=1e-12
    )


def test_permuting_can_be_undone() -> None:
    q, k = weights()
    assert torch.equal(unpermute(permute(q, HEADS), HEADS), q)
    assert torch.equal(unpermute(permute(k, KV_HEADS), KV_HEADS), k)
    assert torch.equal(permute(unpermute(k, KV_HEADS), KV_HEADS), k)
