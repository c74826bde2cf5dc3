"""Images of a few classes that a small network learns in a second, and runs that learn them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from puna_trainer.config.run import Run, read_run
from puna_trainer.data.images import ImageData, ImageSplit
from puna_trainer.distributed import ProcessGroup
from puna_trainer.images.train import fit
from puna_trainer.progress import Progress
from puna_trainer.randomness import seed_everything
from puna_trainer.reporting.log import read_log
from puna_trainer.reporting.reporter import Reporter
from puna_trainer.stage import StageContext
from puna_trainer.stop import StopSignal

CPU = torch.device("cpu")
SIDE = 12
CLASSES = 4
INPUTS = "0" * 64
FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


def images(count: int, seed: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Noise with a bright corner, which one is the class."""
    chance = np.random.default_rng(seed)
    pixels = chance.integers(0, 160, (count, SIDE, SIDE), dtype=np.uint8)
    labels = chance.integers(0, CLASSES, count).astype(np.uint8)
    half = SIDE // 2
    for image, label in zip(pixels, labels, strict=True):
        row, column = divmod(int(label), 2)
        image[row * half : (row + 1) * half, column * half : (column + 1) * half] += 60
    return pixels, labels


def write_idx(folder: Path, *, train: int = 160, test: int = 40) -> Path:
    """The four files of a dataset."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, (part, count) in enumerate((("train", train), ("test", test))):
        pixels, labels = images(count, seed)
        for name, values, magic in zip(FILES[part], (pixels, labels), (0x803, 0x801), strict=True):
            header = np.array([magic, *values.shape], dtype=">u4").tobytes()
            (folder / name).write_bytes(header + values.tobytes())
    return folder


def image_data(train: int = 160, validation: int = 50) -> ImageData:
    """The same as tensors."""

    def split(count: int, seed: int) -> ImageSplit:
        pixels, labels = images(count, seed)
        return ImageSplit(torch.from_numpy(pixels)[:, None], torch.from_numpy(labels).long())

    return ImageData(
        split(train, 0), split(validation, 1), split(40, 2), tuple(str(n) for n in range(CLASSES))
    )


def run_of(folder: Path, *, data: Path | None = None, **changed: Any) -> Run:
    """A run that takes a second; `changed` are members of `run.json`."""
    document = {
        "name": "digits",
        "task": "ImageClassification",
        "model": {"name": "mlp"},
        "dataset": {"uri": (data or folder).resolve().as_uri() + "/", "format": "idx"},
        "outputDirectory": str(folder),
        "device": "cpu",
        "checkpoint": {"everySteps": 4},
        "hyperparameters": {"epochs": 2, "batchSize": 16, "precision": "float32"},
    }
    for name, value in changed.items():
        known = document.get(name)
        document[name] = {**known, **value} if isinstance(known, dict) else value
    return read_run(json.dumps(document))


@dataclass
class Fitted:
    """What a training left."""

    folder: Path
    lines: list[str] = field(default_factory=list)

    @property
    def progress(self) -> list[Progress]:
        return [Progress.model_validate_json(line) for line in self.lines]

    @property
    def entries(self) -> list[dict[str, Any]]:
        return list(read_log(self.folder / "logs" / "log.jsonl"))

    @property
    def losses(self) -> list[float]:
        return [entry["loss"] for entry in self.entries if entry["kind"] == "step"]

    @property
    def evaluations(self) -> list[dict[str, Any]]:
        return [entry for entry in self.entries if "valLoss" in entry]


def ticks() -> Iterator[float]:
    """A clock that goes on by a second with every look at it."""
    second = 0.0
    while True:
        second += 1.0
        yield second


def fitted(
    run: Run,
    *,
    data: ImageData | None = None,
    stop: StopSignal | None = None,
    device: torch.device = CPU,
    group: ProcessGroup | None = None,
) -> Fitted:
    """Train in this process."""
    folder = Path(run.output_directory)
    found = Fitted(folder)
    clock = ticks()
    group = group or ProcessGroup()
    reporter = Reporter(
        run,
        folder / "logs" if group.is_first else None,
        write=found.lines.append,
        clock=lambda: next(clock),
    )
    seed_everything(run.hyperparameters.seed, device, deterministic=True)
    reporter.begin(run.stage_names()[1], ())
    stop = stop or StopSignal()
    context = StageContext(run, folder, device, reporter, stop, group, INPUTS)
    try:
        fit(context, data or image_data())
    finally:
        reporter.close()
    return found
