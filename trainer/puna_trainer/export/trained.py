"""The trained model of a run: weights of its best checkpoint, and its tokenizer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tokenizers import Tokenizer
from torch import Tensor

from puna_trainer.checkpoint.folder import read_description, read_weights
from puna_trainer.checkpoint.store import NAME as CHECKPOINTS
from puna_trainer.checkpoint.store import Store
from puna_trainer.config.shape import Shape
from puna_trainer.errors import TrainingError
from puna_trainer.exits import FailureReason
from puna_trainer.export.vocabulary import Vocabulary, vocabulary_of
from puna_trainer.files import read_json
from puna_trainer.language import hub_layout
from puna_trainer.language.corpus import TOKENIZER
from puna_trainer.language.trained import is_about_start
from puna_trainer.progress import CheckpointNote
from puna_trainer.stage import StageContext
from puna_trainer.tensors import weights_digest

SPACE: Final = " "
"""A text without words: all that a tokenizer adds to it stands around one token."""


@dataclass(frozen=True, slots=True)
class Trained:
    """A model that was trained."""

    shape: Shape
    weights: Mapping[str, Tensor]
    """Its tensors, under Hugging Face's names."""
    vocabulary: Vocabulary
    tokenizer: Path
    """Folder with the files of its tokenizer."""
    checkpoint: CheckpointNote | None
    """Where the weights are from; absent if the run did not train."""

    def digest(self) -> str:
        """Return the SHA-256 of the weights."""
        return weights_digest(self.weights)


def read_trained(context: StageContext) -> Trained:
    """Return the model of the best checkpoint, or that of `model.uri` if the run learns nothing.

    Raises:
        TrainingError: there is none, or the tokenizer cannot go into a GGUF.
    """
    folder, run = context.folder, context.run
    store = Store(folder / CHECKPOINTS, run.checkpoint, None)
    note = None if is_about_start(run) else store.best_note()
    if note is not None:
        shape = Shape(**read_description(store.folder / note.name)["shape"])
        weights = read_weights(store.folder / note.name)
    elif run.model.uri:
        start = hub_layout.fetch_start(run.model.uri, folder, context.reporter.message)
        shape = hub_layout.read_shape(start)
        weights = hub_layout.read_weights(start, shape)
    else:
        raise TrainingError(
            FailureReason.BAD_CONFIG, "stages: there is no checkpoint to export; add pretrain"
        )
    vocabulary = read_vocabulary(folder / TOKENIZER, rows=shape.vocabulary_size)
    return Trained(shape, weights, vocabulary, folder / TOKENIZER, note)


def read_vocabulary(folder: Path, *, rows: int) -> Vocabulary:
    """Return the vocabulary of a tokenizer's folder.

    Where `tokenizer_config.json` does not say what is added to a document, the tokenizer shows it.

    Raises:
        TrainingError: it cannot go into a GGUF.
    """
    config: dict[str, Any] = read_json(folder / "tokenizer_config.json") or {}
    template = folder / hub_layout.CHAT_TEMPLATE
    if template.is_file():
        config["chat_template"] = template.read_text(encoding="utf-8")
    file = folder / "tokenizer.json"
    around = Tokenizer.from_file(str(file)).encode(SPACE).special_tokens_mask
    config.setdefault("add_bos_token", around[0] == 1)
    config.setdefault("add_eos_token", around[-1] == 1)
    return vocabulary_of(json.loads(file.read_text(encoding="utf-8")), config, rows=rows)
