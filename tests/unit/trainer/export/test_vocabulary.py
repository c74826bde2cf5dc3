from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from gguf import TokenType

from puna_trainer.errors import TrainingError
from puna_trainer.export.pre_tokenizer import KNOWN, LLAMA_3, pre_tokenizer
from puna_trainer.export.vocabulary import Vocabulary, vocabulary_of

BYTE_LEVEL = {
    "type": "ByteLevel",
    "add_prefix_space": False,
    "trim_offsets": True,
    "use_regex": True,
}
TOKENIZER: dict[str, Any] = {
    "added_tokens": [
        {"id": 0, "content": "<|endoftext|>", "special": True},
        {"id": 1, "content": "<|im_end|>", "special": True},
        {"id": 2, "content": "<|pad|>", "special": True},
        {"id": 6, "content": "<tool>", "special": False},
    ],
    "normalizer": None,
    "pre_tokenizer": BYTE_LEVEL,
    "model": {
        "type": "BPE",
        "vocab": {
            "<|endoftext|>": 0, "<|im_end|>": 1, "<|pad|>": 2, "a": 3, "\u0120": 4, "\u0120a": 5,
        },
        "merges": [["\u0120", "a"]],
        "byte_fallback": False,
    },
}  # fmt: skip
CONFIG: dict[str, Any] = {
    "bos_token": "<|endoftext|>",
    "eos_token": {"content": "<|endoftext|>"},
    "pad_token": "<|pad|>",
    "add_bos_token": True,
    "add_eos_token": False,
    "chat_template": "{{ messages }}",
}


def changed(*path: str, to: Any) -> dict[str, Any]:
    tokenizer: dict[str, Any] = copy.deepcopy(TOKENIZER)
    place = tokenizer
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = to
    return tokenizer


def test_a_vocabulary_says_everything_that_llama_cpp_would_guess() -> None:
    assert vocabulary_of(TOKENIZER, CONFIG, rows=9) == Vocabulary(
        pre="gpt-2",
        tokens=(
            "<|endoftext|>", "<|im_end|>", "<|pad|>", "a", "\u0120", "\u0120a", "<tool>",
            "[PAD7]", "[PAD8]",
        ),
        types=(
            TokenType.CONTROL, TokenType.CONTROL, TokenType.CONTROL,
            TokenType.NORMAL, TokenType.NORMAL, TokenType.NORMAL,
            TokenType.USER_DEFINED, TokenType.UNUSED, TokenType.UNUSED,
        ),
        merges=("\u0120 a",),
        beginning=0,
        end=0,
        end_of_turn=1,
        padding=2,
        adds_beginning=True,
        adds_end=False,
        chat_template="{{ messages }}",
    )  # fmt: skip


def test_rows_without_a_token_are_unused() -> None:
    assert vocabulary_of(TOKENIZER, CONFIG, rows=9).unused == (7, 8)
    assert vocabulary_of(TOKENIZER, CONFIG, rows=7).unused == ()


def test_merges_of_the_older_spelling_are_the_same() -> None:
    older = changed("model", "merges", to=["\u0120 a"])
    assert vocabulary_of(older, CONFIG, rows=9) == vocabulary_of(TOKENIZER, CONFIG, rows=9)


def test_what_a_tokenizer_does_not_have_is_not_said() -> None:
    config = CONFIG | {"pad_token": None, "chat_template": None}
    vocabulary = vocabulary_of(TOKENIZER, config, rows=7)
    assert (vocabulary.padding, vocabulary.chat_template) == (None, None)


@pytest.mark.parametrize(
    ("tokenizer", "words"),
    [
        (changed("model", "type", to="Unigram"), "it is Unigram"),
        (changed("model", "byte_fallback", to=True), "BPE over characters"),
        (changed("normalizer", to={"type": "NFC"}), r"changes text first \(NFC\)"),
        (changed("model", "merges", to=[]), "no merges"),
        (changed("model", "vocab", "a", to=9), "do not fit an embedding of 8 rows"),
        (changed("model", "vocab", "<tool>", to=7), "two of its tokens are spelled alike"),
        (changed("pre_tokenizer", to=None), r"\(none\)"),
        (changed("pre_tokenizer", "add_prefix_space", to=True), r"\(ByteLevel\)"),
        (changed("model", "ignore_merges", to=True), r"\(ByteLevel\)"),
    ],
)
def test_what_llama_cpp_would_read_otherwise_is_refused(
    tokenizer: dict[str, Any], words: str
) -> None:
    with pytest.raises(TrainingError, match=words):
        vocabulary_of(tokenizer, CONFIG, rows=8)


def test_more_tokens_than_rows_are_refused() -> None:
    with pytest.raises(TrainingError, match="its 7 tokens do not fit an embedding of 6 rows"):
        vocabulary_of(TOKENIZER, CONFIG, rows=6)


@pytest.mark.parametrize("token", [None, "<s>"])
def test_an_end_has_to_be_a_token(token: str | None) -> None:
    with pytest.raises(TrainingError, match="names no eos_token that is a token"):
        vocabulary_of(TOKENIZER, CONFIG | {"eos_token": token}, rows=7)


def test_documents_begin_with_their_end_where_there_is_no_beginning() -> None:
    config = CONFIG | {"bos_token": None, "eos_token": "<|im_end|>"}
    assert vocabulary_of(TOKENIZER, config, rows=7).beginning == 1


def tokenizer_of(steps: list[dict[str, Any]], *, ignore_merges: bool) -> dict[str, Any]:
    return {
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": steps},
        "model": {"ignore_merges": ignore_merges},
    }


@pytest.mark.parametrize(
    ("steps", "ignored", "name"),
    [
        ([BYTE_LEVEL], "nothing", "gpt-2"),
        ([{"type": "Digits", "individual_digits": True}, BYTE_LEVEL], "nothing", "smollm"),
        (
            [
                {
                    "type": "Split",
                    "pattern": {"Regex": LLAMA_3},
                    "behavior": "Isolated",
                    "invert": False,
                },
                BYTE_LEVEL | {"use_regex": False},
            ],
            "merges",
            "llama-bpe",
        ),
    ],
)
def test_a_pre_tokenizer_is_known_by_its_steps(
    steps: list[dict[str, Any]],
    ignored: str,
    name: str,
) -> None:
    assert pre_tokenizer(tokenizer_of(steps, ignore_merges=ignored == "merges")) == name
    assert name in KNOWN


@pytest.mark.parametrize(
    "change",
    [
        lambda steps: [{"type": "Digits", "individual_digits": False}, *steps],
        lambda steps: [*steps, {"type": "Punctuation", "behavior": "Isolated"}],
        lambda _: [{"type": "Whitespace"}],
    ],
)
def test_any_other_step_is_refused(
    change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]],
) -> None:
    with pytest.raises(TrainingError, match="has no name for"):
        pre_tokenizer(tokenizer_of(change([BYTE_LEVEL]), ignore_merges=False))
