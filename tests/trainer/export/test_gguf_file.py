"""GGUF files: every key, every tensor, every type."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from torch import Tensor

from puna_trainer.config.output import ArtifactType
from puna_trainer.config.shape import Shape
from puna_trainer.errors import TrainingError
from puna_trainer.export.gguf_file import WRITTEN
from puna_trainer.export.metadata import differing_keys, expected_metadata, read_metadata
from puna_trainer.export.names import hugging_face_name
from puna_trainer.export.permute import unpermute
from puna_trainer.export.tensor_types import bits_per_weight, fallbacks, read_tensors
from tests.trainer.export.models import SHAPE, Model, untrained, with_shape

UNTIED = with_shape(tie_embeddings=False, rope_base=12_345.5, norm_epsilon=3e-6, kv_heads=4)


def read_weights(path: Path, shape: Shape) -> dict[str, Tensor]:
    """The tensors of a file under Hugging Face's names, with rows in its order."""
    weights = {}
    for tensor in gguf.GGUFReader(path).tensors:
        values = torch.from_numpy(gguf.quants.dequantize(tensor.data, tensor.tensor_type).copy())
        heads = {".attn_q.": shape.heads, ".attn_k.": shape.kv_heads}
        for part, count in heads.items():
            if part in tensor.name:
                values = unpermute(values, count)
        weights[hugging_face_name(tensor.name)] = values
    return weights


@pytest.mark.parametrize("shape", [SHAPE, UNTIED], ids=["tied", "untied"])
def test_every_weight_comes_back_as_it_was(shape: Shape, tmp_path: Path) -> None:
    model = untrained(shape)
    found = read_weights(model.write(tmp_path / "model.gguf"), shape)
    assert found.keys() == model.weights.keys()
    for name, weight in model.weights.items():
        assert torch.equal(found[name], weight), name


def test_tied_embeddings_have_no_output(tmp_path: Path) -> None:
    tied = {tensor.name for tensor in read_tensors(untrained().write(tmp_path / "tied.gguf"))}
    untied = untrained(UNTIED).write(tmp_path / "untied.gguf")
    assert "output.weight" not in tied
    assert "output.weight" in {tensor.name for tensor in read_tensors(untied)}


@pytest.mark.parametrize("shape", [SHAPE, UNTIED], ids=["tied", "untied"])
def test_every_key_is_that_of_the_run_and_none_a_default(shape: Shape, tmp_path: Path) -> None:
    model = untrained(shape)
    found = read_metadata(model.write(tmp_path / "model.gguf"))
    assert differing_keys(expected_metadata(shape, model.vocabulary), found) == ()
    assert found["general.type"] == "model"
    assert found["general.name"] == "tiny"
    assert found["general.size_label"] == "1.31M" if shape is SHAPE else "1.7M"
    assert found["general.puna.seed"] == 7
    assert found["tokenizer.ggml.suppress_tokens"] == list(range(500, 512))
    assert found["tokenizer.chat_template"] == model.vocabulary.chat_template


@pytest.mark.parametrize(
    "change",
    [
        {"context_length": 321},
        {"norm_epsilon": 1.00001e-5},
        {"rope_base": 10_001.0},
        {"kv_heads": 4},
    ],
)
def test_a_key_that_is_off_by_little_is_seen(change: dict[str, float], tmp_path: Path) -> None:
    model = untrained()
    found = read_metadata(model.write(tmp_path / "model.gguf"))
    other = expected_metadata(with_shape(**change), model.vocabulary)
    assert len(differing_keys(other, found)) == 1


@pytest.mark.parametrize(
    ("kind", "file_type", "bits"),
    [
        (ArtifactType.F32, 0, 32),
        (ArtifactType.F16, 1, 16),
        (ArtifactType.BF16, 32, 16),
        (ArtifactType.Q8_0, 7, 8.5),
    ],
)
def test_matrices_have_the_type_of_the_file_and_norms_stay_f32(
    kind: ArtifactType, file_type: int, bits: float, tmp_path: Path
) -> None:
    path = untrained().write(tmp_path / "model.gguf", kind)
    tensors = read_tensors(path)
    assert fallbacks(kind, tensors) == ()
    assert {tensor.type for tensor in tensors if tensor.dimensions == 1} == {
        gguf.GGMLQuantizationType.F32
    }
    metadata = read_metadata(path)
    assert metadata["general.file_type"] == file_type
    assert metadata.get("general.quantization_version") == (
        2 if kind is ArtifactType.Q8_0 else None
    )
    assert bits <= bits_per_weight(tensors) < bits + 0.05


def test_the_types_that_are_written_here_are_those_that_llama_cpp_need_not_make() -> None:
    assert set(WRITTEN) == {
        ArtifactType.F32, ArtifactType.F16, ArtifactType.BF16, ArtifactType.Q8_0,
    }  # fmt: skip


def with_weight(model: Model, name: str, value: float) -> Model:
    weights = dict(model.weights)
    weights[name] = weights[name].clone()
    weights[name][0, 0] = value
    return replace(model, weights=weights)


def test_a_weight_that_f16_cannot_hold_is_refused_by_name_and_bf16_takes_it(tmp_path: Path) -> None:
    name = "model.layers.1.mlp.up_proj.weight"
    model = with_weight(untrained(), name, 1e5)
    with pytest.raises(TrainingError, match=rf"F16 cannot hold {name}, which goes up to 1e\+05"):
        model.write(tmp_path / "model.gguf", ArtifactType.F16)
    model.write(tmp_path / "model.gguf", ArtifactType.BF16)


@pytest.mark.parametrize("kind", WRITTEN)
def test_a_weight_that_is_not_finite_is_refused(kind: ArtifactType, tmp_path: Path) -> None:
    model = with_weight(untrained(), "model.embed_tokens.weight", float("nan"))
    with pytest.raises(TrainingError, match=r"cannot hold model\.embed_tokens\.weight"):
        model.write(tmp_path / "model.gguf", kind)


def test_weights_in_half_precision_are_written_as_they_are(tmp_path: Path) -> None:
    model = untrained()
    halved = {name: weight.to(torch.bfloat16) for name, weight in model.weights.items()}
    path = replace(model, weights=halved).write(tmp_path / "model.gguf")
    found = read_weights(path, SHAPE)
    name = "model.layers.0.self_attn.q_proj.weight"
    assert np.array_equal(found[name].numpy(), halved[name].float().numpy())
