from __future__ import annotations

import pytest

from puna_trainer.errors import TrainingError
from puna_trainer.export.names import IN_BLOCK, OUTSIDE, gguf_name, hugging_face_name

NAMES = [f"{part}.weight" for part in OUTSIDE] + [
    f"model.layers.{layer}.{part}.weight" for layer in (0, 7, 31) for part in IN_BLOCK
]


def test_every_name_comes_back_from_the_other_layout() -> None:
    assert [hugging_face_name(gguf_name(name)) for name in NAMES] == NAMES


def test_no_two_tensors_get_one_name() -> None:
    assert len({gguf_name(name) for name in NAMES}) == len(NAMES)


@pytest.mark.parametrize(
    ("hugging_face", "gguf"),
    [
        ("model.embed_tokens.weight", "token_embd.weight"),
        ("model.norm.weight", "output_norm.weight"),
        ("lm_head.weight", "output.weight"),
        ("model.layers.3.input_layernorm.weight", "blk.3.attn_norm.weight"),
        ("model.layers.3.post_attention_layernorm.weight", "blk.3.ffn_norm.weight"),
        ("model.layers.12.self_attn.o_proj.weight", "blk.12.attn_output.weight"),
        ("model.layers.12.mlp.down_proj.weight", "blk.12.ffn_down.weight"),
    ],
)
def test_names_are_those_of_llama_cpp(hugging_face: str, gguf: str) -> None:
    assert gguf_name(hugging_face) == gguf


@pytest.mark.parametrize(
    "name",
    [
        "model.layers.0.self_attn.q_norm.weight",
        "model.layers.0.self_attn.q_proj.bias",
        "model.layers.0.self_attn.rotary_emb.inv_freq",
        "model.layers.x.mlp.up_proj.weight",
        "model.embed_tokens",
        "transformer.wte.weight",
    ],
)
def test_a_tensor_that_no_plain_llama_has_is_refused_by_name(name: str) -> None:
    with pytest.raises(TrainingError, match=name):
        gguf_name(name)


def test_a_gguf_of_another_architecture_is_refused_by_name() -> None:
    for name in ("blk.0.attn_q_norm.weight", "blk.0.attn_q.bias", "rope_freqs.weight"):
        with pytest.raises(TrainingError, match=name):
            hugging_face_name(name)
