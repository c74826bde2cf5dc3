"""GGUF: one file with weights, shape and tokenizer, for llama.cpp.

It is written with `gguf`, key by key, and not with llama.cpp's converter: that one knows tokenizers
by a digest of their ids, and refuses every one that was trained here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import gguf
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from puna_trainer.config.output import ArtifactType
from puna_trainer.config.shape import Shape
from puna_trainer.errors import TrainingError
from puna_trainer.exits import FailureReason
from puna_trainer.export.names import gguf_name
from puna_trainer.export.permute import permute
from puna_trainer.export.vocabulary import Vocabulary

ARCHITECTURE: Final = "llama"

WRITTEN: Final[dict[ArtifactType, tuple[gguf.LlamaFileType, gguf.GGMLQuantizationType]]] = {
    ArtifactType.F32: (gguf.LlamaFileType.ALL_F32, gguf.GGMLQuantizationType.F32),
    ArtifactType.F16: (gguf.LlamaFileType.MOSTLY_F16, gguf.GGMLQuantizationType.F16),
    ArtifactType.BF16: (gguf.LlamaFileType.MOSTLY_BF16, gguf.GGMLQuantizationType.BF16),
    ArtifactType.Q8_0: (gguf.LlamaFileType.MOSTLY_Q8_0, gguf.GGMLQuantizationType.Q8_0),
}
"""Types that are written here: llama.cpp's name of the file's, and of its matrices'. K-quants are
made by llama.cpp (`puna_trainer.export.quantize`)."""

Notes = Mapping[str, str | int]
"""Further keys of `general.`, by what comes after that."""


def write_gguf(
    path: Path,
    *,
    kind: ArtifactType,
    name: str,
    shape: Shape,
    vocabulary: Vocabulary,
    weights: Mapping[str, Tensor],
    notes: Notes,
) -> None:
    """Write a model.

    Args:
        path: the file; it is replaced.
        kind: a key of `WRITTEN`. Norms are written as F32 in all of them.
        name: name of the model.
        shape: what it was trained with.
        vocabulary: its tokenizer.
        weights: tensors under Hugging Face's names, rotary positions over halves of a head.
        notes: where it comes from.

    Raises:
        TrainingError: a weight does not fit its type.
    """
    file_type, matrix_type = WRITTEN[kind]
    writer = gguf.GGUFWriter(path, ARCHITECTURE)
    try:
        writer.add_type(gguf.GGUFType.MODEL)
        writer.add_name(name)
        writer.add_size_label(_size_label(shape.parameters))
        writer.add_file_type(file_type)
        if kind is ArtifactType.Q8_0:
            writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
        for key, value in notes.items():
            _add_note(writer, f"general.{key}", value)
        _add_shape(writer, shape)
        _add_vocabulary(writer, vocabulary)
        for tensor, weight in weights.items():
            values, stored = _stored(tensor, _in_order(tensor, weight, shape), matrix_type)
            writer.add_tensor(gguf_name(tensor), values, raw_dtype=stored)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()


def _add_shape(writer: gguf.GGUFWriter, shape: Shape) -> None:
    writer.add_vocab_size(shape.vocabulary_size)
    writer.add_context_length(shape.context_length)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head_width)
    writer.add_value_length(shape.head_width)
    writer.add_layer_norm_rms_eps(shape.norm_epsilon)
    writer.add_rope_dimension_count(shape.head_width)
    writer.add_rope_freq_base(shape.rope_base)


def _add_vocabulary(writer: gguf.GGUFWriter, vocabulary: Vocabulary) -> None:
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(vocabulary.pre)
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(vocabulary.types)
    writer.add_token_merges(vocabulary.merges)
    writer.add_bos_token_id(vocabulary.beginning)
    writer.add_eos_token_id(vocabulary.end)
    if vocabulary.end_of_turn is not None:
        writer.add_eot_token_id(vocabulary.end_of_turn)
    if vocabulary.padding is not None:
        writer.add_pad_token_id(vocabulary.padding)
    writer.add_add_bos_token(vocabulary.adds_beginning)
    writer.add_add_eos_token(vocabulary.adds_end)
    writer.add_add_space_prefix(value=False)
    if vocabulary.unused:
        # llama.cpp's sampler then never picks a row that stands for no token.
        writer.add_array("tokenizer.ggml.suppress_tokens", vocabulary.unused)
    if vocabulary.chat_template is not None:
        writer.add_chat_template(vocabulary.chat_template)


def _add_note(writer: gguf.GGUFWriter, key: str, value: str | int) -> None:
    if isinstance(value, int):
        writer.add_uint32(key, value)
    else:
        writer.add_string(key, value)


def _in_order(name: str, weight: Tensor, shape: Shape) -> Tensor:
    """Return the weight with its rows as llama.cpp pairs them."""
    if ".q_proj." in name:
        return permute(weight, shape.heads)
    if ".k_proj." in name:
        return permute(weight, shape.kv_heads)
    return weight


def _stored(
    name: str, weight: Tensor, matrix_type: gguf.GGMLQuantizationType
) -> tuple[npt.NDArray[Any], gguf.GGMLQuantizationType]:
    """Return a tensor's bytes, and the type that they are in."""
    values = weight.detach().to("cpu", torch.float32).contiguous().numpy()
    stored = matrix_type if values.ndim > 1 else gguf.GGMLQuantizationType.F32
    with np.errstate(over="ignore", invalid="ignore"):  # it is looked for below
        encoded = gguf.quants.quantize(values, stored)
        decoded = gguf.quants.dequantize(encoded, stored)
    if not np.isfinite(decoded).all():
        raise TrainingError(
            FailureReason.BAD_CONFIG,
            f"{stored.name} cannot hold {name}, which goes up to {np.abs(values).max():.3g}; take "
            "F16 out of export.types, BF16 and F32 have the range",
        )
    return encoded, stored


def _size_label(parameters: int) -> str:
    """Return the number of parameters as names of models have it: 124M."""
    for unit, letter in ((10**9, "B"), (10**6, "M")):
        if parameters >= unit:
            return f"{parameters / unit:.3g}{letter}"
    return f"{parameters / 1000:.3g}K"
