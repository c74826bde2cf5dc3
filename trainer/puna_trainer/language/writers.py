"""Writers: those who go on with a text, the model and its yardstick, asked in the same way."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeAlias

from puna_trainer.language.bigram import Bigram
from puna_trainer.language.codec import Codec
from puna_trainer.language.generate import Choose, generate, generate_by_bigram
from puna_trainer.language.model import Llama


class Written(NamedTuple):
    """What was written after a text."""

    text: str
    ended: bool
    """Whether the writer ended it, before the limit."""


Writer: TypeAlias = Callable[[str, int, Choose], Written]
"""Takes a text, the most tokens to write, and how each is chosen."""


def model_writer(model: Llama, codec: Codec) -> Writer:
    """Return what asks a model."""
    ask = partial(generate, model, vocabulary_size=codec.size)
    return lambda prompt, limit, choose: _written(
        codec, ask(codec.encode(prompt), limit=limit, end=codec.separator, choose=choose), limit
    )


def bigram_writer(bigram: Bigram, codec: Codec) -> Writer:
    """Return what asks a bigram."""
    ask = partial(generate_by_bigram, bigram)
    return lambda prompt, limit, choose: _written(
        codec, ask(codec.encode(prompt), limit=limit, end=codec.separator, choose=choose), limit
    )


def _written(codec: Codec, ids: list[int], limit: int) -> Written:
    return Written(codec.decode(ids), ended=len(ids) < limit)
