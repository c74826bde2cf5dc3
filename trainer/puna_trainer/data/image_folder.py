"""ImageFolder: folders `train` and `test`, with one folder of images for each class."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from puna_trainer.data.files import data_files, shown, writable
from puna_trainer.data.labelled import Labelled, Part
from puna_trainer.data.pictures import decode
from puna_trainer.storage.faults import corrupt

TRAIN: Final = "train"
TEST: Final = "test"


def read_image_folder(root: Path) -> Labelled:
    """Read images by their folders.

    Raises:
        TrainingError: DataCorrupt, naming the folder or file and what is wrong with it.
    """
    if not (root / TRAIN).is_dir():
        there = ", ".join(sorted(path.name for path in root.iterdir())[:8]) if root.is_dir() else ""
        raise corrupt(
            f"dataset: {root.name} has no folder {TRAIN}; there are {there or 'no folders'}; "
            f"{TRAIN}, and {TEST} if there is test data, hold one folder of images for each class"
        )
    parts = [TRAIN, TEST] if (root / TEST).is_dir() else [TRAIN]
    paths = {part: data_files(root / part) for part in parts}
    for part, found in paths.items():
        for path in found:
            if len(path.relative_to(root / part).parts) == 1:
                raise corrupt(
                    f"dataset: {shown(path, root)} lies in no folder of a class; move it into one"
                )
    # Gray or not is decided over both parts: a network has one number of channels.
    everything = [path for found in paths.values() for path in found]
    images_NCHW = decode(everything, [shown(path, root) for path in everything])
    labels = [
        writable(path.relative_to(root / part).parts[0])
        for part, found in paths.items()
        for path in found
    ]
    count = len(paths[TRAIN])
    train = Part(images_NCHW[:count], tuple(labels[:count]))
    if TEST not in paths:
        return Labelled(train, None)
    return Labelled(train, Part(images_NCHW[count:], tuple(labels[count:])))
