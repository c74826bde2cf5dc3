"""Starting from a folder in the layout of Hugging Face, as transformers writes it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from puna_trainer.errors import TrainingError
from puna_trainer.language.hub_layout import adopt_tokenizer, read_shape, read_weights
from puna_trainer.language.model import Llama
from puna_trainer.language.pretrain import Training, pretrain
from puna_trainer.language.tokenizer_stage import make_tokenizer
from puna_trainer.language.trained import best_model
from tests.trainer.language.runs import context_of, language_run, logged, sentences, write_data
from tests.trainer.language.shapes import shape
from tests.trainer.language.starts import write_model


@pytest.mark.parametrize("tied", [True, False])
def test_a_model_of_transformers_comes_over_whole(tmp_path: Path, tied: bool) -> None:  # noqa: FBT001
    theirs = write_model(tmp_path, tie_word_embeddings=tied)
    theirs.eval()
    wanted = read_shape(tmp_path)
    assert wanted == shape(
        width=32,
        feed_forward=64,
        context_length=32,
        vocabulary_size=300,
        rope_base=5000.0,
        tie_embeddings=tied,
    )
    ours = Llama(wanted)
    ours.load_state_dict(read_weights(tmp_path, wanted))
    tokens_BT = torch.randint(0, 300, (2, 32))
    with torch.inference_mode():
        torch.testing.assert_close(ours(tokens_BT), theirs(tokens_BT).logits, rtol=0, atol=1e-5)


def test_weights_in_several_files_are_read_from_all(tmp_path: Path) -> None:
    theirs = write_model(tmp_path)
    theirs.save_pretrained(tmp_path / "sharded", max_shard_size="20KB")
    folder = tmp_path / "sharded"
    assert len(list(folder.glob("*.safetensors"))) > 1
    weights = read_weights(folder, read_shape(folder))
    expected = theirs.state_dict()
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[name], tensor) for name, tensor in expected.items())


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("hidden_act", "gelu"),
        ("attention_bias", True),
        ("model_type", "qwen2"),
        ("rope_parameters", {"rope_type": "yarn", "rope_theta": 5000.0, "factor": 2.0}),
        ("head_dim", 16),
    ],
)
def test_what_is_no_plain_llama_is_refused_by_its_member(
    tmp_path: Path, member: str, value: Any
) -> None:
    write_model(tmp_path)
    file = tmp_path / "config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(config | {member: value}), encoding="utf-8")
    named = "rope_type" if member == "rope_parameters" else member
    with pytest.raises(TrainingError, match=rf"model\.uri: config\.json says {named}"):
        read_shape(tmp_path)


@pytest.mark.parametrize(
    ("layers", "problem"),
    [
        (1, "have model.layers.1.input_layernorm.weight, and by config.json there is none"),
        (3, "have no model.layers.2.input_layernorm.weight, and by config.json there is one"),
    ],
)
def test_weights_of_other_layers_than_the_folder_says_are_refused(
    tmp_path: Path, layers: int, problem: str
) -> None:
    write_model(tmp_path)
    wanted = replace(read_shape(tmp_path), layers=layers)
    with pytest.raises(TrainingError, match=re.escape(f"model.uri: the weights {problem}")):
        read_weights(tmp_path, wanted)


def test_damaged_weights_are_refused(tmp_path: Path) -> None:
    write_model(tmp_path)
    file = tmp_path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(TrainingError, match=r"model\.uri: model\.safetensors cannot be read"):
        read_weights(tmp_path, read_shape(tmp_path))


def test_a_chat_template_in_a_file_of_its_own_comes_along_and_goes_with_the_next_start(
    tmp_path: Path,
) -> None:
    with_template, without = tmp_path / "with", tmp_path / "without"
    for start in (with_template, without):
        write_model(start)
    (with_template / "chat_template.jinja").write_text("{{ messages }}", encoding="utf-8")
    taken = tmp_path / "tokenizer"
    adopt_tokenizer(with_template, taken)
    assert (taken / "chat_template.jinja").read_text(encoding="utf-8") == "{{ messages }}"
    adopt_tokenizer(without, taken)
    assert not (taken / "chat_template.jinja").exists()


def test_training_goes_on_from_its_weights_and_with_its_tokenizer(tmp_path: Path) -> None:
    start = tmp_path / "start"
    theirs = write_model(start)
    output = tmp_path / "output"
    run = language_run(output, model={"uri": f"file://{start}"})
    write_data(output, sentences(24), sentences(6, seed=1))
    make_tokenizer(context_of(run))
    training = Training(context_of(run))
    weights = training.model.state_dict()
    assert all(torch.equal(weights[name], tensor) for name, tensor in theirs.state_dict().items())
    pretrain(context_of(run))
    written = (output / "tokenizer" / "tokenizer.json").read_bytes()
    assert written == (start / "tokenizer.json").read_bytes()
    losses = [entry["loss"] for entry in logged(output) if entry["kind"] == "step"]
    assert losses[-1] < losses[0]
    _, model = best_model(output, torch.device("cpu"))
    assert model.shape == read_shape(start)
