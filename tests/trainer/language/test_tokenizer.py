"""The tokenizer: what it learns, what it writes, and that it can be relied on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from puna_trainer.errors import Interrupted, TrainingError
from puna_trainer.exits import FailureReason
from puna_trainer.language.codec import load_codec
from puna_trainer.language.tokenizer import (
    SPECIAL_TOKENS,
    save_tokenizer,
    tokenizer_hash,
    train_tokenizer,
)
from puna_trainer.language.tokenizer_stage import make_tokenizer
from puna_trainer.stop import SIGNALS, StopSignal
from tests.trainer.language.runs import context_of, language_run, sentences, write_data

ASK_AND_ANSWER = 'exec 3> "$1" && kill -TERM $PPID && cat "$2" >&3'
"""Waits until a pipe is read, signals who started this, and only then writes into the pipe."""
NASTY = (
    "it's I'll we'd",
    "1234567890 3.14",
    "a\n\n\nb\r\n\tc   d ",
    "  leading and trailing  ",
    "日本語 中文 한국어",
    "🙂👩‍👩‍👧 e\u0301 \u200d",
    "<|endoftext|> and x<|im_end|>y",
    "\x00\x7f",
)


def trained(folder: Path, size: int = 300) -> Path:
    save_tokenizer(train_tokenizer(sentences(50), vocabulary_size=size), folder, context_length=32)
    return folder


def test_equal_texts_give_equal_tokenizers(tmp_path: Path) -> None:
    assert tokenizer_hash(trained(tmp_path / "a")) == tokenizer_hash(trained(tmp_path / "b"))


def test_it_has_the_size_that_was_asked_for_and_the_special_tokens_first(tmp_path: Path) -> None:
    codec = load_codec(trained(tmp_path))
    assert codec.size == 300
    assert [codec.tokenizer.token_to_id(token) for token in SPECIAL_TOKENS] == [0, 1, 2, 3]
    assert codec.separator == 0


@pytest.mark.parametrize("text", NASTY)
def test_every_text_comes_back(tmp_path: Path, text: str) -> None:
    codec = load_codec(trained(tmp_path))
    ids = codec.encode(text)
    assert ids[0] == codec.separator
    assert codec.decode(ids) == text


def test_a_document_cannot_spell_a_separator(tmp_path: Path) -> None:
    codec = load_codec(trained(tmp_path))
    ids = codec.encode("before<|endoftext|>after<|pad|>")
    assert not set(ids[1:]) & {0, 1, 2, 3}


def test_texts_that_hold_too_few_tokens_are_refused_with_their_number() -> None:
    with pytest.raises(
        TrainingError, match=r"vocabularySize is 4000, .* hold \d+ tokens"
    ) as raised:
        train_tokenizer(["a few words", "and a few more"], vocabulary_size=4000)
    assert raised.value.reason is FailureReason.BAD_CONFIG


def test_transformers_reads_the_folder_as_training_packs_documents(tmp_path: Path) -> None:
    codec = load_codec(trained(tmp_path))
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    assert theirs("the red tree")["input_ids"] == codec.encode("the red tree")
    assert (theirs.bos_token, theirs.eos_token, theirs.pad_token) == (
        "<|endoftext|>",
        "<|endoftext|>",
        "<|pad|>",
    )
    config = json.loads((tmp_path / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert (config["add_bos_token"], config["add_eos_token"]) == (True, False)


def test_the_chat_template_is_chatml_without_a_first_token(tmp_path: Path) -> None:
    theirs = AutoTokenizer.from_pretrained(trained(tmp_path))
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]
    rendered = theirs.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert rendered == (
        "<|im_start|>system\nBe brief.<|im_end|>\n"
        "<|im_start|>user\nHello<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_the_stage_learns_from_training_texts_alone(tmp_path: Path) -> None:
    for name, validation in (("a", sentences(4, seed=1)), ("b", ["Something else entirely!"])):
        write_data(tmp_path / name, sentences(30), validation)
        make_tokenizer(context_of(language_run(tmp_path / name)))
    digests = {tokenizer_hash(tmp_path / name / "tokenizer") for name in ("a", "b")}
    assert len(digests) == 1


def test_a_folder_without_a_tokenizer_says_so(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="run the stage tokenizer"):
        load_codec(tmp_path)


def test_a_signal_that_comes_while_it_is_read_is_no_fault_of_it(tmp_path: Path) -> None:
    pipe = trained(tmp_path) / "tokenizer.json"
    content = pipe.rename(tmp_path / "content")
    os.mkfifo(pipe)
    before = {number: signal.getsignal(number) for number in SIGNALS}
    stop = StopSignal()
    stop.listen()
    try:
        with (
            subprocess.Popen(["sh", "-c", ASK_AND_ANSWER, "sh", str(pipe), str(content)]),
            pytest.raises(Interrupted),
            stop.at_once(),
        ):
            load_codec(tmp_path)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
