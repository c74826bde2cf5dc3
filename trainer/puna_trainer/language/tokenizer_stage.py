"""The stage `tokenizer`: learn the tokens from the training texts, or take those of `model.uri`."""

from __future__ import annotations

from typing import Any

from puna_trainer.config.run import Run
from puna_trainer.config.shape import shape_of
from puna_trainer.language.corpus import DATA, TOKENIZER
from puna_trainer.language.hub_layout import adopt_tokenizer, fetch_start
from puna_trainer.language.tokenizer import save_tokenizer, train_tokenizer
from puna_trainer.language.tokens import Part, read_texts, selection_of
from puna_trainer.stage import StageContext


def make_tokenizer(context: StageContext) -> None:
    """Leave a tokenizer in the output folder.

    Raises:
        TrainingError: there are no training texts, or too few for so many tokens.
    """
    run, folder, reporter = context.run, context.folder, context.reporter
    if run.model.uri:
        start = fetch_start(run.model.uri, folder, reporter.message)
        adopt_tokenizer(start, folder / TOKENIZER)
        return
    shape = shape_of(run.model)
    reporter.message(f"learning {shape.vocabulary_size} tokens")
    texts = read_texts(selection_of(folder / DATA, Part.TRAIN))
    tokenizer = train_tokenizer(texts, vocabulary_size=shape.vocabulary_size)
    save_tokenizer(tokenizer, folder / TOKENIZER, context_length=shape.context_length)


def fields_of_tokenizer(run: Run) -> dict[str, Any]:
    """Return what a tokenizer depends on of a run, the data apart."""
    return {
        "uri": run.model.uri,
        "vocabularySize": run.model.vocabulary_size,
        "contextLength": run.model.context_length,
    }
