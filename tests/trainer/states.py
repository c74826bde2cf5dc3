"""Small states of training for tests of checkpoints."""

from __future__ import annotations

from pathlib import Path

import torch

from puna_trainer.checkpoint.state import TrainingState
from puna_trainer.checkpoint.store import Store
from puna_trainer.config.output import Checkpoints
from puna_trainer.early_stopping import Patience
from puna_trainer.randomness import RandomStates

CPU = torch.device("cpu")
INPUTS = "0" * 64


def store(
    folder: Path, *, keep: int = 3, save_best_only: bool = False, inputs: str = INPUTS
) -> Store:
    return Store(folder, Checkpoints(keep=keep, save_best_only=save_best_only), inputs)


def state(step: int, *, inputs: str = INPUTS, numbers: int = 1000) -> TrainingState:
    """A state whose every number is its step."""
    return TrainingState(
        model={"layer.weight": torch.full((numbers,), float(step))},
        optimizer={
            "state": {0: {"step": torch.tensor(float(step)), "exp_avg": torch.ones(2, 3)}},
            "param_groups": [{"lr": 0.1, "betas": (0.9, 0.95), "params": [0], "fused": None}],
        },
        scaler={},
        step=step,
        epoch=step // 10,
        batches=step % 10,
        random=RandomStates.capture(CPU),
        inputs=inputs,
        patience=Patience(best=0.5, reference=0.6, waited=1),
        description={"name": "mlp"},
    )


def is_whole(found: TrainingState | None, step: int) -> bool:
    """Whether a state is that of a step, in all its numbers."""
    return (
        found is not None
        and found.step == step
        and bool((found.model["layer.weight"] == step).all())
    )
