"""Folder in the layout of Hugging Face that a run starts from: shape, tokenizer and weights.

Only a plain Llama can be gone on with: whatever else `config.json` says is refused, since the model
would be another one here and in llama.cpp.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from puna_trainer.config.shape import Shape
from puna_trainer.errors import TrainingError
from puna_trainer.exits import FailureReason
from puna_trainer.files import read_json
from puna_trainer.language.model import Llama
from puna_trainer.storage.fetch import fetch

FIELD: Final = "model.uri"
CHAT_TEMPLATE: Final = "chat_template.jinja"
"""File that newer releases keep the chat template in, beside or inside `tokenizer_config.json`."""
TOKENIZER_FILES: Final = ("tokenizer_config.json", "tokenizer.json")
PLAIN: Final[dict[str, Any]] = {
    "attention_bias": False,
    "hidden_act": "silu",
    "mlp_bias": False,
    "model_type": "llama",
}
"""Members of `config.json` that have one value in a plain Llama."""


def fetch_start(uri: str, output: Path, report: Callable[[str], None]) -> Path:
    """Return the folder that `model.uri` names, here.

    Raises:
        TrainingError: it cannot be had, or is no folder with `config.json`.
    """
    folder = fetch(uri, output / "start", field=FIELD, sha256=None, max_bytes=None, report=report)
    if not (folder / "config.json").is_file():
        raise _refused(f"{uri} is no folder with config.json")
    return folder


def adopt_tokenizer(folder: Path, destination: Path) -> None:
    """Copy the tokenizer of a folder, with its chat template.

    Raises:
        TrainingError: there is none.
    """
    destination.mkdir(parents=True, exist_ok=True)
    (destination / CHAT_TEMPLATE).unlink(missing_ok=True)
    if (folder / CHAT_TEMPLATE).is_file():
        shutil.copyfile(folder / CHAT_TEMPLATE, destination / CHAT_TEMPLATE)
    for name in TOKENIZER_FILES:
        if not (folder / name).is_file():
            raise _refused(f"the folder holds no {name}")
        shutil.copyfile(folder / name, destination / name)


def read_shape(folder: Path) -> Shape:
    """Return the shape that `config.json` describes.

    Raises:
        TrainingError: it is no plain Llama.
    """
    config = read_json(folder / "config.json")
    for name, wanted in PLAIN.items():
        if config.get(name, wanted) != wanted:
            raise _refused(
                f"config.json says {name} {config[name]!r}, a plain Llama has {wanted!r}"
            )
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind != "default":
        raise _refused(f"config.json says rope_type {kind!r}, a plain Llama has 'default'")
    try:
        heads = config["num_attention_heads"]
        shape = Shape(
            layers=config["num_hidden_layers"],
            width=config["hidden_size"],
            heads=heads,
            kv_heads=config.get("num_key_value_heads") or heads,
            feed_forward=config["intermediate_size"],
            context_length=config["max_position_embeddings"],
            vocabulary_size=config["vocab_size"],
            rope_base=float(rope.get("rope_theta", config.get("rope_theta", 10_000.0))),
            norm_epsilon=config["rms_norm_eps"],
            tie_embeddings=config.get("tie_word_embeddings", False),
        )
    except KeyError as error:
        raise _refused(f"config.json says no {error}") from error
    if (config.get("head_dim") or shape.head_width) != shape.head_width:
        raise _refused(
            f"config.json says head_dim {config['head_dim']}, hidden_size / num_attention_heads "
            f"is {shape.head_width}"
        )
    return shape


def read_weights(folder: Path, shape: Shape) -> dict[str, Tensor]:
    """Return the weights of a folder in float32, by name.

    Raises:
        TrainingError: files are missing or damaged, or hold a model of another shape.
    """
    index = read_json(folder / "model.safetensors.index.json")
    names = sorted(set(index["weight_map"].values())) if index else ["model.safetensors"]
    weights: dict[str, Tensor] = {}
    for name in names:
        try:
            weights |= load_file(folder / name)
        except (OSError, SafetensorError) as error:
            raise _refused(f"{name} cannot be read: {error}") from error
    if shape.tie_embeddings:
        weights.pop("lm_head.weight", None)
    for name in [name for name in weights if name.endswith("rotary_emb.inv_freq")]:
        del weights[name]  # of old versions; a function of the shape
    _check(weights, shape)
    return {name: tensor.to(torch.float32) for name, tensor in weights.items()}


def _check(weights: Mapping[str, Tensor], shape: Shape) -> None:
    """Refuse weights that are not those of a model of this shape."""
    with torch.device("meta"):
        wanted = Llama(shape).state_dict()
    for name in sorted(wanted.keys() | weights.keys()):
        if name not in weights:
            raise _refused(f"the weights have no {name}, and by config.json there is one")
        if name not in wanted:
            raise _refused(f"the weights have {name}, and by config.json there is none")
        if weights[name].shape != wanted[name].shape:
            raise _refused(
                f"{name} is {_size(weights[name])}, and by config.json it is {_size(wanted[name])}"
            )


def _size(tensor: Tensor) -> str:
    return " x ".join(map(str, tensor.shape))


def _refused(message: str) -> TrainingError:
    return TrainingError(FailureReason.BAD_CONFIG, f"{FIELD}: {message}")
