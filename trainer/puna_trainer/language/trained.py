"""Trained model: the best checkpoint of a run, or the model that it names, as one to be asked."""

from __future__ import annotations

from pathlib import Path

import torch

from puna_trainer.checkpoint.store import NAME as CHECKPOINTS
from puna_trainer.checkpoint.store import Store
from puna_trainer.config.output import Checkpoints, StageName
from puna_trainer.config.run import Run
from puna_trainer.config.shape import Shape
from puna_trainer.errors import TrainingError
from puna_trainer.exits import FailureReason
from puna_trainer.language.hub_layout import read_shape, read_weights
from puna_trainer.language.model import Llama
from puna_trainer.progress import CheckpointNote


def is_about_start(run: Run) -> bool:
    """Return whether a run measures and exports the model that it names: it learns none itself."""
    return run.model.uri is not None and StageName.PRETRAIN not in run.stage_names()


def model_of(
    run: Run, start: Path | None, device: torch.device
) -> tuple[CheckpointNote | None, Llama]:
    """Return the model that a run is about, and which checkpoint it is, if it is one.

    Args:
        run: What was asked for.
        start: Folder of the model that it names, if it names one.
        device: Where the model is computed.

    Raises:
        TrainingError: BadConfig, there is no such model.
    """
    if start is None or not is_about_start(run):
        return best_model(Path(run.output_directory), device)
    model = Llama(read_shape(start))
    model.load_state_dict(read_weights(start, model.shape))
    return None, model.to(device).eval()


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
