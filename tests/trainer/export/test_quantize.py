"""K-quants of llama.cpp, and what they really hold."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from puna_trainer.config.output import ArtifactType
from puna_trainer.errors import TrainingError
from puna_trainer.exits import FailureReason
from puna_trainer.export.gates import Measure
from puna_trainer.export.metadata import read_metadata
from puna_trainer.export.proof import prove
from puna_trainer.export.quantize import FILE_TYPES, least_bytes, quantize
from puna_trainer.export.tensor_types import bits_per_weight, fallbacks, read_tensors
from tests.trainer.export.models import untrained, with_shape
from tests.trainer.volumes import little_room, small_volume

BITS = {ArtifactType.Q6_K: 6.56, ArtifactType.Q5_K_M: 5.5, ArtifactType.Q4_K_M: 4.5}
"""Bits a weight of the blocks that most rows are in."""
PAGE = resource.getpagesize()


@pytest.mark.parametrize("kind", FILE_TYPES)
@pytest.mark.parametrize("output", ["tied", "untied"])
def test_rows_of_256_are_stored_as_the_file_s_name_says(
    kind: ArtifactType,
    output: str,
    tmp_path: Path,
) -> None:
    source = untrained(with_shape(tie_embeddings=output == "tied")).write(tmp_path / "F32.gguf")
    quantize(source, tmp_path / "quantized.gguf", kind)
    tensors = read_tensors(tmp_path / "quantized.gguf")
    assert fallbacks(kind, tensors) == ()
    assert BITS[kind] <= bits_per_weight(tensors) < BITS[kind] + 1


def test_keys_travel_with_the_weights(tmp_path: Path) -> None:
    source = untrained().write(tmp_path / "F32.gguf")
    quantize(source, tmp_path / "quantized.gguf", ArtifactType.Q4_K_M)
    before = read_metadata(source)
    after = read_metadata(tmp_path / "quantized.gguf")
    assert after | {"general.file_type": 0} == before | {"general.quantization_version": 2}
    assert after["general.file_type"] == 15


def test_rows_that_its_blocks_do_not_fit_are_named_with_the_type_they_got(tmp_path: Path) -> None:
    """The shape of stories15M, 288 wide: llama.cpp warns, and reports success (llama.cpp#26616)."""
    model = untrained(with_shape(width=288, heads=6, kv_heads=6, feed_forward=768))
    source = model.write(tmp_path / "F32.gguf")
    path = tmp_path / "quantized.gguf"
    quantize(source, path, ArtifactType.Q4_K_M)
    found = {
        tensor.name: tensor.type.name
        for tensor in fallbacks(ArtifactType.Q4_K_M, read_tensors(path))
    }
    assert found["blk.0.attn_q.weight"] == "Q5_0"
    assert found["token_embd.weight"] == "Q8_0"
    assert "blk.0.ffn_down.weight" not in found
    assert len(found) == 2 * 6 + 1
    assert bits_per_weight(read_tensors(path)) > 5.5
    proof = prove(path, ArtifactType.Q4_K_M, model.reference, model.vocabulary)
    refused = {failure.measure: failure.message for failure in proof.failures}
    assert refused[Measure.TENSOR_TYPES].startswith("13 matrices are not stored as Q4_K_M: ")
    assert "blk.0.attn_k.weight (Q5_0)" in refused[Measure.TENSOR_TYPES]


def test_what_is_quantized_already_is_not_quantized_again(tmp_path: Path) -> None:
    source = untrained().write(tmp_path / "Q8_0.gguf", ArtifactType.Q8_0)
    with pytest.raises(TrainingError, match="requantizing from type q8_0 is disabled"):
        quantize(source, tmp_path / "quantized.gguf", ArtifactType.Q4_K_M)


def test_a_source_that_is_cut_is_refused_in_llama_cpp_s_words(tmp_path: Path) -> None:
    source = untrained().write(tmp_path / "F32.gguf")
    source.write_bytes(source.read_bytes()[:10_000])
    with pytest.raises(TrainingError, match=r"llama.cpp cannot make Q6_K of F32.gguf: .+"):
        quantize(source, tmp_path / "quantized.gguf", ArtifactType.Q6_K)
    assert not (tmp_path / "quantized.gguf").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a volume")
@pytest.mark.parametrize("short_pages", [1, 64, 200])
def test_a_volume_that_is_full_is_told_as_such_and_keeps_no_part_of_the_file(
    tmp_path: Path, short_pages: int
) -> None:
    source = untrained().write(tmp_path / "F32.gguf")
    quantize(source, tmp_path / "whole.gguf", ArtifactType.Q4_K_M)
    pages = -(-(tmp_path / "whole.gguf").stat().st_size // PAGE)
    with small_volume(tmp_path / "small", (pages - short_pages) * PAGE) as folder:
        with pytest.raises(TrainingError) as caught:
            quantize(source, folder / "tiny-Q4_K_M.gguf", ArtifactType.Q4_K_M)
        assert list(folder.iterdir()) == []
    assert caught.value.reason is FailureReason.DISK_FULL
    words = f"{folder}/tiny-Q4_K_M.gguf: No space left on device: enlarge the output volume"
    assert caught.value.message.startswith(words)


@pytest.mark.parametrize("kind", FILE_TYPES)
def test_a_file_that_may_not_get_so_long_is_told_as_a_full_volume(
    tmp_path: Path, kind: ArtifactType
) -> None:
    source = untrained().write(tmp_path / "F32.gguf")
    with little_room(300_000), pytest.raises(TrainingError, match="enlarge the output") as caught:
        quantize(source, tmp_path / "quantized.gguf", kind)
    assert caught.value.reason is FailureReason.DISK_FULL
    assert not (tmp_path / "quantized.gguf").exists()


def test_a_folder_that_is_gone_is_no_other_behaviour_of_the_model(tmp_path: Path) -> None:
    source = untrained().write(tmp_path / "F32.gguf")
    with pytest.raises(TrainingError, match="No such file or directory") as caught:
        quantize(source, tmp_path / "gone" / "quantized.gguf", ArtifactType.Q4_K_M)
    assert caught.value.reason is FailureReason.OUTPUT_UNUSABLE


@pytest.mark.parametrize("kind", FILE_TYPES)
def test_no_file_is_shorter_than_the_least_that_it_can_be(
    tmp_path: Path, kind: ArtifactType
) -> None:
    source = untrained().write(tmp_path / "F32.gguf")
    quantize(source, tmp_path / "quantized.gguf", kind)
    least = least_bytes(source.stat().st_size, kind)
    assert 0.7 < least / (tmp_path / "quantized.gguf").stat().st_size <= 1
