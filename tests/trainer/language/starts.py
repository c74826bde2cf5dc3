"""Folders in the layout of Hugging Face, which runs start from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from puna_trainer.language.tokenizer import save_tokenizer, train_tokenizer
from tests.trainer.language.runs import sentences


def write_model(folder: Path, seed: int = 4, tokens: int = 290, **changed: Any) -> LlamaForCausalLM:
    """Write a small model as transformers does, with a tokenizer; members of `config.json`."""
    torch.manual_seed(seed)
    values: dict[str, Any] = {
        "vocab_size": 300,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 32,
        "rms_norm_eps": 1e-5,
        "tie_word_embeddings": False,
        "rope_parameters": {"rope_type": "default", "rope_theta": 5000.0},
    }
    model = LlamaForCausalLM(LlamaConfig(**(values | changed)))
    model.save_pretrained(folder)
    tokenizer = train_tokenizer(sentences(30), vocabulary_size=tokens)
    save_tokenizer(tokenizer, folder, context_length=32)
    return model
