"""Metadata: the keys of a GGUF against the model that is in it.

Logits do not show everything: an epsilon of 1e-6 for 1e-5 is invisible where activations are large,
and a wrong context length is no part of any logit. llama.cpp takes what is missing from defaults.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGUFReader

from puna_trainer.config.shape import Shape
from puna_trainer.export.vocabulary import Vocabulary


def expected_metadata(shape: Shape, vocabulary: Vocabulary) -> dict[str, Any]:
    """Return the keys that llama.cpp goes by, and their values; None for no key. Pure."""
    return {
        "general.architecture": "llama",
        "llama.vocab_size": shape.vocabulary_size,
        "llama.context_length": shape.context_length,
        "llama.embedding_length": shape.width,
        "llama.block_count": shape.layers,
        "llama.feed_forward_length": shape.feed_forward,
        "llama.attention.head_count": shape.heads,
        "llama.attention.head_count_kv": shape.kv_heads,
        "llama.attention.key_length": shape.head_width,
        "llama.attention.value_length": shape.head_width,
        "llama.attention.layer_norm_rms_epsilon": float(np.float32(shape.norm_epsilon)),
        "llama.rope.dimension_count": shape.head_width,
        "llama.rope.freq_base": float(np.float32(shape.rope_base)),
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": vocabulary.pre,
        "tokenizer.ggml.tokens": list(vocabulary.tokens),
        "tokenizer.ggml.token_type": [int(kind) for kind in vocabulary.types],
        "tokenizer.ggml.merges": list(vocabulary.merges),
        "tokenizer.ggml.bos_token_id": vocabulary.beginning,
        "tokenizer.ggml.eos_token_id": vocabulary.end,
        "tokenizer.ggml.eot_token_id": vocabulary.end_of_turn,
        "tokenizer.ggml.padding_token_id": vocabulary.padding,
        "tokenizer.ggml.add_bos_token": vocabulary.adds_beginning,
        "tokenizer.ggml.add_eos_token": vocabulary.adds_end,
        "tokenizer.ggml.add_space_prefix": False,
        "tokenizer.chat_template": vocabulary.chat_template,
    }


def read_metadata(path: Path) -> dict[str, Any]:
    """Return the keys of a file, and their values."""
    return {
        name: field.contents()
        for name, field in GGUFReader(path).fields.items()
        if not name.startswith("GGUF.")
    }


def differing_keys(expected: Mapping[str, Any], found: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the keys that are missing, or have another value than they should. Pure."""
    return tuple(key for key, value in expected.items() if found.get(key) != value)
