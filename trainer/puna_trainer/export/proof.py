"""Proof of a file: everything that is measured of it, and what speaks against it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from puna_trainer.config.output import ArtifactType
from puna_trainer.export.gates import Failure, judge
from puna_trainer.export.metadata import differing_keys, expected_metadata, read_metadata
from puna_trainer.export.parity import measure
from puna_trainer.export.reference import POSITIONS, Reference
from puna_trainer.export.tensor_types import fallbacks, read_tensors
from puna_trainer.export.vocabulary import Vocabulary
from puna_trainer.progress import Parity


@dataclass(frozen=True, slots=True)
class Proof:
    """What was measured of a file."""

    parity: Parity
    failures: tuple[Failure, ...]
    """What keeps it from being registered; nothing if it may be."""


def prove(path: Path, kind: ArtifactType, reference: Reference, vocabulary: Vocabulary) -> Proof:
    """Measure a file: F32 up to full context, the others, made of the same, over a part of it.

    Raises:
        TrainingError: llama.cpp refuses it.
    """
    stored = fallbacks(kind, read_tensors(path))
    expected = expected_metadata(reference.shape, vocabulary)
    positions = None if kind is ArtifactType.F32 else POSITIONS
    parity = measure(path, reference, positions=positions)
    failures = judge(
        kind,
        parity,
        differing_keys=differing_keys(expected, read_metadata(path)),
        fallbacks=[f"{tensor.name} ({tensor.type.name})" for tensor in stored],
    )
    return Proof(parity, failures)
