"""Labelled images: what a reader of any format hands on, and the checks that all have in common."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from puna_trainer.storage.faults import corrupt

Bytes = NDArray[np.uint8]
MOST_CLASSES: Final = 10_000


@dataclass(frozen=True)
class Part:
    """Images of one part of a dataset, with the name of each one's class."""

    images_NCHW: Bytes
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Labelled:
    """A dataset of images as it was found."""

    train: Part
    test: Part | None
    """The dataset's own test part, if it has one."""


def classes_of(dataset: Labelled, shown: str) -> tuple[str, ...]:
    """Return the names of the classes: numbers by value, other names by alphabet.

    Raises:
        TrainingError: DataCorrupt, nothing can be learned from them.
    """
    if not dataset.train.labels:
        raise corrupt(f"dataset: {shown} holds no training images")
    counted = Counter(dataset.train.labels)
    names = sorted(counted, key=_order(list(counted)))
    if len(names) == 1:
        raise corrupt(
            f"dataset: all {len(dataset.train.labels)} training images of {shown} are of one "
            f"class, {names[0]!r}; to tell classes apart takes two"
        )
    if len(names) > MOST_CLASSES:
        raise corrupt(
            f"dataset: {shown} has {len(names)} classes for {len(dataset.train.labels)} images, "
            f"more than {MOST_CLASSES}; does dataset.labelColumn name the class?"
        )
    if dataset.test is not None:
        unknown = sorted(set(dataset.test.labels) - counted.keys())
        if unknown:
            raise corrupt(
                f"dataset: the test part of {shown} has the class {unknown[0]!r}, which no "
                "training image is of"
            )
    return tuple(names)


def indices_of(labels: tuple[str, ...], names: tuple[str, ...]) -> NDArray[np.int64]:
    """Return the index of each label's class."""
    index = {name: number for number, name in enumerate(names)}
    return np.fromiter((index[label] for label in labels), np.int64, len(labels))


def _order(names: list[str]) -> type[int | str]:
    return int if all(name.isdecimal() and name.isascii() for name in names) else str
