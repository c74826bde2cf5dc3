"""Images: the prepared dataset of an ImageClassification, in one file of tensors.

The stage `data` writes `images.safetensors` and `report.json`; `load_images` gives both back.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from puna_trainer.data.labelled import Labelled, classes_of, indices_of
from puna_trainer.data.parts import Part
from puna_trainer.data.prepare import REPORT
from puna_trainer.data.split import held_back
from puna_trainer.errors import TrainingError
from puna_trainer.exits import FailureReason
from puna_trainer.files import file_digest, read_json, write_json
from puna_trainer.storage.faults import corrupt, writing
from puna_trainer.tensors import write_tensors

FILE: Final = "images.safetensors"
FEWEST: Final = 3
"""Images that it takes to train, validate and test."""


@dataclass(frozen=True, slots=True)
class ImageSplit:
    """Images of one part."""

    images_NCHW: torch.Tensor
    """Bytes."""
    labels_N: torch.Tensor
    """Number of each one's class (int64)."""


@dataclass(frozen=True, slots=True)
class ImageData:
    """A prepared dataset of images."""

    train: ImageSplit
    validation: ImageSplit
    test: ImageSplit
    classes: tuple[str, ...]
    """Names of the classes, by their numbers."""


def load_images(folder: Path) -> ImageData:
    """Return the dataset that the stage `data` left in a folder.

    Raises:
        TrainingError: BadConfig, it left none.
    """
    path = folder / FILE
    try:
        with safe_open(path, framework="pt") as opened:
            classes = json.loads(opened.metadata()["classes"])
            splits = {
                part: ImageSplit(
                    opened.get_tensor(f"{part}.images"), opened.get_tensor(f"{part}.labels")
                )
                for part in Part
            }
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise TrainingError(
            FailureReason.BAD_CONFIG,
            f"stages: {path} is not there or not whole; the stage data has to run first",
        ) from error
    return ImageData(splits[Part.TRAIN], splits[Part.VALIDATION], splits[Part.TEST], tuple(classes))


def prepare_images(
    dataset: Labelled, folder: Path, *, validation_percent: int, seed: int, shown: str
) -> dict[str, Any]:
    """Split a dataset, write it, and return the report that lies beside it.

    The dataset's own test part stays as it is. Where there is none, as many images as are held back
    for validation are split off first.

    Raises:
        TrainingError: DataCorrupt, nothing can be learned from it; DiskFull.
    """
    classes = classes_of(dataset, shown)
    images_NCHW = dataset.train.images_NCHW
    labels_N = indices_of(dataset.train.labels, classes)
    everything = np.arange(len(labels_N))
    notes = []
    if len(labels_N) < FEWEST:
        raise corrupt(f"dataset: {shown} holds {len(labels_N)} images; it takes {FEWEST} at least")
    if dataset.test is not None and dataset.test.labels:
        test = (dataset.test.images_NCHW, indices_of(dataset.test.labels, classes))
    else:
        apart = held_back(len(labels_N), validation_percent, seed, "test")
        test = (images_NCHW[apart], labels_N[apart])
        everything = everything[~apart]
        notes.append(
            f"The dataset has no test part of its own: {len(test[1])} images, "
            f"{validation_percent} percent, were split off by the seed. Accuracies of runs with "
            "another seed are measured on other images."
        )
    chosen = held_back(len(everything), validation_percent, seed, "validation")
    learned, validation = everything[~chosen], everything[chosen]
    missing = sorted(set(range(len(classes))) - set(labels_N[learned].tolist()))
    if missing:
        notes.append(f"No training image is left of: {', '.join(classes[n] for n in missing)}.")
    parts = {
        Part.TRAIN: (images_NCHW[learned], labels_N[learned]),
        Part.VALIDATION: (images_NCHW[validation], labels_N[validation]),
        Part.TEST: test,
    }
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / FILE, parts, classes)
        report = {
            "kind": "images",
            **_described(parts, classes),
            "sha256": file_digest(folder / FILE),
            "validationPercent": validation_percent,
            "seed": seed,
            "notes": notes,
        }
        write_json(folder / REPORT, report)
    return report


Arrays = tuple[NDArray[np.uint8], NDArray[np.int64]]


def _write(path: Path, parts: dict[Part, Arrays], classes: tuple[str, ...]) -> None:
    tensors: dict[str, torch.Tensor] = {}
    for part, (images_NCHW, labels_N) in parts.items():
        # torch takes no array that must not be written to, as those of files are.
        tensors[f"{part}.images"] = torch.from_numpy(np.require(images_NCHW, requirements="W"))
        tensors[f"{part}.labels"] = torch.from_numpy(np.require(labels_N, requirements="W"))
    temporary = path.with_name(path.name + ".new")
    write_tensors(temporary, tensors, {"classes": json.dumps(classes)})
    temporary.replace(path)


def _described(parts: dict[Part, Arrays], classes: tuple[str, ...]) -> dict[str, Any]:
    _, channels, height, width = parts[Part.TRAIN][0].shape
    return {
        "classes": list(classes),
        "image": {"channels": channels, "height": height, "width": width},
        "parts": {
            part: {"images": len(labels_N), "ofClass": _counts(labels_N, classes)}
            for part, (_, labels_N) in parts.items()
        },
    }


def _counts(labels_N: NDArray[np.int64], classes: tuple[str, ...]) -> dict[str, int]:
    counted = Counter(labels_N.tolist())
    return {name: counted[number] for number, name in enumerate(classes)}


def read_report(folder: Path) -> dict[str, Any] | None:
    """Return the report that the stage `data` left; None if there is none."""
    report: dict[str, Any] | None = read_json(folder / REPORT)
    return report
