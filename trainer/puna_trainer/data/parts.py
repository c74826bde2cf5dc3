"""Parts of a dataset, and which of them each text belongs to. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from puna_trainer.data.split import is_held_back


class Part(StrEnum):
    """Parts of a dataset, by the names of their files."""

    TRAIN = "train"
    """What a model learns from."""
    VALIDATION = "validation"
    """What checkpoints are chosen by."""
    TEST = "test"
    """The dataset's own test part: nothing is learned from it, or chosen by it."""


@dataclass(frozen=True, slots=True)
class Line:
    """One document, and where it lies in the file of all."""

    digest: bytes
    """Of its normal form."""
    start: int
    size: int
    characters: int
    text_bytes: int
    is_test: bool
    """Whether it belongs to the dataset's own test part."""


def parts_of(lines: Sequence[Line], validation_percent: int) -> dict[Part, list[Line]]:
    """Return the documents of each part; those that are held back in the order of their digests.

    Validation gets a document, and training keeps one, whatever their digests say.
    """
    own = [line for line in lines if not line.is_test]
    digests = sorted({line.digest for line in own})
    held = {digest for digest in digests if is_held_back(digest, validation_percent)}
    if not held:
        held = set(digests[:1])
    elif len(held) == len(digests):
        held.discard(digests[-1])
    return {
        Part.TRAIN: [line for line in own if line.digest not in held],
        Part.VALIDATION: sorted(
            (line for line in own if line.digest in held), key=lambda line: line.digest
        ),
        Part.TEST: sorted((line for line in lines if line.is_test), key=lambda line: line.digest),
    }
