"""Reference: the trained model as files are compared with it, on the processor and in F32."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional

from puna_trainer.config.shape import Shape
from puna_trainer.language.model import Llama

POSITIONS: Final = 1024
"""Least number of positions that are compared: 256 and more, the whole context, and enough for a
share of them to say something."""
PROMPTS: Final = 5
"""Texts that are gone on with."""


class Reference:
    """The trained model, its tokenizer, and the texts that both are asked about."""

    def __init__(
        self,
        shape: Shape,
        weights: Mapping[str, Tensor],
        tokenizer: Tokenizer,
        documents: Iterable[str],
    ) -> None:
        """Load the weights.

        Args:
            shape: Shape of the model.
            weights: Its tensors, under Hugging Face's names.
            tokenizer: Its tokenizer; what it adds to a text was there in training.
            documents: Texts that it did not learn from.
        """
        self.shape = shape
        self.tokenizer = tokenizer
        self._model = Llama(shape)
        self._model.load_state_dict(dict(weights))
        self._model.to("cpu", torch.float32).eval()
        head = "model.embed_tokens.weight" if shape.tie_embeddings else "lm_head.weight"
        self._head_VC = self._model.state_dict()[head]
        self.windows = windows(
            (self.encode(document) for document in documents), shape.context_length
        )

    def encode(self, text: str) -> list[int]:
        """Return the ids of a document, as they stood in training."""
        ids: list[int] = self.tokenizer.encode(text).ids
        return ids

    def logits(self, window: int, start: int, end: int) -> npt.NDArray[np.float32]:
        """Return the logits after some positions of a window, of shape (positions, vocabulary)."""
        hidden_TC = self._hidden[window][start:end]
        with torch.inference_mode():
            logits: npt.NDArray[np.float32] = functional.linear(hidden_TC, self._head_VC).numpy()
        return logits

    def likeliest(self, ids: Sequence[int]) -> list[int]:
        """Return the likeliest token after each one of a text."""
        with torch.inference_mode():
            likeliest: list[int] = self._model(torch.tensor([ids]))[0].argmax(dim=-1).tolist()
        return likeliest

    def prompts(self) -> list[list[int]]:
        """Return beginnings of texts, short enough to leave room for what comes after."""
        width = max(1, self.shape.context_length // 4)
        step = max(width, len(self.windows[0]) // PROMPTS)
        pieces = [
            window[start : start + width]
            for window in self.windows
            for start in range(0, len(window) - width + 1, step)
        ]
        return pieces[:PROMPTS]

    @cached_property
    def _hidden(self) -> list[Tensor]:
        """Hidden states of each window: far smaller than their logits."""
        with torch.inference_mode():
            return [self._model.model(torch.tensor([window]))[0] for window in self.windows]


def windows(documents: Iterable[Sequence[int]], length: int) -> list[list[int]]:
    """Return texts of so many tokens, cut from documents that are laid end to end. Pure.

    Documents are gone through again where they hold too little.
    """
    needed = length * math.ceil(POSITIONS / length)
    stream = list(_take(documents, needed))
    while len(stream) < needed:
        stream += stream[: needed - len(stream)]
    return [stream[start : start + length] for start in range(0, needed, length)]


def _take(documents: Iterable[Sequence[int]], count: int) -> Iterator[int]:
    left = count
    for document in documents:
        yield from document[:left]
        left -= min(left, len(document))
        if left == 0:
            return
