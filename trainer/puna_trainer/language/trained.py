"""Trained model: the best checkpoint of a run, as a model that can be asked."""

from __future__ import annotations

from pathlib import Path

import torch

from puna_trainer.checkpoint.store import NAME as CHECKPOINTS
from puna_trainer.checkpoint.store import Store
from puna_trainer.config.output import Checkpoints
from puna_trainer.config.shape import Shape
from puna_trainer.errors import TrainingError
from puna_trainer.exits import FailureReason
from puna_trainer.language.model import Llama
from puna_trainer.progress import CheckpointNote


def best_model(output: Path, device: torch.device) -> tuple[CheckpointNote, Llama]:
    """Return the best checkpoint of an output folder, and its model.

    Raises:
        TrainingError: BadConfig, there is no checkpoint.
    """
    store = Store(output / CHECKPOINTS, Checkpoints(), None)
    note = store.best_note()
    if note is None:
        raise TrainingError(
            FailureReason.BAD_CONFIG, "stages: there is no checkpoint to go on from; add pretrain"
        )
    state = store.read(note)
    model = Llama(Shape(**state.description["shape"]))
    model.load_state_dict(state.model)
    return note, model.to(device).eval()
