"""Generation: token after token, with the keys and values of earlier ones kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from puna_trainer.language.bigram import Bigram
from puna_trainer.language.cache import Cache
from puna_trainer.language.model import Llama

Choose = Callable[[Tensor], int]
"""Takes logits_V, returns the id of the next token."""


def greedy(logits_V: Tensor) -> int:
    """Return the most likely token."""
    return int(logits_V.argmax())


@dataclass(frozen=True, slots=True)
class Sampler:
    """Choice at random, by probability."""

    temperature: float
    """Below 1 likely tokens become likelier still."""
    generator: torch.Generator

    def __call__(self, logits_V: Tensor) -> int:
        """Return a token at random."""
        probabilities_V = (logits_V.cpu().double() / self.temperature).softmax(dim=0)
        return int(torch.multinomial(probabilities_V, 1, generator=self.generator))


@torch.inference_mode()
def generate(
    model: Llama,
    prompt: Sequence[int],
    *,
    limit: int,
    end: int,
    choose: Choose,
    vocabulary_size: int | None = None,
) -> list[int]:
    """Return what a model writes after a prompt, at most `limit` tokens.

    Args:
        model: The model.
        prompt: Ids, at least one; what a context cannot hold beside `limit` tokens is cut off its
            beginning.
        limit: Most tokens to write, fewer than the context holds.
        end: Token that ends the text; it is not returned.
        choose: `greedy` or a `Sampler`.
        vocabulary_size: Tokens of the tokenizer, where the model's matrix has rows for more.
    """
    device = model.model.embed_tokens.weight.device
    cache = Cache(model.shape, device=device)
    fresh = list(prompt)[-(model.shape.context_length - limit) :]
    written: list[int] = []
    while len(written) < limit:
        logits_BTV = model(torch.tensor([fresh], device=device), cache)
        token = choose(logits_BTV[0, -1, :vocabulary_size])
        if token == end:
            break
        written.append(token)
        fresh = [token]
    return written


def generate_by_bigram(
    bigram: Bigram, prompt: Sequence[int], *, limit: int, end: int, choose: Choose
) -> list[int]:
    """Return what a bigram writes after a prompt, at most `limit` tokens."""
    last = prompt[-1]
    written: list[int] = []
    while len(written) < limit:
        last = choose(bigram.log_probabilities(last))
        if last == end:
            break
        written.append(last)
    return written
