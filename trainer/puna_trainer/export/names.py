"""Names of tensors: one map between Hugging Face's and GGUF's, for both directions. Pure.

Source: the `llama` architecture of llama.cpp (`llama-arch.cpp`, `models/llama.cpp`).
"""

from __future__ import annotations

import re
from typing import Final

from puna_trainer.errors import TrainingError
from puna_trainer.exits import FailureReason

OUTSIDE: Final[dict[str, str]] = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
}
"""Parts outside the blocks: Hugging Face's name and GGUF's."""

IN_BLOCK: Final[dict[str, str]] = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
"""Parts of a block, `model.layers.N.` and `blk.N.`."""

_HUGGING_FACE: Final = re.compile(r"model\.layers\.(\d+)\.(.+)\.weight")
_GGUF: Final = re.compile(r"blk\.(\d+)\.(.+)\.weight")
_OUTSIDE_BACK: Final = {gguf: hugging_face for hugging_face, gguf in OUTSIDE.items()}
_IN_BLOCK_BACK: Final = {gguf: hugging_face for hugging_face, gguf in IN_BLOCK.items()}


def gguf_name(name: str) -> str:
    """Return GGUF's name of a tensor of Hugging Face's Llama.

    Raises:
        TrainingError: a plain Llama has no such tensor.
    """
    if block := _HUGGING_FACE.fullmatch(name):
        part, prefix = IN_BLOCK.get(block[2]), f"blk.{block[1]}."
    else:
        part, prefix = OUTSIDE.get(name.removesuffix(".weight")), ""
    if part is None or not name.endswith(".weight"):
        raise _unknown(name, "GGUF's llama")
    return f"{prefix}{part}.weight"


def hugging_face_name(name: str) -> str:
    """Return Hugging Face's name of a tensor of a `llama` GGUF.

    Raises:
        TrainingError: a plain Llama has no such tensor.
    """
    if block := _GGUF.fullmatch(name):
        part, prefix = _IN_BLOCK_BACK.get(block[2]), f"model.layers.{block[1]}."
    else:
        part, prefix = _OUTSIDE_BACK.get(name.removesuffix(".weight")), ""
    if part is None or not name.endswith(".weight"):
        raise _unknown(name, "Hugging Face's Llama")
    return f"{prefix}{part}.weight"


def _unknown(name: str, layout: str) -> TrainingError:
    return TrainingError(
        FailureReason.BAD_CONFIG,
        f"{layout} has no place for the tensor {name}; model.uri has to name a plain Llama",
    )
