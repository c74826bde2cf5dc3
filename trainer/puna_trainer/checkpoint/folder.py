"""Folder of one checkpoint: weights and tensors of the state in safetensors, the rest in JSON.

`manifest.json` is written last and names every other file with its digest: a folder whose files do
not match it is no checkpoint.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import load_file

from puna_trainer.checkpoint.packing import pack, unpack
from puna_trainer.checkpoint.state import TrainingState
from puna_trainer.early_stopping import Patience
from puna_trainer.files import file_digest, read_json, write_json
from puna_trainer.progress import CheckpointNote
from puna_trainer.randomness import RandomStates
from puna_trainer.tensors import write_tensors

WEIGHTS: Final = "weights.safetensors"
TENSORS: Final = "state.safetensors"
VALUES: Final = "state.json"
MANIFEST: Final = "manifest.json"
WRAPPERS: Final = re.compile(r"(?:^|(?<=\.))(?:_orig_mod|module)\.")
"""Names that compilation and replication put before those of the bare model."""


def write_folder(folder: Path, state: TrainingState) -> CheckpointNote:
    """Write all files of a checkpoint through to the disk, the manifest last.

    Raises:
        OSError: the volume does not take them.
    """
    tensors: dict[str, torch.Tensor] = {}
    values = pack(
        {
            "optimizer": state.optimizer,
            "scaler": state.scaler,
            "random": {
                "python": state.random.python,
                "numpy": state.random.numpy,
                "processor": state.random.processor,
                "device": state.random.device,
            },
        },
        "state",
        tensors,
    )
    position = {
        "step": state.step,
        "epoch": state.epoch,
        "batches": state.batches,
        "inputs": state.inputs,
        "patience": {
            "best": state.patience.best,
            "reference": state.patience.reference,
            "waited": state.patience.waited,
        },
        "description": dict(state.description),
    }
    write_tensors(folder / WEIGHTS, {bare(name): tensor for name, tensor in state.model.items()})
    write_tensors(folder / TENSORS, tensors)
    write_json(folder / VALUES, position | {"values": values})
    listed = {
        name: {"sha256": file_digest(folder / name), "bytes": (folder / name).stat().st_size}
        for name in (WEIGHTS, TENSORS, VALUES)
    }
    write_json(folder / MANIFEST, {"step": state.step, "inputs": state.inputs, "files": listed})
    return _note(folder, state.step)


def read_note(folder: Path, inputs: str | None = None) -> CheckpointNote | None:
    """Return the note of a checkpoint that verifies, and was made from these inputs; else None."""
    manifest = read_json(folder / MANIFEST)
    if manifest is None or (inputs is not None and manifest["inputs"] != inputs):
        return None
    for name, wanted in manifest["files"].items():
        path = folder / name
        if not path.is_file() or path.stat().st_size != wanted["bytes"]:
            return None
        if file_digest(path) != wanted["sha256"]:
            return None
    return _note(folder, manifest["step"])


def read_folder(folder: Path) -> TrainingState:
    """Return the state of a checkpoint that verifies, all tensors on the processor.

    Loading there first keeps a device from holding the state twice.
    """
    document = read_json(folder / VALUES)
    values = unpack(document["values"], load_file(folder / TENSORS))
    return TrainingState(
        model=read_weights(folder),
        optimizer=values["optimizer"],
        scaler=values["scaler"],
        step=document["step"],
        epoch=document["epoch"],
        batches=document["batches"],
        random=_random_states(values["random"]),
        inputs=document["inputs"],
        patience=Patience(**document["patience"]),
        description=document["description"],
    )


def read_weights(folder: Path) -> dict[str, torch.Tensor]:
    """Return the weights and buffers of a checkpoint that verifies."""
    return load_file(folder / WEIGHTS)


def read_description(folder: Path) -> dict[str, Any]:
    """Return what it takes to build the model of a checkpoint that verifies."""
    description: dict[str, Any] = read_json(folder / VALUES)["description"]
    return description


def bare(name: str) -> str:
    """Return the name that a tensor has in the bare model."""
    return WRAPPERS.sub("", name)


def _note(folder: Path, step: int) -> CheckpointNote:
    return CheckpointNote(name=folder.name, step=step, sha256=file_digest(folder / MANIFEST))


def _random_states(values: Mapping[str, Any]) -> RandomStates:
    numpy = dict(values["numpy"])
    numpy["state"] = dict(numpy["state"], key=numpy["state"]["key"].numpy())
    return RandomStates(values["python"], numpy, values["processor"], values["device"])
