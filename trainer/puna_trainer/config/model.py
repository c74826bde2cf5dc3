"""Model: which network is trained, and its shape."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from puna_trainer.config.document import Document


class ImageModel(StrEnum):
    """Networks that classify images."""

    CNN_MNIST = "cnn_mnist"
    """Two convolutions and two linear layers, for small images; about 1.2 million parameters."""
    MLP = "mlp"
    """Three linear layers."""
    RESNET18 = "resnet18"
    """ResNet-18 of torchvision."""


class Model(Document):
    """The network. ImageClassification has `name`; LanguageModel has either `uri` or a shape.

    A language model is a plain Llama: RMSNorm before, SwiGLU, rotary positions, grouped queries.
    """

    name: ImageModel | None = None
    """Network of an ImageClassification."""
    uri: (
        Annotated[str, Field(max_length=2048, pattern=r"^(file:///|pvc://|hf://|s3://)[^\s?#]+$")]
        | None
    ) = None
    """Folder in the layout of Hugging Face to start from; it brings its own shape and tokenizer."""
    layers: Annotated[int, Field(ge=1, le=64)] | None = None
    """Transformer blocks."""
    width: Annotated[int, Field(ge=32, le=4096)] | None = None
    """Numbers that stand for a token between blocks; a multiple of `heads`."""
    heads: Annotated[int, Field(ge=1, le=64)] | None = None
    """Heads of attention."""
    kv_heads: Annotated[int, Field(ge=1, le=64)] | None = None
    """Heads of keys and values, a divisor of `heads`; as many as `heads` if absent."""
    feed_forward: Annotated[int, Field(ge=32, le=16384)] | None = None
    """Width inside the feed-forward part; 8/3 of `width`, up to a multiple of 256, if absent."""
    context_length: Annotated[int, Field(ge=16, le=32768)] | None = None
    """Tokens of a training example, and of the context that the model serves."""
    vocabulary_size: Annotated[int, Field(ge=260, le=32768)] | None = None
    """Tokens of the tokenizer that is trained, special ones included."""
    rope_base: Annotated[float, Field(ge=100, le=10_000_000)] = 10_000.0
    """Base of the rotary positions' wave lengths."""
    norm_epsilon: Annotated[float, Field(gt=0, le=0.01)] = 1e-5
    """Epsilon of RMSNorm."""
    tie_embeddings: bool = True
    """Whether tokens are written with the same matrix that they are read with."""
