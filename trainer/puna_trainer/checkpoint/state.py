"""State of training: everything that a process needs to go on as if it had never ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from puna_trainer.early_stopping import Patience
from puna_trainer.randomness import RandomStates


@dataclass(frozen=True, slots=True)
class TrainingState:
    """The state between two steps. The learning rate is a function of `step`, hence not in it."""

    model: Mapping[str, torch.Tensor]
    """Weights and buffers by name: `state_dict` of the bare model."""
    optimizer: Mapping[str, Any]
    """`state_dict` of the optimizer."""
    scaler: Mapping[str, Any]
    """`state_dict` of the gradients' scaler; empty where there is none."""
    step: int
    """Steps of the optimizer that are done."""
    epoch: int
    """Epochs that are done."""
    batches: int
    """Batches of the epoch after those that are done."""
    random: RandomStates
    """States of the global generators."""
    inputs: str
    """Digest of what the stage depends on."""
    patience: Patience = field(default_factory=Patience)
    """The best metric so far, and how long nothing was better."""
    description: Mapping[str, Any] = field(default_factory=dict)
    """What it takes to build the model: a document of JSON."""
