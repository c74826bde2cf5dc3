"""A plain Llama, with the tensor names of Hugging Face.

RMSNorm before each part, SwiGLU, rotary positions over halves of a head (not over adjacent pairs),
grouped queries: what the `llama` graph of llama.cpp expresses, and nothing beyond it.

Letters of tensor names: B sequences, T tokens, S tokens that can be looked at, C width, H heads,
G heads of keys and values, D width of a head, V vocabulary.
"""

from __future__ import annotations

import math
from typing import Final, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from puna_trainer.config.shape import Shape
from puna_trainer.language.cache import Cache, LayerCache

INITIAL_DEVIATION: Final = 0.02
"""Standard deviation of the first weights (GPT-2)."""


class Llama(nn.Module):
    """Tokens in, logits of the next token out."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.model = Decoder(shape)
        if not shape.tie_embeddings:
            self.lm_head = nn.Linear(shape.width, shape.vocabulary_size, bias=False)
        self.apply(_initialise)
        # The residual stream is a sum of 2 parts a layer: its size stays that of one (GPT-2).
        for name, weight in self.named_parameters():
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                deviation = INITIAL_DEVIATION / math.sqrt(2 * shape.layers)
                nn.init.normal_(weight, std=deviation)

    def forward(self, tokens_BT: Tensor, cache: Cache | None = None) -> Tensor:
        """Return logits_BTV; with a cache, the tokens come after those that it holds."""
        hidden_BTC = self.model(tokens_BT, cache)
        head_VC = self.model.embed_tokens if self.shape.tie_embeddings else self.lm_head
        return functional.linear(hidden_BTC, head_VC.weight)


class Decoder(nn.Module):
    """Embedding, blocks and the last norm: `model.` of Hugging Face's names."""

    cosine_TD: Tensor
    sine_TD: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(shape.vocabulary_size, shape.width)
        self.layers = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.norm = nn.RMSNorm(shape.width, eps=shape.norm_epsilon)
        cosine_TD, sine_TD = rotary_tables(shape)
        self.register_buffer("cosine_TD", cosine_TD, persistent=False)
        self.register_buffer("sine_TD", sine_TD, persistent=False)

    def forward(self, tokens_BT: Tensor, cache: Cache | None = None) -> Tensor:
        """Return the hidden states after the last norm, hidden_BTC."""
        start = cache.length if cache else 0
        end = start + tokens_BT.shape[1]
        turn = (self.cosine_TD[start:end], self.sine_TD[start:end])
        hidden_BTC = self.embed_tokens(tokens_BT)
        for index, block in enumerate(self.layers):
            hidden_BTC = block(hidden_BTC, turn, cache.layer(index) if cache else None)
        if cache:
            cache.length = end
        return cast("Tensor", self.norm(hidden_BTC))


class Block(nn.Module):
    """Attention, then the feed-forward part, each added to what came in."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.input_layernorm = nn.RMSNorm(shape.width, eps=shape.norm_epsilon)
        self.self_attn = Attention(shape)
        self.post_attention_layernorm = nn.RMSNorm(shape.width, eps=shape.norm_epsilon)
        self.mlp = FeedForward(shape)

    def forward(
        self, hidden_BTC: Tensor, turn: tuple[Tensor, Tensor], cache: LayerCache | None = None
    ) -> Tensor:
        """Return hidden_BTC after this block."""
        hidden_BTC = hidden_BTC + self.self_attn(self.input_layernorm(hidden_BTC), turn, cache)
        return cast("Tensor", hidden_BTC + self.mlp(self.post_attention_layernorm(hidden_BTC)))


class Attention(nn.Module):
    """Causal attention; several heads of queries share one head of keys and values."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.head_width = shape.head_width
        self.grouped = shape.kv_heads != shape.heads
        self.q_proj = nn.Linear(shape.width, shape.heads * shape.head_width, bias=False)
        self.k_proj = nn.Linear(shape.width, shape.kv_heads * shape.head_width, bias=False)
        self.v_proj = nn.Linear(shape.width, shape.kv_heads * shape.head_width, bias=False)
        self.o_proj = nn.Linear(shape.heads * shape.head_width, shape.width, bias=False)

    def forward(
        self, hidden_BTC: Tensor, turn: tuple[Tensor, Tensor], cache: LayerCache | None = None
    ) -> Tensor:
        """Return what each token takes from those before it, out_BTC."""
        query_BHTD = rotate(self._heads(self.q_proj(hidden_BTC)), *turn)
        key_BGSD = rotate(self._heads(self.k_proj(hidden_BTC)), *turn)
        value_BGSD = self._heads(self.v_proj(hidden_BTC))
        tokens = query_BHTD.shape[2]
        mask_TS = None
        if cache:
            key_BGSD, value_BGSD = cache.append(key_BGSD, value_BGSD)
            mask_TS = causal_mask(tokens, key_BGSD.shape[2], query_BHTD.device)
        out_BHTD = functional.scaled_dot_product_attention(
            query_BHTD,
            key_BGSD,
            value_BGSD,
            attn_mask=mask_TS,
            is_causal=cache is None,
            enable_gqa=self.grouped,
        )
        return cast("Tensor", self.o_proj(out_BHTD.transpose(1, 2).flatten(2)))

    def _heads(self, projected_BTC: Tensor) -> Tensor:
        """Split the last dimension into heads and put these before the tokens."""
        return cast("Tensor", projected_BTC.unflatten(2, (-1, self.head_width)).transpose(1, 2))


class FeedForward(nn.Module):
    """SwiGLU (Shazeer 2020)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(shape.width, shape.feed_forward, bias=False)
        self.up_proj = nn.Linear(shape.width, shape.feed_forward, bias=False)
        self.down_proj = nn.Linear(shape.feed_forward, shape.width, bias=False)

    def forward(self, hidden_BTC: Tensor) -> Tensor:
        """Return out_BTC."""
        gate = functional.silu(self.gate_proj(hidden_BTC))
        return cast("Tensor", self.down_proj(gate * self.up_proj(hidden_BTC)))


def rotary_tables(shape: Shape) -> tuple[Tensor, Tensor]:
    """Return cosine and sine of every position's angles, (context, head width / 2) each.

    Pair number i of a head turns by position x base^(-2i / head width) (Su et al. 2021).
    """
    exponents = torch.arange(0, shape.head_width, 2, dtype=torch.float32) / shape.head_width
    frequencies = 1.0 / shape.rope_base**exponents
    angles_TD = torch.outer(torch.arange(shape.context_length, dtype=torch.float32), frequencies)
    return angles_TD.cos(), angles_TD.sin()


def rotate(heads_BHTD: Tensor, cosine_TD: Tensor, sine_TD: Tensor) -> Tensor:
    """Turn each head by its position; number i of the first half pairs with i of the second."""
    first, second = heads_BHTD.chunk(2, dim=-1)
    cosine, sine = cosine_TD.to(heads_BHTD.dtype), sine_TD.to(heads_BHTD.dtype)
    return torch.cat((first * cosine - second * sine, second * cosine + first * sine), dim=-1)


def causal_mask(tokens: int, seen: int, device: torch.device) -> Tensor | None:
    """Return which of `seen` tokens each of the last `tokens` may look at; None means all."""
    if tokens == 1:
        return None
    mask_TS = torch.ones(tokens, seen, dtype=torch.bool, device=device)
    return mask_TS.tril(diagonal=seen - tokens)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=INITIAL_DEVIATION)
