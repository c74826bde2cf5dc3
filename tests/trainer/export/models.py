"""Small models for tests of the export: untrained ones with lively logits, and trained ones."""

from __future__ import annotations

import argparse
import inspect
import json
import random
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional

from puna_trainer.config.output import ArtifactType
from puna_trainer.config.shape import Shape
from puna_trainer.export.gguf_file import write_gguf
from puna_trainer.export.reference import Reference
from puna_trainer.export.vocabulary import Vocabulary, vocabulary_of
from puna_trainer.language.model import Llama
from puna_trainer.language.tokenizer import tokenizer_config, train_tokenizer

SHAPE = Shape(
    layers=2,
    width=256,
    heads=4,
    kv_heads=2,
    feed_forward=512,
    context_length=320,
    vocabulary_size=512,
    rope_base=10_000.0,
    norm_epsilon=1e-5,
    tie_embeddings=True,
)
"""Grouped queries, rows that K-quants hold, and a context that is no multiple of a chunk."""

LEARNED = inspect.getsource(argparse) + " ".join(map(str, range(1000, 1500)))
"""Text that tokenizers and models are trained on, with numbers that become tokens."""
HELD_OUT = inspect.getsource(textwrap) + inspect.getsource(random)
"""Text that they are not."""


@dataclass(frozen=True)
class Model:
    """A model, and everything that an export of it needs."""

    shape: Shape
    weights: Mapping[str, Tensor]
    tokenizer: Tokenizer
    vocabulary: Vocabulary

    @property
    def reference(self) -> Reference:
        return Reference(self.shape, self.weights, self.tokenizer, [HELD_OUT])

    def write(self, path: Path, kind: ArtifactType = ArtifactType.F32) -> Path:
        write_gguf(
            path,
            kind=kind,
            name="tiny",
            shape=self.shape,
            vocabulary=self.vocabulary,
            weights=self.weights,
            notes={"puna.seed": 7},
        )
        return path


@cache
def tokenizer(size: int = 500) -> Tokenizer:
    return train_tokenizer([LEARNED], vocabulary_size=size)


def vocabulary(trained: Tokenizer, rows: int, **config: Any) -> Vocabulary:
    return vocabulary_of(json.loads(trained.to_str()), tokenizer_config(320) | config, rows=rows)


@cache
def untrained(shape: Shape = SHAPE, seed: int = 0) -> Model:
    """A model whose weights are large enough that every mistake shows in its logits."""
    torch.manual_seed(seed)
    model = Llama(shape)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.mul_(3)
            else:
                weight.add_(torch.randn_like(weight) * 0.2)
    return model_of(model)


@cache
def trained(shape: Shape = SHAPE, steps: int = 40, seed: int = 0) -> Model:
    """A model that has learned for some seconds."""
    torch.manual_seed(seed)
    model = Llama(shape)
    ids = torch.tensor(tokenizer().encode(LEARNED).ids)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.1)
    for _ in range(steps):
        starts = torch.randint(len(ids) - 65, (16, 1))
        batch = ids[starts + torch.arange(65)]
        logits = model(batch[:, :-1])
        loss = functional.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model_of(model)


def with_shape(**changes: Any) -> Shape:
    return replace(SHAPE, **changes)


def model_of(model: Llama) -> Model:
    weights = {name: weight.detach().clone() for name, weight in model.state_dict().items()}
    rows = model.shape.vocabulary_size
    return Model(model.shape, weights, tokenizer(), vocabulary(tokenizer(), rows))
