"""A classifier as a folder: `model.safetensors`, and what it takes to build it, `config.json`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import load_file

from puna_trainer.checkpoint.store import NAME as CHECKPOINTS
from puna_trainer.checkpoint.store import Store
from puna_trainer.config.output import Checkpoints
from puna_trainer.errors import TrainingError
from puna_trainer.exits import FailureReason
from puna_trainer.files import read_json, write_json
from puna_trainer.images.models import Classifier, Description, description_of, trained
from puna_trainer.tensors import write_tensors

WEIGHTS: Final = "model.safetensors"
CONFIG: Final = "config.json"


def write_classifier(
    folder: Path, document: Mapping[str, Any], weights: Mapping[str, torch.Tensor]
) -> None:
    """Write a classifier to a folder.

    Raises:
        OSError: the volume does not take it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_tensors(folder / WEIGHTS, weights, {"format": "pt"})
    write_json(folder / CONFIG, dict(document))


def read_classifier(folder: Path) -> tuple[Classifier, Description]:
    """Return the classifier of an exported folder, or the best one of a run's output folder.

    Raises:
        TrainingError: BadConfig, there is none.
    """
    document = read_json(folder / CONFIG)
    if document is not None and (folder / WEIGHTS).is_file():
        return trained(document, load_file(folder / WEIGHTS)), description_of(document)
    state = Store(folder / CHECKPOINTS, Checkpoints(), None).best()
    if state is None or "classes" not in state.description:
        raise TrainingError(
            FailureReason.BAD_CONFIG,
            f"{folder}: neither an exported classifier ({WEIGHTS} and {CONFIG}) nor the output "
            "folder of a run that trained one",
        )
    return trained(state.description, state.model), description_of(state.description)
