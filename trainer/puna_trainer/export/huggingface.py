"""Folder in the layout of Hugging Face: `AutoModelForCausalLM` and `AutoTokenizer` read it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import load_file
from torch import Tensor

from puna_trainer.config.shape import Shape
from puna_trainer.errors import TrainingError
from puna_trainer.exits import FailureReason
from puna_trainer.export.vocabulary import Vocabulary
from puna_trainer.language import hub_layout
from puna_trainer.tensors import write_tensors

WEIGHTS: Final = "model.safetensors"
TOKENIZER_FILES: Final = (*hub_layout.TOKENIZER_FILES, hub_layout.CHAT_TEMPLATE)
"""Files of a tokenizer; not every folder has the last."""


def model_config(shape: Shape, vocabulary: Vocabulary) -> dict[str, Any]:
    """Return the content of `config.json`. Pure."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": vocabulary.beginning,
        "eos_token_id": vocabulary.end,
        "head_dim": shape.head_width,
        "hidden_act": "silu",
        "hidden_size": shape.width,
        "initializer_range": 0.02,
        "intermediate_size": shape.feed_forward,
        "max_position_embeddings": shape.context_length,
        "mlp_bias": False,
        "model_type": "llama",
        "num_attention_heads": shape.heads,
        "num_hidden_layers": shape.layers,
        "num_key_value_heads": shape.kv_heads,
        "pad_token_id": vocabulary.padding,
        "rms_norm_eps": shape.norm_epsilon,
        "rope_theta": shape.rope_base,
        "tie_word_embeddings": shape.tie_embeddings,
        "torch_dtype": "float32",
        "use_cache": True,
        "vocab_size": shape.vocabulary_size,
    }


def generation_config(vocabulary: Vocabulary) -> dict[str, Any]:
    """Return the content of `generation_config.json`. Pure."""
    ends = [vocabulary.end]
    if vocabulary.end_of_turn is not None:
        ends.append(vocabulary.end_of_turn)
    config: dict[str, Any] = {
        "bos_token_id": vocabulary.beginning,
        "eos_token_id": ends,
        "pad_token_id": vocabulary.padding,
    }
    if vocabulary.unused:
        config["suppress_tokens"] = list(vocabulary.unused)
    return config


def write_folder(
    folder: Path,
    *,
    shape: Shape,
    vocabulary: Vocabulary,
    weights: Mapping[str, Tensor],
    tokenizer: Path,
) -> None:
    """Write a model in float32.

    Args:
        folder: the folder; what lies in it stays where it is not replaced.
        shape: shape of the model.
        vocabulary: its tokenizer.
        weights: its tensors, under Hugging Face's names.
        tokenizer: folder with the files of the tokenizer, which are copied.

    Raises:
        TrainingError: what was written reads otherwise.
        OSError: the volume does not take it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        name: weight.detach().to("cpu", torch.float32).contiguous()
        for name, weight in weights.items()
    }
    write_tensors(folder / WEIGHTS, tensors, {"format": "pt"})
    _write_json(folder / "config.json", model_config(shape, vocabulary))
    _write_json(folder / "generation_config.json", generation_config(vocabulary))
    for name in TOKENIZER_FILES:
        if (tokenizer / name).is_file():
            shutil.copyfile(tokenizer / name, folder / name)
    _check(folder / WEIGHTS, tensors)


def _check(path: Path, tensors: Mapping[str, Tensor]) -> None:
    found = load_file(path)
    wrong = sorted(
        name
        for name in tensors.keys() | found.keys()
        if name not in tensors or name not in found or not torch.equal(tensors[name], found[name])
    )
    if wrong:
        raise TrainingError(
            FailureReason.PARITY_FAILED, f"{path.name} holds other weights of {', '.join(wrong)}"
        )


def _write_json(path: Path, document: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=2, sort_keys=True) + "\n", encoding="utf-8")
