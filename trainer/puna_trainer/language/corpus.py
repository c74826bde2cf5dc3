"""Corpus: the data of a run in tokens, and the shape of the model that reads them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from puna_trainer.config.shape import Shape, shape_of
from puna_trainer.errors import TrainingError
from puna_trainer.exits import FailureReason
from puna_trainer.language.batches import window_count
from puna_trainer.language.codec import Codec, load_codec
from puna_trainer.language.hub_layout import fetch_start, read_shape
from puna_trainer.language.tokenizer import tokenizer_hash
from puna_trainer.language.tokens import Part, TokenFile, make_token_file
from puna_trainer.stage import StageContext

DATA: Final = "data"
TOKENIZER: Final = "tokenizer"
TOKENS: Final = "tokens"
"""Folders of the output folder."""


@dataclass(frozen=True, slots=True)
class Corpus:
    """What a language model learns from, or is measured on."""

    shape: Shape
    codec: Codec
    parts: dict[Part, TokenFile]
    start: Path | None
    """Folder of the model to start from, if the run names one."""


def open_corpus(context: StageContext, *parts: Part) -> Corpus:
    """Return parts of the data in tokens; the first process makes what is not there.

    Raises:
        TrainingError: data, tokenizer or the model to start from are missing or do not fit.
    """
    if context.group.is_first:
        corpus = _open(context, parts)
        context.group.wait()
        return corpus
    context.group.wait()
    return _open(context, parts)


def _open(context: StageContext, parts: tuple[Part, ...]) -> Corpus:
    def tell(message: str) -> None:
        context.stop.check()
        context.reporter.message(message)

    uri, folder = context.run.model.uri, context.folder
    start = fetch_start(uri, folder, tell) if uri else None
    shape = read_shape(start) if start else shape_of(context.run.model)
    codec = load_codec(folder / TOKENIZER)
    if codec.size > shape.vocabulary_size:
        raise TrainingError(
            FailureReason.BAD_CONFIG,
            f"model.vocabularySize: the model knows {shape.vocabulary_size} tokens, the tokenizer "
            f"has {codec.size}",
        )
    sha256 = tokenizer_hash(folder / TOKENIZER)
    files = {
        part: make_token_file(
            folder / DATA, part, folder / TOKENS, codec, tokenizer_sha256=sha256, tell=tell
        )
        for part in parts
    }
    train = files.get(Part.TRAIN)
    if train and not window_count(len(train.ids_N), shape.context_length):
        raise TrainingError(
            FailureReason.BAD_CONFIG,
            f"model.contextLength is {shape.context_length}, but the training data has only "
            f"{len(train.ids_N)} tokens; make it shorter, or give more text",
        )
    return Corpus(shape, codec, files, start)
