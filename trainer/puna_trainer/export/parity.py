"""Parity: what llama.cpp makes of a file, against what the trained model makes of the same."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from puna_trainer.export.closeness import Block, Closeness, closeness
from puna_trainer.export.corpus import texts
from puna_trainer.export.gates import Failure, Measure, parity_failure
from puna_trainer.export.llama import LlamaFile
from puna_trainer.export.reference import Reference
from puna_trainer.progress import Parity

GREEDY_TOKENS: Final = 32
"""Tokens that are written after a prompt."""


def measure(path: Path, reference: Reference, *, positions: int | None = None) -> Parity:
    """Load a file, and compare ids, logits and greedy texts.

    Args:
        path: the file.
        reference: the model, and the texts that both are asked about.
        positions: how many of a text are compared; all, up to full context, if absent.

    Raises:
        TrainingError: llama.cpp refuses the file, or computes numbers that are none.
    """
    with LlamaFile(path, context_length=reference.shape.context_length) as file:
        close = closeness(_blocks(file, reference, positions))
        wrong = tuple(_not_finite(close))
        if wrong:
            raise parity_failure(path.name, wrong)
        return Parity(
            ids_equal=differing_text(file, reference) is None,
            nmse=close.nmse,
            positions=close.positions,
            kld=close.kld,
            kld_99=close.kld_99,
            top1=close.top1,
            perplexity_ratio=close.perplexity_ratio,
            greedy_equal=_greedy_equal(file, reference),
        )


def differing_text(file: LlamaFile, reference: Reference) -> str | None:
    """Return a text of the corpus of which the two make other ids; None if there is none."""
    special = [
        token.content
        for token in reference.tokenizer.get_added_tokens_decoder().values()
        if token.special
    ]
    for text in texts(special):
        if file.tokenize(text) != reference.encode(text):
            return text
    return None


def _blocks(file: LlamaFile, reference: Reference, positions: int | None) -> Iterator[Block]:
    for index, window in enumerate(reference.windows):
        start = 0
        for found_TV in file.logits(window[:positions]):
            end = start + len(found_TV)
            yield Block(
                reference_TV=reference.logits(index, start, end),
                found_TV=found_TV,
                next_T=np.array(window[start + 1 : end + 1], dtype=np.int64),
            )
            start = end


def _not_finite(close: Closeness) -> Iterator[Failure]:
    """Yield the measures that no gate can judge: logits of the file or the model are no numbers."""
    for measure_of, found in ((Measure.NMSE, close.nmse), (Measure.KLD, close.kld)):
        if not math.isfinite(found):
            yield Failure(measure_of, f"{found:g}, a finite number is needed")


def _greedy_equal(file: LlamaFile, reference: Reference) -> bool:
    """Return whether the model would have written the same after each prompt.

    It would if each token of the file's text is the model's likeliest after those before it.
    """
    for prompt in reference.prompts():
        room = min(GREEDY_TOKENS, reference.shape.context_length - len(prompt))
        written = file.greedy(prompt, room)
        likeliest = reference.likeliest([*prompt, *written])[len(prompt) - 1 :]
        if likeliest[: len(written)] != written:
            return False
        if len(written) < room and not file.ends(likeliest[len(written)]):
            return False
    return True
