"""Codec: text to token ids and back, as training, evaluation and generation all use it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from puna_trainer.errors import TrainingError
from puna_trainer.exits import FailureReason


@dataclass(frozen=True, slots=True)
class Codec:
    """A tokenizer, and the token that stands before every document."""

    tokenizer: Tokenizer
    separator: int
    """Id of the token before a document: the first of a prompt, and the end of what is written."""

    @property
    def size(self) -> int:
        """Number of tokens."""
        return int(self.tokenizer.get_vocab_size())

    def encode_documents(self, texts: Sequence[str]) -> list[list[int]]:
        """Return each document's ids, the separator first.

        The spelling of a special token inside a document is text like any other: data cannot say
        where a document ends.
        """
        encodings = self.tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [[self.separator, *encoding.ids] for encoding in encodings]

    def encode(self, text: str) -> list[int]:
        """Return the ids of a prompt, the separator first."""
        return self.encode_documents([text])[0]

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids, without special tokens."""
        return str(self.tokenizer.decode(list(ids)))


def load_codec(folder: Path) -> Codec:
    """Return the codec of a folder with `tokenizer.json` and `tokenizer_config.json`.

    Raises:
        TrainingError: there is none, or it cannot be read.
    """
    try:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        config = json.loads((folder / "tokenizer_config.json").read_bytes())
    except Exception as error:  # tokenizers raises nothing more precise
        raise TrainingError(
            FailureReason.BAD_CONFIG,
            f"{folder.name}: there is no tokenizer that can be read ({error}); run the stage "
            "tokenizer, or name a folder with tokenizer.json and tokenizer_config.json in "
            "model.uri",
        ) from error
    separator = _separator(config)
    number = None if separator is None else tokenizer.token_to_id(separator)
    if number is None:
        raise TrainingError(
            FailureReason.BAD_CONFIG,
            f"{folder.name}/tokenizer_config.json: neither bos_token nor eos_token is a token of "
            "tokenizer.json; documents need one to stand between them",
        )
    tokenizer.encode_special_tokens = True
    return Codec(tokenizer, number)


def _separator(config: dict[str, Any]) -> str | None:
    """Return the first token of a document: `bos_token`, or `eos_token` where there is none."""
    for name in ("bos_token", "eos_token"):
        token = config.get(name)
        if token is not None:
            return str(token["content"] if isinstance(token, dict) else token)
    return None
