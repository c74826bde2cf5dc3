"""The folder in Hugging Face's layout, read by transformers itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer

from puna_trainer.config.shape import Shape
from puna_trainer.export.corpus import texts
from puna_trainer.export.huggingface import write_folder
from puna_trainer.language.tokenizer import SPECIAL_TOKENS, save_tokenizer
from tests.trainer.export.models import SHAPE, Model, untrained, with_shape

UNTIED = with_shape(tie_embeddings=False, rope_base=50_000.0, norm_epsilon=3e-6, kv_heads=4)


def written(model: Model, folder: Path) -> Path:
    save_tokenizer(model.tokenizer, folder / "tokenizer", context_length=model.shape.context_length)
    write_folder(
        folder / "safetensors",
        shape=model.shape,
        vocabulary=model.vocabulary,
        weights=model.weights,
        tokenizer=folder / "tokenizer",
    )
    return folder / "safetensors"


@pytest.mark.parametrize("shape", [SHAPE, UNTIED], ids=["tied", "untied"])
def test_transformers_computes_the_same_logits(shape: Shape, tmp_path: Path) -> None:
    model = untrained(shape)
    loaded: Any = AutoModelForCausalLM.from_pretrained(written(model, tmp_path)).eval()
    ids = model.reference.windows[0]
    with torch.inference_mode():
        found = loaded(torch.tensor([ids])).logits[0]
    wanted = torch.from_numpy(model.reference.logits(0, 0, len(ids)))
    assert (found - wanted).square().mean() / wanted.var() < 1e-10
    assert loaded.dtype == torch.float32
    assert loaded.config.rope_parameters["rope_theta"] == shape.rope_base
    assert loaded.config.max_position_embeddings == shape.context_length
    assert loaded.config.tie_word_embeddings is shape.tie_embeddings
    assert loaded.config.bos_token_id == model.vocabulary.beginning


def test_transformers_makes_the_same_ids_and_the_same_chat(tmp_path: Path) -> None:
    model = untrained()
    loaded: Any = AutoTokenizer.from_pretrained(written(model, tmp_path))
    for text in texts(SPECIAL_TOKENS):
        assert loaded(text)["input_ids"] == model.reference.encode(text), text
    assert (loaded.bos_token, loaded.eos_token) == (SPECIAL_TOKENS[0], SPECIAL_TOKENS[0])
    chat = [{"role": "user", "content": "hello"}]
    rendered = loaded.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    assert rendered == "<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n"


def test_generation_ends_with_a_turn_and_never_writes_an_unused_row(tmp_path: Path) -> None:
    model = untrained()
    loaded: Any = AutoModelForCausalLM.from_pretrained(written(model, tmp_path))
    assert loaded.generation_config.eos_token_id == [0, 2]
    assert loaded.generation_config.suppress_tokens == list(range(500, 512))
    tokens = loaded.generate(torch.tensor([[0, 300]]), max_new_tokens=4, do_sample=False)
    assert tokens.shape[1] <= 6


def test_weights_are_float32_under_their_own_names(tmp_path: Path) -> None:
    model = untrained()
    with safe_open(written(model, tmp_path) / "model.safetensors", framework="pt") as file:
        assert set(file.keys()) == set(model.weights)
        assert file.metadata() == {"format": "pt"}
        for name in file.keys():  # noqa: SIM118 - it is no mapping
            assert torch.equal(file.get_tensor(name), model.weights[name])


def test_a_folder_has_what_loaders_look_for(tmp_path: Path) -> None:
    folder = written(untrained(), tmp_path)
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    config = json.loads((folder / "config.json").read_text())
    assert config["architectures"] == ["LlamaForCausalLM"]
