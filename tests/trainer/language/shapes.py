"""Shapes that tests train in a blink."""

from __future__ import annotations

from typing import Any

from puna_trainer.config.shape import Shape


def shape(**changed: Any) -> Shape:
    values = {
        "layers": 2,
        "width": 64,
        "heads": 4,
        "kv_heads": 2,
        "feed_forward": 96,
        "context_length": 48,
        "vocabulary_size": 320,
        "rope_base": 10_000.0,
        "norm_epsilon": 1e-5,
        "tie_embeddings": True,
    }
    return Shape(**(values | changed))
