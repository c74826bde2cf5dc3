"""Vocabulary: what a GGUF says of a tokenizer, from the files that Hugging Face's layout has. Pure.

llama.cpp guesses what a file does not say: beginning and end become token 11, `gpt-2` adds no
beginning, `llama-bpe` adds one. Hence everything is said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from gguf import TokenType

from puna_trainer.errors import TrainingError
from puna_trainer.exits import FailureReason
from puna_trainer.export.pre_tokenizer import pre_tokenizer

END_OF_TURN: Final = "<|im_end|>"
"""Token that ends a message of a chat (ChatML); llama.cpp knows it by this text."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """A byte-level BPE tokenizer, as the keys `tokenizer.ggml.*` hold it."""

    pre: str
    tokens: tuple[str, ...]
    """Spelling of each row of the embedding, in unicode letters for bytes."""
    types: tuple[TokenType, ...]
    merges: tuple[str, ...]
    beginning: int
    end: int
    end_of_turn: int | None
    padding: int | None
    adds_beginning: bool
    adds_end: bool
    chat_template: str | None

    @property
    def unused(self) -> tuple[int, ...]:
        """Rows of the embedding that no text leads to."""
        return tuple(token for token, kind in enumerate(self.types) if kind is TokenType.UNUSED)


def vocabulary_of(
    tokenizer: Mapping[str, Any], config: Mapping[str, Any], *, rows: int
) -> Vocabulary:
    """Return the vocabulary of a tokenizer.

    Args:
        tokenizer: content of `tokenizer.json`.
        config: content of `tokenizer_config.json`, with `chat_template` if there is one, and with
            `add_bos_token` and `add_eos_token` as documents were packed for training.
        rows: rows of the embedding; those without a token become unused ones.

    Raises:
        TrainingError: llama.cpp could not make the same ids of a text.
    """
    model = tokenizer["model"]
    for problem in _problems(tokenizer, model):
        raise _refused(problem)
    texts = {int(token): text for text, token in model["vocab"].items()}
    kinds = dict.fromkeys(texts, TokenType.NORMAL)
    for added in tokenizer.get("added_tokens", ()):
        texts[added["id"]] = added["content"]
        kinds[added["id"]] = TokenType.CONTROL if added["special"] else TokenType.USER_DEFINED
    if len(texts) > rows or sorted(texts) != list(range(len(texts))):
        raise _refused(f"its {len(texts)} tokens do not fit an embedding of {rows} rows")
    unused = range(len(texts), rows)
    tokens = (*(texts[token] for token in range(len(texts))), *(f"[PAD{row}]" for row in unused))
    if len(set(tokens)) != rows:  # llama.cpp would abort the whole process
        raise _refused("two of its tokens are spelled alike")
    ids = {text: token for token, text in enumerate(tokens)}
    return Vocabulary(
        pre=pre_tokenizer(tokenizer),
        tokens=tokens,
        types=(
            *(kinds[token] for token in range(len(texts))),
            *(TokenType.UNUSED for _ in unused),
        ),
        merges=tuple(
            merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]
        ),
        beginning=_required(ids, config, "bos_token", "eos_token"),
        end=_required(ids, config, "eos_token"),
        end_of_turn=ids.get(END_OF_TURN),
        padding=ids.get(_text(config.get("pad_token"))),
        adds_beginning=bool(config["add_bos_token"]),
        adds_end=bool(config["add_eos_token"]),
        chat_template=config.get("chat_template"),
    )


def _problems(tokenizer: Mapping[str, Any], model: Mapping[str, Any]) -> Iterator[str]:
    if model.get("type", "BPE") != "BPE":
        yield f"it is {model['type']}, a GGUF of ours needs byte-level BPE"
        return
    if model.get("byte_fallback") or model.get("continuing_subword_prefix"):
        yield "it is BPE over characters, a GGUF of ours needs byte-level BPE"
    if tokenizer.get("normalizer") is not None:
        yield f"it changes text first ({tokenizer['normalizer']['type']}), llama.cpp does not"
    if not model["merges"]:
        yield "it has no merges, and llama.cpp loads no such file; let it have more tokens"


def _required(ids: Mapping[str, int], config: Mapping[str, Any], *names: str) -> int:
    """Return the token that the first of some fields names which is there."""
    for name in names:
        text = _text(config.get(name))
        if text in ids:
            return ids[text]
    raise _refused(f"tokenizer_config.json names no {' or '.join(names)} that is a token")


def _text(token: str | Mapping[str, Any] | None) -> str:
    """Return the text of a token that is named by it, or described by an object."""
    if token is None:
        return ""
    return token if isinstance(token, str) else str(token["content"])


def _refused(problem: str) -> TrainingError:
    return TrainingError(
        FailureReason.BAD_CONFIG, f"the tokenizer cannot go into a GGUF: {problem}"
    )
