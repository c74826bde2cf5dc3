"""Prediction: which class the images of files belong to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from puna_trainer.config.document import Document
from puna_trainer.data.pictures import open_picture
from puna_trainer.files import readable
from puna_trainer.images.artifact import read_classifier
from puna_trainer.images.models import Description


class Prediction(Document):
    """What a classifier says of one image."""

    file: str
    """The image."""
    label: str
    """Name of the most likely class."""
    probability: float
    """How likely it is, 0 to 1."""
    probabilities: dict[str, float]
    """The same of every class."""


def predict_files(folder: Path, files: Sequence[Path]) -> Iterator[Prediction]:
    """Yield what the classifier in a folder says of each file.

    Raises:
        TrainingError: BadConfig, there is no classifier; DataCorrupt, a file is no image.
    """
    model, description = read_classifier(folder)
    for file in files:
        with torch.inference_mode():
            logits_1K = model(read_image(file, description)[None])
        shares = logits_1K.softmax(1)[0].tolist()
        probabilities = dict(zip(description.classes, shares, strict=True))
        label = max(probabilities, key=lambda name: probabilities[name])
        yield Prediction(
            file=readable(str(file)),
            label=label,
            probability=probabilities[label],
            probabilities=probabilities,
        )


def read_image(file: Path, wanted: Description) -> torch.Tensor:
    """Return an image as bytes (C, H, W), in the colours and the size that a classifier takes.

    Raises:
        TrainingError: DataCorrupt, it is none, or none that could be learned from.
    """
    image = open_picture(file, str(file)).convert("L" if wanted.channels == 1 else "RGB")
    if image.size != (wanted.width, wanted.height):
        image = image.resize((wanted.width, wanted.height), Image.Resampling.BILINEAR)
    pixels_HWC = np.array(image).reshape(wanted.height, wanted.width, wanted.channels)
    return torch.from_numpy(pixels_HWC).permute(2, 0, 1)
