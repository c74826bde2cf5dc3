"""Shape: the numbers that fix a language model's tensors. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from puna_trainer.config.model import Model

MULTIPLE: Final = 256
"""A feed-forward width that nobody chose is a multiple of this: K-quants hold it."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A plain Llama."""

    layers: int
    width: int
    heads: int
    kv_heads: int
    feed_forward: int
    context_length: int
    vocabulary_size: int
    rope_base: float
    norm_epsilon: float
    tie_embeddings: bool

    @property
    def head_width(self) -> int:
        """Width of one head."""
        return self.width // self.heads

    @property
    def parameters(self) -> int:
        """Trainable numbers in all."""
        embedding = self.vocabulary_size * self.width
        attention = 2 * self.width * self.head_width * (self.heads + self.kv_heads)
        block = attention + 3 * self.width * self.feed_forward + 2 * self.width
        return (1 if self.tie_embeddings else 2) * embedding + self.layers * block + self.width


def shape_of(model: Model) -> Shape:
    """Return the shape that a model's fields describe; all that are required have to be there."""
    assert model.layers and model.width and model.heads  # noqa: S101, PT018 - refused before
    assert model.context_length and model.vocabulary_size  # noqa: S101, PT018 - refused before
    return Shape(
        layers=model.layers,
        width=model.width,
        heads=model.heads,
        kv_heads=model.kv_heads or model.heads,
        feed_forward=model.feed_forward or _feed_forward(model.width),
        context_length=model.context_length,
        vocabulary_size=model.vocabulary_size,
        rope_base=model.rope_base,
        norm_epsilon=model.norm_epsilon,
        tie_embeddings=model.tie_embeddings,
    )


def _feed_forward(width: int) -> int:
    """Return 8/3 of the width, which gives SwiGLU the size of a plain layer, up to a multiple."""
    return -(-8 * width // (3 * MULTIPLE)) * MULTIPLE
