"""Spread: how a model lies on the processes of a run: whole in each, or in shards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

import torch
from torch import nn

from puna_trainer.distributed import ProcessGroup
from puna_trainer.language.model import Llama
from puna_trainer.parallel import replicate, shard

BYTES_A_PARAMETER: Final = 16
"""Weight, gradient, and the two means of AdamW, in float32."""
SHARE: Final = 0.5
"""Share of a GPU's memory that these may take; the rest is for activations."""


Lay: TypeAlias = Callable[[Llama, ProcessGroup], nn.Module]
"""Takes a model and the processes, returns the model as one of them computes with it."""


def spread(model: Llama, group: ProcessGroup) -> nn.Module:
    """Return the model as this process computes with it; make the optimizer after that."""
    weight = model.model.embed_tokens.weight
    if weight.device.type == "cuda":
        memory = torch.cuda.get_device_properties(weight.device).total_memory
        if needs_shards(model.shape.parameters, memory):
            return in_shards(model, group)
    return replicate(model, group)


def in_shards(model: Llama, group: ProcessGroup) -> nn.Module:
    """Return the model with each block spread over all processes."""
    return shard(model, list(model.model.layers), group)


def needs_shards(parameters: int, memory: int) -> bool:
    """Return whether a model of so many parameters is too large for each GPU to hold whole.

    Args:
        parameters: Trainable numbers.
        memory: Bytes of one GPU.
    """
    return parameters * BYTES_A_PARAMETER > memory * SHARE
