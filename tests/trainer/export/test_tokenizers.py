"""Ids of llama.cpp are those of the tokenizer, for each pre-tokenizer that is let through."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from tokenizers.trainers import BpeTrainer

from puna_trainer.export.corpus import TEXTS
from puna_trainer.export.llama import LlamaFile
from puna_trainer.export.parity import differing_text
from puna_trainer.export.pre_tokenizer import KNOWN, LLAMA_3
from puna_trainer.language.tokenizer import SPECIAL_TOKENS, tokenizer_config
from tests.trainer.export.models import LEARNED, Model, untrained, vocabulary, with_shape

BYTES = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
GPT_2 = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
STEPS = {
    "gpt-2": GPT_2,
    "smollm": pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), GPT_2]),
    "llama-bpe": pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(LLAMA_3), behavior="isolated"), BYTES]
    ),
}
NASTY = "\n".join(TEXTS) * 3


@cache
def learned(name: str) -> Tokenizer:
    """A tokenizer that has learned the corpus itself: every way to split shows in its ids."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=KNOWN[name][1]))
    tokenizer.pre_tokenizer = STEPS[name]
    tokenizer.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=1200,
        special_tokens=[AddedToken(token, special=True) for token in SPECIAL_TOKENS],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator([LEARNED[:40_000], NASTY], trainer)
    begin = SPECIAL_TOKENS[0]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{begin} $A", special_tokens=[(begin, tokenizer.token_to_id(begin))]
    )
    return tokenizer


def model_of(name: str) -> Model:
    shape = with_shape(vocabulary_size=1216, width=64, heads=2, kv_heads=1, feed_forward=64)
    tokenizer = learned(name)
    return replace(untrained(shape), tokenizer=tokenizer, vocabulary=vocabulary(tokenizer, 1216))


def difference(model: Model, path: Path) -> str | None:
    with LlamaFile(model.write(path), context_length=64) as file:
        return differing_text(file, model.reference)


@pytest.mark.parametrize("name", KNOWN)
def test_ids_are_equal_over_the_whole_corpus(name: str, tmp_path: Path) -> None:
    model = model_of(name)
    assert model.vocabulary.pre == name
    assert difference(model, tmp_path / "model.gguf") is None


@pytest.mark.parametrize("name", KNOWN)
@pytest.mark.parametrize("wrong", KNOWN)
def test_under_any_other_name_some_text_has_other_ids(
    name: str, wrong: str, tmp_path: Path
) -> None:
    model = model_of(name)
    other = replace(model, vocabulary=replace(model.vocabulary, pre=wrong))
    assert (difference(other, tmp_path / "model.gguf") is None) == (name == wrong)


def test_an_end_that_is_added_is_added_by_both(tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_str(learned("gpt-2").to_str())
    token = SPECIAL_TOKENS[0]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {token}", special_tokens=[(token, tokenizer.token_to_id(token))]
    )
    ends = vocabulary(tokenizer, 1216, add_bos_token=False, add_eos_token=True)
    model = replace(model_of("gpt-2"), tokenizer=tokenizer, vocabulary=ends)
    assert difference(model, tmp_path / "model.gguf") is None


def test_no_text_makes_an_unused_row(tmp_path: Path) -> None:
    model = model_of("gpt-2")
    unused = model.vocabulary.unused[0]
    with LlamaFile(model.write(tmp_path / "model.gguf"), context_length=64) as file:
        ids = file.tokenize(model.vocabulary.tokens[unused])
    assert unused not in ids
    assert ids == model.reference.encode(model.vocabulary.tokens[unused])


def test_the_tokenizer_that_the_trainer_makes_is_the_one_that_is_proved() -> None:
    own = json.loads(untrained().tokenizer.to_str())
    assert own["pre_tokenizer"] == json.loads(learned("gpt-2").to_str())["pre_tokenizer"]
    assert own["post_processor"]["single"][0]["SpecialToken"]["id"] == SPECIAL_TOKENS[0]
    assert tokenizer_config(64)["add_bos_token"] is True
