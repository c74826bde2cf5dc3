"""Small synthetic llama models for tests: real GGUF files that a real llama.cpp server runs.

The weights are made up so that the output is printable ASCII and generation never ends by itself:
one coordinate of every embedding is constant, and the output row of every other token points away
from it. A request therefore runs to its `max_tokens`, whatever the prompt and the seed.
"""

from __future__ import annotations

import hashlib
import itertools
import string
from collections.abc import Iterator
from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float32]

CHAT_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)
SPECIAL_TOKENS = ("<unk>", "<s>", "</s>")
FIM_TOKENS = ("<fim_prefix>", "<fim_suffix>", "<fim_middle>")
VOCABULARY_SIZE = len(SPECIAL_TOKENS) + 256 + len(FIM_TOKENS)
HEAD_WIDTH = 32
ANSWER_CHARACTERS = (string.ascii_lowercase + "    ").encode()


def write_tiny_gguf(path: Path, *, seed: int = 0) -> str:
    """Write the 0.5 MB model (2 layers, 64 wide); loaded in under 0.1 s, thousands of tokens/s.

    Returns:
        The SHA-256 of the file; the same for the same seed.
    """
    return write_gguf(path, seed=seed)


def write_slow_gguf(path: Path, *, seed: int = 0) -> str:
    """Write a model of about 200 MB (4 layers, 1024 wide), slow enough to catch a stream midway.

    Returns:
        The SHA-256 of the file.
    """
    return write_gguf(path, layers=4, width=1024, feed_forward=2816, seed=seed)


def write_gguf(
    path: Path,
    *,
    layers: int = 2,
    width: int = 64,
    feed_forward: int = 128,
    context_length: int = 8192,
    name: str = "puna-synthetic",
    chat_template: str = CHAT_TEMPLATE,
    likely: bytes = ANSWER_CHARACTERS,
    unlikely: bytes = b"",
    seed: int = 0,
) -> str:
    """Write a llama model of the given size; deterministic bytes.

    It writes `likely` characters unless a grammar wants others, and `unlikely` ones if nothing else
    can stand there.

    Returns:
        The SHA-256 of the file, in hexadecimal.
    """
    heads = width // HEAD_WIDTH
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name(name)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_context_length(context_length)
    writer.add_embedding_length(width)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(feed_forward)
    writer.add_head_count(heads)
    writer.add_head_count_kv(heads)
    writer.add_rope_dimension_count(HEAD_WIDTH)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(VOCABULARY_SIZE)
    _add_vocabulary(writer, chat_template)
    for tensor, values in _tensors(
        layers, width, feed_forward, seed, likely=likely, unlikely=unlikely
    ):
        writer.add_tensor(tensor, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _add_vocabulary(writer: gguf.GGUFWriter, chat_template: str) -> None:
    byte_tokens = tuple(f"<0x{byte:02X}>" for byte in range(256))
    types = (
        [gguf.TokenType.UNKNOWN, gguf.TokenType.CONTROL, gguf.TokenType.CONTROL]
        + [gguf.TokenType.BYTE] * len(byte_tokens)
        + [gguf.TokenType.CONTROL] * len(FIM_TOKENS)
    )
    writer.add_tokenizer_model("llama")
    writer.add_token_list([*SPECIAL_TOKENS, *byte_tokens, *FIM_TOKENS])
    writer.add_token_scores([0.0] * VOCABULARY_SIZE)
    writer.add_token_types(types)
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(value=True)
    writer.add_add_space_prefix(value=False)
    first_fim = len(SPECIAL_TOKENS) + 256
    writer.add_uint32("tokenizer.ggml.fim_pre_token_id", first_fim)
    writer.add_uint32("tokenizer.ggml.fim_suf_token_id", first_fim + 1)
    writer.add_uint32("tokenizer.ggml.fim_mid_token_id", first_fim + 2)
    writer.add_chat_template(chat_template)


def _tensors(
    layers: int, width: int, feed_forward: int, seed: int, *, likely: bytes, unlikely: bytes
) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
    counter = itertools.count()

    def noise(rows: int, columns: int, scale: float) -> Matrix:
        # Raw output of a bit generator is what NumPy promises to keep across versions.
        raw = np.random.PCG64([seed, next(counter)]).random_raw(rows * columns)
        uniform = (raw >> np.uint64(40)).astype(np.float32) / np.float32(1 << 24)
        scaled: Matrix = ((uniform - np.float32(0.5)) * np.float32(2 * scale)).reshape(
            rows, columns
        )
        return scaled

    ones = np.ones(width, dtype=np.float32)
    weak = 0.3 / width**0.5

    embedding = noise(VOCABULARY_SIZE, width, 0.9)
    embedding[:, 0] = 0.5 * width**0.5
    yield "token_embd.weight", embedding
    for layer in range(layers):
        block = f"blk.{layer}"
        yield f"{block}.attn_norm.weight", ones
        for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
            yield f"{block}.{part}.weight", noise(width, width, weak)
        yield f"{block}.ffn_norm.weight", ones
        yield f"{block}.ffn_gate.weight", noise(feed_forward, width, weak)
        yield f"{block}.ffn_up.weight", noise(feed_forward, width, weak)
        yield f"{block}.ffn_down.weight", noise(width, feed_forward, weak)
    yield "output_norm.weight", ones
    output = noise(VOCABULARY_SIZE, width, 4.0 / width**0.5)
    output[:, 0] = -40.0 / width**0.5
    for byte in set(likely):
        output[len(SPECIAL_TOKENS) + byte, 0] = 40.0 / width**0.5
    for byte in set(unlikely):
        output[len(SPECIAL_TOKENS) + byte, 0] = -80.0 / width**0.5
    yield "output.weight", output
